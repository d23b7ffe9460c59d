"""HTCondor: jobs by ``condor_submit``, files by its own transfer, states by ``condor_q`` and the job's log."""

from __future__ import annotations

import itertools
import json
import re
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

from fasthep_validate import process
from fasthep_validate.batch.chunks import submit_apart
from fasthep_validate.batch.command import ask
from fasthep_validate.batch.condor_description import description, home, link_renamed, refusal, submit_words
from fasthep_validate.batch.condor_idle import why_idle
from fasthep_validate.errors import SubmitError
from fasthep_validate.models.job import JobStatus, Submission
from fasthep_validate.store import write_text

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterable, Mapping, Sequence

    from fasthep_validate.models.job import JobSpec, JobState

FETCH = 600.0  # seconds for the files of spooled jobs
PATIENCE = 60.0  # seconds for one command of HTCondor's; a busy schedd takes its time
ATTRIBUTES = (
    "ClusterId,ProcId,JobStatus,HoldReason,HoldReasonCode,HoldReasonSubCode,RemoteHost,LastRemoteHost"
)
# https://htcondor.readthedocs.io, job ClassAd attribute JobStatus; 6 is "transferring output", 7 "suspended".
STATES: Mapping[int, JobState] = {
    1: "submitted",
    2: "running",
    3: "removed",
    4: "exited",
    5: "held",
    6: "running",
    7: "running",
}
SPOOLING = 16  # HoldReasonCode of a job whose files are on their way to the schedd, which then lets it go
QUEUED = {"submitted", "running", "held"}
AT_ONCE = 8  # condor_tail at the same time
FETCHED = 64  # jobs at most, whose output is fetched before they are removed; one takes a few seconds
TAIL = 2**20  # bytes of output that are fetched
TAIL_TIMEOUT = 15.0  # seconds
LEAVING = 30.0  # seconds for removed jobs to leave the queue, all of them together
CLUSTER = re.compile(r"^(\d+\.\d+) - (\d+\.\d+)$", re.MULTILINE)  # of condor_submit -terse
# Last lines of the job's log: event number, and the words of a termination.
EVENT = re.compile(r"^(\d{3}) \(\d+\.\d+\.\d+\) ", re.MULTILINE)
RETURNED = re.compile(r"\(1\) Normal termination \(return value (\d+)\)")
KILLED = re.compile(r"\(0\) Abnormal termination \(signal (\d+)\)")


class HTCondorBatch:
    """Jobs on the schedd that the command line tools of this submit host talk to."""

    interval = 2.0  # seconds; one condor_q for all jobs
    chunk = 200  # jobs of one condor_submit: some seconds of a schedd's time

    def __init__(self, scratch: Path) -> None:
        """``scratch`` is not used: jobs run in directories that HTCondor makes."""
        self._scratch = scratch
        self._jobs: dict[str, JobSpec] = {}
        self._files = itertools.count()

    def submit(self, jobs: Sequence[JobSpec]) -> Sequence[Submission]:
        """Submit jobs, those of one kind together; the ids are ``cluster.process``."""
        refused = {job.worker: words for job in jobs if (words := refusal(job))}
        kinds: dict[Hashable, list[JobSpec]] = {}
        for job in jobs:
            if job.worker not in refused:
                link_renamed(job)
                kinds.setdefault(_kind(job), []).append(job)
        done = [Submission(worker=worker, refusal=words) for worker, words in refused.items()]
        for kind in kinds.values():
            done += submit_apart(kind, self._submit)
        return done

    def status(self, job_ids: Sequence[str]) -> Mapping[str, JobStatus]:
        """State of these jobs: from the queue, and for those that left it from their logs."""
        queued: dict[str, JobStatus] = {}
        for address, ids in self._by_address(job_ids).items():
            # One constraint a cluster, and not one a job: the schedd looks at each of its jobs with it.
            clusters = dict.fromkeys(job_id.partition(".")[0] for job_id in ids)
            words = ["condor_q", *address, "-json", "-attributes", ATTRIBUTES, *clusters]
            done = ask(words, timeout=PATIENCE)
            if not done.ok:
                said = " ".join(done.stderr.split())
                raise SubmitError(f"condor_q: the jobs could not be asked for: {said}.")
            found = {status.job_id: status for status in _queued(done.stdout)}
            ended = [job_id for job_id in ids if job_id in found and found[job_id].state == "exited"]
            queued |= found | self._fetch(address, ended)
        return {job_id: queued.get(job_id) or self._left(job_id) for job_id in job_ids}

    def explain(self, job_id: str) -> str:
        """What ``condor_q -better-analyze`` says of a job that waits; the collector is asked for all slots."""
        words = ["condor_q", *self._jobs[job_id].address, "-better-analyze", job_id]
        return why_idle(ask(words, timeout=PATIENCE).stdout)

    def fetch(self, job_ids: Sequence[str]) -> None:
        """Standard output and error of jobs that run, by ``condor_tail``.

        HTCondor 23.9 brings nothing back of a job that is removed, whatever ``when_to_transfer_output`` says.
        """
        with ThreadPoolExecutor(AT_ONCE, "condor_tail") as pool:
            list(pool.map(self._tail, job_ids[:FETCHED]))

    def removal(self, job_ids: Sequence[str]) -> Sequence[Sequence[str]]:
        """One ``condor_rm`` for each schedd."""
        addresses = self._by_address(job_ids, cancel=True)
        return [["condor_rm", *words, *ids] for words, ids in addresses.items()]

    def cancel(self, job_ids: Sequence[str]) -> None:
        """Remove these jobs and wait until the queue has let them go."""
        for address, ids in self._by_address(job_ids).items():
            self._fetch(address, ids)
        for words in self.removal(job_ids):
            ask(words, timeout=PATIENCE)
        left, deadline = list(job_ids), time.monotonic() + LEAVING
        while left and time.monotonic() < deadline:
            left = [job_id for job_id, status in self.status(left).items() if status.state in QUEUED]
            time.sleep(0.5 if left else 0)

    def _submit(self, jobs: Sequence[JobSpec]) -> list[str] | str:
        """Submit jobs of one kind: their ids, or why they were refused; all of them, or none."""
        file = home(jobs[0]).parent / f"condor-{next(self._files)}.sub"
        write_text(file, description(jobs))
        done = ask(submit_words(jobs[0], file), timeout=PATIENCE)
        ids = [job_id for first, last in CLUSTER.findall(done.stdout) for job_id in _ids(first, last)]
        if not done.ok or len(ids) != len(jobs):
            words = " ".join((done.stderr or done.stdout).split())
            return f"condor_submit refused the job: {words}. It is described in {file}"
        self._jobs |= zip(ids, jobs, strict=True)
        return ids

    def _fetch(self, address: tuple[str, ...], job_ids: Sequence[str]) -> dict[str, JobStatus]:
        """Bring logs of spooled jobs home, and let those go that have ended; what the logs then say.

        The schedd keeps a spooled job for ten days, so that its files can be fetched; see condor_submit(1).
        """
        spooled = [job_id for job_id in job_ids if "-spool" in self._jobs[job_id].submit_arguments]
        if not spooled:
            return {}
        done = ask(["condor_transfer_data", *address, *spooled], timeout=FETCH)
        ended = [job_id for job_id in spooled if self._left(job_id).exit_code is not None]
        if ended:
            ask(["condor_rm", *address, *ended], timeout=PATIENCE)
        why = f"its files could not be fetched: {' '.join((done.stderr or done.stdout).split())}"
        lost = {job_id: JobStatus(job_id=job_id, state="exited", reason=why) for job_id in spooled}
        return {**lost, **{job_id: self._left(job_id) for job_id in ended}}

    def _tail(self, job_id: str) -> None:
        """Bring what a job has written so far, unless it came back already."""
        job = self._jobs[job_id]
        for path, option in ((job.err, "-stderr"), (job.out, "-stdout")):
            words = ["condor_tail", *job.address, "-maxbytes", str(TAIL), option, job_id]
            done = ask(words, timeout=TAIL_TIMEOUT)
            if done.returncode == process.TIMED_OUT:
                return  # its node is lost
            target = Path(path)
            if done.ok and done.stdout and not (target.exists() and target.stat().st_size):
                write_text(target, done.stdout)

    def _by_address(
        self, job_ids: Sequence[str], *, cancel: bool = False
    ) -> Mapping[tuple[str, ...], list[str]]:
        """The jobs by the arguments that name their schedd, with those to remove them if that is the question."""
        found: dict[tuple[str, ...], list[str]] = {}
        for job_id in job_ids:
            job = self._jobs[job_id]
            found.setdefault((*job.address, *(job.cancel_arguments if cancel else ())), []).append(job_id)
        return found

    def _left(self, job_id: str) -> JobStatus:
        """What the job's log says of a job that has left the queue."""
        try:
            text = Path(self._jobs[job_id].log).read_text(encoding="utf-8", errors="replace")
        except OSError as error:
            return JobStatus(job_id=job_id, state="lost", reason=f"its log cannot be read: {error.strerror}")
        events = EVENT.findall(text)
        last = text[text.rfind(f"\n{events[-1]} (") + 1 :] if events else ""
        if returned := RETURNED.search(last):
            code = int(returned[1])
            return JobStatus(job_id=job_id, state="exited", exit_code=code, reason=f"exit code {code}")
        if killed := KILLED.search(last):
            return JobStatus(
                job_id=job_id,
                state="exited",
                exit_code=-int(killed[1]),
                reason=f"ended by signal {killed[1]}",
            )
        words = " ".join(last.split())
        return JobStatus(job_id=job_id, state="removed" if events[-1:] == ["009"] else "lost", reason=words)


def _kind(job: JobSpec) -> Hashable:
    """What jobs of one submit description have in common."""
    return (job.executable, job.arguments, tuple(job.directives), job.address, job.submit_arguments)


def _ids(first: str, last: str) -> list[str]:
    """``12.0``, ``12.3`` -> ``12.0``, ``12.1``, ``12.2``, ``12.3``."""
    cluster, _, start = first.partition(".")
    return [f"{cluster}.{process}" for process in range(int(start), int(last.partition(".")[2]) + 1)]


def _queued(text: str) -> Iterable[JobStatus]:
    try:
        ads = json.loads(text) if text.strip() else ()
    except ValueError:
        words = " ".join(text.split())[:200]
        raise SubmitError(
            f"condor_q: expected JSON, got {words!r}. Is another program of this name on PATH?"
        ) from None
    for ad in ads:
        spooling = ad.get("HoldReasonCode") == SPOOLING
        held = "HoldReasonCode" in ad and not spooling
        # A job that is held has left its node; one that was held before it had any never had a host.
        host = ad.get("RemoteHost") or (ad.get("LastRemoteHost", "") if held else "")
        hold = f"{ad['HoldReasonCode']}/{ad.get('HoldReasonSubCode', 0)}" if held else ""
        yield JobStatus(
            job_id=f"{ad['ClusterId']}.{ad['ProcId']}",
            state="submitted" if spooling else STATES[ad["JobStatus"]],
            reason=f"held {hold}: {ad.get('HoldReason', '')}" if hold else "",
            node=host.rpartition("@")[2],
        )
