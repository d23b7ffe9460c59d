"""One planned worker: how far its start came, and what was seen of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, NoReturn

from fasthep_validate.models.event import PHASES
from fasthep_validate.outcomes import Blocked
from fasthep_validate.view.dask import DaskView
from fasthep_validate.view.node import Node

if TYPE_CHECKING:
    from fasthep_validate.models.event import Event, Phase
    from fasthep_validate.models.evidence import LogFile, WorkerEvidence
    from fasthep_validate.models.execution import Pool
    from fasthep_validate.models.job import JobState
    from fasthep_validate.models.probe import NodeProbe
    from fasthep_validate.view.run import Run

# The phase in which the job script runs the probe, and the one in which the worker is asked through Dask.
_PROBE_PHASE: Phase = "python"
_DASK_PHASE: Phase = "first_task"

# The last phase that must be over for a job to be in a state at all.
_IMPLIED: dict[JobState, set[Phase]] = {
    "planned": set(),
    "refused": set(),
    "submitted": {"submitted"},
    "lost": {"submitted"},
    "held": {"submitted"},
    "removed": {"submitted"},
    "running": {"matched"},
    "exited": {"matched"},
}


class Worker(Node):
    """One planned worker, whether it came or not.

    Attributes:
        id: planned worker, such as ``default-0``.
        pool: its pool.
        run: the run it belongs to.
        evidence: all that is stored of it, with ``None`` where there is nothing.
    """

    def __init__(self, *, run: Run, pool: Pool, evidence: WorkerEvidence) -> None:
        self.id = evidence.worker
        self.pool = pool
        self.run = run
        self.evidence = evidence

    def __repr__(self) -> str:
        return f"<Worker {self.id}>"

    @property
    def probe(self) -> NodeProbe:
        """What the probe saw on the worker's node, under the packed Python.

        It comes home with the job's files or through Dask; of a worker that was lost later, neither does.
        """
        if self.evidence.probe is None:
            if self.first_failure():
                raise Blocked(by=self.start_check)
            self._missing("probe", "")
        return self.evidence.probe

    @property
    def dask(self) -> DaskView:
        """What was seen of the worker through Dask."""
        if self.evidence.dask is None:
            self.needs(_DASK_PHASE)
            super()._missing("dask", "the running worker was not asked")
        return DaskView(self.evidence.dask, before_missing=lambda: self.needs(_DASK_PHASE))

    def log(self, kind: str) -> LogFile | None:
        """Its ``out``, ``err`` or ``log`` file, if one is known."""
        return next((log for log in self.evidence.logs if log.kind == kind), None)

    def needs(self, phase: Phase) -> None:
        """Block the check if the worker's start failed in ``phase`` or before."""
        failure = self.first_failure()
        if failure and failure[0] in (*PHASES[: PHASES.index(phase) + 1], "exited"):
            raise Blocked(by=self.start_check)

    @property
    def start_check(self) -> str:
        """The check that fails when this worker did not come."""
        return f"worker_start.started[{self.id}]"

    def first_failure(self) -> tuple[Phase, Event | None] | None:
        """First phase that did not complete, with the event that tells of it; ``None`` if all did.

        A phase without events is complete if a later one is, or if the state of the job implies it. A job
        that ended before its worker could be asked has failed in ``exited``.
        """
        *starting, last = PHASES
        passed = self._passed()
        for index, phase in enumerate(starting):
            event = self.last_event(phase)
            if event and event.state == "fail":
                return phase, event
            if index > passed and not (event and event.state in ("end", "skip")):
                return phase, event
        ended = self.evidence.job.state in ("refused", "exited", "held", "removed", "lost")
        return (last, self.last_event(last)) if ended and self.evidence.dask is None else None

    def last_event(self, phase: Phase) -> Event | None:
        """The last word about a phase, if there was any."""
        return next((event for event in reversed(self.evidence.events) if event.phase == phase), None)

    def _passed(self) -> int:
        """Index of the last phase that is known to be over."""
        over = {event.phase for event in self.evidence.events if event.state == "end"} - {"exited"}
        over |= _IMPLIED[self.evidence.job.state]
        dask = self.evidence.dask
        if dask:
            over |= {"first_task"} if dask.first_task and dask.first_task.ok else {"registered"}
        return max((PHASES.index(phase) for phase in over), default=-1)

    def _missing(self, what: str, problem: str) -> NoReturn:
        self.needs(_PROBE_PHASE)
        super()._missing(what, problem)
