"""Finds editable installs: directories outside the environment that its Python imports from."""

from __future__ import annotations

import ast
import posixpath
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from fasthep_validate import process
from fasthep_validate.errors import PackError
from fasthep_validate.models.packed import Relocation
from fasthep_validate.pack.tree import Part

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

# Where the folder is not a git checkout; environments below it are found by their own marks.
SKIP = {
    ".*": "hidden: history, caches, environments",
    "*/.*": "hidden: history, caches, environments",
    "*/node_modules": "not Python",
    "node_modules": "not Python",
    "*__pycache__/*.pyc": "compiled again",
}
GIT_TIME = 60.0  # seconds


@dataclass(frozen=True)
class Editable:
    """A directory (or a single module) outside the environment.

    Attributes:
        path: what the environment has for it; a module is named without ``.py``.
        named_in: the file that names it.
    """

    path: str
    named_in: Path


def find(site_packages: Iterable[str], inside: Iterable[str]) -> list[Editable]:
    """Editable installs, none below another.

    Args:
        site_packages: directories whose ``.pth`` files and finders count.
        inside: directories that ship anyway.

    Raises:
        PackError: one is gone.
    """
    roots = tuple(inside)
    found: dict[str, Editable] = {}
    for item in _named(site_packages):
        if not _below(item.path, roots):
            found.setdefault(item.path, item)
    for item in found.values():
        if not posixpath.isdir(item.path) and not posixpath.isfile(item.path + ".py"):
            raise PackError(
                f"{item.named_in}: names {item.path}, which is not a directory. "
                "Install that package again, or uninstall it."
            )
    paths = sorted(found)
    return [found[path] for path in paths if not _below(path, [other for other in paths if other != path])]


def part(item: Editable, target: str) -> tuple[Part, Relocation]:
    """How an editable install ships: what of it, and what its path becomes."""
    if not posixpath.isdir(item.path):
        folder, name = posixpath.split(item.path)
        return Part(folder, target, only=(f"{name}.py",)), Relocation(old=item.path, new=f"{target}/{name}")
    tracked = _git_files(item.path)
    only = None if tracked is None else tuple(sorted(tracked))
    return Part(item.path, target, {} if only is not None else _skip(item.path), only), Relocation(
        old=item.path, new=target
    )


def _named(site_packages: Iterable[str]) -> Iterator[Editable]:
    for folder in map(Path, site_packages):
        for file in sorted(folder.glob("*.pth")):
            lines = file.read_text(encoding="utf-8", errors="surrogateescape").splitlines()
            paths = (line.strip() for line in lines if not line.startswith(("import ", "import\t", "#")))
            yield from (Editable(posixpath.normpath(folder / path), file) for path in paths if path)
        for file in sorted(folder.glob("__editable__*.py")):
            yield from (Editable(posixpath.normpath(path), file) for path in _mapping(file))


def _mapping(finder: Path) -> Iterator[str]:
    """Directories and modules in the finder that setuptools writes for an editable install."""
    tree = ast.parse(finder.read_bytes())
    for node in tree.body:
        target = node.target if isinstance(node, ast.AnnAssign) else None
        if isinstance(target, ast.Name) and isinstance(node, ast.AnnAssign) and node.value is not None:
            if target.id == "MAPPING":
                yield from ast.literal_eval(node.value).values()
            elif target.id == "NAMESPACES":
                yield from (path for paths in ast.literal_eval(node.value).values() for path in paths)


def _below(path: str, roots: Iterable[str]) -> bool:
    return any(path == root or path.startswith(root.rstrip("/") + "/") for root in roots)


def _git_files(folder: str) -> set[str] | None:
    """What git does not ignore, and what it ignores but Python imports; ``None`` outside a checkout.

    Generated ``_version.py`` files and extension modules built in place are ignored by git as a rule.
    """
    kept = _git(folder, "-co")
    ignored = _git(folder, "-oi", "--directory")
    if not kept or ignored is None:
        return None
    files = {path for path in kept if not posixpath.isdir(posixpath.join(folder, path))}
    folders = {posixpath.dirname(path) for path in files}
    built = (path for path in ignored if path.endswith((".py", ".so")))
    return files | {path for path in built if posixpath.dirname(path) in folders}


def _git(folder: str, *options: str) -> list[str] | None:
    words = ["git", "-C", folder, "ls-files", "-z", "--exclude-standard", *options]
    done = process.run(words, timeout=GIT_TIME)
    return [path for path in done.stdout.split("\0") if path] if done.ok else None


def _skip(folder: str) -> dict[str, str]:
    marks = ("pyvenv.cfg", "conda-meta")
    found = (
        mark
        for name in marks
        for mark in (*Path(folder).glob(f"*/{name}"), *Path(folder).glob(f"*/*/{name}"))
    )
    return {**SKIP, **{posixpath.relpath(mark.parent, folder): "an environment" for mark in found}}
