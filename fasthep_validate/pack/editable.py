"""Finds editable installs: directories outside the environment that its Python imports from."""

from __future__ import annotations

import ast
import posixpath
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from fasthep_validate.errors import PackError
from fasthep_validate.models.packed import Relocation
from fasthep_validate.pack import git
from fasthep_validate.pack.tree import Part, locate

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

COMMENTS = ("#", "import ", "import\t")  # lines of a .pth file that name no directory
# Modules that find a package somewhere else: of setuptools, scikit-build-core, hatchling, pdm, meson-python.
FINDERS = "_*editable*.py"
OF_SETUPTOOLS = "__editable__"


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
    found = {item.path: item for item in reversed(outside(site_packages, inside))}
    for item in found.values():
        if not posixpath.isdir(item.path) and not posixpath.isfile(item.path + ".py"):
            raise PackError(
                f"{item.named_in}: names {item.path}, which is not a directory. "
                "Install that package again, or uninstall it."
            )
    paths = sorted(found)
    return [found[path] for path in paths if not below(path, [other for other in paths if other != path])]


def part(item: Editable, target: str) -> tuple[Part, Relocation]:
    """How an editable install ships: what of it, and what its path becomes."""
    if not posixpath.isdir(item.path):
        folder, name = posixpath.split(item.path)
        return Part(folder, target, only=(f"{name}.py",)), Relocation(old=item.path, new=f"{target}/{name}")
    return folder_part(item.path, target, built=True), Relocation(old=item.path, new=target)


def folder_part(path: str, target: str, *, built: bool) -> Part:
    """What ships of a folder of code: what git does not ignore, or all but hidden files and environments."""
    tracked = git.files(path, built=built)
    return Part(path, target, git.skip(path)) if tracked is None else Part(path, target, {}, _sorted(tracked))


def below(path: str, roots: Iterable[str]) -> bool:
    """Whether a path is one of the roots or lies in one."""
    return any(path == root or path.startswith(root.rstrip("/") + "/") for root in roots)


def _sorted(names: Iterable[str]) -> tuple[str, ...]:
    return tuple(sorted(names))


def files(site_packages: Iterable[str], inside: Iterable[str]) -> set[Path]:
    """Files that make the environment import from outside, those that only start a finder included."""
    found = {item.named_in for item in outside(site_packages, inside)}
    return found | {pth for finder in found if finder.suffix == ".py" for pth in _starting(finder)}


def _starting(finder: Path) -> Iterator[Path]:
    for pth in finder.parent.glob("*.pth"):
        if any(line.startswith(COMMENTS) and finder.stem in line for line in pth_lines(pth)):
            yield pth


def outside(site_packages: Iterable[str], inside: Iterable[str]) -> list[Editable]:
    """All that is named outside the environment, as often as it is named."""
    roots = tuple(inside)
    return [item for item in _named(site_packages) if not below(item.path, roots)]


def _named(site_packages: Iterable[str]) -> Iterator[Editable]:
    for folder in map(Path, site_packages):
        for file in sorted(folder.glob("*.pth")):
            yield from (Editable(path, file) for path in pth_paths(file))
        for file in sorted(folder.glob(FINDERS)):
            yield from (Editable(path, file) for path in _finder_paths(file))


# ---- .pth files -----------------------------------------------------------------------------------


def pth_paths(file: Path) -> list[str]:
    """Directories that a ``.pth`` file puts on the path, whether they exist or not."""
    lines = (line.strip() for line in pth_lines(file) if not line.startswith(COMMENTS))
    return [posixpath.normpath(file.parent / line) for line in lines if line]


def pth_lines(file: Path) -> list[str]:
    """The lines of a ``.pth`` file."""
    return file.read_text(encoding="utf-8", errors="surrogateescape").splitlines()


def moved_pth(file: Path, relocations: Sequence[Relocation], home: str, prefix: str) -> str:
    """A ``.pth`` file for another directory.

    Args:
        file: it.
        relocations: where the directories that it names are in the layer.
        home: its new directory in the layer.
        prefix: ``sys.prefix``; directories below it are named from there.
    """
    return "".join(f"{_moved_line(line, file, relocations, home, prefix)}\n" for line in pth_lines(file))


def _moved_line(line: str, file: Path, relocations: Sequence[Relocation], home: str, prefix: str) -> str:
    if line.startswith(COMMENTS) or not line.strip():
        return line
    path = posixpath.normpath(file.parent / line.strip())
    new = locate(path, relocations)
    if new is not None:
        return posixpath.relpath(new, home)
    if below(path, [prefix]):
        tail = posixpath.relpath(path, prefix)
        return f"import os, sys; sys.path.append(os.path.join(sys.prefix, {tail!r}))"
    return f"# {line}"


# ---- finders --------------------------------------------------------------------------------------


def _finder_paths(finder: Path) -> Iterator[str]:
    """Directories, and modules without ``.py``, that a finder names."""
    for path in _strings(_parsed(finder)):
        if posixpath.isdir(path) or posixpath.isfile(f"{path}.py"):
            yield path
        elif posixpath.isfile(path) and path.endswith(".py"):
            folder = posixpath.dirname(path)
            yield folder if posixpath.isfile(f"{folder}/__init__.py") else path.removesuffix(".py")
        elif finder.name.startswith(OF_SETUPTOOLS):
            yield path  # which is gone


def moved_finder(finder: Path, relocations: Sequence[Relocation], variable: str) -> str:
    """A finder with its paths below the directory that an environment variable names."""
    new = _Mover(relocations, variable).visit(_parsed(finder))
    return ast.unparse(ast.fix_missing_locations(new)) + "\n"


class _Mover(ast.NodeTransformer):
    """Puts ``environ[variable] + '/new/path'`` where old paths are."""

    def __init__(self, relocations: Sequence[Relocation], variable: str) -> None:
        self.relocations, self.variable = relocations, variable

    def visit_JoinedStr(self, node: ast.JoinedStr) -> ast.JoinedStr:
        """Leave f-strings alone: their parts have to stay constants."""
        return node

    def visit_Constant(self, node: ast.Constant) -> ast.expr:
        """Replace a path."""
        new = locate(node.value, self.relocations) if isinstance(node.value, str) else None
        if new is None:
            return node
        root = ast.parse(f"__import__('os').environ[{self.variable!r}]", mode="eval").body
        return ast.BinOp(root, ast.Add(), ast.Constant(f"/{new}"))


def _parsed(finder: Path) -> ast.Module:
    try:
        return ast.parse(finder.read_bytes())
    except (SyntaxError, ValueError) as error:
        raise PackError(f"{finder}: is not valid Python ({error}). Install that package again.") from None


def _strings(tree: ast.Module) -> Iterator[str]:
    """Absolute paths among the constants."""
    for node in ast.walk(tree):
        value = node.value if isinstance(node, ast.Constant) else None
        if isinstance(value, str) and posixpath.isabs(value) and value.strip("/") and "\n" not in value:
            yield posixpath.normpath(value)
