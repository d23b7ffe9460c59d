"""Chooses the head of an archive: the interpreter, and what it needs to extract the rest."""

from __future__ import annotations

import json
import posixpath
from pathlib import Path
from typing import TYPE_CHECKING

from fasthep_validate import bundled, process
from fasthep_validate.pack.bytecode import cached_name
from fasthep_validate.pack.libraries import EXTRACTS
from fasthep_validate.pack.tree import locate

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from fasthep_validate.pack.layout import Layout
    from fasthep_validate.pack.tree import Entry

LIST = Path(__file__).with_name("_head.py")
RUN_THERE = ("extract.py", "relocate.py")
TIME = 60.0  # seconds


def choose(layout: Layout, entries: Mapping[str, Entry], carried: Mapping[str, str]) -> set[str]:
    """Names in the tree of what has to be in the head; none when its Python does not run on this machine.

    Args:
        layout: the environment.
        entries: all that ships, by name.
        carried: libraries from outside, name in the tree -> path.
    """
    python = layout.interpreter
    sources = {source: name for name, source in carried.items()}
    loaded = _loaded(python.executable)
    if not loaded:
        return set()
    places = ((path, posixpath.realpath(path)) for path in loaded)
    choices = (
        sources.get(real) or locate(path, layout.relocations) or locate(real, layout.relocations)
        for path, real in places
    )
    names = {layout.base_python, *(name for name in choices if name in entries and name)}
    encodings = _encodings(names)
    names |= {name for name in entries if name.startswith(encodings)}
    names |= {cached_name(name, python.cache_tag) for name in names if name.endswith(".py")}
    names.add(posixpath.join(layout.libraries, EXTRACTS))
    names &= set(entries)
    return names | _links(names, entries)


def _loaded(python: str) -> list[str]:
    files = [bundled.worker_file(name) for name in RUN_THERE]
    done = process.run([python, "-I", "-S", "-B", LIST, *files], timeout=TIME)
    paths: list[str] = json.loads(done.stdout) if done.ok else []
    return paths


def _encodings(names: Iterable[str]) -> tuple[str, ...]:
    """The package that every Python loads at its start, whatever the locale of the node asks of it."""
    return tuple(posixpath.dirname(name) + "/" for name in names if name.endswith("/encodings/__init__.py"))


def _links(names: set[str], entries: Mapping[str, Entry]) -> set[str]:
    """Links that lead to something in the head, and what links of the head lead to."""
    links = {
        entry.name: posixpath.normpath(posixpath.join(posixpath.dirname(entry.name), entry.link))
        for entry in entries.values()
        if entry.link
    }
    found = set(names)
    before = 0
    while before != len(found):
        before = len(found)
        found |= {target for name, target in links.items() if name in found and target in entries}
        found |= {name for name, target in links.items() if target in found}
    return found - names
