"""Phase events out of growing logs."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from fasthep_validate.events import EventLog, read_events, read_probe, worker_lines
from fasthep_validate.models.event import Event
from fasthep_validate.testing import good_worker

if TYPE_CHECKING:
    from pathlib import Path


def line(phase: str, state: str = "end", **more: object) -> str:
    event = {"worker": "default-0", "phase": phase, "state": state, "time": 1.0, **more}
    return f"FHV-EVENT {json.dumps(event)}\n"


@pytest.fixture
def heard() -> list[Event]:
    return []


@pytest.fixture
def log(tmp_path: Path, heard: list[Event]) -> EventLog:
    return EventLog(
        "default-0", (tmp_path / "err", tmp_path / "log"), tmp_path / "events.jsonl", heard.append
    )


def test_nothing_yet(log: EventLog) -> None:
    log.poll()
    assert log.events == []
    assert not log.target.exists()


def test_events_come_as_the_log_grows(log: EventLog, heard: list[Event]) -> None:
    with log.sources[0].open("w") as err:
        err.write("some words\n" + line("transferred", "start"))
        err.flush()
        log.poll()
        assert [event.state for event in heard] == ["start"]
        whole = line("transferred")
        err.write(whole[:20])
        err.flush()
        log.poll()
        assert len(heard) == 1
        err.write(whole[20:] + line("preflight", code="not-tested", detail="ä"))
        err.flush()
        log.poll()
        log.poll()
    assert [event.phase for event in heard] == ["transferred", "transferred", "preflight"]
    assert heard == log.events
    stored = [Event.model_validate_json(text) for text in log.target.read_text().splitlines()]
    assert stored == log.events


@pytest.mark.parametrize(
    "text",
    [
        'FHV-EVENT {"worker": "default-0", "pha\n',
        "FHV-EVENT\n",
        "FHV-EVENT 1\n",
        line("no-such-phase"),
        line("transferred", "exploded"),
        "words before " + line("transferred"),
    ],
)
def test_what_is_no_event(log: EventLog, text: str) -> None:
    log.sources[0].write_text(text + line("preflight"))
    log.poll()
    assert [event.phase for event in log.events] == ["preflight"]


def test_event_that_comes_by_two_ways(log: EventLog) -> None:
    """First in HTCondor's log while the job runs, then in its standard error."""
    err, job_log = log.sources
    chirped = "".join(
        f"008 (003.000.000) 2026-11-22 22:19:27 {line(phase)}...\n" for phase in ("preflight", "python")
    )
    job_log.write_text("000 (003.000.000) 2026-11-22 22:19:25 Job submitted\n...\n" + chirped)
    log.poll()
    assert [event.phase for event in log.events] == ["preflight", "python"]
    err.write_text(line("preflight") + line("python") + line("exited"))
    log.poll()
    assert [event.phase for event in log.events] == ["preflight", "python", "exited"]


def test_what_htcondor_passed_on_in_another_order(log: EventLog) -> None:
    """What is written within a moment may arrive the other way round; its standard error then says it once more."""
    told = [("transferred", "start"), ("transferred", "end"), ("preflight", "start"), ("preflight", "fail")]
    lines = [
        line(phase, state, time=7.0 - at) for at, (phase, state) in enumerate(told)
    ]  # a clock that is set back
    log.note("submitted", "start")
    log.sources[1].write_text("".join(f"008 (3.0.0) 2026-11-22 22:19:27 {lines[at]}" for at in (1, 0, 3, 2)))
    log.poll()
    log.note("matched", "end")
    log.sources[0].write_text("".join(lines) + line("exited"))
    log.poll()
    expected = ["submitted start", *map(" ".join, told), "matched end", "exited end"]
    assert [f"{event.phase} {event.state}" for event in log.events] == expected
    assert read_events(log.target) == log.events


def test_bytes_that_are_no_text(log: EventLog) -> None:
    log.sources[0].write_bytes(b"\xff\xfe\0\n" + line("preflight").encode())
    log.poll()
    assert log.has("preflight", "end")
    assert not log.has("preflight", "fail")


def test_note_of_the_submit_host(log: EventLog) -> None:
    log.note("submitted", "start")
    log.note("registered", "end", at=5.0, detail="late")
    assert [event.source for event in log.events] == ["submit", "submit"]
    assert (log.events[1].time, log.events[1].detail) == (5.0, "late")


def test_probe_is_read_back(tmp_path: Path) -> None:
    probe = good_worker().probe
    assert probe is not None
    out = tmp_path / "out"
    out.write_text(f"some words\nFHV-PROBE {probe.model_dump_json()}\nmore words\n")
    assert read_probe(out) == probe


@pytest.mark.parametrize("text", ["", "FHV-PROBE {\n", 'FHV-PROBE {"host": 1}\n', "words\n"])
def test_probe_that_is_not_there(tmp_path: Path, text: str) -> None:
    (tmp_path / "out").write_text(text)
    assert read_probe(tmp_path / "out") is None


def test_probe_of_a_log_that_is_not_there(tmp_path: Path) -> None:
    assert read_probe(tmp_path / "out") is None


def test_lines_for_people() -> None:
    assert worker_lines(["a", line("python"), "FHV-PROBE {}", "b"]) == ["a", "b"]
