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
        """Whether a file is text (no ELF file, no NUL byte) and holds an old path; reads all blocks."""
        found = False
        tail: bytes | None = b""
        for block in blocks:
            if tail is None or block.startswith(MAGIC) or b"\0" in block:
                tail = None
                continue
            found = found or self._holds(tail + block)
            tail = (tail + block)[-self._overlap :]
        return found and tail is not None

    def _holds(self, data: bytes) -> bool:
        return any(path in data for path in self._paths) and self._pattern.search(data) is not None
