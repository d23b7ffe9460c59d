"""Lays out a virtualenv with the interpreter below it, or a Python installation by itself."""

from __future__ import annotations

import posixpath
from typing import TYPE_CHECKING

from fasthep_validate.errors import PackError
from fasthep_validate.pack.layout import (
    ANYWHERE,
    BUILDING,
    STANDARD_LIBRARY,
    Layout,
    below,
    longest_first,
    moved,
)
from fasthep_validate.pack.tree import Part

if TYPE_CHECKING:
    from pathlib import Path

    from fasthep_validate.models.packed import Relocation
    from fasthep_validate.pack.interpreter import Interpreter

# Prefixes that a Python shares with other programs: nothing but the Python itself is taken from there.
SHARED = ("/", "/usr", "/usr/local")
OF_THE_BASE = dict.fromkeys(
    ("site-packages", "dist-packages"), "packages of the base interpreter, which the virtualenv does not use"
)


def layout(prefix: Path, python: Interpreter) -> Layout:
    """Lay out an environment that conda did not make.

    Raises:
        PackError: it cannot travel.
    """
    if python.is_virtual:
        return _virtual(prefix, python)
    if python.base_prefix in SHARED[:2]:
        raise PackError(
            f"{prefix}: is the system's own Python, which belongs to this machine. Make a virtualenv: "
            f"{python.executable} -m venv DIRECTORY && DIRECTORY/bin/pip install dask distributed"
        )
    return _plain(prefix, python)


def _virtual(prefix: Path, python: Interpreter) -> Layout:
    _require_own_packages(prefix)
    base_python = f"base/bin/{posixpath.basename(python.base_executable)}"
    links = {f"venv/bin/{name}": "python" for name in ("python3", python.name)}
    names = _base_relocations(python)
    return Layout(
        type="packed-venv",
        interpreter=python,
        parts=(
            Part(python.prefix, "venv", {**ANYWHERE, "include": BUILDING}),
            _standard_library(python, {**ANYWHERE, **STANDARD_LIBRARY, **OF_THE_BASE}),
            _program(python),
        ),
        relocations=longest_first([*moved("venv", python.prefix, str(prefix)), *names]),
        python="venv/bin/python",
        base_python=base_python,
        prefix="venv",
        base_prefix="base",
        libraries="base/lib",
        site_packages=_below_tree(python, "venv", python.prefix),
        links={**links, "venv/bin/python": f"../../{base_python}", **_base_links(python)},
    )


def _plain(prefix: Path, python: Interpreter) -> Layout:
    home = posixpath.realpath(python.base_prefix)
    rules = {
        **ANYWHERE,
        "include": BUILDING,
        **below(STANDARD_LIBRARY, posixpath.relpath(python.stdlib, home)),
    }
    alone = (_standard_library(python, {**ANYWHERE, **STANDARD_LIBRARY}), _program(python))
    name = f"base/bin/{posixpath.basename(python.base_executable)}"
    return Layout(
        type="packed-venv",
        interpreter=python,
        parts=alone if home in SHARED else (Part(home, "base", rules),),
        relocations=longest_first(
            [*_base_relocations(python), *(moved("base", str(prefix)) if home not in SHARED else ())]
        ),
        python=name,
        base_python=name,
        prefix="base",
        base_prefix="base",
        libraries="base/lib",
        site_packages=_below_tree(python, "base", python.prefix),
        links=_base_links(python),
    )


def _require_own_packages(prefix: Path) -> None:
    for line in (prefix / "pyvenv.cfg").read_text(encoding="utf-8", errors="replace").splitlines():
        key, _, value = line.partition("=")
        if key.strip() == "include-system-site-packages" and value.strip().lower() == "true":
            raise PackError(
                f"{prefix}/pyvenv.cfg: include-system-site-packages is true, so it uses packages outside "
                "itself. Make a virtualenv without --system-site-packages and install what it needs there."
            )


def _base_relocations(python: Interpreter) -> list[Relocation]:
    if posixpath.realpath(python.base_prefix) in SHARED:
        return moved(f"base/{_library_name(python)}", python.stdlib)
    return moved("base", python.base_prefix)


def _base_links(python: Interpreter) -> dict[str, str]:
    program = posixpath.basename(python.base_executable)
    return {f"base/bin/{name}": program for name in ("python", "python3", python.name) if name != program}


def _standard_library(python: Interpreter, rules: dict[str, str]) -> Part:
    return Part(python.stdlib, f"base/{_library_name(python)}", rules)


def _library_name(python: Interpreter) -> str:
    """Standard library below the base prefix, ``lib/python3.11`` (``lib64`` on some systems)."""
    name = posixpath.relpath(python.stdlib, posixpath.realpath(python.base_prefix))
    return f"lib/{python.name}" if name.startswith("..") else name


def _program(python: Interpreter) -> Part:
    folder, name = posixpath.split(python.base_executable)
    return Part(folder, "base/bin", only=(name,))


def _below_tree(python: Interpreter, target: str, prefix: str) -> tuple[str, ...]:
    return tuple(f"{target}/{posixpath.relpath(path, prefix)}" for path in python.site_packages)
