"""Keeps prefixes that were made from packages or archives, by the key of what they were made from."""

from __future__ import annotations

import contextlib
import os
import shutil
from typing import TYPE_CHECKING

from filelock import FileLock, Timeout

from fasthep_validate.pack.cache import hold, in_use, unwritable

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

KEPT = 3
MARK = "whole"  # the last file to be written
FOLDER = "prefixes"


def kept_prefix(cache: Path, key: str, make: Callable[[Path, Path], None]) -> Path:
    """The prefix of a key, made or found made; the process keeps it from being removed.

    Args:
        cache: directory of the packs.
        key: digest of what the prefix is made from.
        make: gets the directory to make it in, and the one where it will be.

    Raises:
        PackError: it cannot be made, or the disk is full.
    """
    folder = cache.absolute() / FOLDER
    place = folder / key[:32]
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with FileLock(folder / f"{place.name}.lock"):
            if not (place / MARK).exists():
                _make(place, make)
            os.utime(place / MARK)
            hold(place / MARK)
            _prune(folder, place)
    except OSError as error:
        raise unwritable(folder, error) from error
    return place / "env"


def _make(place: Path, make: Callable[[Path, Path], None]) -> None:
    work = place.with_name(f"{place.name}.partial")
    for left in (work, place):  # of a run that was killed
        shutil.rmtree(left, ignore_errors=True)
    work.mkdir()
    try:
        make(work / "env", place / "env")
        (work / MARK).touch()
        work.rename(place)
    finally:
        shutil.rmtree(work, ignore_errors=True)


def _prune(folder: Path, new: Path) -> None:
    for left in folder.glob("*.partial"):  # of runs that were killed
        with contextlib.suppress(Timeout), FileLock(folder / f"{left.stem}.lock", timeout=0):
            shutil.rmtree(left, ignore_errors=True)
    marks = sorted(folder.glob(f"*/{MARK}"), key=lambda mark: mark.stat().st_mtime)
    for mark in marks[:-KEPT]:
        if mark.parent != new and not in_use(mark):
            shutil.rmtree(mark.parent, ignore_errors=True)
