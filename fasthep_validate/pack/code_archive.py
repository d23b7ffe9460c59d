"""Writes the archive of a code layer and keeps it by its digest."""

from __future__ import annotations

import gzip
import hashlib
import io
import os
import tarfile
import time
from contextlib import suppress
from pathlib import Path
from typing import IO, TYPE_CHECKING

from fasthep_validate.errors import PackError
from fasthep_validate.models.packed import Archive, CodeLayer
from fasthep_validate.pack.cache import hold, in_use, unwritable

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fasthep_validate.pack.code import Layer
    from fasthep_validate.pack.tree import Entry

KEPT = 20
LEVEL = 3
ABANDONED = 3600.0  # seconds after which an unfinished archive is that of a killed run


def store(layer: Layer, cache: Path) -> CodeLayer:
    """Make the archive of a layer in ``<cache>/code``; the same contents give the same file.

    Raises:
        PackError: a file cannot be read, or the cache cannot be written.
    """
    folder = cache.absolute() / "code"
    partial = folder / f"{os.getpid()}-{time.monotonic_ns()}.partial"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with partial.open("xb") as stream:
            _write(layer, stream)
        with partial.open("rb") as stream:
            sha256 = hashlib.file_digest(stream, "sha256").hexdigest()
        file = partial.rename(folder / f"{sha256}.tar.gz")
        hold(file)
        _prune(folder, file)
    except OSError as error:
        raise unwritable(folder, error) from error
    finally:
        partial.unlink(missing_ok=True)
    return CodeLayer(
        archive=Archive(path=str(file), sha256=sha256, size=file.stat().st_size),
        sources=tuple(layer.sources),
        files=len(layer.entries) + len(layer.texts),
        size=layer.size,
    )


def _write(layer: Layer, stream: IO[bytes]) -> None:
    with (
        gzip.GzipFile(filename="", mode="wb", fileobj=stream, compresslevel=LEVEL, mtime=0) as packed,
        tarfile.open(fileobj=packed, mode="w", format=tarfile.GNU_FORMAT, errors="surrogateescape") as tar,
    ):
        for name, entry in sorted(layer.entries.items()):
            if name not in layer.texts:
                _add(tar, entry)
        for name, text in sorted(layer.texts.items()):
            data = text.encode("utf-8", "surrogateescape")
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))


def _add(tar: tarfile.TarFile, entry: Entry) -> None:
    info = tarfile.TarInfo(entry.name)
    info.mtime = entry.mtime_ns // 10**9
    info.mode = 0o755 if entry.executable else 0o644
    if entry.link:
        info.type, info.linkname, info.mode = tarfile.SYMTYPE, entry.link, 0o777
        tar.addfile(info)
        return
    try:
        data = Path(entry.source).read_bytes()  # whole, so that a change meanwhile does no harm
    except OSError as error:
        raise PackError(f"{entry.source}: {error.strerror}. Make it readable, or remove it.") from error
    info.size = len(data)
    tar.addfile(info, io.BytesIO(data))


def _prune(folder: Path, new: Path) -> None:
    """Remove all but the newest layers, those in use aside, and what killed runs have left."""
    for file in (*_old(folder, new), *_abandoned(folder)):
        with suppress(FileNotFoundError):  # another run was faster
            if not in_use(file):
                file.unlink()


def _old(folder: Path, new: Path) -> list[Path]:
    layers = sorted((_changed(file), file) for file in folder.glob("*.tar.gz") if file != new)
    return [file for _, file in layers[: 1 - KEPT]]


def _abandoned(folder: Path) -> Iterator[Path]:
    return (file for file in folder.glob("*.partial") if _changed(file) < time.time() - ABANDONED)


def _changed(file: Path) -> float:
    try:
        return file.stat().st_mtime
    except FileNotFoundError:
        return 0.0
