"""The package's own execution modifiers; profiles and other packages add theirs.

An entry point in the group ``fasthep_validate.modifiers`` registers a class of an installed package:
its name is the modifier's name, its value ``module:Class``. Such a package has to be in the worker
environment; the modifiers of this package travel to the worker as text instead.
"""

from __future__ import annotations

from importlib.metadata import entry_points
from pathlib import Path
from typing import TYPE_CHECKING

from fasthep_validate.models.execution import ModifierSource

if TYPE_CHECKING:
    from collections.abc import Mapping

GROUP = "fasthep_validate.modifiers"


def registered() -> Mapping[str, ModifierSource]:
    """All modifiers that a profile can name without registering them itself."""
    others = {
        point.name: ModifierSource(name=point.name, impl=point.value) for point in entry_points(group=GROUP)
    }
    return {**others, "fasthep.trace": _shipped("fasthep.trace", "trace", "Trace")}


def _shipped(name: str, module: str, class_name: str) -> ModifierSource:
    text = (Path(__file__).parent / f"{module}.py").read_text(encoding="utf-8")
    return ModifierSource(name=name, impl=f"fasthep_validate_{module}:{class_name}", source=text)
