"""Keeps what was downloaded or made by others, in a folder of the cache, below a size."""

from __future__ import annotations

import contextlib
import os
import shutil
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

RECENT = 3600.0  # seconds: another run may be using it


def trim(folder: Path, limit: int, used: Path) -> None:
    """Remove the items of a folder that were used longest ago, until all take no more than ``limit`` bytes.

    Args:
        folder: its files and folders are the items; their times of last change say when they were used.
        limit: bytes.
        used: the item that is used now; it and all that were used within the hour stay.
    """
    with contextlib.suppress(OSError):  # what cannot be removed is not worth an error
        os.utime(used)
        items = sorted(folder.iterdir(), key=lambda item: item.stat().st_mtime)
        sizes = {item: _size(item) for item in items}
        total = sum(sizes.values())
        old = (item for item in items if item.stat().st_mtime < time.time() - RECENT)
        for item in old:
            if total <= limit:
                break
            _remove(item)
            total -= sizes[item]


def _size(item: Path) -> int:
    files = item.rglob("*") if item.is_dir() else (item,)
    return sum(file.lstat().st_size for file in files)


def _remove(item: Path) -> None:
    if item.is_dir() and not item.is_symlink():
        shutil.rmtree(item, ignore_errors=True)
    else:
        item.unlink(missing_ok=True)
