"""Packs the environment that the workers get, or describes the one that they share."""

from __future__ import annotations

import os
import platform
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from fasthep_validate.bundled import worker_file
from fasthep_validate.pack import code, code_archive, code_link, conda, foreign, shared, trial, venv
from fasthep_validate.pack.build import Job, build_pack
from fasthep_validate.pack.cache import Cache, Damaged
from fasthep_validate.pack.interpreter import examine, is_conda, require_modules, resolve_prefix
from fasthep_validate.pack.key import content_key
from fasthep_validate.pack.sources import WAYS
from fasthep_validate.pack.tree import Entry, collect

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from fasthep_validate.models.execution import EnvironmentSpec
    from fasthep_validate.models.packed import ArchiveFormat, CodeLayer, PackedEnv
    from fasthep_validate.pack.interpreter import Interpreter
    from fasthep_validate.pack.layout import Layout

__all__ = ["PACKERS", "Packer", "pack", "resolve_prefix"]

OF_WORKER = ("dask", "distributed")
# What puts the code layer on the path: file of the worker's side -> its name among the packages.
HOOK = {"layer.py": "_fasthep_validate_layer.py", "layer.pth": "_fasthep_validate_layer.pth"}


def quiet(line: str) -> None:
    """Say nothing."""
    del line


class Packer(Protocol):
    """One way of laying out an environment for the pack."""

    def __call__(self, prefix: Path, python: Interpreter) -> Layout:
        """Lay out an environment.

        Raises:
            PackError: it cannot travel.
        """
        ...


PACKERS: dict[str, Packer] = {"packed-venv": venv.layout, "packed-pixi": conda.layout}


def pack(spec: EnvironmentSpec, *, cache: Path, say: Callable[[str], None] = quiet) -> PackedEnv:
    """Make the environment of a profile ready for the workers.

    Args:
        spec: the environment.
        cache: directory that keeps packs by their content.
        say: gets a short line about what is being done.

    Raises:
        PackError: it cannot be packed, or cannot travel.
    """
    started = time.monotonic()
    source = WAYS[spec.mode](spec, cache, say)
    prefix = source.prefix
    python = examine(source.submit, _needed(spec))
    if source.platform:
        python = foreign.describe(prefix, source.platform, _needed(spec), python)
    shares = spec.type == "shared-prefix"
    kind = "packed-pixi" if is_conda(prefix) else spec.type
    layout = None if shares else PACKERS[kind](prefix, python)
    require_modules(python)
    layer = code.lay_out(spec, layout, prefix, source.activation)
    with tempfile.TemporaryDirectory(prefix="fasthep-validate-") as staging:
        if layout:
            code_link.link(layer, layout, Path(staging, "patched"))
        stored = None if layer.is_empty else code_archive.store(layer, cache)
    packed = (
        _cached(layout, layer.moved, stored, spec.archive_format, Cache(cache), say)
        if layout
        else shared.describe(prefix, python)
    )
    return packed.model_copy(
        update={
            "origin": source.origin,
            "code": stored,
            "activation": layer.activation,
            "submit_prefix": str(source.submit),
            "seconds": time.monotonic() - started,
            "notes": (*source.notes, *packed.notes, *_advice()),
        }
    )


def _needed(spec: EnvironmentSpec) -> tuple[str, ...]:
    """Modules that the environment must have; those of ``environment.code`` come beside it."""
    beside = code.modules(spec.code)
    imports = (name for name in spec.required_imports if name.partition(".")[0] not in beside)
    return tuple(dict.fromkeys((*OF_WORKER, *imports)))


def _hook(site_packages: str) -> Iterator[Entry]:
    for source, name in HOOK.items():
        file = worker_file(source)
        status = file.stat()
        yield Entry(f"{site_packages}/{name}", str(file), status.st_size, status.st_mtime_ns)


def _advice() -> tuple[str, ...]:
    path = os.environ.get("PYTHONPATH")
    return (f"PYTHONPATH is set here ({path}), and what it names does not travel",) if path else ()


def _cached(
    layout: Layout,
    elsewhere: set[str],
    layer: CodeLayer | None,
    format: ArchiveFormat | None,
    cache: Cache,
    say: Callable[[str], None],
) -> PackedEnv:
    """The base, packed and tried, or found; ``elsewhere`` are files that travel in the code layer."""
    tree = collect(layout.parts, layout.relocations, layout.links)
    for name in elsewhere:
        tree.entries.pop(name, None)
    tree.entries.update((entry.name, entry) for entry in _hook(layout.site_packages[0]))
    key = content_key(tree, layout, format)
    notes: tuple[str, ...] = ()
    with cache.lock(key, say):
        try:
            found = cache.load(key)
        except Damaged as error:
            found = None
            notes = (f"the pack in the cache was damaged and has been made anew: {error}",)
        if found:
            return found.model_copy(update={"cached": True})
        runs_here = layout.interpreter.machine == platform.machine()
        with cache.workplace(key) as work, ThreadPoolExecutor(1) as beside:
            python = layout.interpreter.executable
            loaded = beside.submit(trial.loaded_with, python, OF_WORKER) if runs_here else None
            packed = build_pack(Job(layout, tree, key, work, format), say)
            if loaded:
                say("trying it")
                left = trial.packages_beside(packed, tree.entries, loaded.result())
                trial.try_out(packed.model_copy(update={"code": layer}), work / "trial", OF_WORKER, left)
            return cache.store(work, packed.model_copy(update={"notes": (*packed.notes, *notes)}))
