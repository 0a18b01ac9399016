"""The image of `make image`, unpacked as a container runtime does."""

import hashlib
import json
import subprocess
import tarfile
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
BUILD = ROOT / "build"


def make_image(target: Path) -> None:
    done = subprocess.run(
        [ROOT / "installer" / "image", BUILD, "0.1.0", target], capture_output=True, text=True, timeout=900
    )
    assert (done.returncode, done.stderr) == (0, ""), done.stderr


def unpack(archive: Path, target: Path) -> None:
    """Each blob is checked by its digest."""
    with tarfile.open(archive) as oci:

        def blob(described: dict[str, Any]) -> bytes:
            digest = described["digest"].removeprefix("sha256:")
            file = oci.extractfile(f"blobs/sha256/{digest}")
            assert file is not None
            content = file.read()
            assert hashlib.sha256(content).hexdigest() == digest
            return content

        index = oci.extractfile("index.json")
        assert index is not None
        manifest = json.loads(blob(json.load(index)["manifests"][0]))
        json.loads(blob(manifest["config"]))
        (layer,) = manifest["layers"]
        scratch = target.with_suffix(".layer")
        scratch.write_bytes(blob(layer))
    with tarfile.open(scratch) as files:
        files.extractall(target)
    scratch.unlink()
