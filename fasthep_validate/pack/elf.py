"""Reads ELF files: which libraries they need, where they look for them, which glibc they were made for.

Structures and numbers are those of the System V ABI (gABI 4.1) and, for versions, of the LSB 5.0. Only what the
loader reads is read, of the mapped file: a fiftieth of the time of a general parser, for hundreds of files.
"""

from __future__ import annotations

import mmap
import re
import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

MAGIC = b"\x7fELF"
# glibc's own libraries: they belong to the loader of the node and cannot be taken from elsewhere.
# libcrypt, libstdc++, libgcc_s and libnsl.so.2 are not glibc's.
GLIBC = re.compile(
    r"(ld-linux.*|ld64|libc|libm|libdl|libpthread|librt|libutil|libresolv|libanl|libmvec|libthread_db"
    r"|libBrokenLocale|libc_malloc_debug|libnss_(files|dns|compat|hesiod|db))\.so(\.\d+)*|libnsl\.so\.1"
)
# User-space parts of GPU drivers: they have to match the kernel module of the node.
DRIVER = re.compile(
    r"lib(cuda|nvidia-.*|nvcuvid|nvoptix|cudadebugger|nvcudla|nvrm_.*|vdpau_nvidia)\.so(\.\d+)*"
)
VERSION = re.compile(r"GLIBC_(\d+(?:\.\d+)+)$")
# Not a number, but glibc has had it since 2.36 (its NEWS file).
RELATIVE_RELOCATIONS = "GLIBC_ABI_DT_RELR"

PT_LOAD, PT_DYNAMIC, PT_INTERP = 1, 2, 3
DT_NULL, DT_NEEDED, DT_STRTAB, DT_RPATH, DT_RUNPATH = 0, 1, 5, 15, 29
DT_VERNEED = 0x6FFFFFFE
# e_ident[EI_CLASS] -> bits; header from e_type on; program header as (p_type, p_offset, p_vaddr, p_filesz) of its
# fields; entry of the dynamic section.
CLASSES = {
    1: (32, "HHIIIIIHHHHHH", "IIIIIIII", (0, 1, 2, 4), "iI"),
    2: (64, "HHIQQQIHHHHHH", "IIQQQQQQ", (0, 2, 3, 5), "qQ"),
}
ORDERS = {1: "<", 2: ">"}


@dataclass(frozen=True, slots=True)
class Elf:
    """What the loader has to know of a file.

    Attributes:
        machine: number of the machine (``e_machine``) and word size, such as ``62/64``.
        interpreter: the loader it asks for; empty for a library.
        needed: libraries it needs.
        rpath: where it looks first, also for the libraries of its libraries.
        runpath: where it looks for its own.
        glibc: the glibc it needs, as numbers; ``(0,)`` if none.
    """

    machine: str
    interpreter: str
    needed: tuple[str, ...]
    rpath: tuple[str, ...]
    runpath: tuple[str, ...]
    glibc: tuple[int, ...]


def read(path: str) -> Elf | None:
    """What a file says of itself; ``None`` if it is not a dynamically linked ELF file.

    Raises:
        OSError: it cannot be read.
    """
    with open(path, "rb", buffering=0) as stream:  # noqa: PTH123 - twice as fast for thousands of files
        if stream.read(4) != MAGIC:
            return None
        try:
            with mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) as data:
                return _Reader(data).elf()
        except (struct.error, ValueError, LookupError, OverflowError):
            return None  # cut short, or for debugging alone: no loader would take it either


def is_of_node(library: str) -> bool:
    """Whether a library is the node's own: glibc's, or the GPU driver's."""
    return bool(GLIBC.fullmatch(library) or DRIVER.fullmatch(library))


class _Reader:
    """One mapped file.

    Raises:
        LookupError: its class or byte order does not exist.
        struct.error: it is cut short.
        ValueError: an address is not in the file.
    """

    def __init__(self, data: mmap.mmap) -> None:
        self.data = data
        self.bits, header, self.program, self.fields, self.entry = CLASSES[data[4]]
        self.order = ORDERS[data[5]]
        found = self.unpack(header, 16)
        self.machine, self.first, self.step, self.count = found[1], found[4], found[8], found[9]

    def unpack(self, layout: str, offset: int) -> tuple[int, ...]:
        """Numbers at an offset."""
        return struct.unpack_from(self.order + layout, self.data, offset)

    def elf(self) -> Elf | None:
        """All that matters of the file."""
        segments = [self.segment(number) for number in range(self.count)]
        self.loaded = [(vaddr, offset, size) for kind, offset, vaddr, size in segments if kind == PT_LOAD]
        place = next(((offset, size) for kind, offset, _, size in segments if kind == PT_DYNAMIC), None)
        if place is None:
            return None
        tags = list(self.dynamic(*place))
        values = dict(tags)
        strings = self.offset(values[DT_STRTAB])
        texts = {
            wanted: tuple(self.text(strings + value) for tag, value in tags if tag == wanted)
            for wanted in (DT_NEEDED, DT_RPATH, DT_RUNPATH)
        }
        interpreter = (self.text(offset) for kind, offset, _, _ in segments if kind == PT_INTERP)
        return Elf(
            machine=f"{self.machine}/{self.bits}",
            interpreter=next(interpreter, ""),
            needed=texts[DT_NEEDED],
            rpath=() if texts[DT_RUNPATH] else _directories(texts[DT_RPATH]),
            runpath=_directories(texts[DT_RUNPATH]),
            glibc=max(_numbers(self.versions(values, strings)), default=(0,)),
        )

    def segment(self, number: int) -> tuple[int, ...]:
        """Kind, offset, virtual address and size in the file of a program header."""
        found = self.unpack(self.program, self.first + number * self.step)
        return tuple(found[field] for field in self.fields)

    def dynamic(self, offset: int, size: int) -> Iterator[tuple[int, int]]:
        """Tags and values of the dynamic section."""
        step = struct.calcsize(self.order + self.entry)
        for at in range(offset, offset + size, step):
            tag, value = self.unpack(self.entry, at)
            if tag == DT_NULL:
                return
            yield tag, value

    def offset(self, address: int) -> int:
        """Where in the file a virtual address is."""
        for start, offset, size in self.loaded:
            if start <= address < start + size:
                return address - start + offset
        raise ValueError(address)

    def text(self, offset: int) -> str:
        """A string that ends with NUL."""
        end = self.data.find(b"\0", offset)
        if end < 0 or offset >= len(self.data):
            raise ValueError(offset)
        return self.data[offset:end].decode()

    def versions(self, values: dict[int, int], strings: int) -> Iterator[str]:
        """Names of the symbol versions that are needed of other libraries."""
        if DT_VERNEED not in values:
            return
        at = self.offset(values[DT_VERNEED])
        while at:
            _, count, _, aux, following = self.unpack("HHIII", at)
            entry = at + aux
            for _ in range(count):
                _, _, _, name, after = self.unpack("IHHII", entry)
                yield self.text(strings + name)
                entry += after
            at = at + following if following else 0


def _directories(values: Iterable[str]) -> tuple[str, ...]:
    return tuple(path for value in values for path in value.split(":") if path)


def _numbers(names: Iterable[str]) -> list[tuple[int, ...]]:
    plain = ("GLIBC_2.36" if name == RELATIVE_RELOCATIONS else name for name in names)
    found = (VERSION.match(name) for name in plain)
    return [tuple(int(part) for part in match.group(1).split(".")) for match in found if match]
