"""Phase events of the workers: read out of their logs, kept, and told as they come."""

from __future__ import annotations

import json
import re
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from pydantic import ValidationError

from fasthep_validate.models.event import PHASES, Event
from fasthep_validate.models.probe import NodeProbe

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

    from fasthep_validate.models.event import EventState, Phase

EVENT = "FHV-EVENT "
PROBE = "FHV-PROBE "
# An event in the worker's own words, or passed on to HTCondor's log of the job (event 008, "generic").
TOLD = re.compile(rf"(?:008 \([\d.]+\) \S+ \S+ )?{EVENT}(.*)")


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
    events: list[Event] = []
    for line in lines:
        put(events, Event.model_validate_json(line))
    return events


def put(events: list[Event], event: Event) -> None:
    """Add an event where it belongs.

    HTCondor passes on what a worker tells in no order: two lines that are written at about the same time may come the other
    way round. A worker goes through the phases one by one, so no clock is needed to put that right.
    """
    places = (index for index, known in enumerate(events) if _is_before(event, known))
    events.insert(next(places, len(events)), event)


def _is_before(event: Event, known: Event) -> bool:
    ranks = [(PHASES.index(one.phase), one.state != "start") for one in (event, known)]
    return event.source == known.source == "worker" and ranks[0] < ranks[1]


@dataclass
class EventLog:
    """Events of one worker, from its own log and from the submit host.

    Attributes:
        worker: planned worker.
        sources: where the worker tells of them: its standard error, and the batch system's log of the job.
        target: file of JSON lines in the run folder.
        heard: called with every new event.
        events: all events so far, in their order.
    """

    worker: str
    sources: tuple[Path, ...]
    target: Path
    heard: Callable[[Event], None]
    events: list[Event] = field(default_factory=list)
    _offsets: dict[Path, int] = field(default_factory=dict)
    _lines: set[str] = field(default_factory=set)

    def poll(self) -> None:
        """Read what the worker has written since the last time."""
        for source in self.sources:
            self._read(source)

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

    def _read(self, source: Path) -> None:
        offset = self._offsets.get(source, 0)
        try:
            if source.stat().st_size <= offset:
                return
            with source.open("rb") as stream:
                stream.seek(offset)
                data = stream.read()
        except OSError:
            return
        whole, newline, _ = data.rpartition(b"\n")
        self._offsets[source] = offset + len(whole) + len(newline)
        for line in whole.decode("utf-8", errors="replace").splitlines():
            if told := TOLD.match(line):
                self._keep_line(told[1])

    def _keep_line(self, line: str) -> None:
        """A line that comes by two ways is one event; one that a dying worker left half-written is none."""
        if line in self._lines:
            return
        self._lines.add(line)
        try:
            self._keep(Event.model_validate(json.loads(line)))
        except (ValueError, ValidationError):
            return

    def _keep(self, event: Event) -> None:
        put(self.events, event)
        with self.target.open("a", encoding="utf-8") as stream:
            stream.write(event.model_dump_json() + "\n")
        self.heard(event)
