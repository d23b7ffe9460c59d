"""The backend ``dask`` for fasthep-flow: pools that start as those that are validated do."""

from __future__ import annotations

import json
import os
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hepflow.backends.model import BackendResult
from hepflow.build_layout import BuildPaths
from hepflow.progress import ProgressReporter
from hepflow.runtime.boundary import boundary_products_to_value_store
from hepflow.runtime.engine import execute_global_side_product_nodes
from hepflow.runtime.hooks.manager import HookManager
from hepflow.runtime.provenance import ensure_runtime_provenance

from fasthep_validate.campaign import open_pools
from fasthep_validate.console import progress as shown
from fasthep_validate.flow.farm import Farm, described, save
from fasthep_validate.flow.partition import Work
from fasthep_validate.flow.products import Products, finish, forget_manifests
from fasthep_validate.flow.site import site_of, stage_modifiers, wide_modifiers

if TYPE_CHECKING:
    from hepflow.model.plan import ExecutionPartition, ExecutionPlan

    from fasthep_validate.flow.partition import Outcome
    from fasthep_validate.models.execution import ExecutionConfig

# Of the context, what is made anew on each worker, or belongs to this process alone.
HERE = ("_warnings", "expr_registry", "runtime_provenance", "_hook_summary", "provenance")


class PoolsBackend:
    """Runs a compiled workflow on the pools of a site.

    Every partition is a task. It runs in a directory of its own on the worker; what it writes there comes
    home with its products, so that no shared filesystem is needed, and the build directory is the same,
    file by file, as that of fasthep-flow's local backend.
    """

    name = "dask"

    def run(
        self,
        plan: ExecutionPlan,
        *,
        ctx: dict[str, Any] | None = None,
        progress: ProgressReporter | None = None,
    ) -> BackendResult:
        """Run a plan; fasthep-flow calls this.

        Raises:
            FasthepValidateError: the pools could not be opened, or a partition failed.
        """
        site = site_of(plan.execution, modifiers=wide_modifiers(plan), stages=stage_modifiers(plan))
        reporter = progress or ProgressReporter(plan.partitions)
        run = _Run(_with_modifiers(plan, site.execution), dict(ctx or {}), reporter)
        paths = BuildPaths.from_ctx(run.context)
        try:
            reporter.run_started(detail={"backend": self.name, "strategy": site.execution.strategy})
            reporter.phase_started("executing")
            colour = not os.environ.get("NO_COLOR") and sys.stderr.isatty()
            with (
                shown(colour=colour) as show,
                open_pools(site, outdir=paths.execution_dir("dask"), progress=show) as pools,
            ):
                farm = Farm(pools, run.plan)
                if farm.placement.note:
                    show.step(farm.placement.note)
                run.farm_out(farm, site.execution)
            reporter.phase_completed("executing")
            reporter.phase_started("finalizing")
            store = run.finish()
            reporter.phase_completed("finalizing")
            reporter.run_completed()
        except BaseException as error:
            reporter.run_failed(error)
            raise
        finally:
            run.warnings.extend({"kind": "progress_sink", **warning} for warning in reporter.close())
        return BackendResult(
            backend=self.name,
            strategy=site.execution.strategy,
            success=True,
            outputs={"value_store": store},
            summary=run.summary() | {"pools": {pool.name: pool.workers for pool in site.execution.pools}},
        )


class _Run:
    """One run of a plan."""

    def __init__(self, plan: ExecutionPlan, ctx: dict[str, Any], reporter: ProgressReporter) -> None:
        self.plan = plan
        self.reporter = reporter
        self.warnings: list[dict[str, Any]] = []
        self.context = {**plan.context, **ctx, **(plan.context.get("globals") or {})}
        self.context["_warnings"] = self.warnings
        for name in ("runtime_resources", "resolved_resources"):
            self.context.setdefault(name, {})
        self.context.setdefault("resources", self.context["resolved_resources"])
        self.context.setdefault("dataset_names", list(self.context.get("datasets") or {}))
        self.context.setdefault("outdir", str(Path.cwd()))
        self.context.setdefault("build_paths", BuildPaths.from_ctx(self.context))
        self.provenance = ensure_runtime_provenance(self.context)
        self.hooks = HookManager.from_plan(plan)
        self.hook_summaries: list[dict[str, Any]] = []
        self.modifiers: dict[str, dict[str, Any]] = {}
        self.products = Products(plan)
        self.whole: dict[tuple[str, str], Any] | None = None
        self.placement: dict[str, Any] = {}

    def farm_out(self, farm: Farm, execution: ExecutionConfig) -> None:
        """Run all partitions on the workers."""
        outdir = str(self.context["outdir"])
        forget_manifests(outdir)
        self.placement = described(farm.placement)
        values = execute_global_side_product_nodes(
            self.plan, ctx=self.context, registry_cfg=self.plan.registry, hook_manager=self.hooks
        )
        work = Work(
            plan=self.plan,
            context={key: value for key, value in self.context.items() if key not in HERE},
            values=values,
            outdir=outdir,
            places=dict(farm.inputs.seen),
            modules={
                source.impl.partition(":")[0]: source.source
                for source in execution.modifier_sources
                if source.source is not None
            },
        )
        parts: list[ExecutionPartition | None] = [*self.plan.partitions] or [None]
        for index, outcome in farm.run(work, parts):
            self._take(index, parts[index], outcome)

    def _take(self, index: int, part: ExecutionPartition | None, outcome: Outcome) -> None:
        save(outcome, Path(self.context["outdir"]))
        for operation in outcome["operations"]:
            self.provenance.record_operation_record(operation)
        for name, record in outcome["resources"].items():
            self.provenance.record_resource_record(name, record)
        self.hook_summaries.append(outcome["hooks"])
        for warning in outcome["warnings"]:
            self.warnings.append({**({"partition": part.to_context()} if part else {}), **warning})
        if outcome["modifiers"]:
            self.modifiers[part.id if part else "all"] = outcome["modifiers"]
        if part is None:
            self.whole = boundary_products_to_value_store(outcome["products"])
            return
        self.products.add(index, outcome)
        self.reporter.completed(part.id, detail={"worker": outcome["worker"]})

    def finish(self) -> dict[tuple[str, str], Any]:
        """Merge what the partitions made and write it."""
        if self.modifiers:
            file = BuildPaths.from_ctx(self.context).execution_dir("dask") / "modifiers.json"
            file.write_text(json.dumps(self.modifiers, indent=2, default=str) + "\n", encoding="utf-8")
        if self.whole is not None:
            return finish(self.plan, self.whole, self.context, hooks=self.hooks, provenance=self.provenance)
        return self.products.finish(self.context, hooks=self.hooks, provenance=self.provenance)

    def summary(self) -> dict[str, Any]:
        """What goes to ``run_summary.yaml``."""
        last = self.context.get("_hook_summary") or {"enabled": []}
        return {
            "partitions": self.products.summaries,
            "placement": self.placement,
            "warnings": self.warnings,
            "hooks": _merged([*self.hook_summaries, last]),
            "progress": {"run_id": self.reporter.run_id, "counts": self.reporter.counts.to_dict()},
        }


def _with_modifiers(plan: ExecutionPlan, execution: ExecutionConfig) -> ExecutionPlan:
    """The plan with the modifiers of the whole execution before those of each stage, and all registered.

    A modifier that the workflow's own registry has under a name goes before ours.
    """
    ours = [modifier.model_dump() for modifier in execution.modifiers]
    entries = {source.name: {"impl": source.impl} for source in execution.modifier_sources}
    registered = {**entries, **(plan.registry.get("execution_modifiers") or {})}
    nodes = []
    for node in plan.nodes:
        stage = dict(node.meta.get("execution") or {})
        own = list(stage.get("modifiers") or [])
        names = {modifier["name"] for modifier in own}
        stage["modifiers"] = [*(item for item in ours if item["name"] not in names), *own]
        nodes.append(replace(node, meta={**node.meta, "execution": stage}) if ours else node)
    return replace(
        plan,
        nodes=nodes,
        node_index={node.id: node for node in nodes},
        registry={**plan.registry, "execution_modifiers": registered},
    )


def _merged(summaries: list[dict[str, Any]]) -> dict[str, Any]:
    """Summaries of hooks, one entry a hook, with the calls of all partitions."""
    merged: dict[str, dict[str, Any]] = {}
    for entry in (entry for summary in summaries for entry in summary.get("enabled") or ()):
        key = repr((entry.get("kind"), entry.get("events"), entry.get("source"), entry.get("node")))
        calls = merged[key]["calls"] if key in merged else 0
        merged[key] = {**entry, "calls": calls + int(entry.get("calls") or 0)}
    return {"enabled": list(merged.values())}
