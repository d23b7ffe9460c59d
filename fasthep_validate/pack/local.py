"""Finds distributions that were installed from a folder of this machine (PEP 610)."""

from __future__ import annotations

import csv
import posixpath
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

from pydantic import BaseModel, ValidationError

from fasthep_validate.pack.elf import MAGIC

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

RECORD, DIRECT_URL = "RECORD", "direct_url.json"


class _Folder(BaseModel):
    editable: bool = False


class _DirectUrl(BaseModel):
    """``direct_url.json``; ``dir_info`` is there for folders alone."""

    url: str
    dir_info: _Folder | None = None


@dataclass(frozen=True)
class Local:
    """A distribution that was installed from a folder.

    Attributes:
        name: of the distribution.
        path: the folder; it may be gone.
        editable: whether it is imported from there.
        files: what it has in the directory of packages and that holds no machine code, as paths below that.
        site: that directory.
    """

    name: str
    path: str
    editable: bool
    files: tuple[str, ...]
    site: Path


def find(site_packages: Iterable[str]) -> Iterator[Local]:
    """Distributions that can travel apart from the environment; those with machine code cannot."""
    for site in map(Path, dict.fromkeys(map(posixpath.realpath, site_packages))):
        for file in sorted(site.glob(f"*.dist-info/{DIRECT_URL}")):
            url = _read(file)
            if url is None or url.dir_info is None or not url.url.startswith("file:"):
                continue
            editable = url.dir_info.editable
            info = f"{file.parent.name}/"
            files = tuple(name for name in _recorded(file.parent) if not editable or name.startswith(info))
            if editable or not any(_is_binary(site / name) for name in files):
                name = file.parent.name.partition("-")[0]
                yield Local(name, unquote(urlsplit(url.url).path).rstrip("/"), editable, files, site)


def _read(file: Path) -> _DirectUrl | None:
    try:
        return _DirectUrl.model_validate_json(file.read_bytes())
    except ValidationError:
        return None


def _recorded(info: Path) -> Iterator[str]:
    """What the record lists below the directory of packages; scripts lie elsewhere."""
    try:
        text = (info / RECORD).read_text(encoding="utf-8", errors="surrogateescape")
    except FileNotFoundError:
        return
    for row in csv.reader(text.splitlines()):
        name = posixpath.normpath(row[0]) if row else ".."
        if not name.startswith(("..", "/")) and not name.endswith(".pyc") and (info.parent / name).is_file():
            yield name


def _is_binary(path: Path) -> bool:
    with path.open("rb") as stream:
        return stream.read(len(MAGIC)) == MAGIC
