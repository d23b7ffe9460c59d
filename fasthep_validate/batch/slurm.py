"""Slurm without a shared filesystem: an allocation by ``sbatch``, files by ``sbcast``, the worker by ``srun``.

``sbatch`` leaves a job's output on the node, and files where they are. So the batch script only holds the
allocation (``slurm_hold.sh``); when it runs, the job's files are broadcast to the node's own disk and the job
script is started as a step, whose output comes to the submit host as it is written.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from fasthep_validate import bundled, process
from fasthep_validate.batch.command import ask
from fasthep_validate.batch.slurm_options import (
    BASE,
    ENVIRONMENT,
    room_words,
    send_words,
    step_words,
    submit_words,
)
from fasthep_validate.errors import SubmitError
from fasthep_validate.models.job import JobStatus, Submission

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from fasthep_validate.models.job import JobSpec, JobState

PATIENCE = 60.0  # seconds for one command of Slurm's; a busy controller takes its time
SEND = 600.0  # seconds for one file
AT_ONCE = 8  # allocations that are asked for, or that files are sent to, at the same time
# Compact states of squeue(1); whatever else it says is the end of a job.
STATES: Mapping[str, JobState] = {
    "PENDING": "submitted",
    "REQUEUED": "submitted",
    "SUSPENDED": "running",
    "CONFIGURING": "submitted",
    "RUNNING": "running",
    "COMPLETING": "running",
    "STAGE_OUT": "running",
}


@dataclass
class Allocation:
    """A job on its way: its files are sent and its step started once it runs.

    Attributes:
        job: what was submitted.
        number: by which its cluster knows it.
        step: its step, once it has been started.
        failure: why there is no step.
        sending: whether its files are on their way.
        cancelled: whether it was cancelled: nothing more is sent.
    """

    job: JobSpec
    number: str
    step: subprocess.Popen[bytes] | None = None
    failure: str = ""
    sending: bool = False
    cancelled: bool = False


class SlurmBatch:
    """Jobs on the cluster that the command line tools of this submit host talk to."""

    interval = 1.0  # seconds; one squeue for all jobs
    chunk = 64

    def __init__(self, scratch: Path) -> None:
        """``scratch`` is not used: jobs run on their nodes."""
        self._scratch = scratch
        self._allocations: dict[str, Allocation] = {}
        self._senders = ThreadPoolExecutor(AT_ONCE, "sbcast")

    def submit(self, jobs: Sequence[JobSpec]) -> Sequence[Submission]:
        """Ask for an allocation for each, a few at the same time; the ids are Slurm's."""
        with ThreadPoolExecutor(AT_ONCE, "sbatch") as pool:
            return list(pool.map(self._submit, jobs))

    def status(self, job_ids: Sequence[str]) -> Mapping[str, JobStatus]:
        """State of these jobs; those that have begun to run get their files and their step."""
        queued: dict[str, Sequence[str]] = {}
        for address in self._by_address(job_ids):
            done = _slurm("squeue", *address, "--me", "--noheader", "--format=%i|%T|%r|%N")
            if not done.ok:
                said = " ".join(done.stderr.split())
                raise SubmitError(f"squeue: the jobs could not be asked for: {said}.")
            lines = (line.split("|") for line in done.stdout.splitlines() if "|" in line)
            queued |= {_id(line[0], address): line for line in lines}
        return {job_id: self._status(job_id, queued.get(job_id)) for job_id in job_ids}

    def explain(self, job_id: str) -> str:  # noqa: ARG002 - squeue has said it
        """Nothing: the reason comes with every state."""
        return ""

    def fetch(self, job_ids: Sequence[str]) -> None:
        """Nothing: output comes as it is written."""

    def removal(self, job_ids: Sequence[str]) -> Sequence[Sequence[str]]:
        """One ``scancel`` for each cluster."""
        addresses = self._by_address(job_ids, cancel=True)
        return [["scancel", *words, *ids] for words, ids in addresses.items()]

    def cancel(self, job_ids: Sequence[str]) -> None:
        """Cancel these jobs; their steps end with them."""
        for words in self.removal(job_ids):
            _slurm(*words)
        for job_id in job_ids:
            self._allocations[job_id].cancelled = True
        deadline = time.monotonic() + PATIENCE
        for job_id in job_ids:
            step = self._allocations[job_id].step
            if step is not None:
                try:
                    step.wait(max(0.0, deadline - time.monotonic()))
                except subprocess.TimeoutExpired:
                    process.kill_group(step)
                    step.wait()

    def _submit(self, job: JobSpec) -> Submission:
        script = str(bundled.worker_file("slurm_hold.sh"))
        return self._ask(job, submit_words(job, script, BASE, str(round(PATIENCE))))

    def _ask(self, job: JobSpec, words: Sequence[str]) -> Submission:
        """Give a job to ``sbatch``."""
        done = _slurm(*words)
        number = done.stdout.strip().partition(";")[0]
        if not done.ok or not number.isdigit():
            said = " ".join((done.stderr or done.stdout).split())
            refusal = f"sbatch refused the job: {said}. It was asked: {' '.join(words)}"
            return Submission(worker=job.worker, refusal=refusal)
        job_id = _id(number, job.address)
        self._allocations[job_id] = Allocation(job, number)
        _log(job, f"submitted as job {job_id}")
        return Submission(worker=job.worker, job_id=job_id)

    def _by_address(
        self, job_ids: Sequence[str], *, cancel: bool = False
    ) -> Mapping[tuple[str, ...], list[str]]:
        """Numbers of jobs by the arguments that name their cluster, with those to cancel them if that is the question."""
        found: dict[tuple[str, ...], list[str]] = {}
        for job_id in job_ids:
            allocation = self._allocations[job_id]
            job = allocation.job
            key = (*job.address, *(job.cancel_arguments if cancel else ()))
            found.setdefault(key, []).append(allocation.number)
        return found

    def _status(self, job_id: str, line: Sequence[str] | None) -> JobStatus:
        allocation = self._allocations[job_id]
        code = allocation.step.poll() if allocation.step else None
        state, reason, node = line[1:] if line else ("", "", "")
        if code is not None and state in STATES:  # the step is over, and the allocation about to end
            return JobStatus(job_id=job_id, state="running", node=node)
        if allocation.failure or code is not None:
            words = allocation.failure or f"exit code {code}"
            return JobStatus(job_id=job_id, state="exited", exit_code=code, reason=words, node=node)
        if state not in STATES:
            return JobStatus(
                job_id=job_id,
                state="removed" if state else "lost",
                reason=_ended(allocation, state),
            )
        if state == "RUNNING" and not allocation.sending:
            allocation.sending = True
            self._senders.submit(self._start, job_id, node)
        return JobStatus(
            job_id=job_id, state=STATES[state], reason=reason if state == "PENDING" else "", node=node
        )

    def _start(self, job_id: str, node: str) -> None:
        """Send the files of a job that runs, and start its step; runs in a thread of its own."""
        allocation = self._allocations[job_id]
        job, number = allocation.job, allocation.number
        home = f"{BASE}/fasthep-validate-{number}"
        step = bundled.worker_file("slurm_step.sh")
        if allocation.cancelled:
            return
        _log(job, f"runs on {node}; sending files to {home}")
        # Slurm calls a job running before its batch script has made the directory.
        deadline = time.monotonic() + PATIENCE
        for source, name in {str(step): step.name, **job.transfer}.items():
            words = send_words(job, number, source, f"{home}/{name}")
            while not (done := _slurm(*words, timeout=SEND)).ok:
                if "No such file" not in done.stderr or time.monotonic() > deadline:
                    if self._allocations[job_id].cancelled:  # in the meantime
                        return
                    said = " ".join(done.stderr.split())
                    said += _room(job, number, source)
                    allocation.failure = f"{words[0]} of {name} failed: {said}"
                    _log(job, allocation.failure)
                    _slurm("scancel", *job.address, number)
                    return
                time.sleep(0.2)
        try:
            allocation.step = self._srun(number, job, home)
        except OSError as error:
            allocation.failure = f"srun cannot be started: {error.strerror}"

    @staticmethod
    def _srun(number: str, job: JobSpec, home: str) -> subprocess.Popen[bytes]:
        argv = step_words(job, number, home)
        argv[0] = shutil.which(argv[0]) or argv[0]
        with Path(job.out).open("ab") as out, Path(job.err).open("ab") as err:
            return process.spawn(
                argv,
                env={**os.environ, **ENVIRONMENT},
                cwd=Path(job.log).parent,
                stdin=subprocess.DEVNULL,
                stdout=out.fileno(),
                stderr=err.fileno(),
            )


def _id(number: str, address: Sequence[str]) -> str:
    """What a job is called here: two clusters may have the same number, so ``sbatch --parsable`` adds the cluster."""
    return ";".join((number, *(word.partition("=")[2] for word in address)))


def _slurm(*words: str, timeout: float = PATIENCE) -> process.Completed:
    return ask(words, timeout=timeout)


def _room(job: JobSpec, number: str, source: str) -> str:
    """Whether a file could not be sent for lack of room: sbcast then just says "Unspecified error"."""
    try:
        # df -P: one line of headings, then the free KiB in the fourth column (POSIX).
        free = 1024 * int(_slurm(*room_words(job, number)).stdout.splitlines()[1].split()[3])
        size = Path(source).stat().st_size
    except (OSError, IndexError, ValueError):
        return ""
    if free >= size:
        return ""
    return f"; No space left on device: {BASE} has {free / 1e6:.0f} MB left for {size / 1e6:.0f} MB"


def _ended(allocation: Allocation, state: str) -> str:
    """What Slurm still knows of a job that ended before its step could."""
    done = _slurm("scontrol", *allocation.job.address, "--oneliner", "show", "job", allocation.number)
    facts = dict(word.partition("=")[::2] for word in done.stdout.split())
    told = [f"{key}={facts[key]}" for key in ("JobState", "Reason", "ExitCode") if key in facts]
    return ", ".join(told) or state or "Slurm knows nothing of it any more"


def _log(job: JobSpec, text: str) -> None:
    with Path(job.log).open("a", encoding="utf-8") as stream:
        stream.write(f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ} {text}\n")
