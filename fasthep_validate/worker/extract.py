"""Extract the rest of an environment with its own Python, on all cores.

Run on the worker once ``tar`` has extracted the head of the archive::

    bin/python3.11 -I -S extract.py ARCHIVE ROOT PLACE INDEX_SIZE INDEX_SHA256 CORES [LEFT]

The index is at the end of the archive; it lists chunks that are compressed by themselves, with a digest each, so that
every process takes the next one. A chunk is written only after its digest was found right. What was extracted to
``ROOT`` is relocated in the same run (``relocate.py`` beside this file) for ``PLACE``, where it will be moved.
``CORES`` are those of the job; a batch system that does not hold it to them lets it use two. ``LEFT`` is a file with
one directory a line: what is below these is not extracted.
Standard library only, any Python >= 3.9; Zstandard comes as a shared library in the head. Exit code 1 and one line
that names the file if anything is wrong; 3 for a digest, 4 if it cannot be relocated.
"""

from __future__ import annotations

import ctypes
import hashlib
import importlib
import json
import os
import sys
import zlib
from typing import NamedTuple

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    Unpack = Callable[[bytes, int], memoryview]

INDEX = ".fasthep/index.json"
FORMAT = 1
DAMAGED, NOT_RELOCATED = 3, 4
FEW = 2  # processes of a job with one core: writing waits for the disk now and then
MANY = 8  # more do not help
NUMBER = 4  # bytes of a chunk's number in the queue
QUEUE = 1024  # chunks at a time: their numbers fit into the smallest pipe, of one page
BLOCK = 512  # of a tar
GZIP = 31  # window bits of zlib for a whole gzip member


class Piece(NamedTuple):
    """A file in a chunk, or a part of a file that is in several.

    Attributes:
        name: below the tree.
        size: of this piece in bytes.
        executable: whether it may be run.
        mtime: in nanoseconds since 1970.
        at: where in the chunk it begins.
        start: where in the file it begins.
        whole: size of the file.
    """

    name: str
    size: int
    executable: bool
    mtime: int
    at: int
    start: int
    whole: int


class Chunk(NamedTuple):
    """A part of the archive that is compressed by itself.

    Attributes:
        codec: ``gzip`` or ``zstd``.
        offset: in the archive.
        size: compressed.
        raw: size before compression.
        sha256: of the compressed bytes.
        pieces: the files in it.
    """

    codec: str
    offset: int
    size: int
    raw: int
    sha256: str
    pieces: list[Piece]


class Index(NamedTuple):
    """What is where in an archive.

    Attributes:
        format: version of this layout.
        head: number of the first chunks that ``tar`` has extracted already.
        zstd: shared library below the tree that decompresses; empty when none is needed.
        directories: those above before those below.
        links: name -> target of symbolic links.
        chunks: in the order of the archive.
    """

    format: int
    head: int
    zstd: str
    directories: list[str]
    links: dict[str, str]
    chunks: list[Chunk]


class ExtractError(Exception):
    """The archive cannot be extracted; the message names the file."""

    code = 1


class DamagedError(ExtractError):
    """A digest is wrong."""

    code = DAMAGED


# ---- index ----------------------------------------------------------------------------------------


def index_text(index: Index) -> bytes:
    """The index as it is stored."""
    return json.dumps(index, separators=(",", ":")).encode()


def parse_index(member: bytes, sha256: str) -> Index:
    """The index out of the last gzip member of an archive."""
    if hashlib.sha256(member).hexdigest() != sha256:
        raise DamagedError("the index of the archive has another sha256 than expected")
    data = zlib.decompress(member, GZIP)
    size = int(data[124:135], 8)  # of a tar header
    version, head, zstd, directories, links, chunks = json.loads(data[BLOCK : BLOCK + size])
    if version != FORMAT:
        raise ExtractError(f"the archive has format {version}, expected {FORMAT}")
    found = [Chunk._make([*values, [Piece._make(piece) for piece in pieces]]) for *values, pieces in chunks]
    return Index(version, head, zstd, directories, links, found)


# ---- decompression --------------------------------------------------------------------------------


def gunzip(data: bytes, size: int) -> memoryview:
    """Contents of a gzip member."""
    return memoryview(zlib.decompress(data, GZIP, size))


def zstd_with(library: str) -> Unpack:
    """A decompressor of Zstandard frames out of ``libzstd``."""
    zstd = ctypes.CDLL(library)
    decompress = zstd.ZSTD_decompress
    decompress.restype = ctypes.c_size_t
    decompress.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_char_p, ctypes.c_size_t]

    def unzstd(data: bytes, size: int) -> memoryview:
        buffer = bytearray(size)
        target = (ctypes.c_char * size).from_buffer(buffer)
        if decompress(target, size, data, len(data)) != size:  # an error is a number near 2**64
            raise DamagedError("a chunk of the archive cannot be decompressed")
        return memoryview(buffer)

    return unzstd


# ---- files ----------------------------------------------------------------------------------------


def write_piece(piece: Piece, raw: memoryview) -> None:
    """Write a file, or a part of one that is in several chunks: that one gets its time when all parts are there."""
    name, size, executable, mtime, at, start, whole = piece
    flags = os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
    if size == whole:
        flags |= os.O_EXCL
    target = os.open(name, flags, 0o755 if executable else 0o644)
    try:
        data = raw[at : at + size]
        while data:
            count = os.pwrite(target, data, start)
            data, start = data[count:], start + count
        if size == whole:
            os.utime(target, ns=(mtime, mtime))
    finally:
        os.close(target)


def take_chunks(numbers: int, archive: int, index: Index) -> int:
    """Extract the chunks whose numbers come out of a pipe until it is empty; exit code."""
    unpackers: dict[str, Unpack] = {"gzip": gunzip}
    if index.zstd:
        unpackers["zstd"] = zstd_with(os.path.abspath(index.zstd))
    while True:
        number = os.read(numbers, NUMBER)
        if not number:
            return 0
        chunk = index.chunks[int.from_bytes(number, "big")]
        data = os.pread(archive, chunk.size, chunk.offset)
        if hashlib.sha256(data).hexdigest() != chunk.sha256:
            raise DamagedError(
                f"the archive is damaged between bytes {chunk.offset} and {chunk.offset + chunk.size}"
            )
        raw = unpackers[chunk.codec](data, chunk.raw)
        for piece in chunk.pieces:
            write_piece(piece, raw)


def in_child(numbers: int, archive: int, index: Index) -> int:
    """Start a process that takes chunks; its id."""
    child = os.fork()
    if child:
        return child
    code = 1
    try:
        code = guarded(lambda: take_chunks(numbers, archive, index))
    finally:
        os._exit(code)


def guarded(step: Callable[[], int]) -> int:
    """Exit code of a step, also of one that failed; what went wrong is on stderr."""
    try:
        return step()
    except ExtractError as error:
        sys.stderr.write(f"extract: {error}\n")
        return error.code
    except (OSError, ValueError, KeyError, TypeError, zlib.error) as error:
        sys.stderr.write(f"extract: {error}\n")
        return 1


def in_turn(numbers: Sequence[int], count: int) -> list[int]:
    """Numbers in so many rows: the first of each row, then the second of each, and so on.

    Neighbours are parts of the same big file, or lie in the same directory, where one process at a time can write.
    """
    length = max(-(-len(numbers) // count), 1)
    rows = [numbers[first : first + length] for first in range(0, len(numbers), length)]
    return [row[at] for at in range(length) for row in rows if at < len(row)]


def extract_chunks(archive: int, index: Index, count: int) -> int:
    """Extract all chunks behind the head; the worst exit code of the processes."""
    todo = in_turn(range(index.head, len(index.chunks)), count)
    worst = 0
    for first in range(0, len(todo), QUEUE):
        source, sink = os.pipe()
        os.write(sink, b"".join(number.to_bytes(NUMBER, "big") for number in todo[first : first + QUEUE]))
        os.close(sink)
        children = [in_child(source, archive, index) for _ in range(count)]
        os.close(source)
        codes = [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children]
        worst = max([worst, *(code if code >= 0 else 1 for code in codes)])
    return worst


def make_directories(names: Iterable[str]) -> None:
    """Make directories, those above before those below."""
    for name in names:
        try:
            os.mkdir(name)
        except FileExistsError:
            continue


def make_links(links: dict[str, str]) -> None:
    """Make symbolic links that are not there."""
    for name, target in links.items():
        if not os.path.lexists(name):
            os.symlink(target, name)


def extract(archive: str, root: str, member_size: int, sha256: str, count: int, left: str = "") -> int:
    """Extract what is behind the head of an archive with so many processes; exit code."""
    with open(archive, "rb") as stream:
        stream.seek(-member_size, os.SEEK_END)
        index = parse_index(stream.read(), sha256)
        if left:
            index = without(index, left)
        os.chdir(root)
        make_directories(index.directories)
        code = extract_chunks(stream.fileno(), index, count)
    if code == 0:
        make_links(index.links)
        for name, mtime in split_files(index).items():
            os.utime(name, ns=(mtime, mtime))
    return code


def without(index: Index, left: str) -> Index:
    """An index without the files behind the head that are below directories that are named in a file."""
    with open(left, encoding="utf-8", errors="surrogateescape") as lines:
        folders = tuple(f"{name}/" for name in lines.read().splitlines())
    chunks = (
        chunk._replace(pieces=[piece for piece in chunk.pieces if not piece.name.startswith(folders)])
        for chunk in index.chunks[index.head :]
    )
    return index._replace(
        head=0,
        directories=[name for name in index.directories if not f"{name}/".startswith(folders)],
        links={name: target for name, target in index.links.items() if not name.startswith(folders)},
        chunks=[chunk for chunk in chunks if chunk.pieces],
    )


def split_files(index: Index) -> dict[str, int]:
    """Files in more than one chunk and their times: several processes have written them."""
    pieces = (piece for chunk in index.chunks[index.head :] for piece in chunk.pieces)
    return {piece.name: piece.mtime for piece in pieces if piece.size != piece.whole}


def relocate(root: str, place: str) -> int:
    """Relocate what has been extracted; exit code."""
    sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
    return NOT_RELOCATED if importlib.import_module("relocate").main([root, place]) else 0


def processes(cores: int) -> int:
    """How many processes extract: as many as the job has cores, and never more than it may use."""
    return min(len(os.sched_getaffinity(0)), max(cores, FEW), MANY)


def main(arguments: list[str]) -> int:
    """Extract and relocate; exit code of the program."""
    if len(arguments) not in {6, 7}:
        sys.stderr.write("usage: extract.py ARCHIVE ROOT PLACE INDEX_SIZE INDEX_SHA256 CORES [LEFT]\n")
        return 2
    archive, root, place = map(os.path.abspath, arguments[:3])
    size, sha256, cores = int(arguments[3]), arguments[4], int(arguments[5])
    left = "".join(map(os.path.abspath, arguments[6:]))
    return guarded(lambda: extract(archive, root, size, sha256, processes(cores), left)) or relocate(
        root, place
    )


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
