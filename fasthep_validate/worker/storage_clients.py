"""Clients of storage: XRootD's Python bindings, its commands, or plain https; each reads, writes, renames, removes."""

from __future__ import annotations

import contextlib
import http.client
import importlib
import os
import re
import shutil
import ssl
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol
from urllib.parse import quote, urljoin, urlsplit

if TYPE_CHECKING:
    from collections.abc import Mapping

FIRST = 65536  # bytes that are read of a file
REDIRECTS = 8
WAIT = 60.0  # seconds for one answer; whoever started us has less patience
CERTIFICATES = "/etc/grid-security/certificates"
TOKEN_LIMIT = 16384  # bytes


class ClientError(Exception):
    """An action failed; ``fault`` where the words alone would not tell."""

    def __init__(self, words: str, fault: str = "") -> None:
        self.fault = fault
        super().__init__(words)


class Client(Protocol):
    """What every client can do; all paths are at the storage, all failures are :class:`ClientError`."""

    name: str

    def read(self, path: str) -> bytes:
        """Up to :data:`FIRST` bytes of a file."""

    def write(self, path: str, data: bytes) -> None:
        """Make a new file."""

    def rename(self, path: str, new: str) -> None:
        """Give a file another name."""

    def remove(self, path: str) -> None:
        """Remove a file."""

    def try_to_remove(self, path: str) -> None:
        """Remove a file if that works."""


class Tidy:
    """What clients have in common."""

    def remove(self, path: str) -> None:
        """Of each client's own."""
        raise NotImplementedError

    def try_to_remove(self, path: str) -> None:
        """Remove a file if that works."""
        with contextlib.suppress(ClientError, OSError):
            self.remove(path)


class Bindings(Tidy):
    """XRootD's Python bindings, as uproot and fsspec-xrootd use them."""

    def __init__(self, url: str, xrootd: Any) -> None:
        self.url = url
        self.xrootd = xrootd
        version = getattr(sys.modules.get("XRootD"), "__version__", "") or getattr(xrootd, "__version__", "")
        self.name = f"XRootD's Python bindings {version}".strip()
        self.system = xrootd.FileSystem(url)
        self.flags = importlib.import_module("XRootD.client.flags").OpenFlags

    def read(self, path: str) -> bytes:
        """Open, read, close."""
        file = self.opened(path, self.flags.READ)
        status, data = file.read(0, FIRST)
        file.close()
        self.good(status)
        return bytes(data)

    def write(self, path: str, data: bytes) -> None:
        """Open a new file, write, close."""
        file = self.opened(path, self.flags.NEW)
        status, _ = file.write(data)
        closed, _ = file.close()
        self.good(status)
        self.good(closed)

    def rename(self, path: str, new: str) -> None:
        """By the server."""
        self.good(self.system.mv(path, new)[0])

    def remove(self, path: str) -> None:
        """By the server."""
        self.good(self.system.rm(path)[0])

    def opened(self, path: str, flags: Any) -> Any:
        """An open file."""
        file = self.xrootd.File()
        self.good(file.open(f"{self.url}/{path}", flags)[0])
        return file

    @staticmethod
    def good(status: Any) -> None:
        """Raise what a status says unless it is one of success."""
        if not status.ok:
            raise ClientError(status.message.strip())


class Commands(Tidy):
    """``xrdfs`` and ``xrdcp``."""

    def __init__(self, url: str, xrdfs: str, xrdcp: str) -> None:
        self.url, self.xrdfs, self.xrdcp = url, xrdfs, xrdcp
        ours = Path(xrdfs).parent == Path(sys.executable).parent
        self.name = f"xrdfs of the {'environment' if ours else 'node'}"

    def read(self, path: str) -> bytes:
        """Its end: ``tail`` is the one command that reads a part of a file."""
        return self.run(self.xrdfs, self.url, "tail", "-c", str(FIRST), path)

    def write(self, path: str, data: bytes) -> None:
        """From a file in the job's own directory."""
        with tempfile.NamedTemporaryFile(dir=".", prefix=".fasthep-") as source:
            source.write(data)
            source.flush()
            self.run(self.xrdcp, "--nopbar", "--silent", source.name, f"{self.url}/{path}")

    def rename(self, path: str, new: str) -> None:
        """By the server."""
        self.run(self.xrdfs, self.url, "mv", path, new)

    def remove(self, path: str) -> None:
        """By the server."""
        self.run(self.xrdfs, self.url, "rm", path)

    def run(self, *argv: str) -> bytes:
        """Its output; its last words when it fails."""
        done = subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, check=False)
        said = done.stderr.decode("utf-8", "replace")
        sys.stderr.write(said)
        if done.returncode != 0:
            errors = re.findall(r"\[(?:ERROR|FATAL)\].*", said) or said.split("\n")
            words = [line for line in errors if line.strip()]
            raise ClientError(words[-1] if words else f"exit code {done.returncode}")
        return done.stdout


class Https(Tidy):
    """WebDAV with a bearer token, by Python's own http client."""

    name = "Python's http client"

    def __init__(self, url: str, environment: Mapping[str, str]) -> None:
        self.url = url
        self.environment = environment

    def read(self, path: str) -> bytes:
        """GET, and hang up after the first bytes: servers differ about ranges beyond a file's end."""
        return self.ask("GET", path, {})

    def write(self, path: str, data: bytes) -> None:
        """PUT."""
        self.ask("PUT", path, {"Content-Type": "application/octet-stream"}, data)

    def rename(self, path: str, new: str) -> None:
        """MOVE (RFC 4918)."""
        self.ask("MOVE", path, {"Destination": self.at(new), "Overwrite": "F"})

    def remove(self, path: str) -> None:
        """DELETE."""
        self.ask("DELETE", path, {})

    def at(self, path: str) -> str:
        """The https address of a path."""
        return f"https://{urlsplit(self.url).netloc}{quote(path)}"

    def ask(self, method: str, path: str, headers: dict[str, str], body: bytes | None = None) -> bytes:
        """The body of the answer. Redirects are followed; the token goes to no other host, as with curl."""
        url = self.at(path)
        home = urlsplit(url).netloc
        bearer = {"Authorization": f"Bearer {find_token(self.environment)}"}
        for _ in range(REDIRECTS):
            sent = {**headers, **(bearer if urlsplit(url).netloc == home else {})}
            status, where, answer = self.once(method, url, sent, body)
            if status in {301, 302, 303, 307, 308} and where:
                url = urljoin(url, where)
                if urlsplit(url).scheme != "https":
                    raise ClientError("redirected to an address without TLS")
                continue
            if status >= 300:
                raise ClientError(f"HTTP {status} {http.client.responses.get(status, '')}".strip())
            return answer
        raise ClientError(f"more than {REDIRECTS} redirects")

    def once(
        self, method: str, url: str, headers: dict[str, str], body: bytes | None
    ) -> tuple[int, str, bytes]:
        """Status, ``Location`` and the first bytes of one answer."""
        parts = urlsplit(url)
        target = parts.path + (f"?{parts.query}" if parts.query else "")
        connection = http.client.HTTPSConnection(
            parts.netloc, timeout=WAIT, context=tls_context(self.environment)
        )
        try:
            connection.request(method, target, body=body, headers=headers)
            answer = connection.getresponse()
            return answer.status, answer.getheader("Location") or "", answer.read(FIRST)
        except http.client.HTTPException as error:
            raise ClientError(f"{type(error).__name__}: {error}") from error
        finally:
            connection.close()


def tls_context(environment: Mapping[str, str]) -> ssl.SSLContext:
    """One that trusts the system's authorities and the grid's."""
    context = ssl.create_default_context()
    context.verify_flags &= ~ssl.VERIFY_X509_STRICT  # on since Python 3.13; grid authorities are older
    folder = environment.get("X509_CERT_DIR") or CERTIFICATES
    if Path(folder).is_dir():
        context.load_verify_locations(capath=folder)
    return context


def find_token(environment: Mapping[str, str]) -> str:
    """The token, by WLCG's order of discovery; the first place that has one counts.

    Raises:
        ClientError: none is found.
    """
    if value := environment.get("BEARER_TOKEN", "").strip():
        return value
    user = f"bt_u{os.geteuid()}"
    runtime = environment.get("XDG_RUNTIME_DIR")
    named = environment.get("BEARER_TOKEN_FILE")
    for place in (named, runtime and f"{runtime}/{user}", f"/tmp/{user}"):
        if place and Path(place).is_file():
            token = Path(place).read_bytes()[:TOKEN_LIMIT].decode("ascii", "replace").strip()
            if token:
                if not all("!" <= letter <= "~" for letter in token):
                    raise ClientError("what is found is no token", "not-authenticated")
                return token
    raise ClientError("no bearer token is found", "not-authenticated")


def find_client(url: str) -> Client | None:
    """What is there for an address: the environment's own first, for that is what the work uses."""
    if urlsplit(url).scheme in {"https", "davs"}:
        return Https(url, os.environ)
    with contextlib.suppress(ImportError):
        return Bindings(url, importlib.import_module("XRootD.client"))
    beside = str(Path(sys.executable).parent)
    path = os.pathsep.join([beside, os.environ.get("PATH", os.defpath)])
    xrdfs, xrdcp = shutil.which("xrdfs", path=path), shutil.which("xrdcp", path=path)
    return Commands(url, xrdfs, xrdcp) if xrdfs and xrdcp else None
