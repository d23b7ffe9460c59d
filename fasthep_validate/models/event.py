"""Phases of a worker's start, and the events that tell of them."""

from __future__ import annotations

from typing import Literal

from fasthep_validate.models.base import Model

Phase = Literal[
    "packed",
    "submitted",
    "matched",
    "transferred",
    "preflight",
    "extracted",
    "credentials",
    "python",
    "connected",
    "registered",
    "first_task",
    "exited",
]
PHASES: tuple[Phase, ...] = Phase.__args__  # type: ignore[attr-defined]
EventState = Literal["start", "end", "fail", "skip"]


class Event(Model):
    """A line of the event file.

    Attributes:
        worker: planned worker, such as ``default-0``.
        phase: the phase it tells of.
        state: ``start``, ``end``, ``fail`` or ``skip`` (not tested, not needed).
        time: seconds since 1970 by the clock of the machine that wrote it.
        source: ``submit`` or ``worker``: whose clock that is.
        code: stable word for what happened, such as ``digest-mismatch``; empty when all is well.
        detail: one line for a person.
    """

    worker: str
    phase: Phase
    state: EventState
    time: float
    source: Literal["submit", "worker"] = "worker"
    code: str = ""
    detail: str = ""


class PhaseTime(Model):
    """How long a worker spent in a phase.

    Attributes:
        phase: the phase.
        start: seconds since 1970.
        seconds: duration; ``None`` when the phase never ended.
        outcome: how it ended; ``start`` when it did not.
    """

    phase: Phase
    start: float
    seconds: float | None
    outcome: EventState
