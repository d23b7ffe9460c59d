"""One partition of a FAST-HEP plan, on a worker.

It travels by value: the worker needs fasthep-flow, but no package of ours. What comes back is plain, or of
fasthep-flow's own types.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import sys
import tempfile
import types
from dataclasses import fields, is_dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypedDict

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from hepflow.model.plan import ExecutionPartition, ExecutionPlan


class Work(TypedDict):
    """What all partitions of a run have in common.

    Attributes:
        plan: the compiled workflow.
        context: what fasthep-flow tells every node, without what only this machine has.
        values: products that were made before the first partition.
        outdir: the build directory on the submit host, as it appears in what the partitions make.
        places: files of the plan that every worker sees, path in the plan -> absolute path.
        modules: modules that execution modifiers need, name -> text.
    """

    plan: ExecutionPlan
    context: dict[str, Any]
    values: dict[tuple[str, str], Any]
    outdir: str
    places: dict[str, str]
    modules: dict[str, str]


class Outcome(TypedDict):
    """What a partition made.

    Attributes:
        products: what crosses the boundary of the partition, as ``BoundaryProduct``.
        files: what it wrote, path below the build directory -> content.
        warnings: of fasthep-flow.
        hooks: which hooks ran, as ``HookManager.usage_summary`` has it.
        operations: provenance records of what was done.
        resources: provenance records of what was read.
        modifiers: what execution modifiers recorded.
        worker: name of the worker.
    """

    products: list[Any]
    files: dict[str, bytes]
    warnings: list[dict[str, Any]]
    hooks: dict[str, Any]
    operations: list[dict[str, Any]]
    resources: dict[str, Any]
    modifiers: dict[str, Any]
    worker: str


def run(work: Work, partition: ExecutionPartition | None, inputs: Mapping[str, bytes]) -> Outcome:
    """Run a partition in a directory of its own, and bring home what it made.

    Args:
        work: what all partitions share.
        partition: the partition; ``None`` for a plan without partitions, which is run as a whole.
        inputs: files that travelled, path in the plan -> content.
    """
    from distributed import get_worker

    worker = get_worker()
    home = Path(worker.local_directory)
    scratch = Path(tempfile.mkdtemp(prefix="partition-", dir=home))
    try:
        _install(work["modules"])
        brought = {path: _placed(home / "inputs", path, data) for path, data in inputs.items()}
        outcome = _execute(work, partition, {**work["places"], **brought}, scratch)
        outcome["worker"] = str(worker.name)
        return outcome
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def _execute(
    work: Work, partition: ExecutionPartition | None, places: Mapping[str, str], scratch: Path
) -> Outcome:
    from hepflow.runtime.engine import build_partition_context, execute_plan_partition
    from hepflow.runtime.hooks.manager import HookManager
    from hepflow.runtime.provenance import ensure_runtime_provenance

    plan = _at_home(work["plan"], places)
    context = translated(work["context"], places) | {"outdir": str(scratch), "_warnings": []}
    context["build_paths"] = replace(context["build_paths"], root=scratch)
    context["execution_modifier_metadata"] = {}
    if partition is not None:
        partition = replace(partition, file=places.get(partition.file, partition.file))
        context = build_partition_context(plan, base_ctx=context, partition=partition)
    recorder = ensure_runtime_provenance(context)
    hooks = HookManager.from_plan(plan)
    store = execute_plan_partition(
        plan, ctx=context, registry_cfg=plan.registry, initial_values=work["values"], hook_manager=hooks
    )
    products = _products(plan, store, partition, context)
    back = {str(scratch): work["outdir"], **{there: here for here, there in places.items()}}
    return Outcome(
        products=[translated(product, back) for product in products],
        files=_written(scratch),
        warnings=translated(context["_warnings"], back),
        hooks=translated(hooks.usage_summary(), back),
        operations=translated(recorder.operation_records(), back),
        resources=translated(recorder.serialise_resources(), back),
        modifiers=translated(context["execution_modifier_metadata"], back),
        worker="",
    )


def _products(
    plan: ExecutionPlan,
    store: dict[tuple[str, str], Any],
    partition: ExecutionPartition | None,
    context: dict[str, Any],
) -> list[Any]:
    from hepflow.registry.loaders import runtime_registry_from_config
    from hepflow.runtime.boundary import extract_boundary_products, plan_partition_boundary

    registry = runtime_registry_from_config(plan.registry)
    return extract_boundary_products(
        plan,
        store,
        partition=partition,
        boundary=plan_partition_boundary(plan, runtime_registry=registry),
        runtime_registry=registry,
        ctx=context,
    )


def _at_home(plan: ExecutionPlan, places: Mapping[str, str]) -> ExecutionPlan:
    """The plan with the paths of this worker for files that travelled."""
    if not places:
        return plan
    nodes = [replace(node, params=translated(node.params, places)) for node in plan.nodes]
    index = {node.id: node for node in nodes}
    execution = translated(plan.execution, places)
    return replace(plan, nodes=nodes, node_index=index, execution=execution)


def translated(value: Any, paths: Mapping[str, str]) -> Any:
    """A value with paths replaced: text that is one of ``paths``, or begins with one and a slash."""
    if isinstance(value, str):
        return _translated_text(value, paths)
    if isinstance(value, dict):
        return {key: translated(item, paths) for key, item in value.items()}
    if type(value) in (list, tuple, set):
        return type(value)(translated(item, paths) for item in value)
    if is_dataclass(value) and not isinstance(value, type) and type(value).__module__.startswith("hepflow."):
        for field in fields(value):
            object.__setattr__(value, field.name, translated(getattr(value, field.name), paths))
    return value


def _translated_text(text: str, paths: Mapping[str, str]) -> str:
    if text in paths:
        return paths[text]
    for old, new in paths.items():
        if text.startswith(f"{old}/"):
            return new + text[len(old) :]
    return text


def _placed(folder: Path, path: str, data: bytes) -> str:
    """The file of a worker for an input that travelled, written once; its name keeps its suffix."""
    file = folder / hashlib.sha256(path.encode()).hexdigest()[:16] / Path(path).name
    if not file.exists():
        file.parent.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(dir=file.parent)
        with os.fdopen(handle, "wb") as stream:
            stream.write(data)
        Path(temporary).replace(file)
    return str(file)


def _written(folder: Path) -> dict[str, bytes]:
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


def _install(modules: Mapping[str, str]) -> None:
    """Make modules importable that travelled as text."""
    for name, text in modules.items():
        if name not in sys.modules:
            module = types.ModuleType(name)
            sys.modules[name] = module
            exec(compile(text, f"<{name}>", "exec"), module.__dict__)  # noqa: S102 - the user's own modifier


def versions() -> dict[str, str]:
    """FAST-HEP's distributions in this process, with their versions."""
    from importlib.metadata import distributions

    names = {dist.metadata["Name"].lower().replace("_", "-"): dist.version for dist in distributions()}
    return {name: version for name, version in names.items() if name.startswith("fasthep-")}


def sizes(paths: Sequence[str]) -> dict[str, int | None]:
    """Bytes of these files on this machine, ``None`` where there is none."""
    return {path: Path(path).stat().st_size if Path(path).is_file() else None for path in paths}
