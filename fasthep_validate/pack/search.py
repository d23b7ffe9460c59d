"""Finds paths of this machine in text files, while they go into the archive."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from fasthep_validate.pack.elf import MAGIC
from fasthep_validate.worker.relocate import path_pattern

if TYPE_CHECKING:
    from collections.abc import Iterable

    from fasthep_validate.models.packed import Relocation


class Search:
    """Searches files for the old paths of a pack."""

    def __init__(self, relocations: Iterable[Relocation]) -> None:
        self._paths = [os.fsencode(item.old) for item in relocations]
        self._pattern = path_pattern(self._paths)
        self._overlap = max(map(len, self._paths)) + 4

    def in_text(self, blocks: Iterable[bytes]) -> bool:
        """Whether a file is text (no ELF file, no NUL byte) and holds an old path."""
        found = False
        tail = b""
        for block in blocks:
            if block.startswith(MAGIC) or b"\0" in block:
                return False
            data = bytearray(tail + block)
            found = found or self._holds(data, 0, len(data))
            tail = bytes(data[-self._overlap :])
        return found

    def in_part(self, data: bytearray, start: int, end: int) -> bool:
        """Whether a whole file that lies between other things in a buffer is such a text."""
        if data.startswith(MAGIC, start, end) or data.find(0, start, end) >= 0:
            return False
        return self._holds(data, start, end)

    def _holds(self, data: bytearray, start: int, end: int) -> bool:
        if all(data.find(path, start, end) < 0 for path in self._paths):
            return False
        with memoryview(data) as view, view[start:end] as part:
            return self._pattern.search(part) is not None
