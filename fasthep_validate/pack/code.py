"""Makes the code layer: what changes often, apart from the environment that hardly does.

========================  ==========================================================================
below the layer           what it is
========================  ==========================================================================
``site/``                 distributions installed from local folders, and what editable installs have in
                          the directory of packages
``editable/0/``, ...      the folders that editable installs point to
``paths/``                ``environment.code``
``activation/``,          what is done before Python starts, see :mod:`~fasthep_validate.pack.activation`
``project/``
``paths.txt``             directories with ``environment.code`` for ``sys.path``
========================  ==========================================================================
"""

from __future__ import annotations

import posixpath
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from fasthep_validate.errors import PackError
from fasthep_validate.models.packed import Activation, CodeSource, Relocation
from fasthep_validate.pack import activation, editable, git, local
from fasthep_validate.pack.bytecode import cached_name
from fasthep_validate.pack.layout import longest_first
from fasthep_validate.pack.tree import Entry, Part, collect, locate

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from fasthep_validate.models.execution import EnvironmentSpec
    from fasthep_validate.pack import pixi
    from fasthep_validate.pack.layout import Layout

VARIABLE = "FASTHEP_VALIDATE_CODE"
SITE, PATHS, ON_PATH = "site", "paths", "paths.txt"
LISTED = 5  # files that the error about the size names


@dataclass
class Layer:
    """What goes into the code layer.

    Attributes:
        entries: files and links by their name in the layer.
        texts: files that are made here, by their name in the layer.
        sources: where it all came from.
        activation: what is done before Python starts.
        moved: names in the base of what is here instead.
    """

    entries: dict[str, Entry] = field(default_factory=dict)
    texts: dict[str, str] = field(default_factory=dict)
    sources: list[CodeSource] = field(default_factory=list)
    activation: Activation = field(default_factory=Activation)
    moved: set[str] = field(default_factory=set)

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing in it."""
        return not self.entries and not self.texts

    @property
    def size(self) -> int:
        """Bytes of all files."""
        return sum(entry.size for entry in self.entries.values()) + sum(map(len, self.texts.values()))


def lay_out(
    spec: EnvironmentSpec, layout: Layout | None, prefix: Path, manifest: pixi.Activation | None = None
) -> Layer:
    """The layer of an environment; it has no entries and no texts when nothing belongs there.

    Args:
        spec: the environment.
        layout: it, as it is packed; ``None`` for one that is used in place.
        prefix: where it is installed.
        manifest: what Pixi's manifest says of its activation.

    Raises:
        PackError: something that is named is not there, or it is too much.
    """
    layer = Layer()
    if layout:
        _add_installed(layer, layout)
    _add_paths(layer, spec.code)
    layer.activation = activation.add(layer, prefix, manifest)
    if layer.is_empty:
        return layer
    layer.texts[ON_PATH] = "".join(f"{path}\n" for path in _on_path(spec.code))
    _require_small(layer, spec.code_limit)
    return layer


def modules(paths: Iterable[str]) -> set[str]:
    """Top-level modules that entries of ``environment.code`` make importable."""
    return {name for path in map(Path, paths) for name in _modules(path)}


def _modules(path: Path) -> Iterator[str]:
    yield path.name.removesuffix(".py")
    if path.is_dir() and not (path / "__init__.py").exists():
        yield from (file.stem for file in path.glob("*.py"))
        yield from (file.parent.name for file in path.glob("*/__init__.py"))


# ---- what is installed ----------------------------------------------------------------------------


def _add_installed(layer: Layer, layout: Layout) -> None:
    python = layout.interpreter
    inside = [item.old for item in layout.relocations]
    found = editable.find(python.site_packages, inside)
    pairs = [editable.part(item, f"editable/{number}") for number, item in enumerate(found)]
    relocations = longest_first(relocation for _, relocation in pairs)
    layer.entries |= collect([part for part, _ in pairs], relocations, {}).entries
    for file in sorted(editable.files(python.site_packages, inside)):
        layer.texts[f"{SITE}/{file.name}"] = _moved_text(file, relocations, python.prefix)
        _leave_out(layer, layout, file)
    named = [item.path for item in found]
    for item in local.find(python.site_packages):
        named = [path for path in named if not editable.below(path, [item.path])]
        kind: Literal["editable", "local"] = "editable" if item.editable else "local"
        layer.sources.append(_source(kind, item.name, item.path))
        for file in (item.site / name for name in item.files):
            name = f"{SITE}/{file.relative_to(item.site)}"
            layer.entries.setdefault(name, _entry(name, file))
            _leave_out(layer, layout, file)
    layer.sources += [_source("editable", posixpath.basename(path), path) for path in named]


def _moved_text(file: Path, relocations: Sequence[Relocation], prefix: str) -> str:
    if file.suffix == ".pth":
        return editable.moved_pth(file, relocations, SITE, prefix)
    return editable.moved_finder(file, relocations, VARIABLE)


def _leave_out(layer: Layer, layout: Layout, file: Path) -> None:
    name = locate(posixpath.join(posixpath.realpath(file.parent), file.name), layout.relocations)
    if name is not None:
        layer.moved |= {name, cached_name(name, layout.interpreter.cache_tag)}


def _entry(name: str, file: Path) -> Entry:
    status = file.stat()
    return Entry(name, str(file), status.st_size, status.st_mtime_ns)


def _source(kind: Literal["editable", "local", "path"], name: str, path: str) -> CodeSource:
    return CodeSource(kind=kind, name=name, path=path, git=git.state(path))


# ---- environment.code -----------------------------------------------------------------------------


def _add_paths(layer: Layer, paths: Sequence[str]) -> None:
    names: dict[str, str] = {}
    for path in paths:
        name = posixpath.basename(path)
        if name in names:
            raise PackError(
                f"environment.code: {names[name]} and {path} have the same name. Rename one of them."
            )
        names[name] = path
        layer.entries |= collect([_part(path)], [Relocation(old=path, new=f"{PATHS}/{name}")], {}).entries
        layer.sources.append(_source("path", name, path))


def _part(path: str) -> Part:
    folder, name = posixpath.split(path)
    if posixpath.isfile(path):
        return Part(folder, PATHS, only=(name,))
    if not posixpath.isdir(path):
        raise PackError(f"environment.code: {path} does not exist. Name a folder or file beside the profile.")
    return editable.folder_part(path, f"{PATHS}/{name}", built=False)


def _on_path(paths: Sequence[str]) -> Iterator[str]:
    """Where modules are imported from: a folder's own modules by their name and with the folder's."""
    if paths:
        yield PATHS
    for path in map(Path, paths):
        if path.is_dir() and not (path / "__init__.py").exists():
            yield f"{PATHS}/{path.name}"


def _require_small(layer: Layer, limit: int) -> None:
    if layer.size <= limit:
        return
    biggest = sorted(layer.entries.values(), key=lambda entry: -entry.size)[:LISTED]
    names = ", ".join(f"{entry.source} ({entry.size / 1e6:.1f} MB)" for entry in biggest)
    raise PackError(
        f"environment.code: editable installs and code have {layer.size / 1e6:.1f} MB in {len(layer.entries)} "
        f"files, more than environment.code_limit, {limit / 1e6:.0f} MB. The biggest are {names}. "
        "Have git ignore what does not belong there, or raise environment.code_limit."
    )
