"""Runs that go on without a terminal: how they are started, found, asked and stopped."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Literal, NamedTuple

from fasthep_validate import living, process, records
from fasthep_validate.batch.left import QUEUES
from fasthep_validate.errors import ConfigError, FasthepValidateError, Problem, SubmitError
from fasthep_validate.events import read_events
from fasthep_validate.models.profile import SiteProfile
from fasthep_validate.models.report import Report
from fasthep_validate.store import RunFolder, read_model

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from fasthep_validate.models.record import Process
    from fasthep_validate.records import Known

LOG = "detached.log"
START = 30.0  # seconds for the process to begin its record; imports from a slow disk take long
POLL = 0.1  # seconds between two looks

Life = Literal["goes on", "ended", "dead", "elsewhere"]


class WorkerState(NamedTuple):
    """How far a worker of a run is.

    Attributes:
        worker: planned worker.
        job: the batch system's id of its job, where it has one.
        queue: state of the job in the queue now, where it is in one.
        phase: the last phase that was heard of, with its state.
        seconds: since then.
    """

    worker: str
    job: str
    queue: str
    phase: str
    seconds: float | None


class State(NamedTuple):
    """How a run is.

    Attributes:
        folder: its folder.
        site: name of the site.
        life: ``goes on``; ``ended``; ``dead`` (its command was killed); ``elsewhere`` (only the machine of its
            command can tell).
        command: its command, unless it ended.
        doing: what it said last; empty where it has a terminal of its own.
        workers: how far each is.
        problem: why the queue could not be asked; empty if it could, or need not be.
    """

    folder: Path
    site: str
    life: Life
    command: Process | None
    doing: str
    workers: tuple[WorkerState, ...]
    problem: str


def start(folder: RunFolder, arguments: Sequence[str]) -> int:
    """Start the command that carries out a run whose folder is prepared; returns its process id.

    Args:
        folder: the run folder.
        arguments: further arguments of ``carry-out``.

    Raises:
        FasthepValidateError: it ended at once.
    """
    log = folder.path / LOG
    with log.open("ab") as stream:
        child = process.spawn(
            [sys.executable, "-m", "fasthep_validate", "carry-out", folder.path, *arguments],
            env=os.environ,
            cwd=Path.cwd(),
            stdin=subprocess.DEVNULL,
            stdout=stream.fileno(),
            stderr=stream.fileno(),
        )
    deadline = time.monotonic() + START
    while records.of_run(folder.path) is None and time.monotonic() < deadline:
        if child.poll() is not None and _report(folder.path) is None:
            raise FasthepValidateError(
                f"run: it ended at once: {last_words(folder.path) or 'without a word'}. See {log}."
            )
        if child.poll() is not None:
            break
        time.sleep(POLL)
    return child.pid


def last_words(folder: Path) -> str:
    """The last line that a run without a terminal wrote."""
    try:
        lines = (folder / LOG).read_text(errors="replace").strip().splitlines()
    except OSError:
        return ""
    return lines[-1].strip() if lines else ""


def find(text: str) -> Path:
    """The folder of a run: as named, or that of the newest one.

    Raises:
        ConfigError: it is none, or there is none.
    """
    if not text:
        if (newest := records.newest()) is None:
            raise ConfigError(
                Problem("RUN", "no run is known here", "Name a folder: <outdir>/<site>/<time>.")
            )
        return newest
    folder = Path(text).expanduser().absolute()
    if not (folder / "profile.json").is_file():
        what = f"{folder} is not the folder of a run"
        raise ConfigError(Problem("RUN", what, "Name <outdir>/<site>/<time>, or nothing for the newest run."))
    return folder.resolve()


def look(folder: Path) -> State:
    """How a run is now; the queue is asked unless it has ended."""
    record = records.of_run(folder)
    how = _life_of(folder, record)
    site = read_model(folder / "profile.json", SiteProfile)
    queue, problem = _queue(record) if record and how in {"goes on", "dead"} else ({}, "")
    workers = tuple(_workers(RunFolder(folder), site.execution.worker_ids(), record, queue))
    command = record.head.command if record else None
    return State(folder, site.site, how, command, last_words(folder), workers, problem)


def life(folder: Path) -> Life:
    """Whether a run goes on."""
    return _life_of(folder, records.of_run(folder))


def stop(folder: Path, *, timeout: float) -> Life:
    """End a run that goes on, in order, as Ctrl-C would; how it is after that.

    Args:
        folder: its folder.
        timeout: seconds to wait for its end.

    Raises:
        ConfigError: its command is on another machine.
    """
    record = records.of_run(folder)
    how = _life_of(folder, record)
    if record is None or how != "goes on":
        if how == "elsewhere" and record:
            host = record.head.command.host
            raise ConfigError(Problem("RUN", f"its command is on {host}", "Stop it there."))
        return how
    command = record.head.command
    os.kill(command.pid, signal.SIGTERM)
    deadline = time.monotonic() + timeout
    while living.alive(command) and time.monotonic() < deadline:
        time.sleep(POLL)
    return life(folder)


def _life_of(folder: Path, record: Known | None) -> Life:
    if record is None:
        report = _report(folder)
        return "ended" if report and report.finished else "dead"
    if not record.here:
        return "elsewhere"
    return "goes on" if record.alive else "dead"


def _report(folder: Path) -> Report | None:
    path = RunFolder(folder).results / "report.json"
    return read_model(path, Report) if path.exists() else None


def _queue(record: Known) -> tuple[Mapping[str, str], str]:
    try:
        return QUEUES[record.head.strategy](record.run, record.left).states, ""
    except SubmitError as error:
        return {}, str(error)


def _workers(
    folder: RunFolder, workers: Sequence[str], record: Known | None, queue: Mapping[str, str]
) -> Iterator[WorkerState]:
    jobs = {left.worker: left.job for left in record.left if left.job} if record else {}
    for worker in workers:
        events = read_events(folder.events / f"{worker}.jsonl")
        last = events[-1] if events else None
        job = jobs.get(worker, "")
        phase = f"{last.phase} {last.state}" if last else "planned"
        yield WorkerState(worker, job, queue.get(job, ""), phase, time.time() - last.time if last else None)
