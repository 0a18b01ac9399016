"""Runs a controller behind a proxy of the API server, and kills it at one of its requests.

    kill_at.py SERVER CA TOKEN PORT LOG CONTROL -- COMMAND...

COMMAND is started again whenever it ends. Requests that only look at all there is, or keep the lock, are passed on; each
other one is written to the file LOG: method and path. The file CONTROL says at which to kill: "3 before", "3 after" (the
server has done it then, and nobody hears of it); each time that it is written, counting begins again.
"""

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from urllib.parse import urlsplit

from api_proxy import ApiServer, Proxy, Server

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


class KillingProxy(Proxy):
    api = ApiServer(SERVER, CA, TOKEN)

    def is_counted(self) -> bool:
        looks_at_all = any(word in self.path for word in ("watch=1", "limit=", "/version"))
        is_discovery = urlsplit(self.path).path in ("/api", "/apis")
        return LOCK not in self.path and not looks_at_all and not is_discovery

    def handle_one(self) -> None:
        body = self.read_body()
        when = KILLER.next(f"{self.command} {self.path}") if self.is_counted() else ""
        if when == "before":
            KILLER.kill()
            self.close_connection = True
            return
        answer = self.ask(body)
        if when == "after":
            answer.read()
            KILLER.kill()
            self.close_connection = True
            return
        self.pass_on(answer)


def main() -> None:
    server = Server(("127.0.0.1", int(PORT)), KillingProxy)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    signal.signal(signal.SIGTERM, lambda *_: end())
    KILLER.run()


def end() -> None:
    if KILLER.process is not None:
        KILLER.process.kill()
    os._exit(0)


main()
