"""The evidence of a worker against the rules."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cached_property
from itertools import chain
from typing import TYPE_CHECKING

from fasthep_validate.causes.catalogue import CATALOGUE
from fasthep_validate.causes.outside import UNKNOWN
from fasthep_validate.causes.rules import RULES
from fasthep_validate.models.event import PHASES
from fasthep_validate.models.report import Cause

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fasthep_validate.causes.rules import Rule
    from fasthep_validate.models.event import Event, Phase
    from fasthep_validate.models.evidence import WorkerEvidence

MAX_QUOTES = 5
"""Lines that are quoted of each kind of evidence."""

_GONE = {"exited", "held", "removed", "lost"}
_START: tuple[Phase, ...] = PHASES[: PHASES.index("exited")]


def explain(worker: WorkerEvidence) -> Cause | None:
    """Why a worker failed, or ``None`` if it did not.

    A worker failed if it never registered, if its first task failed, or if its job ended badly after
    that. Where no rule applies the cause says that it is not known and quotes the end of the log.
    """
    phase = stopped_in(worker)
    if phase is None:
        return None
    case = _Case(worker, phase)
    shown = ((rule.entry, case.shown_by(rule)) for rule in RULES)
    entry, quotes = next(((entry, quotes) for entry, quotes in shown if quotes), (UNKNOWN, case.last_words))
    cause = CATALOGUE[entry]
    evidence = tuple(dict.fromkeys(quotes))
    return Cause(
        id=cause.id, title=cause.title, phase=phase, evidence=evidence, remedy=cause.remedy, who=cause.who
    )


def stopped_in(worker: WorkerEvidence) -> Phase | None:
    """The first phase that did not complete; ``None`` if the worker is, or was, of use.

    ``exited`` if the start was complete and the job ended badly later.
    """
    last = {event.phase: event for event in worker.events}
    done = _registered(worker, last)
    for phase in _START:
        if phase in last and _unfinished(last[phase], done):
            return phase
    if done:
        return "exited" if worker.job.state in {"exited", "lost"} and worker.job.exit_code != 0 else None
    return _next_phase(worker, last)


def _registered(worker: WorkerEvidence, last: dict[Phase, Event]) -> bool:
    return worker.dask is not None or ("registered" in last and last["registered"].state == "end")


def _unfinished(event: Event, done: bool) -> bool:
    """Whether a phase failed or hangs; a worker that registered left the earlier ones behind."""
    return event.state == "fail" or (event.state == "start" and (event.phase == "first_task" or not done))


def _next_phase(worker: WorkerEvidence, last: dict[Phase, Event]) -> Phase:
    """The phase after the last one that was seen; a job that ran was matched, whether or not anybody said so."""
    seen = [PHASES.index(phase) for phase in _START if phase in last]
    if worker.job.state in {"running", "exited"}:
        seen.append(PHASES.index("matched"))
    return PHASES[min(max(seen, default=-1) + 1, PHASES.index("registered"))]


@dataclass(frozen=True)
class _Case:
    """What is known of a failed worker, in the form in which the rules ask for it.

    Every method gives the lines that show it, none if it does not hold.
    """

    worker: WorkerEvidence
    phase: Phase

    def shown_by(self, rule: Rule) -> tuple[str, ...]:
        """Lines that show that a rule applies; none if one of its criteria does not hold."""
        asked = (
            (rule.codes, self._coded(rule.codes)),
            (rule.pattern, self._said(rule.pattern)),
            (rule.exits, self._job if self.worker.job.exit_code in rule.exits else ()),
            (rule.states, self._job if self.worker.job.state in rule.states else ()),
            (rule.phases, self._stop if self.phase in rule.phases else ()),
            (rule.silent, self._silence),
            (rule.unheard, () if self._heard else ("no event of the job script came back",)),
        )
        shown = [quotes for criterion, quotes in asked if criterion]
        return tuple(chain(*shown)) if all(shown) else ()

    @property
    def last_words(self) -> tuple[str, ...]:
        """What to show of a failure that no rule knows: where it stopped, and the end of the right log."""
        log = next(
            (
                log
                for kind in ("err", "out", "log")
                for log in self.worker.logs
                if log.kind == kind and log.tail
            ),
            None,
        )
        tail = (
            tuple(f"{log.path}: {line}" for line in log.tail[-MAX_QUOTES:]) if log else ("no log came back",)
        )
        return (*self._stop, *self._job, *tail)

    @property
    def _heard(self) -> bool:
        return any(event.source == "worker" for event in self.worker.events)

    @cached_property
    def _events(self) -> tuple[Event, ...]:
        """Events of the phase in which it stopped, and of its end."""
        wanted = {self.phase, "exited"}
        return tuple(event for event in self.worker.events if event.phase in wanted)

    @property
    def _stop(self) -> tuple[str, ...]:
        events = [event for event in self._events if event.phase == self.phase]
        return (_told(events[-1]),) if events else (f"phase {self.phase}: never began",)

    @property
    def _job(self) -> tuple[str, ...]:
        job = self.worker.job
        code = f" with code {job.exit_code}" if job.exit_code is not None else ""
        reason = f" ({job.reason})" if job.reason else ""
        end = (_told(event) for event in self._events if event.phase == "exited" and event.state == "fail")
        return (f"job {job.job_id or '(none)'}: {job.state}{code}{reason}", *end)

    @property
    def _silence(self) -> tuple[str, ...]:
        if self.worker.job.state not in _GONE or any(event.phase == "exited" for event in self.worker.events):
            return ()
        return (*self._job, "the job script did not report its end")

    def _coded(self, codes: frozenset[str]) -> tuple[str, ...]:
        return tuple(_told(event) for event in self._events if event.state == "fail" and event.code in codes)

    def _said(self, pattern: str) -> tuple[str, ...]:
        if not pattern:
            return ()
        wanted = re.compile(pattern)
        return tuple(f"{where}: {line}" for where, line in self._lines if wanted.search(line))[:MAX_QUOTES]

    @cached_property
    def _lines(self) -> tuple[tuple[str, str], ...]:
        """All that was written about the failure, with where it stands."""
        return tuple(chain(self._of_events(), self._of_logs()))

    def _of_events(self) -> Iterator[tuple[str, str]]:
        yield from ((f"phase {event.phase}", event.detail) for event in self._events if event.state == "fail")
        yield f"job {self.worker.job.job_id}", self.worker.job.reason

    def _of_logs(self) -> Iterator[tuple[str, str]]:
        yield from ((log.path, line) for log in self.worker.logs for line in log.tail)


def _told(event: Event) -> str:
    """An event in words, such as ``phase preflight: failed, port-unreachable: no answer``."""
    states = {"start": "begun, not ended", "end": "done", "fail": "failed", "skip": "skipped"}
    code = f", {event.code}" if event.code else ""
    return f"phase {event.phase}: {states[event.state]}{code}" + (f": {event.detail}" if event.detail else "")
