"""Writes Kerberos credential caches of type FILE, for tests that need one without a KDC.

The format: MIT Kerberos documentation, "Credential cache file format".
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, field

FORWARDABLE, RENEWABLE, INITIAL = 1 << 30, 1 << 23, 1 << 22


@dataclass(frozen=True)
class Entry:
    """A ticket; times are seconds since 1970. Key and ticket are what must never be told."""

    server: str
    starts: int
    expires: int
    renew: int = 0
    flags: int = FORWARDABLE | INITIAL
    key: bytes = b"K" * 32
    ticket: bytes = b"T" * 100
    addresses: tuple[bytes, ...] = ()


@dataclass(frozen=True)
class Cache:
    """A cache of a principal, such as ``alice@TEST.REALM``."""

    principal: str
    entries: tuple[Entry, ...] = field(default=())
    version: int = 4

    def dump(self) -> bytes:
        """The file's content."""
        head = struct.pack(">H", 0x0500 + self.version)
        if self.version == 4:
            offset = struct.pack(">HHII", 1, 8, 0, 0)  # tag 1: the offset of the KDC's clock
            head += struct.pack(">H", len(offset)) + offset
        return head + _principal(self.principal) + b"".join(map(self._entry, self.entries))

    def _entry(self, entry: Entry) -> bytes:
        kind = struct.pack(">H", 18) * (2 if self.version == 3 else 1)
        times = struct.pack(">IIII", entry.starts, entry.starts, entry.expires, entry.renew)
        addresses = b"".join(struct.pack(">H", 2) + _data(address) for address in entry.addresses)
        return b"".join(
            (
                _principal(self.principal),
                _principal(entry.server),
                kind,
                _data(entry.key),
                times,
                b"\0",
                struct.pack(">I", entry.flags),
                struct.pack(">I", len(entry.addresses)) + addresses,
                struct.pack(">I", 0),
                _data(entry.ticket),
                _data(b""),
            )
        )


def _data(content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + content


def _principal(text: str) -> bytes:
    name, _, realm = text.rpartition("@")
    parts = name.split("/")
    return (
        struct.pack(">II", 1, len(parts)) + _data(realm.encode()) + b"".join(_data(p.encode()) for p in parts)
    )
