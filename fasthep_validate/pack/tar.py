"""Headers of a tar archive in GNU's format: owner 0, no names of users, whole seconds."""

from __future__ import annotations

import struct
import tarfile
import zlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from fasthep_validate.pack.tree import Entry

END = bytes(2 * tarfile.BLOCKSIZE)
PLAIN_NAME = 100  # bytes that fit into the field; longer names take a record of their own
PLAIN_SIZE = 8**11  # bytes; the size of a larger file is written in binary
# Name, mode, uid, gid, size, mtime, checksum, type, name of a link, magic, and what stays empty: "Basic Tar Format" in
# the manual of GNU tar.
HEADER = struct.Struct("100s 8s 8s 8s 12s 12s 8s 1s 100s 8s 247x")
NOBODY, MAGIC, NO_SUM = b"0000000\0", b"ustar  \0", b" " * 8


def header(entry: Entry) -> bytes:
    """Header of a regular file or a symbolic link; five times as fast as :mod:`tarfile` for usual names."""
    name = entry.name.encode("utf-8", "surrogateescape")
    if entry.link or len(name) > PLAIN_NAME or entry.size >= PLAIN_SIZE:
        return _general(entry)
    mode = b"0000755\0" if entry.executable else b"0000644\0"
    sizes = (b"%011o\0" % entry.size, b"%011o\0" % max(entry.mtime_ns // 10**9, 0))
    block = HEADER.pack(name, mode, NOBODY, NOBODY, *sizes, NO_SUM, tarfile.REGTYPE, b"", MAGIC)
    checksum = (zlib.adler32(block) & 0xFFFF) - 1  # the sum of all bytes, where it is below 65521
    return block[:148] + b"%06o\0 " % checksum + block[156:]


def directory(name: str) -> bytes:
    """Header of a directory."""
    info = tarfile.TarInfo(name)
    info.type, info.mode = tarfile.DIRTYPE, 0o755
    return _packed(info)


def member(name: str, data: bytes) -> bytes:
    """A whole regular file."""
    info = tarfile.TarInfo(name)
    info.size = len(data)
    return _packed(info) + data + bytes(-len(data) % tarfile.BLOCKSIZE)


def _general(entry: Entry) -> bytes:
    info = tarfile.TarInfo(entry.name)
    info.mtime = max(entry.mtime_ns // 10**9, 0)
    info.mode, info.size = 0o755 if entry.executable else 0o644, entry.size
    if entry.link:
        info.type, info.linkname, info.mode, info.size = tarfile.SYMTYPE, entry.link, 0o777, 0
    return _packed(info)


def _packed(info: tarfile.TarInfo) -> bytes:
    return info.tobuf(tarfile.GNU_FORMAT, "utf-8", "surrogateescape")
