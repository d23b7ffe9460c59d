"""Packs the environment that the workers get, or describes the one that they share."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING, Protocol

from fasthep_validate.pack import conda, shared, venv
from fasthep_validate.pack.build import Job, build_pack
from fasthep_validate.pack.cache import Cache, Damaged
from fasthep_validate.pack.interpreter import examine, is_conda, require_modules, resolve_prefix
from fasthep_validate.pack.key import content_key
from fasthep_validate.pack.layout import Layout, with_editables
from fasthep_validate.pack.tree import collect

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from fasthep_validate.models.execution import EnvironmentSpec
    from fasthep_validate.models.packed import PackedEnv
    from fasthep_validate.pack.interpreter import Interpreter

__all__ = ["PACKERS", "Packer", "pack", "resolve_prefix"]

OF_WORKER = ("dask", "distributed")


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
    prefix = resolve_prefix(spec.prefix)
    python = examine(prefix, tuple(dict.fromkeys((*OF_WORKER, *spec.required_imports))))
    if spec.type == "shared-prefix":
        require_modules(python)
        return shared.describe(prefix, python)
    kind = "packed-pixi" if is_conda(prefix) else spec.type
    layout = PACKERS[kind](prefix, python)
    require_modules(python)
    packed = _cached(with_editables(layout), spec, Cache(cache), say)
    notes = (*packed.notes, *_advice())
    return packed.model_copy(update={"seconds": time.monotonic() - started, "notes": notes})


def _advice() -> tuple[str, ...]:
    path = os.environ.get("PYTHONPATH")
    return (f"PYTHONPATH is set here ({path}), and what it names does not travel",) if path else ()


def _cached(layout: Layout, spec: EnvironmentSpec, cache: Cache, say: Callable[[str], None]) -> PackedEnv:
    tree = collect(layout.parts, layout.relocations, layout.links)
    key = content_key(tree, layout, spec)
    notes: tuple[str, ...] = ()
    with cache.lock(key, say):
        try:
            found = cache.load(key)
        except Damaged as error:
            found = None
            notes = (f"the pack in the cache was damaged and has been made anew: {error}",)
        if found:
            return found.model_copy(update={"cached": True})
        with cache.workplace(key) as work:
            packed = build_pack(Job(layout, tree, key, work), say)
            return cache.store(work, packed.model_copy(update={"notes": (*packed.notes, *notes)}))
