"""Execution modifiers: which there are, and how they come around a task.

An entry point in the group ``fasthep_validate.modifiers`` registers a class of an installed package:
its name is the modifier's name, its value ``module:Class``. Such a package has to be in the worker
environment; the modifiers of this package travel to the worker as text instead.
"""

from __future__ import annotations

from importlib import import_module
from importlib.metadata import entry_points
from pathlib import Path
from typing import TYPE_CHECKING

from fasthep_validate.models.execution import ModifierSource
from fasthep_validate.modifiers.around import with_modifiers

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pydantic import JsonValue

__all__ = ["OWN", "parameter_problem", "registered", "with_modifiers"]

GROUP = "fasthep_validate.modifiers"
OWN: Mapping[str, tuple[str, str]] = {
    "cuda.jit": ("cuda_jit", "CudaJit"),
    "fasthep.trace": ("trace", "Trace"),
    "gpu.preload": ("gpu_preload", "GpuPreload"),
}
"""Modifiers of this package: name -> module and class."""


def registered() -> Mapping[str, ModifierSource]:
    """All modifiers that a profile can name without registering them itself."""
    others = {
        point.name: ModifierSource(name=point.name, impl=point.value) for point in entry_points(group=GROUP)
    }
    return {**others, **{name: _shipped(name, *place) for name, place in OWN.items()}}


def parameter_problem(name: str, params: Mapping[str, JsonValue]) -> str:
    """What is wrong with the parameters of a modifier of this package; empty for others, which only a worker has."""
    if name not in OWN:
        return ""
    module, class_name = OWN[name]
    try:
        getattr(import_module(f"{__name__}.{module}"), class_name)(**params)
    except (TypeError, ValueError) as error:
        return str(error).removeprefix(f"{class_name}.__init__() ").removeprefix(f"{class_name}() ")
    return ""


def _shipped(name: str, module: str, class_name: str) -> ModifierSource:
    text = (Path(__file__).parent / f"{module}.py").read_text(encoding="utf-8")
    return ModifierSource(name=name, impl=f"fasthep_validate_{module}:{class_name}", source=text)
