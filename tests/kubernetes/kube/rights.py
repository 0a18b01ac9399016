"""What count_at.py has written of a controller's requests, in the words of Kubernetes' rights."""

import json
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

_VERBS = {"POST": "create", "PUT": "update", "PATCH": "patch", "DELETE": "delete"}
LOCKS = ("leases", "configmaps")


@dataclass(frozen=True)
class Right:
    group: str
    resource: str  # with its subresource: "nodes/status"
    verb: str

    def __str__(self) -> str:
        return f"{self.verb} {self.resource}"


@dataclass(frozen=True)
class Request:
    right: Right | None  # None: what anybody may ask, as the server's version
    path: str
    status: int
    sent: int
    received: int


def right_of(method: str, target: str) -> Right | None:
    url = urlsplit(target)
    top, *words = [word for word in url.path.split("/") if word]
    group = ""
    if top == "apis":
        group, *words = words or [""]
    elif top != "api":
        return None
    words = words[1:]  # without the version
    if words[:1] == ["namespaces"] and len(words) > 2:
        words = words[2:]
    if not words:
        return None
    resource, *name = words
    if method == "GET":
        verb = "watch" if "watch=1" in url.query else "get" if name else "list"
    else:
        verb = _VERBS[method]
    return Right(group, "/".join([resource, *name[1:]]), verb)


def read(log: Path) -> list[Request]:
    """Each request once. What a watch has received counts as received by a request of the status 0."""
    lines = [json.loads(line) for line in log.read_text().splitlines()] if log.exists() else []
    return [
        Request(right_of(one["method"], one["path"]), one["path"], one["status"], one["sent"], one["received"])
        for one in lines
    ]


def count(requests: Iterable[Request]) -> Counter[str]:
    """By right, without watches and what keeps the lead."""
    asked = [one.right for one in requests if one.right and one.status]
    return Counter(str(right) for right in asked if right.verb != "watch" and right.resource not in LOCKS)


def received(requests: Iterable[Request], resource: str) -> dict[str, int]:
    """Bytes that came of this resource, by verb."""
    found: Counter[str] = Counter()
    for one in requests:
        if one.right and one.right.resource == resource:
            found[one.right.verb] += one.received
    return dict(found)
