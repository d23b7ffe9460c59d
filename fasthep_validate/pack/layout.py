"""What an environment becomes in the pack: which directories go where, and what their paths turn into."""

from __future__ import annotations

import posixpath
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from fasthep_validate.models.packed import Relocation

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from fasthep_validate.pack.interpreter import Interpreter
    from fasthep_validate.pack.tree import Part

TESTS = "tests of the standard library"
GRAPHICS = "needs a display"
BUILDING = "only for building extensions"

ANYWHERE = {
    "*.a": BUILDING,
    "*.opt-[12].pyc": "only read under python -O",
    "*__pycache__/*-pytest-*.pyc": "pytest's own cache",
    "share/man": "manual pages",
    "man": "manual pages",
}
STANDARD_LIBRARY = {
    "test": TESTS,
    "ctypes/test": TESTS,
    "distutils/tests": TESTS,
    "lib2to3/tests": TESTS,
    "sqlite3/test": TESTS,
    "unittest/test": TESTS,
    "lib-dynload/_test*": TESTS,
    "lib-dynload/_ctypes_test*": TESTS,
    "idlelib": GRAPHICS,
    "tkinter": GRAPHICS,
    "turtledemo": GRAPHICS,
    "lib-dynload/_tkinter.*": GRAPHICS,
    "config-*": BUILDING,
}


@dataclass(frozen=True)
class Layout:
    """An environment laid out for the pack.

    Attributes:
        type: ``packed-venv`` or ``packed-pixi``.
        interpreter: what its Python says of itself.
        parts: directories that ship.
        relocations: old paths and what they become, longest first.
        python: interpreter of the environment below the tree.
        base_python: ELF file of the interpreter below the tree.
        prefix: ``sys.prefix`` below the tree.
        base_prefix: ``sys.base_prefix`` below the tree.
        libraries: directory below the tree for libraries from outside.
        site_packages: below the tree.
        links: links to be made, ``name -> target``.
        binary_files: files below the tree that hold the prefix in a NUL-padded placeholder.
        placeholder: length of the shortest placeholder of these in bytes.
    """

    type: str
    interpreter: Interpreter
    parts: tuple[Part, ...]
    relocations: tuple[Relocation, ...]
    python: str
    base_python: str
    prefix: str
    base_prefix: str
    libraries: str
    site_packages: tuple[str, ...]
    links: Mapping[str, str] = field(default_factory=dict)
    binary_files: tuple[str, ...] = ()
    placeholder: int = 0


def below(rules: Mapping[str, str], folder: str) -> dict[str, str]:
    """Rules for what is left out of ``folder``, as rules of the directory above it."""
    return {posixpath.normpath(posixpath.join(folder, pattern)): reason for pattern, reason in rules.items()}


def moved(target: str, *paths: str) -> list[Relocation]:
    """Relocations of a directory by all the names it has."""
    names = {name for path in paths for name in (path, posixpath.realpath(path))}
    return [Relocation(old=name, new=target) for name in sorted(names)]


def longest_first(relocations: Iterable[Relocation]) -> tuple[Relocation, ...]:
    """Relocations in an order in which the first that fits is the right one, each path once."""
    by_path: dict[str, Relocation] = {}
    for item in relocations:
        by_path.setdefault(item.old, item)
    return tuple(sorted(by_path.values(), key=lambda item: (-len(item.old), item.old)))
