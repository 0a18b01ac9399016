"""A proxy between a controller and the API server that writes down each request.

    count_at.py SERVER CA TOKEN PORT LOG

A line of LOG is JSON: method, path, status, sent and received (bytes of the bodies, as the controller sees it). A watch has
a line when it begins, with nothing received, and one for each part that comes of it, with the status 0.
"""

import json
import sys
import threading
from pathlib import Path

from api_proxy import ApiServer, Proxy, Server

SERVER, CA, TOKEN, PORT, LOG = sys.argv[1:]
LOCK = threading.Lock()


class CountingProxy(Proxy):
    api = ApiServer(SERVER, CA, TOKEN)

    def write(self, status: int, sent: int, received: int) -> None:
        line = {"method": self.command, "path": self.path, "status": status, "sent": sent, "received": received}
        with LOCK, Path(LOG).open("a") as log:
            log.write(json.dumps(line) + "\n")

    def on_part(self, part: bytes) -> None:
        if self.is_watch:
            self.write(0, 0, len(part))
        else:
            self.write(self._status, self._sent, len(part))

    def handle_one(self) -> None:
        body = self.read_body()
        answer = self.ask(body)
        self._status, self._sent = answer.status, len(body)
        if self.is_watch:
            self.write(answer.status, len(body), 0)
        self.pass_on(answer)


Server(("127.0.0.1", int(PORT)), CountingProxy).serve_forever()
