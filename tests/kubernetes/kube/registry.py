#!/usr/bin/python3
"""As much of a registry of images as containerd asks: registry.py FOLDER ADDRESS PORT. images.py fills FOLDER."""

import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

TYPES = {"manifests": "application/vnd.oci.image.manifest.v1+json", "blobs": "application/octet-stream"}


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    folder: Path

    def do_GET(self) -> None:
        """/v2/NAME/manifests/TAG, or a digest; /v2/NAME/blobs/DIGEST."""
        words = self.path.partition("?")[0].strip("/").split("/")
        kind, wanted = words[-2:] if len(words) > 3 else ("", "")
        if kind not in TYPES or ".." in words:
            return self.answer(404, b"")
        place = self.folder / "blobs" / wanted
        if kind == "manifests" and not place.exists():
            link = self.folder / "tags" / words[-3] / wanted
            if not link.exists():
                return self.answer(404, b"")
            place = self.folder / "blobs" / link.read_text()
        self.answer(200, place.read_bytes(), **{"Content-Type": TYPES[kind], "Docker-Content-Digest": place.name})

    do_HEAD = do_GET

    def answer(self, status: int, content: bytes, **headers: str) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(content)


if __name__ == "__main__":
    Handler.folder = Path(sys.argv[1])
    ThreadingHTTPServer((sys.argv[2], int(sys.argv[3])), Handler).serve_forever()
