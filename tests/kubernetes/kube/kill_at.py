"""Runs a controller behind a proxy of the API server, and kills it at one of its requests.

    kill_at.py SERVER CA TOKEN PORT LOG CONTROL -- COMMAND...

COMMAND is started again whenever it ends. Requests that only look at all there is, or keep the lock, are passed on; each
other one is written to the file LOG: method and path. The file CONTROL says at which to kill: "3 before", "3 after" (the
server has done it then, and nobody hears of it); each time that it is written, counting begins again.
"""

import http.client
import os
import signal
import ssl
import subprocess
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import urlsplit

SERVER, CA, TOKEN, PORT, LOG, CONTROL, _, *COMMAND = sys.argv[1:]
LOCK = "/leases/"


class Killer:
    """Which request of the controller is the one."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._order = ""
        self._count = 0
        self.process: "subprocess.Popen[bytes] | None" = None

    def next(self, what: str) -> str:
        """"before", "after", or "" for a request that may go on."""
        with self._lock:
            order = Path(CONTROL).read_text().strip() if Path(CONTROL).exists() else ""
            if order != self._order:
                self._order, self._count = order, 0
            self._count += 1
            with Path(LOG).open("a") as log:
                log.write(what + "\n")
            number, _, when = order.partition("#")[0].strip().partition(" ")
            return when if number and int(number) == self._count else ""

    def kill(self) -> None:
        assert self.process is not None
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def run(self) -> None:
        while True:
            # An order at its beginning holds it back: the test changes the world meanwhile.
            while Path(CONTROL + ".hold").exists():
                time.sleep(0.02)
            self.process = subprocess.Popen(COMMAND)
            self.process.wait()


KILLER = Killer()


class Proxy(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_: object) -> None:
        pass

    def is_counted(self) -> bool:
        looks_at_all = any(word in self.path for word in ("watch=1", "limit=", "/version"))
        is_discovery = urlsplit(self.path).path in ("/api", "/apis")
        return LOCK not in self.path and not looks_at_all and not is_discovery

    def handle_one(self) -> None:
        length = int(self.headers.get("Content-Length") or 0)
        body = self.rfile.read(length)
        when = KILLER.next(f"{self.command} {self.path}") if self.is_counted() else ""
        if when == "before":
            KILLER.kill()
            self.close_connection = True
            return
        server = urlsplit(SERVER)
        context = ssl.create_default_context(cafile=CA)
        upstream = http.client.HTTPSConnection(server.hostname or "", server.port or 443, context=context, timeout=700)
        headers = {name: value for name, value in self.headers.items() if name.lower() not in ("host", "connection")}
        headers["Authorization"] = "Bearer " + Path(TOKEN).read_text().strip()
        upstream.request(self.command, self.path, body=body or None, headers=headers)
        answer = upstream.getresponse()
        if when == "after":
            answer.read()
            KILLER.kill()
            self.close_connection = True
            return
        self.send_response(answer.status)
        self.send_header("Content-Type", answer.headers.get("Content-Type", "application/json"))
        if "watch=1" in self.path:
            self.send_header("Connection", "close")
            self.end_headers()
            while part := answer.read1(65536):
                self.wfile.write(part)
                self.wfile.flush()
            self.close_connection = True
            return
        content = answer.read()
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def handle_safely(self) -> None:
        try:
            self.handle_one()
        except OSError:  # the controller is gone, or the server
            self.close_connection = True

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = handle_safely


def main() -> None:
    server = ThreadingHTTPServer(("127.0.0.1", int(PORT)), Proxy)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    signal.signal(signal.SIGTERM, lambda *_: end())
    KILLER.run()


def end() -> None:
    if KILLER.process is not None:
        KILLER.process.kill()
    os._exit(0)


main()
