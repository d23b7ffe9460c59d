"""Writes the archive of an environment: all cores read and compress, and all cores can extract it.

::

    head    gzip members, a tar: the interpreter and what ``worker/extract.py`` needs to run
    chunks  Zstandard frames (or gzip members), the same tar going on: everything else
    index   a gzip member, the last of the tar: where every file is in which chunk, with a digest a chunk

A node needs ``tar`` and ``gzip`` for the head; the packed Python extracts the chunks, as many at a time as there are
cores. With gzip members throughout, the whole is an ordinary ``.tar.gz``. The same contents give the same bytes.
"""

from __future__ import annotations

import hashlib
import os
import posixpath
import tarfile
import threading
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple, Self

from fasthep_validate.errors import PackError
from fasthep_validate.models.packed import Archive, Parts
from fasthep_validate.pack import tar
from fasthep_validate.pack.codec import CODECS
from fasthep_validate.worker import extract
from fasthep_validate.worker.extract import FORMAT, INDEX, Chunk, Index, index_text

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator
    from concurrent.futures import Future
    from pathlib import Path

    from fasthep_validate.models.packed import ArchiveFormat
    from fasthep_validate.pack.codec import Codec
    from fasthep_validate.pack.search import Search
    from fasthep_validate.pack.tree import Entry

CHUNK = 4 << 20  # bytes before compression: small enough to share out well, more than the window of zstd -2
AHEAD = 2  # chunks for each core that are worked on or wait to be written


@dataclass(frozen=True, slots=True)
class Piece:
    """A part of a file, or all of it.

    Attributes:
        entry: the file.
        start: where in the file it begins.
        size: in bytes.
    """

    entry: Entry
    start: int
    size: int

    def row(self, at: int) -> extract.Piece:
        """The piece as the index has it, at this place in its chunk."""
        entry = self.entry
        return extract.Piece(
            entry.name, self.size, entry.executable, entry.mtime_ns, at, self.start, entry.size
        )


class Made(NamedTuple):
    """A chunk that is ready to be written.

    Attributes:
        data: compressed.
        chunk: for the index; its offset is not known yet.
        text: files in it that hold a path of this machine.
        changed: compiled modules that were written anew meanwhile: not in it, or a part of one that must not be used.
    """

    data: bytes
    chunk: Chunk
    text: list[str]
    changed: list[str]


class Head(NamedTuple):
    """The head of an archive.

    Attributes:
        chunks: gzip members in it.
        size: in bytes.
        sha256: hexadecimal digest.
    """

    chunks: int
    size: int
    sha256: str


@dataclass
class Writer:
    """Writes one archive; a context manager, and on an error nothing is left behind.

    Attributes:
        path: the file.
        format: how it is written.
        search: finds paths of this machine.
        progress: gets the bytes that have been written since it was called last, before compression.
        text: files that hold such a path, once they have been added.
        changed: compiled modules that some Python wrote anew while they were read; nobody must extract them.
    """

    path: Path
    format: ArchiveFormat
    search: Search
    progress: Callable[[int], None] = lambda _: None
    text: list[str] = field(default_factory=list)
    changed: list[str] = field(default_factory=list)

    def __enter__(self) -> Self:
        self._file = self.path.open("wb")
        self._cores = len(os.sched_getaffinity(0))
        self._pool = ThreadPoolExecutor(self._cores)
        self._scratch = _Scratch()
        self._digest = hashlib.sha256()
        self._size = 0
        self._chunks: list[Chunk] = []
        self._directories: set[str] = {""}
        self._links: dict[str, str] = {}
        self._head = Head(0, 0, "")
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self._pool.shutdown(cancel_futures=True)
        self._file.close()
        if kind is not None:
            self.path.unlink(missing_ok=True)

    def add_head(self, entries: Iterable[Entry]) -> None:
        """Append what any node can extract; before anything else, or not at all: then ``tar`` extracts the whole.

        Raises:
            PackError: see :meth:`add`.
        """
        self._add(entries, CODECS["tar.gz"])
        self._head = Head(len(self._chunks), self._size, self._digest.hexdigest())

    def add(self, entries: Iterable[Entry]) -> None:
        """Append files and links in this order.

        Raises:
            PackError: a file cannot be read, or became shorter meanwhile.
        """
        self._add(entries, CODECS[self.format])

    def add_directories(self, names: Iterable[str]) -> None:
        """Append directories that have nothing in them."""
        new = [directory for name in names for directory in self._new_directories(name)]
        if new:
            self._store(self._make([], new, CODECS[self.format]))

    def _add(self, entries: Iterable[Entry], codec: Codec) -> None:
        waiting: deque[Future[Made]] = deque()
        try:
            for pieces, directories in self._shares(entries):
                waiting.append(self._pool.submit(self._make, pieces, directories, codec))
                if len(waiting) > AHEAD * self._cores:
                    self._store(waiting.popleft().result())
            while waiting:
                self._store(waiting.popleft().result())
        finally:
            for future in waiting:
                future.cancel()

    def finish(self, stale: Collection[str] = (), zstd: str = "") -> Archive:
        """Write the index; describes the archive.

        Args:
            stale: names in the archive that are not to be extracted.
            zstd: shared library in the head that decompresses the chunks.
        """
        fresh = (
            chunk._replace(pieces=[p for p in chunk.pieces if p.name not in stale]) for chunk in self._chunks
        )
        index = Index(
            format=FORMAT,
            head=self._head.chunks,
            zstd=zstd,
            directories=sorted(self._directories - {""}),
            links=self._links,
            chunks=list(fresh),
        )
        member = CODECS["tar.gz"].compress(tar.member(INDEX, index_text(index)) + tar.END)
        self._append(member)
        self._file.flush()
        return Archive(
            path=str(self.path),
            sha256=self._digest.hexdigest(),
            size=self._size,
            format=self.format,
            parts=self._parts(member) if self._head.chunks else None,
        )

    def _parts(self, index: bytes) -> Parts:
        return Parts(
            head_size=self._head.size,
            head_sha256=self._head.sha256,
            index_size=len(index),
            index_sha256=hashlib.sha256(index).hexdigest(),
        )

    def _shares(self, entries: Iterable[Entry]) -> Iterator[tuple[list[Piece], list[str]]]:
        """Pieces of about ``CHUNK`` bytes together, with the directories that are new there."""
        pieces: list[Piece] = []
        directories: list[str] = []
        room = CHUNK
        for entry in entries:
            if entry.link:
                self._links[entry.name] = entry.link
            directories += self._new_directories(posixpath.dirname(entry.name))
            start = 0
            while True:
                size = min(entry.size - start, max(room, 0))
                pieces.append(Piece(entry, start, size))
                start += size
                room -= size + tarfile.BLOCKSIZE
                if room <= 0:
                    yield pieces, directories
                    pieces, directories, room = [], [], CHUNK
                if start >= entry.size:
                    break
        if pieces:
            yield pieces, directories

    def _new_directories(self, name: str) -> list[str]:
        if name in self._directories:
            return []
        above = self._new_directories(posixpath.dirname(name))
        self._directories.add(name)
        return [*above, name]

    def _make(self, pieces: list[Piece], directories: list[str], codec: Codec) -> Made:
        folders = b"".join(map(tar.directory, directories))
        headers = [b"" if piece.start else tar.header(piece.entry) for piece in pieces]
        size = sum(piece.size + tarfile.BLOCKSIZE for piece in pieces)
        raw = self._scratch.room(len(folders) + sum(map(len, headers)) + size)
        rows, text, changed = [], [], []
        end = 0
        with memoryview(raw) as view:
            for piece, header in zip(pieces, headers, strict=True):
                entry = piece.entry
                if not piece.start:  # not before the rest of a file that began in the chunk before
                    end, folders = _put(view, end, folders), b""
                begun = end
                at = _put(view, end, header)
                end = at + piece.size
                if entry.link:
                    continue
                if not _read(piece, view[at:end]):
                    changed.append(entry.name)
                    if piece.size == entry.size:  # else a part of it may have been written
                        end = begun
                        continue
                rows.append(piece.row(at))
                if self._holds_path(piece, raw, at):
                    text.append(entry.name)
                if piece.start + piece.size == entry.size:
                    end = _put(view, end, bytes(-entry.size % tarfile.BLOCKSIZE))
            end = _put(view, end, folders)
            data = codec.compress(view[:end])
        sha256 = hashlib.sha256(data).hexdigest()
        return Made(data, Chunk(codec.name, 0, len(data), end, sha256, rows), text, changed)

    def _holds_path(self, piece: Piece, raw: bytearray, at: int) -> bool:
        entry = piece.entry
        if piece.start or entry.name.endswith(".pyc"):
            return False
        if piece.size == entry.size:
            return self.search.in_part(raw, at, at + piece.size)
        with open(entry.source, "rb", buffering=0) as stream:  # noqa: PTH123 - blocks of a big file
            return self.search.in_text(iter(lambda: stream.read(CHUNK), b""))

    def _store(self, made: Made) -> None:
        self._chunks.append(made.chunk._replace(offset=self._size))
        self._append(made.data)
        self.text += made.text
        self.changed += made.changed
        self.progress(made.chunk.raw)

    def _append(self, data: bytes) -> None:
        self._file.write(data)
        self._digest.update(data)
        self._size += len(data)


class _Scratch(threading.local):
    """Memory of a thread for the chunk that it makes.

    It is used again and never cleared: fresh memory of the system costs more than what is put there.
    """

    def __init__(self) -> None:
        self._memory = bytearray()

    def room(self, size: int) -> bytearray:
        """So many bytes at least; what is in them is of no use."""
        if len(self._memory) < size:
            self._memory = bytearray(max(size, CHUNK + CHUNK // 4))
        return self._memory


def _put(view: memoryview, at: int, data: bytes) -> int:
    """Copy to a place; where it ends there."""
    end = at + len(data)
    view[at:end] = data
    return end


def _read(piece: Piece, target: memoryview) -> bool:
    """Read a piece; whether the file is still what was listed.

    Raises:
        PackError: it cannot be read, or has changed. Any Python may write a compiled module at any time: no error.
    """
    entry = piece.entry
    try:
        stream = os.open(entry.source, os.O_RDONLY | os.O_CLOEXEC)
        try:
            done = 0
            while done < piece.size and (count := os.preadv(stream, [target[done:]], piece.start + done)):
                done += count
            size = os.fstat(stream).st_size
        finally:
            os.close(stream)
    except OSError as error:
        raise PackError(f"{entry.source}: {error.strerror}. Make it readable, or remove it.") from error
    if done == piece.size and size == entry.size:
        return True
    if entry.name.endswith(".pyc"):
        return False
    how = "shorter" if size < entry.size else "longer"
    raise PackError(f"{entry.source}: became {how} while it was packed. Run again when nobody writes there.")
