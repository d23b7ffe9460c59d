"""What a workflow needs of a site: compiled by fasthep-flow, and read off its plan."""

from __future__ import annotations

import os
import tempfile
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fasthep_validate.errors import ConfigError, Problem
from fasthep_validate.flow.inputs import LIMIT, local_files, remote_files
from fasthep_validate.flow.placement import Wishes
from fasthep_validate.flow.site import site_of, stage_modifiers, wide_modifiers
from fasthep_validate.models.workflow import WorkflowInput, WorkflowModifier, WorkflowNeeds
from fasthep_validate.models.written import nearest

if TYPE_CHECKING:
    from collections.abc import Iterator

    from hepflow.model.plan import ExecutionPlan

    from fasthep_validate.models.profile import SiteProfile
    from fasthep_validate.overrides import Overrides

SECTIONS = {"source": "sources", "transform": "transforms", "observer": "observers", "sink": "sinks"}


def workflow_site(path: Path, *, site: str = "", overrides: Overrides | None = None) -> SiteProfile:
    """The profile to validate a workflow with: the site's, the workflow's execution block, its needs.

    Args:
        path: the workflow's file.
        site: the site; without it what the workflow says.
        overrides: changes for this run.

    Raises:
        ConfigError: fasthep-flow is not installed, or the workflow cannot be compiled.
    """
    plan = compiled(path)
    wide, single = wide_modifiers(plan), stage_modifiers(plan)
    if single:  # every name must be registered, there or here
        site_of(plan.execution, site=site, modifiers=wide, stages=single)
    profile = site_of(plan.execution, site=site, overrides=overrides, modifiers=wide or None)
    return profile.model_copy(update={"workflow": needs_of(plan, path)})


def compiled(path: Path) -> ExecutionPlan:
    """The plan of a workflow; what compiling writes is thrown away.

    Raises:
        ConfigError: fasthep-flow is not installed, or the workflow cannot be compiled.
    """
    try:
        from hepflow.api import compile_workflow_file, load_plan_file
        from hepflow.build_layout import plan_path
    except ImportError as error:
        hint = "Install it: pip install 'fasthep-validate[fasthep]'."
        raise ConfigError(Problem("--workflow", f"fasthep-flow is not there: {error}", hint)) from None
    if not path.is_file():
        raise ConfigError(Problem("--workflow", f"{path} is not there", "Name the workflow's YAML file."))
    with tempfile.TemporaryDirectory(prefix="fasthep-validate-") as scratch, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            compile_workflow_file(path, outdir=scratch)
            written = plan_path(Path(scratch))
            nominal = Path(scratch) / "compile" / "nominal" / "plan.yaml"
            return load_plan_file(written if written.exists() else nominal)
        except ConfigError:
            raise
        except Exception as error:  # noqa: BLE001 - whatever fasthep-flow says of a workflow is for its author
            words = " ".join(str(error).split()) or type(error).__name__
            raise ConfigError(Problem(str(path), f"fasthep-flow cannot compile it: {words}")) from None


def needs_of(plan: ExecutionPlan, path: Path) -> WorkflowNeeds:
    """What the plan of a workflow needs of workers.

    Raises:
        ConfigError: a stage names an operation that is not registered.
    """
    from fasthep_validate.flow.partition import versions

    unknown = list(_unregistered(plan))
    if unknown:
        raise ConfigError(*unknown)
    wishes = Wishes.of(plan)
    return WorkflowNeeds(
        path=str(path.absolute()),
        partitions=max(1, len(plan.partitions)),
        inputs=tuple(_inputs(plan)),
        implementations=tuple(dict.fromkeys(_implementations(plan))),
        modifiers=tuple(
            WorkflowModifier(stage=item.stage, impl=item.impl, params=item.params)
            for item in stage_modifiers(plan, own=True)
        ),
        require={name: tuple(stages) for name, stages in wishes.require.items()},
        prefer={name: tuple(stages) for name, stages in wishes.prefer.items()},
        fallback={name: tuple(stages) for name, stages in wishes.fallback.items()},
        versions={name: text for name, text in versions().items() if name != "fasthep-validate"},
    )


def _inputs(plan: ExecutionPlan) -> Iterator[WorkflowInput]:
    for name, path in local_files(plan).items():
        size = path.stat().st_size if path.is_file() and os.access(path, os.R_OK) else None
        travels = size is not None and size <= LIMIT
        yield WorkflowInput(name=name, path=str(path), size=size, travels=travels)
    for name in remote_files(plan):
        yield WorkflowInput(name=name, path=name)


def _unregistered(plan: ExecutionPlan) -> Iterator[Problem]:
    """What fasthep-flow would only find out while it runs."""
    for node in plan.nodes:
        where = f"stage {node.meta.get('stage_id') or node.id}"
        known = plan.registry.get(SECTIONS[node.role], {})
        if node.impl not in known:
            yield Problem(where, f"no operation {node.impl!r} is registered", nearest(node.impl, known))


def _implementations(plan: ExecutionPlan) -> Iterator[str]:
    """``module:object`` of all nodes, and of what their products need."""
    for node in plan.nodes:
        yield from _specs(plan.registry.get(SECTIONS[node.role], {}).get(node.impl))
        for kind in node.outputs.values():
            yield from _specs(plan.registry.get("product_handlers", {}).get(kind))


def _specs(entry: Any) -> Iterator[str]:
    for value in entry.values() if isinstance(entry, dict) else ():
        if isinstance(value, str) and ":" in value:
            yield value
