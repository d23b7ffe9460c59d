"""Keeps packs by the key of their content, so that nothing is packed twice."""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
from contextlib import contextmanager
from typing import TYPE_CHECKING

from filelock import FileLock, Timeout
from pydantic import ValidationError

from fasthep_validate.errors import PackError
from fasthep_validate.models.packed import PackedEnv

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from fasthep_validate.models.packed import Archive

ARCHIVE, RECORD, STAMP = "env.tar.gz", "pack.json", "stamp"
KEPT = 5


class Damaged(Exception):
    """A pack in the cache is not what was stored there."""


class Cache:
    """A directory with one folder a pack: ``<key>/env.tar.gz`` and ``<key>/pack.json``.

    Raises:
        PackError: it cannot be written.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder.absolute()
        self._locks = self.folder / "locks"
        try:
            self._locks.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise unwritable(self.folder, error) from error
        if not os.access(self._locks, os.W_OK | os.X_OK):
            raise PackError(f"{self.folder}: is not writable. Choose another folder for the cache of packs.")

    @contextmanager
    def lock(self, key: str, say: Callable[[str], None]) -> Iterator[None]:
        """One run at a time for each key; a second one says that it waits."""
        lock = FileLock(self._locks / f"{key}.lock")
        try:
            lock.acquire(timeout=0)
        except Timeout:
            say("waiting for another run that packs the same environment")
            lock.acquire()
        try:
            yield
        finally:
            lock.release()

    def load(self, key: str) -> PackedEnv | None:
        """The pack with this key, if there is one; the process keeps it from being removed.

        Raises:
            Damaged: it was cut short or changed; it is gone now.
        """
        place = self.folder / key
        if not place.exists():
            return None
        try:
            packed = PackedEnv.model_validate_json((place / RECORD).read_bytes())
            whole = packed.base is not None and _is_whole(place, packed.base) and packed.manifest.key == key
        except (OSError, ValidationError):
            whole = False
        if not whole:
            shutil.rmtree(place)
            raise Damaged(place)
        hold(place / RECORD)
        os.utime(place)
        return _at(place, packed)

    @contextmanager
    def workplace(self, key: str) -> Iterator[Path]:
        """An empty directory for what becomes the pack; removed at the end."""
        place = self._partial(key)
        shutil.rmtree(place, ignore_errors=True)  # of a run that was killed
        try:
            place.mkdir()
            yield place
        finally:
            shutil.rmtree(place, ignore_errors=True)

    def store(self, work: Path, packed: PackedEnv) -> PackedEnv:
        """Put a finished archive, ``env.tar.gz`` in the workplace, into the cache."""
        place = self.folder / packed.manifest.key
        final = _at(place, packed)
        ready = work / "ready"
        ready.mkdir()
        (work / ARCHIVE).rename(ready / ARCHIVE)
        (ready / RECORD).write_text(final.to_json(), encoding="utf-8")
        (ready / STAMP).write_text(_stamp(ready / ARCHIVE))
        ready.rename(place)
        hold(place / RECORD)
        self._prune(place)
        return final

    def _partial(self, key: str) -> Path:
        return self.folder / f"{key}.partial"

    def _prune(self, new: Path) -> None:
        """Remove all but the newest packs, those in use aside, and what killed runs have left."""
        packs = sorted(self.folder.glob(f"*/{RECORD}"), key=lambda file: file.parent.stat().st_mtime)
        old = [file.parent for file in packs[:-KEPT] if file.parent != new and not in_use(file)]
        for place in (*old, *self.folder.glob("*.partial")):
            lock = FileLock(self._locks / f"{place.name.partition('.')[0]}.lock")
            try:
                with lock.acquire(timeout=0):
                    shutil.rmtree(place, ignore_errors=True)
            except Timeout:
                continue


def unwritable(path: Path, error: OSError) -> PackError:
    """The error for a cache that cannot be written."""
    return PackError(f"{path}: {error.strerror}. Make room or choose another folder for the cache of packs.")


def require_space(folder: Path, needed: int) -> None:
    """Check before anything is written that there is room.

    Args:
        folder: where it will be written.
        needed: bytes.

    Raises:
        PackError: there is not enough.
    """
    status = os.statvfs(folder)
    free = status.f_bavail * status.f_frsize
    if free < needed:
        raise PackError(
            f"{folder}: {free / 1e6:.0f} MB are free and about {needed / 1e6:.0f} MB ({needed} bytes) are "
            "needed for the pack. Make room or choose another folder for the cache of packs."
        )


def _at(place: Path, packed: PackedEnv) -> PackedEnv:
    """The pack with its archive in this folder."""
    base = packed.base and packed.base.model_copy(update={"path": str(place / ARCHIVE)})
    return packed.model_copy(update={"base": base})


def _is_whole(place: Path, archive: Archive) -> bool:
    """Whether an archive is what was stored: it is read only when something has touched it since it was found whole."""
    path, seen = place / ARCHIVE, place / STAMP
    stamp = _stamp(path)
    if seen.is_file() and seen.read_text() == stamp:
        return True
    with path.open("rb") as stream:
        whole = hashlib.file_digest(stream, "sha256").hexdigest() == archive.sha256
    if whole:
        seen.write_text(stamp)
    return whole


def _stamp(path: Path) -> str:
    """What changes with the contents of a file; the time of the last change (ctime) cannot be set by anybody."""
    status = path.stat()
    return f"{status.st_ino} {status.st_size} {status.st_mtime_ns} {status.st_ctime_ns}\n"


def hold(file: Path) -> None:
    """Share a lock on a file until this process ends; the descriptor is meant to stay open."""
    fcntl.flock(os.open(file, os.O_RDONLY | os.O_CLOEXEC), fcntl.LOCK_SH | fcntl.LOCK_NB)


def in_use(file: Path) -> bool:
    """Whether another process holds a file."""
    handle = os.open(file, os.O_RDONLY | os.O_CLOEXEC)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return True
    finally:
        os.close(handle)
    return False
