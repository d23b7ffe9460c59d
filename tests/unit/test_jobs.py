"""The jobs of a run, at a batch system that does as it is told."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, ClassVar

import pytest

from fasthep_validate import jobs as module
from fasthep_validate.errors import SubmitError
from fasthep_validate.jobs import Jobs
from fasthep_validate.models.job import JobSpec, JobStatus, Submission

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path


@pytest.fixture(autouse=True)
def guard(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The file for who cleans up."""
    path = tmp_path / "removal.json"
    monkeypatch.setattr(Queue, "guard", path, raising=False)  # what the hub would read; there is none here
    return path


class Queue:
    """A batch system without jobs: states are what the test says they are."""

    guard: ClassVar[Path]

    def __init__(self, *, bad: Sequence[str] = ()) -> None:
        self.interval = 0.0
        self.chunk = 4
        self.bad = bad
        self.submitted: list[int] = []
        self.asked: list[list[str]] = []
        self.cancelled: list[list[str]] = []
        self.states: dict[str, JobStatus] = {}
        self.silent = False
        self.explained: list[str] = []
        self.fetched: list[str] = []

    def submit(self, jobs: Sequence[JobSpec]) -> Sequence[Submission]:
        self.submitted.append(len(jobs))
        return [
            Submission(worker=job.worker, refusal="no such queue")
            if job.worker in self.bad
            else Submission(worker=job.worker, job_id=f"id-{job.worker}")
            for job in jobs
        ]

    def status(self, job_ids: Sequence[str]) -> Mapping[str, JobStatus]:
        self.asked.append(list(job_ids))
        if self.silent:
            raise SubmitError("condor_q: no answer.")
        waiting = {job_id: JobStatus(job_id=job_id, state="submitted") for job_id in job_ids}
        return {**waiting, **{job_id: self.states[job_id] for job_id in job_ids if job_id in self.states}}

    def explain(self, job_id: str) -> str:
        self.explained.append(job_id)
        return "no slot fits"

    def fetch(self, job_ids: Sequence[str]) -> None:
        self.fetched += job_ids

    def removal(self, job_ids: Sequence[str]) -> Sequence[Sequence[str]]:
        return [["rm", *job_ids]]

    def cancel(self, job_ids: Sequence[str]) -> None:
        self.cancelled.append(list(job_ids))
        self.states |= {job_id: JobStatus(job_id=job_id, state="removed") for job_id in job_ids}


def specs(number: int) -> list[JobSpec]:
    plain = {
        "executable": "",
        "arguments": (),
        "directives": {},
        "transfer": {},
        "out": "",
        "err": "",
        "log": "",
    }
    return [JobSpec.model_validate({"worker": f"w-{n}", "pool": "p", **plain}) for n in range(number)]


def submitted(queue: Queue, number: int) -> tuple[Jobs, list[str]]:
    said: list[str] = []
    jobs = Jobs(queue, say=said.append, guard=queue.guard)
    jobs.submit(specs(number), lambda _: None)
    return jobs, said


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Time as the test sets it: minutes are too long to wait for."""
    now = [1000.0]
    monkeypatch.setattr("fasthep_validate.jobs.time.monotonic", lambda: now[0])
    return now


def test_jobs_are_submitted_some_at_a_time() -> None:
    queue = Queue()
    jobs, said = submitted(queue, 10)
    assert queue.submitted == [4, 4, 2]
    assert said == [f"submitted {done} of 10 jobs" for done in (4, 8, 10)]
    assert len(jobs.ids) == 10


def test_refused_job_does_not_stop_the_others() -> None:
    jobs, said = submitted(Queue(bad=["w-2"]), 3)
    assert set(jobs.ids) == {"w-0", "w-1"}
    assert jobs.final["w-2"] == JobStatus(job_id="", state="refused", reason="no such queue")
    assert said == ["submitted 3 of 3 jobs, 1 refused"]


def test_all_refused() -> None:
    with pytest.raises(SubmitError, match=r"^w-0 \(and 1 others\): no such queue\.$"):
        submitted(Queue(bad=["w-0", "w-1"]), 2)


def test_only_changes_are_told(clock: list[float]) -> None:
    queue = Queue()
    jobs, _ = submitted(queue, 3)
    assert jobs.poll() == {}
    queue.states["id-w-1"] = JobStatus(job_id="id-w-1", state="running", node="wn1")
    assert {worker: status.node for worker, status in jobs.poll().items()} == {"w-1": "wn1"}
    assert jobs.poll() == {}


def test_who_has_ended_is_not_asked_for_again(clock: list[float]) -> None:
    queue = Queue()
    jobs, _ = submitted(queue, 2)
    queue.states["id-w-0"] = JobStatus(job_id="id-w-0", state="exited", exit_code=1)
    jobs.poll()
    jobs.poll()
    assert queue.asked == [["id-w-0", "id-w-1"], ["id-w-1"]]
    assert jobs.final["w-0"].exit_code == 1


def test_one_question_an_interval() -> None:
    queue = Queue()
    jobs, _ = submitted(queue, 2)
    queue.interval = 60
    for _ in range(5):
        jobs.poll()
    assert len(queue.asked) == 1


def test_query_that_fails_is_put_again(clock: list[float]) -> None:
    queue = Queue()
    jobs, said = submitted(queue, 1)
    queue.silent = True
    assert jobs.poll() == {}
    assert said == ["condor_q: no answer. Asking again in 2 s."]
    clock[0] += 1.9
    jobs.poll()
    assert len(queue.asked) == 1
    clock[0] += 0.2
    queue.silent = False
    queue.states["id-w-0"] = JobStatus(job_id="id-w-0", state="running")
    assert jobs.poll()["w-0"].state == "running"


def test_no_answer_for_long_is_an_error(clock: list[float]) -> None:
    """After fewer questions than a busy schedd would mind."""
    queue = Queue()
    jobs, _ = submitted(queue, 1)
    queue.silent = True
    begun = clock[0]
    with pytest.raises(SubmitError, match="no answer"):  # noqa: PT012 - it must not be raised before
        while True:
            jobs.poll()
            clock[0] += 1
    assert clock[0] - begun > module.PATIENCE
    assert len(queue.asked) < 15


def test_jobs_are_removed_together() -> None:
    queue = Queue()
    jobs, _ = submitted(queue, 5)
    queue.states["id-w-0"] = JobStatus(job_id="id-w-0", state="exited", exit_code=0)
    queue.states["id-w-1"] = JobStatus(job_id="id-w-1", state="held", reason="no disk")
    jobs.poll()
    jobs.end(["w-0", "w-1", "w-2", "w-9"])
    assert queue.cancelled == [["id-w-1", "id-w-2"]]
    assert {name: status.state for name, status in jobs.final.items()} == {
        "w-0": "exited",
        "w-1": "held",
        "w-2": "removed",
    }, "why it did not run is not forgotten"


def test_batch_system_that_is_silent_at_the_end() -> None:
    queue = Queue()
    jobs, said = submitted(queue, 1)
    queue.silent = True
    jobs.end(["w-0"])
    assert said == ["jobs id-w-0 may be left: condor_q: no answer."]


def test_why_jobs_wait_is_asked_rarely_and_once_a_pool(clock: list[float]) -> None:
    queue = Queue()
    jobs, _ = submitted(queue, 3)
    for _ in range(25):
        assert jobs.poll() == {}
        clock[0] += 1
    assert queue.explained == []
    clock[0] += 10
    changed = jobs.poll()
    assert {worker: status.reason for worker, status in changed.items()} == dict.fromkeys(
        ("w-0", "w-1", "w-2"), "no slot fits"
    )
    for _ in range(250):
        assert jobs.poll() == {}, "told once"
        clock[0] += 1
    assert queue.explained == ["id-w-0"]


def test_reason_is_kept_when_a_job_that_never_ran_is_removed(clock: list[float]) -> None:
    queue = Queue()
    jobs, _ = submitted(queue, 2)
    clock[0] += 40
    queue.states["id-w-1"] = JobStatus(job_id="id-w-1", state="running")
    jobs.poll()
    jobs.end(["w-0", "w-1"])
    assert jobs.final["w-0"].reason == f"{module.NEVER_RAN}: no slot fits"
    assert jobs.final["w-1"].reason == ""
    assert queue.fetched == ["id-w-1"], "what it has written so far is brought before it is removed"


def test_guard_knows_what_to_remove(guard: Path) -> None:
    submitted(Queue(), 2)
    assert json.loads(guard.read_text()) == [["rm", "id-w-0", "id-w-1"]]
