"""How long each phase of a worker's start took."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fasthep_validate.models.event import PHASES, Event, Phase, PhaseTime
from fasthep_validate.models.report import WorkerSummary

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from fasthep_validate.models.evidence import WorkerEvidence


def phase_times(events: Iterable[Event]) -> tuple[PhaseTime, ...]:
    """One entry for each phase that was seen, in the order of the phases.

    The submit host and the worker have different clocks: a duration is the difference of two times of
    the *same* source. Where a phase began on one machine and ended on the other, its duration is
    ``None`` although its outcome is known. A phase that was only noted as done took no time.
    """
    seen: dict[Phase, list[Event]] = {}
    for event in events:
        seen.setdefault(event.phase, []).append(event)
    return tuple(_phase_time(seen[phase]) for phase in PHASES if phase in seen)


def summarise(worker: WorkerEvidence) -> WorkerSummary:
    """A worker as the report shows it."""
    return WorkerSummary(
        worker=worker.worker,
        pool=worker.pool,
        node=_node(worker),
        state=worker.job.state,
        registered=registered(worker),
        phases=phase_times(worker.events),
    )


def registered(worker: WorkerEvidence) -> bool:
    """Whether the worker reached the scheduler."""
    return worker.dask is not None or any(
        event.phase == "registered" and event.state == "end" for event in worker.events
    )


def _phase_time(events: Sequence[Event]) -> PhaseTime:
    """Of the events of one phase: from the first start to the last word about it."""
    last = events[-1]
    start = next((event for event in events if event.state == "start"), last)
    ended = last.state != "start" and last.source == start.source
    # A clock that is set back during a phase must not give a negative duration.
    seconds = max(0.0, round(last.time - start.time, 3)) if ended else None
    return PhaseTime(phase=last.phase, start=start.time, seconds=seconds, outcome=last.state)


def _node(worker: WorkerEvidence) -> str:
    host = worker.probe.host.hostname if worker.probe and worker.probe.host else ""
    return worker.job.node or host or (worker.dask.hostname if worker.dask else "")
