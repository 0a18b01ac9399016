"""Images that are made here, in a registry's folder: blobs by their digests, a tag's digest in tags/NAME/TAG."""

import gzip
import hashlib
import io
import json
import subprocess
import tarfile
from pathlib import Path
from typing import Any

BUSYBOX = Path("/bin/busybox")  # static
# What a stand-in does with what a database is told: --dir DIR.
DATABASE = """#!/bin/sh
while [ "$1" != --dir ]; do shift; done
while echo kept >> "$2/appendonly.aof" && sync "$2/appendonly.aof"; do sleep 1; done
"""
_TYPE = "application/vnd.oci.image"
_LAYER = "layer.v1.tar+gzip"
_MANIFEST = "manifest.v1+json"
Blob = dict[str, Any]  # as a manifest describes it
SLEEP = ["/bin/busybox", "sleep", "1000000"]


class Images:
    def __init__(self, folder: Path) -> None:
        self._folder = folder
        (folder / "blobs").mkdir(parents=True)

    def add_stand_ins(self) -> None:
        """pause, and what the examples name. Only SIGKILL ends them: as process 1 they handle no signal."""
        layer = _pack_busybox({"/bin/database": DATABASE})
        for name, command in (("pause", SLEEP), ("busybox", ["/bin/sh"]), ("nginx", SLEEP)):
            self.add(name, "latest", [layer], {"Cmd": command})
        self.add("redis", "latest", [layer], {"Entrypoint": ["/bin/database"]})

    def add(self, name: str, tag: str, layers: list[bytes], config: dict[str, Any]) -> None:
        described = [self._keep(gzip.compress(layer, 1), _LAYER) for layer in layers]
        environment = {"Env": ["PATH=/usr/sbin:/usr/bin:/sbin:/bin"]}
        self._tag(name, tag, described, [_digest(layer) for layer in layers], {**environment, **config})

    def add_above(self, archive: Path, layer: bytes, name: str, tag: str) -> None:
        """An image of an OCI archive, with a layer more."""
        with tarfile.open(archive) as oci:

            def read(path: str) -> bytes:
                file = oci.extractfile(path)
                assert file is not None
                return file.read()

            def blob(digest: str) -> bytes:
                return read(f"blobs/{digest.replace(':', '/')}")

            manifest = json.loads(blob(json.loads(read("index.json"))["manifests"][0]["digest"]))
            below = [self._keep(blob(one["digest"]), _LAYER) for one in manifest["layers"]]
            config = json.loads(blob(manifest["config"]["digest"]))
        digests = [*config["rootfs"]["diff_ids"], _digest(layer)]
        self._tag(name, tag, [*below, self._keep(gzip.compress(layer, 1), _LAYER)], digests, config["config"])

    def _tag(self, name: str, tag: str, layers: list[Blob], digests: list[str], config: dict[str, Any]) -> None:
        """`digests`: of the layers as they are unpacked."""
        files = {"type": "layers", "diff_ids": digests}
        described = {"architecture": "amd64", "os": "linux", "config": config, "rootfs": files}
        manifest = {"schemaVersion": 2, "mediaType": f"{_TYPE}.{_MANIFEST}",
                    "config": self._keep(json.dumps(described).encode(), "config.v1+json"), "layers": layers}
        digest = self._keep(json.dumps(manifest).encode(), _MANIFEST)["digest"]
        tags = self._folder / "tags" / name
        tags.mkdir(parents=True, exist_ok=True)
        (tags / tag).write_text(digest)

    def _keep(self, blob: bytes, kind: str) -> Blob:
        digest = _digest(blob)
        (self._folder / "blobs" / digest).write_bytes(blob)
        return {"mediaType": f"{_TYPE}.{kind}", "digest": digest, "size": len(blob)}


def _digest(content: bytes) -> str:
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


def _pack_busybox(files: dict[str, str]) -> bytes:
    """busybox under all of its names, and some scripts."""
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w") as tar:
        _add(tar, "bin/busybox", BUSYBOX.read_bytes())
        for name, text in files.items():
            _add(tar, name.lstrip("/"), text.encode())
        for applet in subprocess.run([BUSYBOX, "--list"], capture_output=True, text=True, check=True).stdout.split():
            if applet != "busybox":
                link = tarfile.TarInfo(f"bin/{applet}")
                link.type, link.linkname = tarfile.SYMTYPE, "busybox"
                tar.addfile(link)
        folder = tarfile.TarInfo("tmp")
        folder.type, folder.mode = tarfile.DIRTYPE, 0o1777
        tar.addfile(folder)
    return archive.getvalue()


def _add(tar: tarfile.TarFile, name: str, content: bytes) -> None:
    entry = tarfile.TarInfo(name)
    entry.size, entry.mode = len(content), 0o755
    tar.addfile(entry, io.BytesIO(content))
