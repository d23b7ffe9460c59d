"""Checks of the start, of resources, of logs and of modifiers on bad evidence."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from checks import test_logs, test_modifiers, test_resources, test_worker_start
from fasthep_validate.models.evidence import Placement
from fasthep_validate.models.execution import Modifier
from fasthep_validate.testing import broken, changed, compute, good_run, good_site, good_submit, good_worker

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from fasthep_validate.models.evidence import WorkerEvidence
    from fasthep_validate.outcomes import Finding
    from fasthep_validate.view import Worker

GB = 1_000_000_000

# check, field, value, outcome, message
CASES = [
    (test_resources.test_cores, "probe.limits.cpus", 0, "fail", "0 cores usable, 1 asked for"),
    (test_resources.test_cores, "probe.limits.cgroup_cpus", 0.5, "fail", "0.5 cores usable"),
    (test_resources.test_cores, "probe.limits.cgroup_cpus", None, "pass", ""),
    (test_resources.test_nthreads, "dask.nthreads", 4, "fail", "4 threads, 1 asked for"),
    (test_resources.test_nthreads, "probe.limits.cgroup_cpus", 0.5, "warn", "1 threads share 0.5 cores"),
    (
        test_resources.test_thread_variables,
        "probe.thread_variables",
        {"OMP_NUM_THREADS": "8"},
        "fail",
        "THREADS=8",
    ),
    (test_resources.test_thread_variables, "probe.thread_variables", {}, "warn", "not set: OMP_NUM_THREADS"),
    (test_resources.test_memory, "probe.limits.memory", GB, "fail", "node 1.00 GB, 2.00 GB asked for"),
    (test_resources.test_memory, "probe.limits.cgroup_memory", GB, "fail", "cgroup 1.00 GB"),
    (test_resources.test_memory, "probe.limits.cgroup_memory", 2 * GB - 2**20, "pass", ""),
    (test_resources.test_memory, "probe.limits.cgroup_memory", None, "pass", ""),
    (
        test_resources.test_dask_memory_within_cgroup,
        "probe.limits.cgroup_memory",
        GB,
        "fail",
        "killed at 1.00 GB",
    ),
    (
        test_resources.test_dask_memory_within_cgroup,
        "dask.memory_limit",
        3 * GB,
        "fail",
        "Dask may use 3.00 GB",
    ),
    (test_resources.test_granted, "probe.limits.granted_cpus", 0, "fail", "0 cores, 1 asked for"),
    (test_resources.test_granted, "probe.limits.granted_memory", GB, "fail", "953 MiB of memory, 1907 asked"),
    (test_resources.test_granted, "probe.limits.granted_memory", None, "pass", ""),
    (test_resources.test_granted, "probe.limits.granted_gpus", 1, "warn", "1 GPUs given, 0 asked for"),
    (
        test_resources.test_labels,
        "dask.resources",
        {"GPU": 1.0},
        "fail",
        "labels GPU=1, resource.default=1 asked for",
    ),
    (
        test_resources.test_scratch_size,
        "probe.scratch.free",
        10**8,
        "fail",
        "0.10 GB free in /scratch/job, 0.20 GB",
    ),
    (test_resources.test_scratch_size, "probe.scratch.free", 3 * GB, "fail", "4.00 GB asked for"),
    (test_resources.test_scratch_size, "probe.scratch.free", 3_700_000_000, "pass", ""),
    (test_resources.test_scratch_writable, "probe.scratch.writable", False, "fail", "cannot be written"),
    (test_resources.test_scratch_not_noexec, "probe.scratch.noexec", True, "fail", "is mounted noexec"),
    (test_resources.test_scratch_not_noexec, "probe.scratch.can_exec", False, "fail", "could not be started"),
    (test_resources.test_scratch_local, "probe.scratch.filesystem", "nfs4", "warn", "on nfs4"),
    (test_resources.test_scratch_local, "probe.scratch.filesystem", "fuse.cernvm", "warn", "on fuse.cernvm"),
    (
        test_resources.test_open_files,
        "probe.limits.nofile",
        256,
        "fail",
        "256 open files allowed, 1024 needed",
    ),
    (test_resources.test_open_files, "probe.limits.nofile", None, "pass", ""),
    (test_resources.test_processes, "probe.limits.nproc", 100, "warn", "100 processes allowed"),
    (test_resources.test_processes, "probe.limits.nproc", None, "pass", ""),
    (test_resources.test_address_space, "probe.limits.address_space", GB, "warn", "limited to 1.00 GB"),
    (
        test_modifiers.test_ran_around_task,
        "dask.modifier_run.error",
        "ImportError: x",
        "fail",
        "ImportError: x",
    ),
    (
        test_modifiers.test_ran_around_task,
        "dask.modifier_run.modifiers",
        (),
        "fail",
        "ran none; planned example.record",
    ),
    (test_modifiers.test_ran_around_task, "dask.modifier_run.metadata", {}, "fail", "no modifier recorded"),
    (
        test_modifiers.test_ran_around_task,
        "dask.modifier_run.metadata",
        {"other": 1},
        "warn",
        "by example.record",
    ),
    (
        test_modifiers.test_ran_around_task,
        "dask.modifier_run",
        None,
        "fail",
        "promised evidence dask.modifier_run",
    ),
    (
        test_modifiers.test_result_right,
        "dask.modifier_run.result",
        11,
        "fail",
        "the result is 11, expected 10",
    ),
    (
        test_modifiers.test_result_right,
        "dask.modifier_run.error",
        "ImportError: x",
        "blocked",
        "ran-around-task",
    ),
    (
        test_modifiers.test_ran_in_worker_environment,
        "dask.modifier_run.prefix",
        "/usr",
        "fail",
        "environment /usr",
    ),
    (
        test_modifiers.test_ran_in_worker_environment,
        "dask.modifier_run.hostname",
        "submit",
        "fail",
        "ran on submit",
    ),
    (test_logs.test_out_came_back, "logs", (), "fail", "nothing is known of the out file"),
    (test_logs.test_log_came_back, "logs", (), "fail", "nothing is known of the log file"),
]


def found(tmp_path: Path, check: Callable[[Worker], None], evidence: WorkerEvidence) -> Finding:
    return compute(check, good_run(tmp_path, workers=(evidence,)).workers["default-0"])


@pytest.mark.parametrize(("check", "path", "value", "outcome", "message"), CASES)
def test_evidence_of_a_worker(
    tmp_path: Path, check: Callable[[Worker], None], path: str, value: object, outcome: str, message: str
) -> None:
    result = found(tmp_path, check, changed(good_worker(), path, value))
    assert result.outcome == outcome, result.message
    assert message in result.message


def of_pool(
    tmp_path: Path, check: Callable[[Worker], None], evidence: WorkerEvidence, **pool: object
) -> Finding:
    site = good_site()
    changed_pool = site.execution.pools[0].model_copy(update=pool)
    site = changed(site, "execution.pools", (changed_pool,))
    return compute(check, good_run(tmp_path, site=site, workers=(evidence,)).workers["default-0"])


def test_memory_that_is_not_asked_for(tmp_path: Path) -> None:
    resources = changed(good_site().execution.pools[0].resources, "memory", None)
    assert of_pool(tmp_path, test_resources.test_memory, good_worker(), resources=resources).outcome == "n/a"


def test_dask_without_limit_in_a_job_with_one(tmp_path: Path) -> None:
    evidence = changed(good_worker(), "dask.memory_limit", 0)
    result = of_pool(tmp_path, test_resources.test_dask_memory_within_cgroup, evidence, memory_limit=0)
    assert (result.outcome, result.message) == (
        "warn",
        "Dask has no memory limit, the job is killed at 2.00 GB",
    )


def test_dask_without_limit_where_nothing_kills(tmp_path: Path) -> None:
    evidence = changed(changed(good_worker(), "dask.memory_limit", 0), "probe.limits.cgroup_memory", None)
    result = of_pool(tmp_path, test_resources.test_dask_memory_within_cgroup, evidence, memory_limit=0)
    assert result.outcome == "pass"


@pytest.mark.parametrize(
    ("offered", "outcome"), [({}, "fail"), ({"GPU": 2.0}, "fail"), ({"GPU": 1.0}, "pass")]
)
def test_gpus(tmp_path: Path, offered: dict[str, float], outcome: str) -> None:
    resources = changed(good_site().execution.pools[0].resources, "gpus", 1)
    evidence = changed(good_worker(), "dask.resources", offered)
    assert of_pool(tmp_path, test_resources.test_gpus, evidence, resources=resources).outcome == outcome


def test_gpu_of_which_the_batch_system_says_nothing(tmp_path: Path) -> None:
    resources = changed(good_site().execution.pools[0].resources, "gpus", 1)
    result = of_pool(tmp_path, test_resources.test_granted, good_worker(), resources=resources)
    assert (result.outcome, result.message) == ("fail", "0 GPUs, 1 asked for")


def test_batch_system_that_says_nothing(tmp_path: Path) -> None:
    limits = good_worker().probe.limits.model_copy(update={"granted_cpus": None, "granted_memory": None})  # type: ignore[union-attr]
    result = found(tmp_path, test_resources.test_granted, changed(good_worker(), "probe.limits", limits))
    assert result.outcome == "n/a"


@pytest.mark.parametrize(
    ("seen", "message"),
    [
        ({"ran_on": ("default-0", "default-1")}, ""),
        ({"ran_on": ("default-0", "gpu-0")}, "resource.default: ran on gpu-0"),
        ({"error": "no answer within 30 s"}, "resource.default: no answer within 30 s"),
        ({"ran_on": ("default-0",)}, "resource.default: 1 of 2 tasks ran"),
    ],
)
def test_where_tasks_land(tmp_path: Path, seen: dict[str, object], message: str) -> None:
    placement = Placement.model_validate(
        {"label": "resource.default", "offered_by": ("default-0", "default-1"), "asked": 2, **seen}
    )
    run = good_run(tmp_path, submit=changed(good_submit(), "placements", (placement,)))
    result = compute(test_resources.test_tasks_land_where_they_ask, run)
    assert (result.outcome, result.message) == ("fail" if message else "pass", message)


def test_no_modifiers_in_the_profile(tmp_path: Path) -> None:
    run = good_run(tmp_path, site=changed(good_site(), "execution.modifiers", ()))
    assert compute(test_modifiers.test_ran_around_task, run.workers["default-0"]).outcome == "n/a"


def test_modifiers_in_another_order(tmp_path: Path) -> None:
    planned = (Modifier(name="second"), Modifier(name="first"))
    evidence = changed(good_worker(), "dask.modifier_run.modifiers", ("first", "second"))
    run = good_run(tmp_path, site=changed(good_site(), "execution.modifiers", planned), workers=(evidence,))
    result = compute(test_modifiers.test_ran_around_task, run.workers["default-0"])
    assert (result.outcome, result.message) == ("fail", "ran first, second; planned second, first")


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [("size", None, "did not come back"), ("size", 0, "is empty"), ("readable", False, "cannot be read")],
)
def test_a_log_that_is_not_there(tmp_path: Path, field: str, value: object, message: str) -> None:
    logs = tuple(changed(log, field, value) for log in good_worker().logs)
    for check in (test_logs.test_out_came_back, test_logs.test_err_came_back):
        result = found(tmp_path / check.__name__, check, changed(good_worker(), "logs", logs))
        assert result.outcome == "fail"
        assert message in result.message


PRIVATE = "-----BEGIN {}PRIVATE KEY-----"
TOKEN = "eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJ1c2VyIn0.c2lnbmF0dXJl"


@pytest.mark.parametrize(
    ("line", "what"),
    [
        (PRIVATE.format(""), "a private key"),
        (PRIVATE.format("RSA "), "a private key"),
        (f"x={TOKEN}", "a token"),
    ],
)
def test_a_secret_in_a_log_is_found_and_not_repeated(tmp_path: Path, line: str, what: str) -> None:
    run = good_run(tmp_path)
    (tmp_path / "debug/distributed/err/default-0.err").write_text(f"start\n{line}\n")
    result = compute(test_logs.test_no_secrets, run.workers["default-0"])
    assert result.message == f"debug/distributed/err/default-0.err line 2 holds {what}"
    assert compute(test_logs.test_no_secrets, run.workers["default-1"]).outcome == "pass"


def test_a_worker_that_failed_is_told_in_the_words_of_its_phase(tmp_path: Path) -> None:
    evidence = broken(good_worker(), "extracted", code="no-space", detail="3 KiB left in /scratch")
    result = found(tmp_path, test_worker_start.test_started, evidence)
    assert result.message == (
        "extracted: failed on node-default-0.example.org: no-space - 3 KiB left in /scratch"
    )


@pytest.mark.parametrize(
    ("job", "message"),
    [
        (
            {"state": "removed", "exit_code": -9},
            "extracted: was not reached on {}; the job is removed with exit code -9",
        ),
        ({"state": "running", "exit_code": None}, "extracted: was not reached on {}; the job is running"),
        (
            {"state": "lost", "exit_code": None, "reason": "gone"},
            "extracted: was not reached on {}; the job is lost: gone",
        ),
    ],
)
def test_a_worker_that_went_silent(tmp_path: Path, job: dict[str, object], message: str) -> None:
    evidence = broken(good_worker(), "extracted")
    silent = changed(evidence, "events", evidence.events[:-1])
    silent = silent.model_copy(update={"job": silent.job.model_copy(update=job)})
    result = found(tmp_path, test_worker_start.test_started, silent)
    assert result.message == message.format("node-default-0.example.org")


def test_a_worker_that_died_in_a_phase(tmp_path: Path) -> None:
    evidence = broken(good_worker(), "python")
    begun = evidence.events[-1].model_copy(update={"state": "start"})
    result = found(
        tmp_path, test_worker_start.test_started, changed(evidence, "events", (*evidence.events[:-1], begun))
    )
    assert result.message.startswith("python: began but did not end")


def test_a_worker_that_died_before_it_was_asked(tmp_path: Path) -> None:
    result = found(tmp_path, test_worker_start.test_started, changed(good_worker(), "dask", None))
    assert result.message.startswith("exited: the worker ended before it could be asked")
