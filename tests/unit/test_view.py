"""What a view says of evidence that is there, that was promised, and that could not be made."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fasthep_validate.errors import JudgeError
from fasthep_validate.models.event import PHASES, Event, Phase
from fasthep_validate.models.job import JobStatus
from fasthep_validate.outcomes import Blocked, finding
from fasthep_validate.testing import broken, changed, good_pack, good_run, good_site, good_submit, good_worker
from fasthep_validate.view import Run, Worker

if TYPE_CHECKING:
    from fasthep_validate.models.evidence import WorkerEvidence
    from fasthep_validate.models.execution import ExecutionConfig
    from fasthep_validate.models.profile import SiteProfile


def view(tmp_path: Path, evidence: WorkerEvidence) -> Worker:
    return good_run(tmp_path, workers=(evidence,)).workers["default-0"]


def test_a_run_is_read_back(tmp_path: Path) -> None:
    run = good_run(tmp_path)
    assert (run.site, run.pack, run.submit) == (good_site(), good_pack(), good_submit())
    assert run.execution == good_site().execution
    assert list(run.workers) == ["default-0", "default-1"]
    worker = run.workers["default-1"]
    assert (worker.id, worker.pool.name, worker.run) == ("default-1", "default", run)
    assert worker.evidence == good_worker("default-1")
    assert worker.first_failure() is None


def test_every_property_of_good_evidence_is_readable(tmp_path: Path) -> None:
    run = good_run(tmp_path)
    for subject in (run.submit_host, run.workers["default-0"], run.workers["default-0"].dask):
        for name in (
            name for name in dir(type(subject)) if isinstance(getattr(type(subject), name), property)
        ):
            unasked = name in {"gpu", "credentials"}  # the profile has neither
            assert unasked or getattr(subject, name) is not None


def test_a_worker_without_a_file_is_lost(tmp_path: Path) -> None:
    good_run(tmp_path)
    (tmp_path / "evidence" / "default-1.json").unlink()
    worker = Run.load(tmp_path).workers["default-1"]
    assert worker.evidence.job.state == "lost"
    assert worker.first_failure() == ("matched", None)


@pytest.mark.parametrize(
    "name", ["profile.json", "execution.json", "pack.json", "evidence/submit.json", "evidence/default-0.json"]
)
def test_a_broken_file_is_named(tmp_path: Path, name: str) -> None:
    good_run(tmp_path)
    (tmp_path / name).write_text('{"half": ')
    with pytest.raises(JudgeError, match=name):
        Run.load(tmp_path)


@pytest.mark.parametrize("name", ["profile.json", "execution.json", "pack.json", "evidence/submit.json"])
def test_a_missing_file_is_named(tmp_path: Path, name: str) -> None:
    good_run(tmp_path)
    (tmp_path / name).unlink()
    with pytest.raises(JudgeError, match=name):
        Run.load(tmp_path)


@pytest.mark.parametrize("phase", [phase for phase in PHASES if phase != "exited"])
def test_the_first_phase_that_failed_is_found(tmp_path: Path, phase: Phase) -> None:
    worker = view(tmp_path, broken(good_worker(), phase, code="some-code", detail="why"))
    failure = worker.first_failure()
    assert failure is not None
    assert failure[0] == phase
    assert failure[1] is not None
    assert failure[1].code == "some-code"


@given(index=st.integers(0, len(PHASES) - 2), state=st.sampled_from(["running", "exited", "lost", "removed"]))
def test_a_start_that_goes_silent_failed_in_the_phase_after_the_last_end(index: int, state: str) -> None:
    """Whatever is known of the job, and although no event tells of a failure."""
    events = tuple(event for event in good_worker().events if PHASES.index(event.phase) < index)
    job = JobStatus.model_validate({"job_id": "1", "state": state})
    evidence = good_worker().model_copy(update={"events": events, "job": job, "dask": None})
    run = Run(Path(), good_site(), good_site().execution, good_pack(), good_submit(), {"default-0": evidence})
    failure = Worker(run=run, pool=run.execution.pools[0], evidence=evidence).first_failure()
    implied = PHASES.index("transferred" if state in ("running", "exited") else "matched")
    assert failure is not None
    assert failure[0] == PHASES[max(index, implied)]


def test_phases_between_that_nobody_wrote_of_are_over(tmp_path: Path) -> None:
    kept = tuple(event for event in good_worker().events if event.phase not in ("packed", "credentials"))
    assert view(tmp_path, changed(good_worker(), "events", kept)).first_failure() is None


def test_a_phase_that_was_skipped_is_over(tmp_path: Path) -> None:
    skipped = broken(good_worker(), "preflight", code="not-tested")
    events = (*skipped.events[:-1], skipped.events[-1].model_copy(update={"state": "skip"}))
    failure = view(tmp_path, skipped.model_copy(update={"events": events})).first_failure()
    assert failure == ("extracted", None)


def test_a_retry_that_worked_is_no_failure(tmp_path: Path) -> None:
    refused = Event(worker="default-0", phase="preflight", state="fail", time=0.0)
    events = (refused, *good_worker().events)
    assert view(tmp_path, changed(good_worker(), "events", events)).first_failure() is None


def test_a_worker_that_did_its_task_came_even_without_events(tmp_path: Path) -> None:
    assert view(tmp_path, changed(good_worker(), "events", ())).first_failure() is None


def test_a_worker_that_died_before_it_was_asked_failed_in_exited(tmp_path: Path) -> None:
    worker = view(tmp_path, changed(good_worker(), "dask", None))
    failure = worker.first_failure()
    assert failure is not None
    assert failure[0] == "exited"
    with pytest.raises(Blocked) as blocked:
        _ = worker.dask
    assert blocked.value.by == "worker_start.started[default-0]"


def test_what_a_lost_worker_saw_is_blocked_if_it_never_came_home(tmp_path: Path) -> None:
    """Its probe ran, but its node went with the file."""
    worker = view(tmp_path, changed(broken(good_worker(), "registered"), "probe", None))
    with pytest.raises(Blocked) as blocked:
        _ = worker.python
    assert blocked.value.by == "worker_start.started[default-0]"


@pytest.mark.parametrize("phase", ["matched", "transferred", "extracted", "python"])
def test_evidence_of_a_start_that_failed_before_is_blocked(tmp_path: Path, phase: Phase) -> None:
    worker = view(tmp_path, broken(good_worker(), phase))
    with pytest.raises(Blocked):
        _ = worker.python
    with pytest.raises(Blocked):
        _ = worker.dask.versions


def test_evidence_from_before_the_failure_is_judged(tmp_path: Path) -> None:
    worker = view(tmp_path, broken(good_worker(), "connected"))
    assert worker.python.version == "3.12.4"
    with pytest.raises(Blocked):
        _ = worker.dask


@pytest.mark.parametrize(
    ("path", "problem"),
    [("probe", "nothing was stored"), ("probe.python", "it hung"), ("probe.scratch", "nothing")],
)
def test_promised_evidence_that_is_missing_fails(tmp_path: Path, path: str, problem: str) -> None:
    evidence = changed(good_worker(), "probe.problems", {"python": "it hung"})
    worker = view(tmp_path, changed(evidence, path, None))
    with pytest.raises(
        AssertionError, match=rf"promised evidence {path.rpartition('.')[2]} is missing: {problem}"
    ):
        getattr(worker, path.rpartition(".")[2])


def test_a_question_that_dask_did_not_answer_fails(tmp_path: Path) -> None:
    evidence = changed(good_worker(), "dask.problems", {"clock": "no answer within 30 s"})
    worker = view(tmp_path, changed(evidence, "dask.clock", None))
    with pytest.raises(AssertionError, match=r"dask\.clock is missing: no answer within 30 s"):
        _ = worker.dask.clock


def test_a_running_worker_that_nobody_asked_failed_in_its_first_task(tmp_path: Path) -> None:
    evidence = broken(good_worker(), "first_task")
    running = changed(changed(evidence, "events", evidence.events[:-1]), "job.state", "running")
    worker = view(tmp_path, running)
    assert worker.first_failure() == ("first_task", None)


def test_a_submit_host_without_probe_fails_by_name(tmp_path: Path) -> None:
    run = good_run(tmp_path, submit=changed(good_submit(), "probe", None))
    with pytest.raises(AssertionError, match="submit host"):
        _ = run.submit_host.python


def test_overrides_are_those_of_the_run(tmp_path: Path) -> None:
    """``execution.json`` is what was started; the profile may ask for something else."""
    site: SiteProfile = good_site()
    good_run(tmp_path, site=site)
    execution: ExecutionConfig = changed(site.execution, "strategy", "local")
    (tmp_path / "execution.json").write_text(execution.to_json())
    assert Run.load(tmp_path).execution.strategy == "local"


def test_blocked_is_told_with_its_reason() -> None:
    told = finding(Blocked(by="worker_start.started[default-0]"))
    assert (told.outcome, told.blocked_by) == ("blocked", "worker_start.started[default-0]")
