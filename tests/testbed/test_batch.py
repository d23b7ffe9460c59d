"""``fasthep-validate`` on real HTCondor and real Slurm: on nodes that have no Python, as an ordinary user."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from fasthep_validate import bundled
from fasthep_validate.models.evidence import WorkerEvidence
from tests.testbed.sites import wait

if TYPE_CHECKING:
    from fasthep_validate.models.report import Report
    from tests.testbed.fixtures import Site
    from tests.testbed.sites import System

pytestmark = [pytest.mark.testbed, pytest.mark.slow]
# How each system names a GPU that it grants, and its own variable for it.
GRANTED = {"htcondor": ("short-uuid", "_CONDOR_AssignedGPUs"), "slurm": ("index", "SLURM_STEP_GPUS")}


def outcomes(seen: Report, check: str) -> dict[str, str]:
    return {result.worker: result.outcome for result in seen.checks if result.id == check}


@pytest.mark.usefixtures("nothing_left")
def test_two_pools_on_one_scheduler(testbed: Site, system: System) -> None:
    done, seen = system.validate(testbed, "pools", "--pool", "gpu=1")
    assert done.ok, done.stdout + done.stderr
    assert seen.verdict == "pass"
    assert {worker.worker for worker in seen.workers} == {"default-0", "default-1", "gpu-0"}
    outcome = {(result.family == "gpu", result.outcome) for result in seen.checks}
    assert outcome <= {(False, "pass"), (False, "n/a"), (True, "known"), (True, "pass"), (True, "n/a")}
    assert (True, "known") in outcome, "the GPU is counted, not real"
    folder = f"/home/alice/pools-{system.name}/{system.site}/latest"
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
    seen_gpu = gpu.probe.gpu
    assert seen_gpu is not None
    assert seen_gpu.grant is not None
    form, variable = GRANTED[system.name]
    assert (seen_gpu.grant.requested, seen_gpu.grant.forms) == (1, (form,))
    assert seen_gpu.grant.visible == (seen_gpu.grant.variables[variable],), (
        "as the batch system says by its own"
    )
    assert [(step.name, step.ok) for step in seen_gpu.steps] == [("grant", True), ("driver", False)]
    assert outcomes(seen, "gpu.granted")["gpu-0"] == "pass"
    assert gpu.dask.provenance is not None
    assert gpu.dask.provenance.root.startswith(system.scratch)
    assert gpu.dask.provenance.outside == ()
    assert {log.kind: bool(log.size) for log in gpu.logs} == {"out": True, "err": True, "log": True}
    plain = workers["default-0"]
    assert plain.dask is not None
    assert "GPU" not in plain.dask.resources


@pytest.mark.usefixtures("nothing_left")
def test_job_that_never_runs_is_removed(testbed: Site, system: System) -> None:
    settings = (*system.never, "config.worker_start_timeout=8")
    options = [word for setting in settings for word in ("--set", setting)]
    done, seen = system.validate(testbed, "never", *options)
    assert done.returncode == 5, done.stdout + done.stderr
    assert outcomes(seen, "worker_start.started") == {"default-0": "fail", "default-1": "fail"}
    assert outcomes(seen, "connectivity.first-task") == {"default-0": "blocked", "default-1": "blocked"}


@pytest.mark.usefixtures("nothing_left")
def test_refused_submission_has_the_batch_systems_words(testbed: Site, system: System) -> None:
    setting, words = system.refused
    done, seen = system.validate(testbed, "refused", "--set", setting)
    assert done.returncode == 4, done.stdout + done.stderr
    assert seen.verdict == "error"
    assert words in " ".join(done.stdout.split())
    assert "Traceback" not in done.stdout + done.stderr


@pytest.mark.usefixtures("nothing_left")
@pytest.mark.parametrize("signal", ["INT", "TERM", "KILL"])
def test_stopped_while_workers_run(testbed: Site, system: System, signal: str) -> None:
    """Whatever ends the command, no job of it is left."""
    name = f"stopped-{signal}-{system.name}"
    command = " ".join(system.command(f"/home/alice/{name}"))
    testbed.write(
        "submit", f"/home/alice/{name}.sh", f"cd\n{command} >{name}.out 2>{name}.err &\necho $! >{name}.pid\n"
    )
    testbed.output("submit", "sh", f"/home/alice/{name}.sh")
    wait(testbed, f"test $(grep -c 'default-. registered' /home/alice/{name}.err) = 2")
    testbed.output("submit", "sh", "-c", f"kill -{signal} $(cat /home/alice/{name}.pid)")
    wait(testbed, f'test -z "$({system.queue})"')
    if signal != "KILL":
        wait(testbed, f"! kill -0 $(cat /home/alice/{name}.pid)")
        assert system.report(testbed, f"/home/alice/{name}").verdict == "incomplete"


def test_allocation_to_which_nobody_comes_ends(testbed: Site) -> None:
    """What holds the allocation gives up by itself; here after two seconds."""
    hold = bundled.worker_file("slurm_hold.sh").read_text()
    testbed.write("submit", "/home/alice/hold.sh", hold)
    options = ("--parsable", "--chdir=/tmp", "--output=/dev/null", "--mem=100M")
    testbed.output("submit", "sbatch", *options, "/home/alice/hold.sh", "/tmp", "2")
    wait(testbed, 'test -z "$(squeue --noheader)"', timeout=30)
