"""Lists what ships: every file and link of an environment, where it lies and what it is called in the pack."""

from __future__ import annotations

import fnmatch
import os
import posixpath
import re
import stat
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from fasthep_validate.errors import PackError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from fasthep_validate.models.packed import Relocation


@dataclass(frozen=True, slots=True)
class Entry:
    """A regular file or a symbolic link of the pack.

    Attributes:
        name: path below the tree.
        source: file on this machine that has the contents; for a link, the link.
        size: in bytes; 0 for a link.
        mtime_ns: time of last change in nanoseconds since 1970.
        executable: whether it may be run.
        link: target of a link; empty for a file.
    """

    name: str
    source: str
    size: int
    mtime_ns: int
    executable: bool = False
    link: str = ""


@dataclass(frozen=True)
class Part:
    """A directory of this machine that ships.

    Attributes:
        source: absolute path.
        target: its path below the tree; empty for the tree itself.
        skip: what stays here, as ``pattern -> reason``; patterns are of :mod:`fnmatch`, for paths
            below ``source``, and ``*`` is any part of a path.
        only: paths below ``source`` of the files that ship; ``None`` for all.
    """

    source: str
    target: str
    skip: Mapping[str, str] = field(default_factory=dict)
    only: tuple[str, ...] | None = None


@dataclass
class Tree:
    """What ships and what does not.

    Attributes:
        entries: files and links by their name in the pack.
        left_out: pattern or path below the tree -> why it stays here.
        empty: directories with nothing in them.
    """

    entries: dict[str, Entry] = field(default_factory=dict)
    left_out: dict[str, str] = field(default_factory=dict)
    empty: list[str] = field(default_factory=list)


class Skip:
    """The patterns of a part, matched all at once."""

    def __init__(self, rules: Mapping[str, str]) -> None:
        self.rules = tuple(rules.items())
        words = (f"({fnmatch.translate(pattern)})" for pattern, _ in self.rules)
        self._match = re.compile("|".join(words) or r"(?!)").match

    def rule(self, path: str) -> tuple[str, str] | None:
        """Pattern and reason by which a path is left out, if it is."""
        match = self._match(path)
        return self.rules[match.lastindex - 1] if match and match.lastindex else None


def collect(parts: Iterable[Part], relocations: Iterable[Relocation], links: Mapping[str, str]) -> Tree:
    """Everything that ships.

    Args:
        parts: directories that ship.
        relocations: old paths and where they are in the tree, longest first; links to them are made
            relative.
        links: links to be made whatever is there, ``name -> target``.

    Raises:
        PackError: a directory or file cannot be read.
    """
    tree = Tree()
    for part in parts:
        _add(tree, part)
    _settle_links(tree, tuple(relocations))
    for name, target in links.items():
        tree.entries[name] = Entry(name, "", 0, 0, link=target)
    return tree


def _add(tree: Tree, part: Part) -> None:
    skip = Skip(part.skip)
    found = list(_listed(part))
    if part.only is None:
        _walk(part.source, "", skip, tree, part.target, found)
    for path, item in found:
        name = f"{part.target}/{path}" if part.target else path
        tree.entries[name] = _entry(name, posixpath.join(part.source, path), item)


def _entry(name: str, source: str, status: os.stat_result) -> Entry:
    link = str(Path(source).readlink()) if stat.S_ISLNK(status.st_mode) else ""
    size = 0 if link else status.st_size
    return Entry(name, source, size, status.st_mtime_ns, bool(status.st_mode & 0o100), link)


def _listed(part: Part) -> Iterator[tuple[str, os.stat_result]]:
    for path in part.only or ():
        try:
            status = os.lstat(posixpath.join(part.source, path))
        except OSError:  # in the index of git, but deleted
            continue
        if stat.S_ISREG(status.st_mode) or stat.S_ISLNK(status.st_mode):
            yield path, status


def _walk(
    root: str, below: str, skip: Skip, tree: Tree, target: str, found: list[tuple[str, os.stat_result]]
) -> None:
    try:
        with os.scandir(posixpath.join(root, below)) as items:
            inside = list(items)
    except OSError as error:
        raise PackError(f"{error.filename}: {error.strerror}. Make it readable, or remove it.") from error
    if below and not inside:
        tree.empty.append(f"{target}/{below}".lstrip("/"))
    for item in inside:
        path = f"{below}/{item.name}" if below else item.name
        rule = skip.rule(path)
        if rule:
            tree.left_out[f"{target}/{rule[0]}".lstrip("/")] = rule[1]
        elif not item.name.isascii() and "\\udc" in ascii(item.name):
            tree.left_out[ascii(f"{target}/{path}")] = "its name is not UTF-8"
        elif item.name == "__pycache__" and not os.access(item, os.R_OK | os.X_OK):
            tree.left_out[f"{target}/{path}"] = "bytecode that only its owner can read"
        elif item.is_dir(follow_symlinks=False):
            _walk(root, path, skip, tree, target, found)
        elif item.is_file(follow_symlinks=False) or item.is_symlink():
            found.append((path, item.stat(follow_symlinks=False)))


def _settle_links(tree: Tree, relocations: tuple[Relocation, ...]) -> None:
    """Keep links that stay inside the tree, put the contents in place of the others."""
    directories = _directories((*tree.entries, *(f"{name}/" for name in tree.empty)))
    open_links = [entry for entry in tree.entries.values() if entry.link]
    while open_links:
        entry = open_links.pop()
        target = posixpath.normpath(posixpath.join(posixpath.dirname(entry.source), entry.link))
        name = locate(target, relocations)
        if name is not None and name != entry.name and (name in tree.entries or name in directories):
            start = posixpath.dirname(entry.name)
            tree.entries[entry.name] = replace(entry, link=posixpath.relpath(name or ".", start or "."))
        else:
            open_links += _follow(tree, entry)


def _directories(names: Iterable[str]) -> set[str]:
    found = {posixpath.dirname(name) for name in names}
    new = found
    while new := {posixpath.dirname(name) for name in new} - found:
        found |= new
    return found


def locate(path: str, relocations: Iterable[Relocation]) -> str | None:
    """Name in the tree of a path of this machine; ``None`` if it is not in a place that ships."""
    for item in relocations:
        if path == item.old or path.startswith(item.old + "/"):
            return (item.new + path[len(item.old) :]).lstrip("/")
    return None


def _follow(tree: Tree, entry: Entry) -> list[Entry]:
    """Put what a link leads to in its place; returns the links that came with it."""
    del tree.entries[entry.name]
    real = posixpath.realpath(entry.source)
    if not posixpath.exists(real):
        tree.left_out[entry.name] = f"a link to {entry.link}, which does not exist"
        return []
    if posixpath.isfile(real):
        tree.entries[entry.name] = _entry(entry.name, real, Path(real).stat())
        return []
    if not posixpath.isdir(real) or posixpath.realpath(posixpath.dirname(entry.source)).startswith(real):
        tree.left_out[entry.name] = f"a link to {entry.link}, which is not a file or holds the link itself"
        return []
    before = set(tree.entries)
    _add(tree, Part(real, entry.name))
    return [new for name, new in tree.entries.items() if new.link and name not in before]
