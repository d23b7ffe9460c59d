"""The verdict of each node, where workers were pinned to nodes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fasthep_validate.models.report import NodeSummary

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from fasthep_validate.models.evidence import WorkerEvidence
    from fasthep_validate.models.execution import ExecutionConfig
    from fasthep_validate.models.report import CheckResult, NodeVerdict

OUT_OF_SERVICE = "FHV-batch-011"
_WORST: tuple[NodeVerdict, ...] = ("fail", "out of service", "not tried", "simulated", "known", "pass")


def by_node(
    execution: ExecutionConfig, evidence: Iterable[WorkerEvidence], results: Sequence[CheckResult]
) -> tuple[NodeSummary, ...]:
    """A summary for each node that a worker was pinned to, worst first; none in a run without such workers.

    Args:
        execution: what was started.
        evidence: what is stored of the workers so far.
        results: the checks, with the profile's settings applied.
    """
    stored = {worker.worker: worker for worker in evidence}
    checks: dict[str, list[CheckResult]] = {}
    for result in results:
        checks.setdefault(result.worker, []).append(result)
    nodes = (
        _summary(node, worker, stored.get(worker), checks.get(worker, []))
        for node, worker in _pinned(execution)
    )
    return tuple(sorted(nodes, key=lambda node: _WORST.index(node.verdict)))


def _pinned(execution: ExecutionConfig) -> Iterator[tuple[str, str]]:
    for pool in execution.pools:
        yield from zip(
            (node.name for node in pool.nodes), pool.worker_ids() if pool.nodes else (), strict=True
        )


def _summary(
    node: str, worker: str, evidence: WorkerEvidence | None, results: Sequence[CheckResult]
) -> NodeSummary:
    """The first failure tells why; what it blocks is a consequence."""
    broken = [
        result
        for result in results
        if result.required and (result.outcome == "fail" or _blocked_here(result, worker))
    ]
    unreal = [result for result in results if result.required and result.outcome == "simulated"]
    known = [result for result in results if result.outcome == "known"]
    first = next((result for result in [*broken, *unreal, *known] if result.outcome != "blocked"), None)
    first = first or next(iter(broken), None)
    if evidence is None or not results:
        return NodeSummary(node=node, worker=worker, verdict="not tried", why="the run ended before")
    if first is None:
        return NodeSummary(node=node, worker=worker, verdict="pass")
    cause = first.cause.id if first.cause else ""
    return NodeSummary(
        node=node,
        worker=worker,
        verdict=_verdict(cause, evidence) if broken else "simulated" if unreal else "known",
        check=first.id,
        why=first.message.partition("\n")[0] or first.claim,
        cause=cause,
    )


def _blocked_here(result: CheckResult, worker: str) -> bool:
    """Whether it is blocked by something of this node; what fails on another one does not speak against it."""
    return result.outcome == "blocked" and (
        not result.blocked_by or result.blocked_by.endswith(f"[{worker}]")
    )


def _verdict(cause: str, evidence: WorkerEvidence) -> NodeVerdict:
    if cause == OUT_OF_SERVICE:
        return "out of service"
    ran = any(
        event.source == "worker" or (event.phase == "matched" and event.state != "start")
        for event in evidence.events
    )
    return "fail" if ran or not evidence.job.job_id else "not tried"
