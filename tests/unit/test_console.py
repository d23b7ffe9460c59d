"""Progress, on a terminal and off it."""

from __future__ import annotations

import io
import os
import pty
import sys

import pytest
from rich.console import Console

from fasthep_validate.console import LiveTable, PlainLines, progress
from fasthep_validate.models.event import Event, EventState
from fasthep_validate.progress import Silent


def event(state: EventState, worker: str = "default-0", detail: str = "") -> Event:
    code = "no-space" if state == "fail" else ""
    return Event(worker=worker, phase="extracted", state=state, time=0, code=code, detail=detail)


def test_plain_lines(capsys: pytest.CaptureFixture[str]) -> None:
    lines = PlainLines()
    lines.step("packing")
    for state in ("start", "end", "fail", "skip"):
        lines.event(event(state, detail="[Errno 28]  no   space"))
    out, err = capsys.readouterr()
    assert out == ""
    assert [line.partition(" s  ")[2] for line in err.splitlines()] == [
        "packing",
        "default-0 extracted ok [Errno 28] no space",
        "default-0 extracted FAILED no-space [Errno 28] no space",
        "default-0 extracted skipped [Errno 28] no space",
    ]


def shown(table: LiveTable) -> str:
    console = Console(file=io.StringIO(), width=80)
    with console.capture() as capture:
        console.print(table.table())
    return capture.get()


def test_table_has_the_last_phase_of_every_worker() -> None:
    table = LiveTable(Console(file=io.StringIO()))
    assert shown(table).strip() == ""
    table.event(event("start"))
    table.event(event("end"))
    table.event(event("start", "default-1"))
    first, second = shown(table).splitlines()
    assert "default-0" in first
    assert "extracted ok" in first
    assert "default-1" in second
    assert "extracted ..." in second


def waits(worker: str, why: str) -> Event:
    return Event(worker=worker, phase="matched", state="start", time=0, detail=why, source="submit")


def test_why_a_job_waits(capsys: pytest.CaptureFixture[str]) -> None:
    lines, table = PlainLines(), LiveTable(Console(file=io.StringIO()))
    for listener in (lines, table):
        listener.event(waits("default-0", "no slot fits: none has [GPUs] >= 3"))
    assert "default-0 idle: no slot fits: none has [GPUs] >= 3" in capsys.readouterr().err
    assert "idle: no slot fits: none has [GPUs] >= 3" in shown(table)


def test_many_workers_are_counted() -> None:
    table = LiveTable(Console(file=io.StringIO()))
    for index in range(100):
        table.event(event("end", f"default-{index}") if index % 4 else waits(f"default-{index}", "Priority"))
    assert [line.split() for line in shown(table).splitlines()] == [
        ["75", "workers", "extracted", "ok"],
        ["25", "workers", "idle:", "Priority"],
    ]


@pytest.mark.parametrize("words", ["[Errno 28] full", "[/] [red] [", "extra [gpu]"])
def test_words_of_others_are_no_markup(words: str) -> None:
    out = io.StringIO()
    table = LiveTable(Console(file=out, width=80))
    table.step(words)
    table.event(event("fail", detail=words))
    step, failure = out.getvalue().splitlines()
    assert step.endswith(f" s  {words}")
    assert failure == f"default-0  extracted: no-space {words}"


def test_quiet() -> None:
    with progress(colour=True, quiet=True) as told:
        assert isinstance(told, Silent)
        told.step("nothing")
        told.event(event("fail"))


def test_lines_where_there_is_no_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    with progress(colour=True) as told:
        told.step("packing")
    assert "packing" in capsys.readouterr().err


@pytest.mark.parametrize("colour", [True, False])
def test_table_on_a_terminal(colour: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.delenv("NO_COLOR", raising=False)
    master, slave = pty.openpty()
    with os.fdopen(slave, "w") as terminal:
        monkeypatch.setattr(sys, "stderr", terminal)  # pytest has taken the real one
        with progress(colour=colour) as told:
            assert isinstance(told, LiveTable)
            told.event(event("fail"))
        terminal.flush()
        seen = ""
        while "no-space" not in seen:  # a terminal gives what it was told in pieces
            seen += os.read(master, 100_000).decode()
    os.close(master)
    assert "default-0  extracted: no-space" in seen
    assert ("\x1b[31m" in seen) is colour
