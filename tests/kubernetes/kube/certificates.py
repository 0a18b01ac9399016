"""One authority for a cluster, and what it signs."""

import base64
import json
import subprocess
from pathlib import Path

# A signature of RSA's takes many times as long.
_KEY = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]


class Authority:
    def __init__(self, folder: Path) -> None:
        self._folder = folder
        folder.mkdir()
        files = ["-keyout", "ca.key", "-out", "ca.crt"]
        self._openssl("req", "-x509", *_KEY, "-days", "2", "-subj", "/CN=kubernetes", *files)

    def make(self, file: str, name: str, group: str = "", addresses: str = "") -> None:
        """FILE.crt and FILE.key: for a client of this name and group, or for a server with these addresses."""
        subject = (f"/O={group}" if group else "") + f"/CN={name}"
        extensions = "extendedKeyUsage=clientAuth,serverAuth\n" + (f"subjectAltName={addresses}\n" if addresses else "")
        (self._folder / "extensions").write_text(extensions)
        self._openssl("req", "-new", *_KEY, "-subj", subject, "-keyout", f"{file}.key", "-out", "request")
        authority = ["-CA", "ca.crt", "-CAkey", "ca.key", "-CAcreateserial"]
        self._openssl("x509", "-req", "-in", "request", *authority, "-days", "2", "-extfile", "extensions",
                      "-out", f"{file}.crt")

    def make_kubeconfig(self, file: str, name: str, group: str, server: str) -> None:
        """FILE.kubeconfig, with all that it needs in itself."""
        self.make(file, name, group)
        cluster = {"server": server, "certificate-authority-data": self._encoded("ca.crt")}
        user = {
            "client-certificate-data": self._encoded(f"{file}.crt"),
            "client-key-data": self._encoded(f"{file}.key"),
        }
        config = {
            "apiVersion": "v1", "kind": "Config", "current-context": "here",
            "clusters": [{"name": "here", "cluster": cluster}],
            "users": [{"name": name, "user": user}],
            "contexts": [{"name": "here", "context": {"cluster": "here", "user": name}}],
        }  # fmt: skip
        (self._folder / f"{file}.kubeconfig").write_text(json.dumps(config))

    def _encoded(self, file: str) -> str:
        return base64.b64encode((self._folder / file).read_bytes()).decode()

    def _openssl(self, *words: str) -> None:
        subprocess.run(["openssl", *words], cwd=self._folder, check=True, capture_output=True)
