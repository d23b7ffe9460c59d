"""Works out which shared libraries have to travel, and where each file has to look for them."""

from __future__ import annotations

import os
import posixpath
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from fasthep_validate import process
from fasthep_validate.errors import PackError
from fasthep_validate.pack import elf as elf_file

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from fasthep_validate.pack.elf import Elf
    from fasthep_validate.pack.tree import Entry

ORIGIN = re.compile(r"\$(ORIGIN|\{ORIGIN\})")
DEFAULT_DIRECTORIES = ("/lib64", "/usr/lib64", "/lib", "/usr/lib")
CACHED_LIBRARY = re.compile(r"^\t(\S+) \([^)]*\) => (\S+)$", re.MULTILINE)
# glibc loads it by itself when a thread ends (pthread_exit), no file names it.
LOADED_BY_GLIBC = "libgcc_s.so.1"
# Extracts the rest of the environment on the worker; no file names it either.
EXTRACTS = "libzstd.so.1"
TEXT = (
    ".py",
    ".pyc",
    ".pyi",
    ".pxd",
    ".pyx",
    ".txt",
    ".h",
    ".hpp",
    ".json",
    ".js",
    ".html",
    ".css",
    ".md",
    ".rst",
)


@dataclass
class Plan:
    """What has to be done so that the files of a tree find their libraries in it.

    Attributes:
        carried: name in the tree -> file of this machine that goes there.
        rpaths: name in the tree -> new RPATH of that file.
        node: libraries that are left to the node.
        missing: file in the tree, library that it needs and that is nowhere.
        glibc: newest glibc that a file needs, and that file.
    """

    carried: dict[str, str] = field(default_factory=dict)
    rpaths: dict[str, str] = field(default_factory=dict)
    node: set[str] = field(default_factory=set)
    missing: list[tuple[str, str]] = field(default_factory=list)
    glibc: tuple[tuple[int, ...], str] = ((0,), "")


def read_all(entries: Iterable[Entry]) -> dict[str, Elf]:
    """The ELF files among the entries of a tree, by name in the tree."""
    likely = (entry for entry in entries if not entry.link and not entry.name.endswith(TEXT))
    found = ((entry.name, _read(entry.source)) for entry in likely)
    return {name: elf for name, elf in found if elf}


def _read(path: str) -> Elf | None:
    try:
        return elf_file.read(path)
    except OSError as error:
        raise PackError(f"{path}: {error.strerror}. Make it readable, or remove it.") from error


class Linker:
    """Does on paper what the loader does when a program starts.

    Args:
        entries: everything that ships, by name.
        main: name of the interpreter.
        home: directory of the tree for carried libraries; the RPATH of the interpreter will name it,
            and with it every library without a RUNPATH of its own finds what is there.
    """

    def __init__(self, entries: Mapping[str, Entry], elfs: Mapping[str, Elf], main: str, home: str) -> None:
        self.main, self.home = main, home
        self.machine = elfs[main].machine
        self.elfs = {name: elf for name, elf in elfs.items() if elf.machine == self.machine}
        self.sources = {name: entry.source for name, entry in entries.items()}
        self.directories = {
            posixpath.realpath(posixpath.dirname(self.sources[name])): posixpath.dirname(name)
            for name in self.elfs
        }
        self.shipped = {posixpath.basename(name) for name in entries}
        self.main_rpath = _expand(elfs[main].rpath, self.sources[main])
        self.library_path = [path for path in os.environ.get("LD_LIBRARY_PATH", "").split(":") if path]
        self.cache = _loader_cache()
        self.plan = Plan()
        self._todo = sorted(self.elfs, reverse=True)
        self._found: dict[str, str | None] = {}

    def link(self) -> Plan:
        """Look up every library that is needed, those of the libraries themselves included."""
        for library in (LOADED_BY_GLIBC, EXTRACTS):
            extra = self._find(library, self.elfs[self.main], self.sources[self.main])
            if extra:
                self._directory_of(library, extra)
        while self._todo:
            name = self._todo.pop()
            self._settle(name, self.elfs[name])
        return self.plan

    def _settle(self, name: str, elf: Elf) -> None:
        plan = self.plan
        plan.glibc = max(plan.glibc, (elf.glibc, name), key=lambda item: item[0])
        plan.node.update(filter(elf_file.is_of_node, elf.needed))
        needed = [library for library in elf.needed if not elf_file.is_of_node(library)]
        wanted = dict.fromkeys(filter(None, (self._place(library, name, elf) for library in needed)))
        rpath = self._rpath(name, elf, list(wanted))
        if rpath != ":".join(elf.runpath or elf.rpath) or (name == self.main and elf.runpath):
            plan.rpaths[name] = rpath

    def _place(self, library: str, name: str, elf: Elf) -> str:
        """Directory of the tree where a library will be; empty if there is nothing to look for."""
        path = self._find(library, elf, self.sources[name])
        if path and path == self._system(library) and posixpath.join(self.home, library) in self.sources:
            return self.home  # what ships goes before what the system happens to have
        if path:
            return self._directory_of(library, path)
        if library not in self.shipped:  # else another module loads it first
            self.plan.missing.append((name, library))
        return ""

    def _directory_of(self, library: str, path: str) -> str:
        directory = self.directories.get(posixpath.realpath(posixpath.dirname(path)))
        if directory is not None and posixpath.join(directory, library) in self.sources:
            return directory
        return posixpath.dirname(self._carry(library, posixpath.realpath(path)))

    def _carry(self, library: str, real: str) -> str:
        number = 0
        name = posixpath.join(self.home, library)
        while self.sources.get(name, real) != real:  # another library of the same name
            number += 1
            name = posixpath.join(self.home, str(number), library)
        if name not in self.sources:
            found = elf_file.read(real)
            if found:
                self.elfs[name] = found
                self._todo.append(name)
            self.sources[name] = self.plan.carried[name] = real
        return name

    def _rpath(self, name: str, elf: Elf, wanted: list[str]) -> str:
        """The RPATH that a file needs in the tree: relative, and what it had of those before the new."""
        at = posixpath.dirname(name)
        kept = [path for path in elf.runpath or elf.rpath if ORIGIN.match(path)]
        covered = {posixpath.normpath(ORIGIN.sub(at or ".", path)) for path in kept}
        if name in self.plan.carried or (elf.interpreter and (wanted or name == self.main)):
            wanted = [*wanted, self.home]
        elif not elf.runpath:
            covered.add(self.home)
        new = (path for path in dict.fromkeys(wanted) if posixpath.normpath(path) not in covered)
        return ":".join([*kept, *(_relative(path, at) for path in new)])

    def _find(self, library: str, elf: Elf, source: str) -> str | None:
        first = [] if elf.runpath else [*_expand(elf.rpath, source), *self.main_rpath]
        last = _expand(elf.runpath, source)
        for directory in (*first, *self.library_path, *last):
            path = posixpath.join(directory, library)
            if posixpath.isfile(path):
                return path
        return self._system(library)

    def _system(self, library: str) -> str | None:
        if library not in self._found:
            self._found[library] = self._search_system(library)
        return self._found[library]

    def _search_system(self, library: str) -> str | None:
        choices: tuple[str, ...] = (
            *self.cache.get(library, ()),
            *(posixpath.join(path, library) for path in DEFAULT_DIRECTORIES),
        )
        for path in choices:
            if posixpath.isfile(path):
                found = elf_file.read(path)
                if found and found.machine == self.machine:
                    return path
        return None


def _expand(paths: tuple[str, ...], source: str) -> list[str]:
    origin = posixpath.dirname(source)
    return [ORIGIN.sub(lambda _: origin, path) for path in paths]


def _relative(path: str, start: str) -> str:
    way = posixpath.relpath(path, start or ".")
    return "$ORIGIN" if way == "." else f"$ORIGIN/{way}"


def _loader_cache() -> dict[str, list[str]]:
    """Library -> files that the system's loader knows; builds for newer processors are not among them."""
    listed = process.run(["/sbin/ldconfig", "-p"], timeout=20).stdout
    found: dict[str, list[str]] = {}
    for name, path in CACHED_LIBRARY.findall(listed):
        if "/glibc-hwcaps/" not in path:
            found.setdefault(name, []).append(path)
    return found
