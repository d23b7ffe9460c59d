"""Phase events of the workers: read out of their logs, kept, and told as they come."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from pydantic import ValidationError

from fasthep_validate.models.event import Event
from fasthep_validate.models.probe import NodeProbe

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

    from fasthep_validate.models.event import EventState, Phase

EVENT = "FHV-EVENT "
PROBE = "FHV-PROBE "


def worker_lines(lines: Iterable[str]) -> list[str]:
    """Lines of a log without those that are meant for machines."""
    return [line for line in lines if not line.startswith((EVENT, PROBE))]


def read_probe(path: Path) -> NodeProbe | None:
    """The probe's result out of a worker's standard output, ``None`` if it is not (wholly) there."""
    try:
        lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return None
    for line in reversed(lines):
        if line.startswith(PROBE):
            try:
                return NodeProbe.model_validate_json(line.removeprefix(PROBE))
            except ValidationError:
                return None
    return None


def read_events(path: Path) -> list[Event]:
    """The events in a file of the run folder; none where there is no file."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except OSError:
        return []
    return [Event.model_validate_json(line) for line in lines]


@dataclass
class EventLog:
    """Events of one worker, from its own log and from the submit host.

    Attributes:
        worker: planned worker.
        source: the worker's standard error, which grows while it runs.
        target: file of JSON lines in the run folder.
        heard: called with every new event.
        events: all events so far, in the order in which they were heard.
    """

    worker: str
    source: Path
    target: Path
    heard: Callable[[Event], None]
    events: list[Event] = field(default_factory=list)
    _offset: int = 0

    def poll(self) -> None:
        """Read what the worker has written since the last time."""
        try:
            with self.source.open("rb") as stream:
                stream.seek(self._offset)
                data = stream.read()
        except OSError:
            return
        whole, newline, _ = data.rpartition(b"\n")
        self._offset += len(whole) + len(newline)
        for line in whole.decode("utf-8", errors="replace").splitlines():
            if line.startswith(EVENT):
                self._keep_line(line.removeprefix(EVENT))

    def note(
        self, phase: Phase, state: EventState, *, at: float | None = None, code: str = "", detail: str = ""
    ) -> None:
        """Add an event that was seen on the submit host."""
        moment = time.time() if at is None else at
        told = {"worker": self.worker, "phase": phase, "state": state, "code": code, "detail": detail}
        self._keep(Event.model_validate({**told, "time": moment, "source": "submit"}))

    def has(self, phase: Phase, state: EventState) -> bool:
        """Whether such an event was heard."""
        return any(event.phase == phase and event.state == state for event in self.events)

    def _keep_line(self, line: str) -> None:
        """A line that a dying worker left half-written is no event."""
        try:
            self._keep(Event.model_validate(json.loads(line)))
        except (ValueError, ValidationError):
            return

    def _keep(self, event: Event) -> None:
        self.events.append(event)
        with self.target.open("a", encoding="utf-8") as stream:
            stream.write(event.model_dump_json() + "\n")
        self.heard(event)
