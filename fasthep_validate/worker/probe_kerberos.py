"""Finds and reads Kerberos credential caches of type FILE (versions 3 and 4), and never a key.

The format: MIT Kerberos documentation, "Credential cache file format".
"""

from __future__ import annotations

import re
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING or __package__:
    from fasthep_validate.worker.probe_file import Fault
else:
    from probe_file import Fault

if TYPE_CHECKING:
    from collections.abc import Mapping

    Facts = dict[str, object]

MAX_TICKETS = 1000
MAX_COMPONENTS = 32
# Flags of a ticket (RFC 4120, 5.3), counted from the most significant bit.
_FORWARDABLE, _RENEWABLE = 1 << 30, 1 << 23
_DEFAULT_NAME = re.compile(r"^\s*default_ccache_name\s*=\s*(\S+)\s*$", re.MULTILINE)
_INCLUDE = re.compile(r"^\s*(include|includedir)\s+(\S+)\s*$", re.MULTILINE)
_INCLUDED = re.compile(r"[A-Za-z0-9_-]+|[^.].*\.conf")  # krb5.conf(5), includedir


@dataclass(frozen=True)
class Cache:
    """The name of a cache; ``source`` says where the name came from."""

    source: str
    type: str
    residual: str

    @property
    def name(self) -> str:
        """``TYPE:residual``."""
        return f"{self.type}:{self.residual}"


def cache(environ: Mapping[str, str], uid: int) -> Cache:
    """The default cache: ``KRB5CCNAME``, ``default_ccache_name`` of ``krb5.conf``, ``/tmp/krb5cc_<uid>``."""
    if environ.get("KRB5CCNAME"):
        return _named("KRB5CCNAME", environ["KRB5CCNAME"])
    for path in (environ.get("KRB5_CONFIG") or "/etc/krb5.conf").split(":"):
        found = _configured(path)
        if found:
            words = re.sub(r"%\{(uid|euid|USERID)\}", str(uid), found)
            return _named(
                path, words.replace("%{TEMP}", "/tmp").replace("%{username}", environ.get("USER", ""))
            )
    return _named("", f"FILE:/tmp/krb5cc_{uid}")


def file_of(found: Cache) -> str:
    """The file of a cache; of a collection (``DIR``) its primary one.

    Raises:
        Fault: it is of a type that is no file, and so cannot travel.
    """
    if found.type == "FILE":
        return found.residual
    if found.type != "DIR":
        raise Fault("not-transferable", f"{found.name} lives on this machine alone")
    if found.residual.startswith(":"):
        return found.residual[1:]
    primary = Path(found.residual, "primary")
    try:
        name = primary.read_text(encoding="utf-8", errors="replace")[:200].strip()
    except OSError:
        name = "tkt"
    return str(Path(found.residual, name if "/" not in name else "tkt"))


def facts(content: bytes, path: str) -> Facts:
    """The fields of ``models.credential.Ticket``.

    Raises:
        Fault: the file is no cache of version 3 or 4, or cut short.
    """
    try:
        return _read(_Reader(content))
    except (struct.error, IndexError, _CutShort):
        raise Fault("garbage", f"{path} is cut short, or is no ticket cache") from None


def _named(source: str, words: str) -> Cache:
    kind, colon, residual = words.partition(":")
    return Cache(source, kind, residual) if colon and "/" not in kind else Cache(source, "FILE", words)


def _configured(path: str, depth: int = 0) -> str:
    """``default_ccache_name`` of a configuration file, or of one that it includes."""
    try:
        text = Path(path).read_bytes()[:1_000_000].decode("utf-8", "replace")
    except OSError:
        return ""
    found = _DEFAULT_NAME.search(text)
    if found:
        return found[1]
    for kind, target in _INCLUDE.findall(text) if depth < 5 else ():
        for included in _included(kind, target):
            words = _configured(included, depth + 1)
            if words:
                return words
    return ""


def _included(kind: str, target: str) -> list[str]:
    if kind == "include":
        return [target]
    try:
        found = sorted(Path(target).iterdir())
    except OSError:
        return []
    return [str(path) for path in found if _INCLUDED.fullmatch(path.name)]


class _CutShort(Exception):
    pass


class _Reader:
    """Takes big-endian numbers and counted bytes off a file's content."""

    def __init__(self, content: bytes) -> None:
        self.content = content
        self.at = 0

    def take(self, count: int) -> bytes:
        if count < 0 or self.at + count > len(self.content):
            raise _CutShort
        self.at += count
        return self.content[self.at - count : self.at]

    def number(self, size: int) -> int:
        return int.from_bytes(self.take(size), "big")

    def data(self) -> bytes:
        return self.take(self.number(4))

    def skip_pairs(self) -> None:
        """Addresses or authorisation data: pairs of a number and bytes."""
        for _ in range(self.count()):
            self.take(2)
            self.data()

    def count(self) -> int:
        """How many there are of something that takes six bytes at least."""
        found = self.number(4)
        if found > (len(self.content) - self.at) // 6:
            raise _CutShort
        return found

    @property
    def more(self) -> bool:
        return self.at < len(self.content)


def _principal(reader: _Reader) -> tuple[str, str]:
    """Name and realm."""
    reader.take(4)  # the type of the name
    count = reader.number(4)
    if count > MAX_COMPONENTS:
        raise _CutShort
    realm = reader.data().decode("utf-8", "replace")
    parts = [reader.data().decode("utf-8", "replace") for _ in range(count)]
    return "/".join(parts), realm


def _read(reader: _Reader) -> Facts:
    version = reader.number(2)
    if version not in (0x0503, 0x0504):
        raise Fault("garbage", f"no ticket cache of version 3 or 4: it begins with 0x{version:04x}")
    if version == 0x0504:
        reader.take(reader.number(2))  # header: the offset of the KDC's clock
    name, home = _principal(reader)
    found: Facts = {"principal": f"{name}@{home}"}
    services, tickets = [], 0
    while reader.more and tickets < MAX_TICKETS:
        tickets += 1
        server, realm, ticket = _ticket(reader, version)
        if realm == "X-CACHECONF:":
            continue
        if server.startswith("krbtgt/") and (server == f"krbtgt/{home}" or "realm" not in found):
            found.update(ticket, realm=server.partition("/")[2])
        elif not server.startswith("krbtgt/"):
            services.append(f"{server}@{realm}")
    return {**found, "services": services}


def _ticket(reader: _Reader, version: int) -> tuple[str, str, Facts]:
    """Name and realm of the server, and what its ticket is good for; keys and tickets are passed over."""
    _principal(reader)
    server, realm = _principal(reader)
    reader.take(2 if version == 0x0504 else 4)  # type of the key, which version 3 has twice
    reader.data()
    auth, starts, expires, renew = (reader.number(4) for _ in range(4))
    reader.take(1)
    flags = reader.number(4)
    before = reader.at
    addressless = reader.number(4) == 0
    reader.at = before
    reader.skip_pairs()
    reader.skip_pairs()
    reader.data()
    reader.data()
    return (
        server,
        realm,
        {
            "starts": float(starts or auth),
            "expires": float(expires),
            "renewable_until": float(renew) if flags & _RENEWABLE and renew else None,
            "forwardable": bool(flags & _FORWARDABLE),
            "addressless": addressless,
        },
    )
