"""Lays out a prefix that conda or Pixi installed."""

from __future__ import annotations

import os
import posixpath
from typing import TYPE_CHECKING

from pydantic import BaseModel, Field, ValidationError

from fasthep_validate.errors import PackError
from fasthep_validate.pack.interpreter import is_conda
from fasthep_validate.pack.layout import ANYWHERE, STANDARD_LIBRARY, Layout, below, longest_first, moved
from fasthep_validate.pack.tree import Part

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from fasthep_validate.pack.interpreter import Interpreter

# Of a conda installation that is itself a prefix. Headers stay in: cling compiles with them.
OTHERS = {
    "pkgs": "packages that are not installed here",
    "envs": "other environments",
    "conda-bld": "a cache",
}


class InstalledFile(BaseModel):
    """A file in the ``paths_data`` of a ``conda-meta`` record."""

    path: str = Field(default="", alias="_path")
    file_mode: str = ""
    prefix_placeholder: str = ""

    @property
    def is_padded(self) -> bool:
        """Whether the prefix was written into a binary file, over a longer placeholder."""
        return self.file_mode == "binary" and bool(self.prefix_placeholder)


class PathsData(BaseModel):
    """The files that a package brought."""

    paths: tuple[InstalledFile, ...] = ()


class Installed(BaseModel):
    """A record of an installed package, as far as it matters here."""

    paths_data: PathsData = PathsData()


def layout(prefix: Path, python: Interpreter) -> Layout:
    """Lay out an installed conda or Pixi environment.

    Raises:
        PackError: it is none, or a record of it cannot be read.
    """
    if not is_conda(prefix):
        raise PackError(
            f"{prefix}: has no conda-meta, so it is not an installed Pixi or conda environment. "
            "Run `pixi install`, or set environment.type to packed-venv."
        )
    root = posixpath.realpath(python.prefix)
    padded = {file.path: len(os.fsencode(file.prefix_placeholder)) for file in _padded(prefix)}
    rules = {**ANYWHERE, **OTHERS, **below(STANDARD_LIBRARY, posixpath.relpath(python.stdlib, root))}
    return Layout(
        type="packed-pixi",
        interpreter=python,
        parts=(Part(root, "", rules),),
        relocations=longest_first(moved("", python.prefix, str(prefix))),
        python="bin/python",
        base_python=posixpath.relpath(python.base_executable, root),
        prefix="",
        base_prefix="",
        libraries="lib",
        site_packages=tuple(
            posixpath.relpath(posixpath.realpath(path), root) for path in python.site_packages
        ),
        binary_files=tuple(sorted(padded)),
        placeholder=min(padded.values(), default=0),
    )


def _padded(prefix: Path) -> Iterator[InstalledFile]:
    for file in sorted((prefix / "conda-meta").glob("*.json")):
        try:
            record = Installed.model_validate_json(file.read_bytes())
        except ValidationError as error:
            reason = error.errors()[0]["msg"]
            raise PackError(f"{file}: {reason}. Install the environment again.") from None
        yield from (item for item in record.paths_data.paths if item.is_padded)
