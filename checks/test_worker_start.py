"""Whether the planned workers came."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from fasthep_validate.models.event import Event, Phase
    from fasthep_validate.models.job import JobStatus
    from fasthep_validate.view import Worker


def test_started(worker: Worker) -> None:
    """The worker's job ran, and its Dask worker registered and did its first task.

    Remedy: look at the named phase first: everything after it is a consequence. The worker's err file and the
    batch system's log hold the details.
    """
    failure = worker.first_failure()
    assert failure is None, _happened(*failure, worker.evidence.job)


def _happened(phase: Phase, event: Event | None, job: JobStatus) -> str:
    """What stopped the start, in the words of the worker if it had any."""
    where = f" on {job.node}" if job.node else ""
    if event and event.state == "fail":
        words = " - ".join(word for word in (event.code, event.detail) if word)
        return f"{phase}: failed{where}: {words or 'no reason was given'}"
    if phase == "exited":
        return f"{phase}: the worker ended before it could be asked{where}; {_job(job)}"
    stage = "began but did not end" if event else "was not reached"
    return f"{phase}: {stage}{where}; {_job(job)}"


def _job(job: JobStatus) -> str:
    code = f" with exit code {job.exit_code}" if job.exit_code is not None else ""
    reason = f": {job.reason}" if job.reason else ""
    return f"the job is {job.state}{code}{reason}"
