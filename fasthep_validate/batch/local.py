"""The ``local`` batch system: jobs are processes on this machine, each in a directory of its own.

It does what a batch system does and nothing that one would not: it brings the job's files into a fresh
directory, starts the job script there with a scrubbed environment, and connects its output to files.
"""

from __future__ import annotations

import shlex
import shutil
import signal
import subprocess
import time
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from fasthep_validate import process
from fasthep_validate.models.job import JobStatus, Submission

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from fasthep_validate.models.execution import Pool
    from fasthep_validate.models.job import JobSpec

MARKER = ".fasthep-validate-job"
GRACE = 10.0  # seconds between TERM and KILL
LINKED = 10_000_000  # bytes; the archive takes longer to copy for each job than its worker to start


def directives(pool: Pool) -> dict[str, str]:  # noqa: ARG001 - a process is the same for all pools
    """Environment of a job: what a batch system would set; the submit host's own does not reach it.

    ``HOME`` and ``TMPDIR`` are added when the job starts; they are its own directory.
    """
    return {"PATH": "/usr/local/bin:/usr/bin:/bin", "LANG": "C.UTF-8"}


def shown(job: JobSpec) -> dict[str, str]:
    """The command that runs in the job's directory."""
    return {"command": shlex.join(["/bin/sh", Path(job.executable).name, *job.arguments])}


class LocalBatch:
    """Runs jobs below ``scratch``, one directory a job."""

    interval = 0.1  # seconds; asking the kernel costs little
    chunk = 8

    def __init__(self, scratch: Path) -> None:
        self.scratch = scratch
        self._jobs: dict[str, tuple[subprocess.Popen[bytes], JobSpec]] = {}
        self._ended: set[str] = set()

    def submit(self, jobs: Sequence[JobSpec]) -> Sequence[Submission]:
        """Bring the files of each job and start its script; the id is the process id."""
        return [self._submit(job) for job in jobs]

    def status(self, job_ids: Sequence[str]) -> Mapping[str, JobStatus]:
        """State and exit code of these jobs."""
        return {job_id: self._status(job_id) for job_id in job_ids}

    def explain(self, job_id: str) -> str:  # noqa: ARG002 - no process of this machine waits
        """Nothing: jobs start at once."""
        return ""

    def fetch(self, job_ids: Sequence[str]) -> None:
        """Nothing: output is written where it is read."""

    def removal(self, job_ids: Sequence[str]) -> Sequence[Sequence[str]]:  # noqa: ARG002
        """None: the hub sees the directories of these jobs and waits for them."""
        return []

    def cancel(self, job_ids: Sequence[str]) -> None:
        """TERM, then after ten seconds KILL, to the whole session of each job."""
        children = [self._jobs[job_id][0] for job_id in job_ids]
        for child in children:
            if child.poll() is None:
                process.kill_group(child, signal.SIGTERM)
        deadline = time.monotonic() + GRACE
        for child in children:
            with suppress(subprocess.TimeoutExpired):
                child.wait(max(0.0, deadline - time.monotonic()))
            process.kill_group(child)
            child.wait()
        self.status(job_ids)

    def _submit(self, job: JobSpec) -> Submission:
        home = self.scratch / job.worker
        try:
            self._transfer(job, home)
            child = self._start(job, home)
        except OSError as error:
            what = f"the job could not be started in {home}: {error.strerror}"
            hint = "Make room there, or point TMPDIR at a larger filesystem"
            return Submission(worker=job.worker, refusal=f"{what}. {hint}")
        job_id = str(child.pid)
        self._jobs[job_id] = (child, job)
        self._log(job, f"submitted as process {job_id} in {home}")
        return Submission(worker=job.worker, job_id=job_id)

    def _transfer(self, job: JobSpec, home: Path) -> None:
        home.mkdir(mode=0o700)
        (home / MARKER).touch()
        for source, name in job.transfer.items():
            _bring(Path(source), home / name)

    def _start(self, job: JobSpec, home: Path) -> subprocess.Popen[bytes]:
        own = {"HOME": str(home), "TMPDIR": str(home)}
        with Path(job.out).open("ab") as out, Path(job.err).open("ab") as err:
            return process.spawn(
                ["/bin/sh", home / Path(job.executable).name, *job.arguments],
                env={**job.directives, **own},
                cwd=home,
                stdin=subprocess.DEVNULL,
                stdout=out.fileno(),
                stderr=err.fileno(),
            )

    def _status(self, job_id: str) -> JobStatus:
        child, job = self._jobs[job_id]
        code = child.poll()
        if code is None:
            return JobStatus(job_id=job_id, state="running", node="localhost")
        reason = f"ended by {_signal_name(-code)}" if code < 0 else f"exit code {code}"
        if job_id not in self._ended:
            self._ended.add(job_id)
            self._log(job, reason)
        return JobStatus(job_id=job_id, state="exited", exit_code=code, reason=reason, node="localhost")

    @staticmethod
    def _log(job: JobSpec, text: str) -> None:
        with Path(job.log).open("a", encoding="utf-8") as stream:
            stream.write(f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ} {text}\n")


def _bring(source: Path, target: Path) -> None:
    """Copy a file, or give it a second name if it is large and on the same filesystem."""
    if source.stat().st_size >= LINKED:
        with suppress(OSError):
            target.hardlink_to(source)
            return
    shutil.copy(source, target)


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:  # a real-time signal
        return f"signal {number}"
