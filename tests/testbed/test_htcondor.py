"""``fasthep-validate`` on real HTCondor: workers on nodes that have no Python, as an ordinary user."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING

import pytest

from fasthep_validate.models.evidence import WorkerEvidence
from fasthep_validate.models.report import Report

if TYPE_CHECKING:
    from fasthep_validate.process import Completed
    from tests.testbed.fixtures import Site

pytestmark = [pytest.mark.testbed, pytest.mark.slow]
COMMAND = ("env", "HOME=/home/alice", "fasthep-validate", "--site", "testbed-htcondor", "--outdir")


def validate(site: Site, name: str, *options: str) -> tuple[Completed, Report]:
    """Run the command as alice on the submit node and read its report there."""
    outdir = f"/home/alice/{name}"
    done = site.run("submit", *COMMAND, outdir, *options, timeout=200)
    return done, report(site, outdir)


def report(site: Site, outdir: str) -> Report:
    latest = f"{outdir}/testbed-htcondor/latest/debug/distributed/results/report.json"
    return Report.model_validate_json(site.output("submit", "cat", latest))


def queue(site: Site) -> list[object]:
    text = site.output("submit", "condor_q", "-json", "-allusers")
    found: list[object] = json.loads(text) if text else []
    return found


def outcomes(seen: Report, check: str) -> dict[str, str]:
    return {result.worker: result.outcome for result in seen.checks if result.id == check}


def test_two_pools_on_one_scheduler(testbed: Site) -> None:
    done, seen = validate(testbed, "pools", "--pool", "gpu=1")
    assert done.ok, done.stdout + done.stderr
    assert seen.verdict == "pass"
    assert {worker.worker for worker in seen.workers} == {"default-0", "default-1", "gpu-0"}
    assert {result.outcome for result in seen.checks} <= {"pass", "n/a"}
    folder = "/home/alice/pools/testbed-htcondor/latest"
    workers = {
        name: WorkerEvidence.model_validate_json(
            testbed.output("submit", "cat", f"{folder}/evidence/{name}.json")
        )
        for name in ("default-0", "gpu-0")
    }
    gpu = workers["gpu-0"]
    assert gpu.dask is not None
    assert gpu.dask.hostname == "wn1.testbed", "the one node with a GPU"
    assert gpu.dask.resources["GPU"] == 1
    assert gpu.probe is not None
    assert gpu.probe.environment is not None
    assert gpu.probe.environment.get("CUDA_VISIBLE_DEVICES"), "HTCondor says which GPU was granted"
    assert gpu.dask.provenance is not None
    assert gpu.dask.provenance.root.startswith("/var/lib/condor/execute/")
    assert gpu.dask.provenance.outside == ()
    assert {log.kind: bool(log.size) for log in gpu.logs} == {"out": True, "err": True, "log": True}
    plain = workers["default-0"]
    assert plain.dask is not None
    assert "GPU" not in plain.dask.resources
    assert queue(testbed) == []


def test_job_that_never_matches_is_removed(testbed: Site) -> None:
    settings = ("resources.default.memory=999 GB", "config.worker_start_timeout=8")
    options = [word for setting in settings for word in ("--set", setting)]
    done, seen = validate(testbed, "huge", *options)
    assert done.returncode == 5, done.stdout + done.stderr
    assert outcomes(seen, "worker_start.started") == {"default-0": "fail", "default-1": "fail"}
    assert outcomes(seen, "connectivity.first-task") == {"default-0": "blocked", "default-1": "blocked"}
    assert queue(testbed) == []


def test_refused_submission_has_the_words_of_htcondor(testbed: Site) -> None:
    done, seen = validate(testbed, "refused", "--set", "config.job_extra_directives={requirements: '((('}")
    assert done.returncode == 4, done.stdout + done.stderr
    assert seen.verdict == "error"
    assert "condor_submit refused the job" in done.stdout
    assert "Traceback" not in done.stdout + done.stderr
    assert queue(testbed) == []


@pytest.mark.parametrize("signal", ["INT", "TERM", "KILL"])
def test_stopped_while_workers_run(testbed: Site, signal: str) -> None:
    """Whatever ends the command, no job of it is left."""
    name = f"stopped-{signal}"
    command = " ".join((*COMMAND, f"/home/alice/{name}"))
    testbed.write(
        "submit", f"/home/alice/{name}.sh", f"cd\n{command} >{name}.out 2>{name}.err &\necho $! >{name}.pid\n"
    )
    testbed.output("submit", "sh", f"/home/alice/{name}.sh")
    wait(testbed, f"grep -q 'default-1 registered' /home/alice/{name}.err")
    testbed.output("submit", "sh", "-c", f"kill -{signal} $(cat /home/alice/{name}.pid)")
    wait(testbed, 'test -z "$(condor_q -allusers -af ClusterId)"')
    if signal != "KILL":
        wait(testbed, f"! kill -0 $(cat /home/alice/{name}.pid)")
        assert report(testbed, f"/home/alice/{name}").verdict == "incomplete"
    wait(testbed, 'test -z "$(ls -d /tmp/fasthep-validate-* 2>/dev/null)"')


def wait(site: Site, condition: str, *, timeout: float = 90) -> None:
    deadline = time.monotonic() + timeout
    while not site.run("submit", "sh", "-c", condition).ok:
        assert time.monotonic() < deadline, f"never true: {condition}"
        time.sleep(0.5)
