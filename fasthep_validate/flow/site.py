"""The site profile of a workflow: the profile of a site, with the workflow's ``execution:`` block laid over it."""

from __future__ import annotations

import pathlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from fasthep_validate.modifiers import parameter_problem, registered
from fasthep_validate.profiles import load_site
from fasthep_validate.yaml_lines import Document

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from hepflow.model.plan import ExecutionPlan

    from fasthep_validate.models.profile import SiteProfile
    from fasthep_validate.profiles import Overrides
    from fasthep_validate.yaml_lines import Path

# Sites whose profile stands for a strategy when a workflow names none.
BASES = {"default": "local", "local": "local", "htcondor": "htcondor", "slurm": "slurm"}
MODIFIERS = ("execution", "modifiers")
# Kept when the workflow says so; fasthep-flow fills the block with them when it does not.
PACKED = ("packed-venv", "packed-pixi")
DEFAULTS: dict[str, Any] = {
    "strategy": "default",
    "profiles": [],
    "resources": {},
    "pools": {},
    "environment": {},
    "config": {},
}


def site_of(
    execution: dict[str, Any],
    *,
    site: str = "",
    overrides: Overrides | None = None,
    modifiers: Sequence[object] | None = (),
    stages: Sequence[StageModifier] = (),
) -> SiteProfile:
    """The profile that a workflow runs with.

    Args:
        execution: the block as fasthep-flow resolved it.
        site: profile to lay it over; without it ``execution.config.site``, else the generic profile of
            the strategy.
        overrides: changes for this run; they go last.
        modifiers: execution modifiers for all stages; ``None`` for those of the profile.
        stages: modifiers that single stages use; their sources have to travel as well.

    Raises:
        ConfigError: with every mistake.
    """
    block = {key: value for key, value in execution.items() if value != DEFAULTS.get(key)}
    config = dict(block.pop("config", None) or {})
    named = site or config.pop("site", None) or BASES.get(execution.get("strategy", "default"), "local")
    config.pop("site", None)
    # fasthep-flow says `shared` where nobody said anything; a site's own word goes before that.
    staging = dict(block.pop("staging", None) or {})
    if staging.get("mode") == "shared":
        staging.pop("mode")
    block |= {key: value for key, value in (("config", config), ("staging", staging)) if value}
    block["pools"] = {name: _without_none(pool) for name, pool in (block.get("pools") or {}).items()}
    if (block.get("environment") or {}).get("type") in PACKED:
        block.setdefault("staging", {}).setdefault("mode", "transfer")
    block = _without_none(block)
    single: list[StageModifier] = []
    if modifiers is not None:
        wide = [item["name"] if isinstance(item, dict) else item for item in modifiers]
        first = {item.name: item for item in reversed(stages) if item.name not in wide}
        single = [item for item in stages if first.get(item.name) is item]
        block["modifiers"] = [*modifiers, *({"name": item.name, "params": item.params} for item in single)]
    value = {"execution": block}
    places: dict[Path, str] = dict.fromkeys(_paths(value), "workflow")
    for index, item in enumerate(single, start=len(modifiers or ())):
        places |= dict.fromkeys(_paths(item.params, (*MODIFIERS, index, "params")), f"stage {item.stage}")
        places[*MODIFIERS, index] = f"stage {item.stage}"
    profile = load_site(
        str(named),
        overrides=overrides,
        builtin=registered(),
        parameter_problem=parameter_problem,
        over=Document(value, places),
    )
    if modifiers is None:
        return profile
    kept = profile.execution.modifiers[: len(modifiers)]
    return profile.model_copy(update={"execution": profile.execution.model_copy(update={"modifiers": kept})})


def wide_modifiers(plan: ExecutionPlan) -> list[object]:
    """Modifiers that the workflow's own ``execution:`` block has for all stages.

    FAST-HEP documents them, but fasthep-flow 2026.10.1 drops them, so they are read from the file.
    """
    from hepflow.compiler.includes import load_workflow_with_includes

    path = plan.context.get("workflow_path")
    if not path or not pathlib.Path(path).is_file():
        return []
    block = load_workflow_with_includes(str(path)).doc.get("execution") or {}
    return list(block.get("modifiers") or ())


@dataclass(frozen=True)
class StageModifier:
    """A modifier that a single stage uses.

    Attributes:
        stage: id of the stage.
        name: the modifier.
        params: its parameters there.
        impl: ``module:Class`` of the workflow's own registry; empty if that has none of this name.
    """

    stage: str
    name: str
    params: dict[str, Any]
    impl: str


def stage_modifiers(plan: ExecutionPlan, *, own: bool = False) -> list[StageModifier]:
    """Modifiers that single stages use.

    Args:
        plan: the plan.
        own: those that the workflow's own registry has; else those that it has not.
    """
    known = plan.registry.get("execution_modifiers") or {}
    found = (
        StageModifier(
            str(node.meta.get("stage_id") or node.id),
            modifier["name"],
            dict(modifier.get("params") or {}),
            str((known.get(modifier["name"]) or {}).get("impl") or ""),
        )
        for node in plan.nodes
        for modifier in (node.meta.get("execution") or {}).get("modifiers") or ()
    )
    return [item for item in found if (item.name in known) is own]


def _paths(value: object, path: Path = ()) -> Iterator[Path]:
    """Where every value of nested mappings and lists is."""
    yield path
    if isinstance(value, dict | list):
        for key, item in value.items() if isinstance(value, dict) else enumerate(value):
            yield from _paths(item, (*path, key))


def _without_none(mapping: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in mapping.items() if value not in (None, {})}
