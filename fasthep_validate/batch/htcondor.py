"""HTCondor: jobs by ``condor_submit``, files by its own transfer, states by ``condor_q`` and the job's log.

The job script is the executable, and its description is written here and not by dask-jobqueue: that one runs
``/bin/sh -c`` with the prologue joined by ``; ``, streams output where sites forbid it, and knows no files.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING

from fasthep_validate import process
from fasthep_validate.batch.condor_description import description, submit_words
from fasthep_validate.errors import SubmitError
from fasthep_validate.models.job import JobStatus
from fasthep_validate.store import write_text

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from fasthep_validate.models.job import JobSpec, JobState

PATIENCE = 60.0  # seconds for one command of HTCondor's; a busy schedd takes its time
ATTRIBUTES = "ClusterId,ProcId,JobStatus,HoldReason,HoldReasonCode,HoldReasonSubCode,RemoteHost"
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
# Last lines of the job's log: event number, and the words of a termination.
EVENT = re.compile(r"^(\d{3}) \(\d+\.\d+\.\d+\) ", re.MULTILINE)
RETURNED = re.compile(r"\(1\) Normal termination \(return value (\d+)\)")
KILLED = re.compile(r"\(0\) Abnormal termination \(signal (\d+)\)")


class HTCondorBatch:
    """Jobs on the schedd that the command line tools of this submit host talk to."""

    interval = 2.0  # seconds; one condor_q for all jobs

    def __init__(self, scratch: Path) -> None:
        """``scratch`` is not used: jobs run in directories that HTCondor makes."""
        self._scratch = scratch
        self._logs: dict[str, Path] = {}

    def submit(self, job: JobSpec) -> str:
        """Submit a job; the id is ``cluster.process``."""
        folder = Path(next(source for source, name in job.transfer.items() if name == "job.params")).parent
        file = folder / "job.sub"
        write_text(file, description(job, folder))
        done = process.run(submit_words(job, file), timeout=PATIENCE)
        first = re.match(
            r"(\d+\.\d+) - ", done.stdout.strip().splitlines()[-1] if done.stdout.strip() else ""
        )
        if not done.ok or first is None:
            words = " ".join((done.stderr or done.stdout).split())
            raise SubmitError(
                f"{job.worker}: condor_submit refused the job: {words}. It is described in {file}."
            )
        self._logs[first[1]] = Path(job.log)
        return first[1]

    def status(self, job_ids: Sequence[str]) -> Mapping[str, JobStatus]:
        """State of these jobs: from the queue, and for those that left it from their logs."""
        if not job_ids:
            return {}
        done = process.run(["condor_q", "-json", "-attributes", ATTRIBUTES, *job_ids], timeout=PATIENCE)
        if not done.ok:
            raise SubmitError(f"condor_q: the jobs could not be asked for: {' '.join(done.stderr.split())}.")
        queued = {status.job_id: status for status in _queued(done.stdout)}
        return {job_id: queued.get(job_id) or self._left(job_id) for job_id in job_ids}

    def cancel(self, job_ids: Sequence[str]) -> None:
        """Remove these jobs and wait until the queue has let them go."""
        if not job_ids:
            return
        process.run(["condor_rm", *job_ids], timeout=PATIENCE)
        for job_id in job_ids:
            process.run(["condor_wait", "-wait", "20", self._logs[job_id], job_id], timeout=PATIENCE)

    def _left(self, job_id: str) -> JobStatus:
        """What the job's log says of a job that has left the queue."""
        try:
            text = self._logs[job_id].read_text(encoding="utf-8", errors="replace")
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


def _queued(text: str) -> Iterable[JobStatus]:
    try:
        ads = json.loads(text) if text.strip() else ()
    except ValueError:
        words = " ".join(text.split())[:200]
        raise SubmitError(
            f"condor_q: expected JSON, got {words!r}. Is another program of this name on PATH?"
        ) from None
    for ad in ads:
        hold = f"{ad['HoldReasonCode']}/{ad.get('HoldReasonSubCode', 0)}" if "HoldReasonCode" in ad else ""
        yield JobStatus(
            job_id=f"{ad['ClusterId']}.{ad['ProcId']}",
            state=STATES[ad["JobStatus"]],
            reason=f"held {hold}: {ad.get('HoldReason', '')}" if hold else "",
            node=ad.get("RemoteHost", "").rpartition("@")[2],
        )
