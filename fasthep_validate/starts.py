"""What is heard of planned workers until they are of use: the events of each, from its logs and from here."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from fasthep_validate.events import EventLog
from fasthep_validate.jobs import ENDED, POLL, SHARE

if TYPE_CHECKING:
    from collections.abc import Iterable

    from fasthep_validate.models.job import JobSpec, JobStatus, Submission
    from fasthep_validate.progress import Progress
    from fasthep_validate.store import RunFolder

# Codes of events.
OUT_OF_SERVICE, REFUSED_FOR_NODE, REFUSED = "node-out-of-service", "submission-refused", "refused"


class Starts:
    """The event logs of all planned workers.

    Attributes:
        logs: worker -> its events.
    """

    def __init__(self, folder: RunFolder, progress: Progress) -> None:
        self.logs: dict[str, EventLog] = {}
        self._folder = folder
        self._progress = progress
        self._read_at = 0.0

    def plan(self, workers: Iterable[str]) -> None:
        """Listen to these workers too."""
        for worker in workers:
            self.logs[worker] = EventLog(
                worker=worker,
                sources=(self._folder.log("err", worker), self._folder.log("log", worker)),
                target=self._folder.events / f"{worker}.jsonl",
                heard=self._progress.event,
            )

    def read(self, starting: Iterable[str]) -> None:
        """Read on in the logs of workers that are starting; however many, it takes a small share of the time."""
        begun = time.monotonic()
        if begun < self._read_at:
            return
        for worker in starting:
            self.logs[worker].poll()
        now = time.monotonic()
        self._read_at = now + max(POLL, SHARE * (now - begun))

    def read_all(self) -> None:
        """Read all logs to their ends."""
        for log in self.logs.values():
            log.poll()

    def submitting(self, job: JobSpec) -> bool:
        """Whether a job is to be submitted; it is not if its node is out of service."""
        log = self.logs[job.worker]
        log.note("submitted", "start")
        if job.node and not job.node.in_service:
            log.note("submitted", "fail", code=OUT_OF_SERVICE, detail=job.node.words)
            return False
        return True

    def submitted(self, submission: Submission, job: JobSpec) -> None:
        """Note what became of a submission."""
        log = self.logs[job.worker]
        if submission.refusal:
            code = REFUSED_FOR_NODE if job.node else REFUSED
            log.note("submitted", "fail", code=code, detail=submission.refusal)
        else:
            log.note("submitted", "end", detail=f"job {submission.job_id}")

    def changed(self, worker: str, status: JobStatus) -> None:
        """Note what the batch system says of a job, if that is news."""
        log = self.logs[worker]
        there = status.state == "running" or (status.state == "held" and status.node)
        if there and not log.has("matched", "end"):
            log.note("matched", "end", detail=status.node)
        if status.state == "submitted" and status.reason:
            log.note("matched", "start", detail=status.reason)
        elif status.state in ENDED:
            log.poll()
