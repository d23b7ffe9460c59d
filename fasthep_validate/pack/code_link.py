"""Links extension modules in the code layer: those that an editable install was built with in place.

They find the libraries of the base through the interpreter, whose RPATH names them. What the base has not goes into
``lib/`` of the layer. The base does not change for it, nor does its key.
"""

from __future__ import annotations

import posixpath
from pathlib import Path
from typing import TYPE_CHECKING

from fasthep_validate.errors import PackError
from fasthep_validate.pack import libraries
from fasthep_validate.pack.rpath import patched
from fasthep_validate.pack.tree import Entry

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from fasthep_validate.pack.code import Layer
    from fasthep_validate.pack.elf import Elf
    from fasthep_validate.pack.layout import Layout

HOME = "lib"


def link(layer: Layer, layout: Layout, staging: Path) -> None:
    """Let the ELF files of a layer find their libraries on the worker.

    Args:
        layer: it; files are replaced by copies, and libraries added.
        layout: the environment.
        staging: directory that is made for copies.

    Raises:
        PackError: a library is nowhere.
    """
    elfs = libraries.read_all(layer.entries.values())
    if not elfs:
        return
    main = Entry(layout.base_python, layout.interpreter.base_executable, 0, 0)
    all_elfs = {**elfs, **libraries.read_all([main])}
    plan = libraries.Linker({**layer.entries, main.name: main}, all_elfs, main.name, HOME).link()
    of_main = libraries.Linker({main.name: main}, libraries.read_all([main]), main.name, HOME).link()
    _refuse_missing(layer, plan.missing)
    base = {*map(posixpath.basename, of_main.carried), *_libraries(layout)}
    carried = {name: source for name, source in plan.carried.items() if posixpath.basename(name) not in base}
    for name, source in carried.items():
        status = Path(source).stat()
        layer.entries[name] = Entry(name, source, status.st_size, status.st_mtime_ns, executable=True)
    own = {posixpath.basename(name) for name in carried}
    rpaths = {name: plan.rpaths[name] for name in (*elfs, *carried) if name in plan.rpaths}
    rpaths |= {
        name: _with_home(name, rpaths.get(name), elf) for name, elf in elfs.items() if own & {*elf.needed}
    }
    layer.entries.update((entry.name, entry) for entry in patched(rpaths, layer.entries, staging))


def _libraries(layout: Layout) -> set[str]:
    """Names of libraries that the base has where its interpreter looks."""
    places = (part for part in layout.parts if layout.libraries.startswith(part.target))
    folders = (Path(part.source, posixpath.relpath(layout.libraries, part.target or ".")) for part in places)
    return {file.name for folder in folders for file in folder.glob("*.so*")}


def _with_home(name: str, rpath: str | None, elf: Elf) -> str:
    """An RPATH that names the layer's own libraries."""
    given = rpath if rpath is not None else ":".join(elf.runpath or elf.rpath)
    home = f"$ORIGIN/{posixpath.relpath(HOME, posixpath.dirname(name))}"
    return ":".join(dict.fromkeys(filter(None, (*given.split(":"), home))))


def _refuse_missing(layer: Layer, missing: Iterable[tuple[str, str]]) -> None:
    found: Mapping[str, str] = {name: library for name, library in missing if name in layer.entries}
    for name, library in found.items():
        raise PackError(
            f"{layer.entries[name].source}: needs {library}, which is not on this machine. Install that library, or "
            "remove the file."
        )
