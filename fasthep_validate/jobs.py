"""The jobs of a run at its batch system: submitted together, asked for together, removed together."""

from __future__ import annotations

import json
import math
import time
from typing import TYPE_CHECKING

from fasthep_validate.errors import SubmitError
from fasthep_validate.models.job import JobStatus
from fasthep_validate.signals import held
from fasthep_validate.store import write_text

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from pathlib import Path

    from fasthep_validate.batch import Batch
    from fasthep_validate.models.job import JobSpec, JobState, Submission

ENDED: frozenset[JobState] = frozenset({"refused", "exited", "held", "removed", "lost"})
"""States of a job whose worker will not come."""
RETRY = 2.0  # seconds until a query that failed is put again; twice as long after each
RETRY_MAX = 30.0  # seconds
PATIENCE = 180.0  # seconds that a batch system may fail to answer, before it is an error
IDLE = 30.0  # seconds that a job waits before anybody asks why
IDLE_AGAIN = 300.0  # seconds until somebody asks again
SHARE = 5  # a query that takes long is put again after so many times as long
NEVER_RAN = "removed by this run before it started"
POLL = 0.1  # seconds between two looks at what changed


class Jobs:
    """The jobs of one run, by planned worker.

    Attributes:
        ids: worker -> the batch system's id, of jobs that were submitted.
        final: worker -> last state of jobs whose worker will not come.
    """

    def __init__(
        self, batch: Batch, *, say: Callable[[str], None], guard: Path, patience: float = math.inf
    ) -> None:
        """Start with none.

        Args:
            batch: where they go.
            say: told of the progress of submissions, and of queries that fail.
            patience: seconds that workers are waited for; why a job waits is asked before it is over.
            guard: file for the commands that remove all jobs (JSON), for who cleans up after a killed run.
        """
        self._guard = guard
        self._idle = min(IDLE, patience / 2)
        self.ids: dict[str, str] = {}
        self.final: dict[str, JobStatus] = {}
        self._batch = batch
        self._say = say
        self._workers: dict[str, str] = {}  # the other way round: id -> worker
        self._known: dict[str, JobStatus] = {}
        self._doubtful: set[str] = set()  # whom the batch system did not confirm to have removed
        self._specs: dict[str, JobSpec] = {}
        self._why: dict[str, str] = {}  # pool -> why its jobs wait
        self._explain_at: dict[str, float] = {}
        self._ask_at = 0.0
        self._failing: float | None = None  # since when no query went well
        self._retry = RETRY

    def submit(self, specs: Sequence[JobSpec], told: Callable[[Submission], None]) -> None:
        """Submit jobs, some at a time; those that are refused are told, and the others go on.

        Args:
            specs: the jobs.
            told: called for each job that was submitted or refused.

        Raises:
            SubmitError: all of them were refused; the message has the words for the first.
        """
        refused: list[Submission] = []
        self._specs |= {spec.worker: spec for spec in specs}
        self._explain_at |= dict.fromkeys((spec.pool for spec in specs), time.monotonic() + self._idle)
        for start in range(0, len(specs), self._batch.chunk):
            chunk = specs[start : start + self._batch.chunk]
            with held():  # what has been submitted must be known here
                for submission in self._batch.submit(chunk):
                    self._take(submission)
                    told(submission)
                    refused += [submission] if submission.refusal else []
                write_text(self._guard, json.dumps(self._removal()))
            tally = f", {len(refused)} refused" if refused else ""
            if len(specs) > self._batch.chunk or refused:
                self._say(f"submitted {start + len(chunk)} of {len(specs)} jobs{tally}")
        self._ask_at = 0.0
        if refused and len(refused) == len(specs):
            others = f" (and {len(refused) - 1} others)" if len(refused) > 1 else ""
            raise SubmitError(f"{refused[0].worker}{others}: {refused[0].refusal}.")

    def withhold(self, worker: str, why: str, *, node: str) -> None:
        """Take note that a job is not submitted at all."""
        self._known[worker] = self.final[worker] = JobStatus(
            job_id="", state="planned", reason=why, node=node
        )

    def poll(self) -> Mapping[str, JobStatus]:
        """States that changed since the last time: worker -> state; asks when it is time to.

        Raises:
            SubmitError: the batch system has not answered for three minutes.
        """
        if time.monotonic() < self._ask_at:
            return {}
        wanted = [job_id for worker, job_id in self.ids.items() if worker not in self.final]
        if not wanted:
            return {}
        started = time.monotonic()
        try:
            seen = self._batch.status(wanted)
        except SubmitError as error:
            self._put_off(error)
            return {}
        self._failing, self._retry = None, RETRY
        now = time.monotonic()
        self._ask_at = now + max(self._batch.interval, SHARE * (now - started))
        return self._changed(self._explained(seen))

    def statuses(self) -> Mapping[str, JobStatus]:
        """What is known of every job."""
        return {**self._known}

    def await_exits(self, workers: Iterable[str], *, seconds: float) -> None:
        """Wait until these jobs have ended by themselves."""
        left, deadline = set(workers) & set(self.ids), time.monotonic() + seconds
        while (left := left - set(self.final)) and time.monotonic() < deadline:
            self.poll()
            time.sleep(POLL)

    def end(self, workers: Iterable[str], *, why: Mapping[str, str] | None = None) -> None:
        """Remove what these workers have in the queue.

        A batch system that does not answer must not stop whoever cleans up: it is told, with the jobs.

        Args:
            workers: planned workers.
            why: worker -> reason for which it is given up, which is its job's last word then.
        """
        queued = {
            self.ids[worker]: worker for worker in workers if worker in self.ids and self._in_queue(worker)
        }
        if not queued:
            return
        left = list(queued)
        waited = {worker for worker in queued.values() if self._known[worker].state == "submitted"}
        self._batch.fetch([i for i, worker in queued.items() if self._known[worker].state == "running"])
        for job_id, worker in queued.items():
            if why and worker not in self.final:
                status = JobStatus(job_id=job_id, state="removed", reason=why[worker])
                self._known[worker] = self.final[worker] = status
        self._doubtful |= set(queued.values())
        try:
            self._batch.cancel(left)
            seen = self._batch.status(left)
            self._changed({i: self._never_ran(i, last, waited) for i, last in seen.items()})
            self._doubtful -= set(queued.values())
        except SubmitError as error:
            self._say(f"jobs {' '.join(left)} may be left: {error}")

    @property
    def doubtful(self) -> bool:
        """Whether the batch system did not confirm to have removed all that it was told to."""
        return bool(self._doubtful)

    def stop_asking(self) -> None:
        """What is known now is all that will be known."""
        self._ask_at = math.inf

    def _removal(self) -> Sequence[Sequence[str]]:
        """The commands that remove all that may be in the queue."""
        return self._batch.removal([self.ids[worker] for worker in self.ids if self._in_queue(worker)])

    def _never_ran(self, job_id: str, last: JobStatus, waited: set[str]) -> JobStatus:
        """The last word on a job that was removed by us: why it waited, if it did."""
        worker = self._workers[job_id]
        if worker not in waited or last.state not in {"removed", "lost"}:
            return last
        why = self._known[worker].reason
        return last.model_copy(update={"reason": f"{NEVER_RAN}: {why}" if why else NEVER_RAN})

    def _explained(self, seen: Mapping[str, JobStatus]) -> Mapping[str, JobStatus]:
        """The states with the reason for which jobs wait; one job of a pool is asked for, once in a while."""
        now = time.monotonic()
        waiting = {i: status for i, status in seen.items() if status.state == "submitted"}
        for job_id in waiting:
            pool = self._specs[self._workers[job_id]].pool
            if now >= self._explain_at[pool]:
                self._explain_at[pool] = now + IDLE_AGAIN
                self._why[pool] = self._batch.explain(job_id)
        whys = {i: self._why.get(self._specs[self._workers[i]].pool, "") for i in waiting}
        told = {i: status.model_copy(update={"reason": whys[i]}) for i, status in waiting.items() if whys[i]}
        return {**seen, **told}

    def _in_queue(self, worker: str) -> bool:
        """Whether there may be something to remove: a held job will not run, but it is still there."""
        return worker in self._doubtful or worker not in self.final or self.final[worker].state == "held"

    def _take(self, submission: Submission) -> None:
        worker = submission.worker
        if submission.refusal:
            status = JobStatus(job_id="", state="refused", reason=submission.refusal)
            self._known[worker] = self.final[worker] = status
        else:
            self.ids[worker] = submission.job_id
            self._workers[submission.job_id] = worker
            self._known[worker] = JobStatus(job_id=submission.job_id, state="submitted")

    def _changed(self, seen: Mapping[str, JobStatus]) -> dict[str, JobStatus]:
        found = {self._workers[job_id]: status for job_id, status in seen.items()}
        changed = {
            worker: status
            for worker, status in found.items()
            if status != self._known[worker] and worker not in self.final  # why it was held is not forgotten
        }
        self._known |= changed
        self.final |= {worker: status for worker, status in changed.items() if status.state in ENDED}
        return changed

    def _put_off(self, error: SubmitError) -> None:
        """Ask again later; a schedd or controller that is busy answers the next time."""
        now = time.monotonic()
        self._failing = now if self._failing is None else self._failing
        if now - self._failing > PATIENCE:
            raise error
        self._say(f"{error} Asking again in {self._retry:g} s.")
        self._ask_at = now + self._retry
        self._retry = min(2 * self._retry, RETRY_MAX)
