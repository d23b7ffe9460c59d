"""From what the partitions made to FAST-HEP's products, in the order in which its local backend makes them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from hepflow.registry.loaders import runtime_registry_from_config
from hepflow.runtime.boundary import PartitionBoundaryResult, PartitionExecutionSummary, ProductAccumulator
from hepflow.runtime.engine import (
    _register_product_bindings,
    build_dataset_context,
    execute_dataset_sinks,
    execute_final_nodes,
)
from hepflow.runtime.materialize import materialize_final_products
from hepflow.runtime.writer_manifests import write_writer_manifests

if TYPE_CHECKING:
    from hepflow.model.plan import ExecutionPartition, ExecutionPlan
    from hepflow.runtime.hooks.manager import HookManager
    from hepflow.runtime.provenance import ProvenanceRecorder

    from fasthep_validate.flow.partition import Outcome

Store = dict[tuple[str, str], Any]


class Products:
    """Collects the partitions of a run.

    They are added in the order of the plan, whatever the order in which they end: sums of floating point
    numbers then are the same, bit by bit, as those of the local backend.
    """

    def __init__(self, plan: ExecutionPlan) -> None:
        self._plan = plan
        self._registry = runtime_registry_from_config(plan.registry)
        self._datasets: dict[str, ProductAccumulator] = {}
        self._waiting: dict[int, Outcome] = {}
        self._next = 0
        self.summaries: list[dict[str, Any]] = []

    def add(self, index: int, outcome: Outcome) -> None:
        """Take in what partition ``index`` of the plan made."""
        self._waiting[index] = outcome
        while self._next in self._waiting:
            self._take(self._plan.partitions[self._next], self._waiting.pop(self._next))
            self._next += 1

    def _take(self, partition: ExecutionPartition, outcome: Outcome) -> None:
        result = PartitionBoundaryResult(partition=partition, products=outcome["products"])
        if partition.dataset not in self._datasets:
            self._datasets[partition.dataset] = self._accumulator(partition.dataset)
        self._datasets[partition.dataset].add_result(result)
        summary = PartitionExecutionSummary.from_boundary_result(result)
        outputs = [product.to_dict() for product in summary.products]
        self.summaries.append(
            {"partition": partition.to_dict(), "outputs": outputs, "worker": outcome["worker"]}
        )

    def finish(self, context: dict[str, Any], *, hooks: HookManager, provenance: ProvenanceRecorder) -> Store:
        """Merge, run what comes at the end of datasets and of the run, and write the products."""
        stores = [self._dataset(name, context, hooks) for name in self._datasets]
        total = self._accumulator(None)
        for store in stores:
            total.add_value_store(store)
        return finish(self._plan, total.finalize(), context, hooks=hooks, provenance=provenance)

    def _dataset(self, name: str, context: dict[str, Any], hooks: HookManager) -> Store:
        store = self._datasets[name].finalize()
        execute_dataset_sinks(
            self._plan,
            dataset_name=name,
            dataset_value_store=store,
            ctx=build_dataset_context(self._plan, base_ctx=context, dataset_name=name),
            registry_cfg=self._plan.registry,
            hook_manager=hooks,
        )
        return store

    def _accumulator(self, dataset: str | None) -> ProductAccumulator:
        return ProductAccumulator(self._plan, runtime_registry=self._registry, dataset_name=dataset)


def finish(
    plan: ExecutionPlan,
    store: Store,
    context: dict[str, Any],
    *,
    hooks: HookManager,
    provenance: ProvenanceRecorder,
) -> Store:
    """Write the products of a whole run, and run its final nodes."""
    outdir = str(context["outdir"])
    items = materialize_final_products(plan, value_store=store, outdir=outdir, registry_cfg=plan.registry)
    _register_product_bindings(context, items)
    execute_final_nodes(plan, value_store=store, ctx=context, registry_cfg=plan.registry, hook_manager=hooks)
    write_writer_manifests(plan, stores=[store], outdir=outdir, runtime_provenance=provenance)
    hooks.run_end(plan=plan, ctx=context, summary={})
    return store


def forget_manifests(outdir: str) -> None:
    """Remove manifests that products append to: those of a run before must not stay in them."""
    for family in ("histograms", "cutflows"):
        (Path(outdir) / "artifacts" / family / "manifest.json").unlink(missing_ok=True)
