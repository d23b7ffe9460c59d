"""Try one storage with whatever client is there: ``python storage_access.py try|explain``.

On standard input JSON with ``url``, ``read``, ``write``, ``rename`` and ``remove``; on standard output one JSON line
for the client, one before each action and one after it, up to the first that fails. Python 3.9 or later, standard
library alone; beside it ``storage_clients.py``.
"""

from __future__ import annotations

import json
import os
import re
import socket
import sys
import time
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from fasthep_validate.worker.storage_clients import Client

    Wanted = Mapping[str, Any]
    Step = tuple[str, Callable[[], None]]
if TYPE_CHECKING or __package__:
    from fasthep_validate.worker.storage_clients import ClientError, find_client
else:
    from storage_clients import ClientError, find_client

PORTS = {"https": 443, "davs": 443}  # of the others it is XRootD's, 1094
CONNECT_LIMIT = 5.0  # seconds for one address
SIZE = 4096  # bytes that are written
SECRET = re.compile(r"eyJ[\w-]+(?:\.[\w-]+){0,2}|zteos64:\S+|hvs\.\S+|(?<=[?&])[\w.]+=\S+")

# Words of clients and of the system -> fault (models.access.Fault); the first that fits.
FAULTS = tuple(
    (fault, re.compile(words, re.IGNORECASE))
    for fault, words in (
        ("name-unknown", r"invalid address|name or service not known|name resolution|no address associated"),
        ("refused", r"connection refused"),
        ("no-route", r"no route to host|network is unreachable"),
        ("not-authenticated", r"auth failed|no protocols left|authentication failed|HTTP 401"),
        ("tls", r"TLS error|certificate verify failed|SSL|certificate"),
        ("denied", r"\[3010\]|permission denied|not authorized|HTTP 403|disallowed"),
        ("no-such-path", r"\[3011\]|no such file|HTTP 404|not found"),
        ("no-space", r"\[3009\]|no space|quota|HTTP 507"),
        ("timed-out", r"timed? ?out|operation expired"),
        ("unreachable", r"connection error|connection reset|socket error"),
    )
)


def tell(**facts: object) -> None:
    """One line of JSON."""
    print(json.dumps(facts), flush=True)


def fault_of(words: str) -> str:
    """What kind of failure these words are."""
    return next((fault for fault, pattern in FAULTS if pattern.search(words)), "failed")


def scrubbed(words: str) -> str:
    """One short line without anything that could be a token or the query of an address."""
    return SECRET.sub("...", " ".join(words.split()))[:300]


def resolve(url: str) -> list[Any]:
    """Addresses of an endpoint."""
    parts = urlsplit(url)
    port = parts.port or PORTS.get(parts.scheme, 1094)
    return socket.getaddrinfo(parts.hostname, port, type=socket.SOCK_STREAM)


def connect(url: str) -> None:
    """Open a TCP connection to the first address that takes one."""
    error: OSError | None = None
    for family, kind, protocol, _, address in resolve(url):
        try:
            with socket.socket(family, kind, protocol) as stream:
                stream.settimeout(CONNECT_LIMIT)
                stream.connect(address)
                return
        except OSError as refused:
            error = refused
    raise error or OSError("no address")


class Trial:
    """The actions at one endpoint; the file that is written is removed whatever happens, if it may be."""

    def __init__(self, wanted: Wanted, client: Client) -> None:
        self.client = client
        self.read_path: str = wanted["read"]
        self.data = os.urandom(SIZE)
        folder = str(wanted.get("write") or "").rstrip("/")
        self.file = f"{folder}/fasthep-validate-{time.time_ns():x}-{os.getpid()}" if folder else ""
        self.will_rename, self.will_remove = bool(wanted.get("rename")), bool(wanted.get("remove"))

    def steps(self) -> Iterator[Step]:
        """What is to be done, in order."""
        yield "read", self.read
        if self.file:
            yield "write", self.write
            yield "check", self.check
            if self.will_rename:
                yield "rename", self.rename
            if self.will_remove:
                yield "remove", self.remove

    def read(self) -> None:
        """First bytes of the file of the profile."""
        if not self.client.read(self.read_path):
            raise ClientError("the file is empty: nothing was read", "different")

    def write(self) -> None:
        """A new file with bytes of chance."""
        self.client.write(self.file, self.data)

    def check(self) -> None:
        """What was written is what is there."""
        found = self.client.read(self.file)
        if found != self.data:
            raise ClientError(
                f"{len(found)} bytes came back, and not the {SIZE} that were written", "different"
            )

    def rename(self) -> None:
        """To another name in the same folder."""
        new = f"{self.file}-renamed"
        self.client.rename(self.file, new)
        self.file = new

    def remove(self) -> None:
        """Gone, and not only said to be."""
        self.client.remove(self.file)
        try:
            self.client.read(self.file)
        except ClientError:
            return
        raise ClientError("the file is still there", "different")


def attempt(name: str, action: Callable[[], object]) -> bool:
    """Do it, and tell of it before and after."""
    tell(name=name)
    begun = time.monotonic()
    try:
        action()
    except (ClientError, OSError, ValueError) as error:
        words = str(error)
        fault = getattr(error, "fault", "") or fault_of(words)
        if isinstance(error, socket.timeout):
            fault = "timed-out"
        if isinstance(error, socket.gaierror):
            fault = "name-unknown"
        tell(name=name, ok=False, seconds=time.monotonic() - begun, fault=fault, words=scrubbed(words))
        return False
    tell(name=name, ok=True, seconds=time.monotonic() - begun)
    return True


def main(argv: list[str]) -> int:
    """All actions, or for ``explain`` the read alone, whose other words somebody else looks at."""
    wanted = json.loads(sys.stdin.read())
    client = find_client(wanted["url"])
    if argv[1:] == ["explain"]:
        attempt("read", lambda: client and client.read(wanted["read"]))
        return 0
    if not (
        attempt("resolve", lambda: resolve(wanted["url"]))
        and attempt("connect", lambda: connect(wanted["url"]))
    ):
        return 0
    if client is None:
        words = "neither XRootD's Python bindings in the environment nor xrdfs and xrdcp on PATH"
        tell(name="read", ok=False, fault="no-client", words=words)
        return 0
    tell(client=client.name)
    trial = Trial(wanted, client)
    for name, action in trial.steps():
        if not attempt(name, action):
            if name in ("check", "rename") and trial.will_remove:
                client.try_to_remove(trial.file)
            return 0
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv))
