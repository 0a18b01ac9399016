"""What passes a controller's requests on to the API server, for programs that look at them on the way."""

import http.client
import ssl
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import urlsplit

PART = 65536


@dataclass
class ApiServer:
    url: str
    ca: str
    token: str  # its file

    def ask(self, method: str, path: str, headers: dict[str, str], body: bytes) -> http.client.HTTPResponse:
        server = urlsplit(self.url)
        context = ssl.create_default_context(cafile=self.ca)
        upstream = http.client.HTTPSConnection(server.hostname or "", server.port or 443, context=context, timeout=700)
        kept = {name: value for name, value in headers.items() if name.lower() not in ("host", "connection")}
        kept["Authorization"] = "Bearer " + Path(self.token).read_text().strip()
        upstream.request(method, path, body=body or None, headers=kept)
        return upstream.getresponse()


class Proxy(BaseHTTPRequestHandler):
    """Of plain HTTP, for one API server, that of the class."""

    protocol_version = "HTTP/1.1"
    api: ApiServer

    def log_message(self, *_: object) -> None:
        pass

    @property
    def is_watch(self) -> bool:
        return "watch=1" in self.path

    def read_body(self) -> bytes:
        return self.rfile.read(int(self.headers.get("Content-Length") or 0))

    def ask(self, body: bytes) -> http.client.HTTPResponse:
        return self.api.ask(self.command, self.path, dict(self.headers.items()), body)

    def on_part(self, part: bytes) -> None:
        """Called with what is passed on of an answer's body, as it comes."""

    def pass_on(self, answer: http.client.HTTPResponse) -> None:
        self.send_response(answer.status)
        self.send_header("Content-Type", answer.headers.get("Content-Type", "application/json"))
        if self.is_watch:
            self.send_header("Connection", "close")
            self.end_headers()
            while part := answer.read1(PART):
                self.on_part(part)
                self.wfile.write(part)
                self.wfile.flush()
            self.close_connection = True
            return
        content = answer.read()
        self.on_part(content)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def handle_one(self) -> None:
        self.pass_on(self.ask(self.read_body()))

    def handle_safely(self) -> None:
        try:
            self.handle_one()
        except OSError:  # the controller is gone, or the server
            self.close_connection = True

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = handle_safely


class Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128  # all workers of a controller at once
