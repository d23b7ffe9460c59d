"""Slurm with a shared filesystem: what ``sbatch`` is given, what the batch script does, what an end means."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from typing import TYPE_CHECKING

import pytest

from fasthep_validate import bundled
from fasthep_validate.batch import BATCHES, SHARED, slurm_shared, way_of
from fasthep_validate.campaign import load_profile
from fasthep_validate.errors import ConfigError
from fasthep_validate.profiles import Overrides
from tests.batches import submit
from tests.unit.test_slurm_batch import POOL, command, job

if TYPE_CHECKING:
    from pathlib import Path

    from fasthep_validate.models.job import JobSpec, JobStatus

ENDED = "JobId=17 JobState={} Reason={} ExitCode={} BatchHost=wn1 StdOut=/x"


@pytest.fixture
def commands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")
    command(folder, "sbatch", says="17\n")
    return folder


@pytest.fixture
def batch(tmp_path: Path) -> slurm_shared.SharedSlurmBatch:
    """Of a run whose folder is ``run``, with its private folder in it."""
    scratch = tmp_path / "run" / "fasthep-validate-x" / "jobs"
    scratch.mkdir(parents=True)
    return slurm_shared.SharedSlurmBatch(scratch)


def shared_job(tmp_path: Path) -> JobSpec:
    """A job with a file in the run folder, and one that nodes cannot see."""
    run = tmp_path / "run"
    (tmp_path / "local").mkdir(exist_ok=True)
    (tmp_path / "local" / "proxy").write_text("p")
    (run / "job.params").write_text("k=v\n")
    transfer = {str(run / "job.params"): "job.params", str(tmp_path / "local" / "proxy"): "proxy.pem"}
    told = slurm_shared.directives(POOL)
    return job(run).model_copy(update={"transfer": transfer, "directives": told, "out": "/s/100%/out"})


def test_files_are_given_by_path(
    commands: Path, batch: slurm_shared.SharedSlurmBatch, tmp_path: Path
) -> None:
    assert submit(batch, shared_job(tmp_path)) == "17"
    called = (commands / "called").read_text()
    assert "--output=/s/100%%/out --error=" in called
    assert "/dev/null" not in called
    private = tmp_path / "run" / "fasthep-validate-x" / "files"
    assert f"slurm_shared.sh /tmp {private / 'default-0.files'} bootstrap.sh job.params" in called
    listed = (private / "default-0.files").read_text().splitlines()
    assert listed == [
        str(tmp_path / "run" / "job.params"),
        "job.params",
        str(private / "0-proxy"),
        "proxy.pem",
    ]
    assert (private / "0-proxy").stat().st_mode & 0o077 == 0


@pytest.mark.parametrize(
    ("state", "reason", "code", "seen"),
    [
        ("COMPLETED", "None", "0:0", ("exited", 0)),
        ("FAILED", "NonZeroExitCode", "67:0", ("exited", 67)),
        ("FAILED", "RaisedSignal:9(Killed)", "0:9", ("exited", -9)),
        ("CANCELLED", "None", "0:15", ("removed", None)),
        ("TIMEOUT", "TimeLimit", "0:15", ("removed", None)),
        ("NODE_FAIL", "NodeDown", "0:0", ("removed", None)),
    ],
)
def test_end_of_a_job(
    commands: Path,
    batch: slurm_shared.SharedSlurmBatch,
    tmp_path: Path,
    state: str,
    reason: str,
    code: str,
    seen: object,
) -> None:
    submit(batch, shared_job(tmp_path))
    command(commands, "squeue")
    command(commands, "scontrol", says=ENDED.format(state, reason, code))
    status = _asked(batch)
    assert (status.state, status.exit_code) == seen
    assert status.node == "wn1"
    assert f"Reason={reason}" in status.reason
    command(commands, "scontrol", code=1)
    assert _asked(batch) == status, "Slurm may forget it, we do not"


def test_job_that_slurm_forgot_is_lost(
    commands: Path, batch: slurm_shared.SharedSlurmBatch, tmp_path: Path
) -> None:
    submit(batch, shared_job(tmp_path))
    command(commands, "squeue")
    command(commands, "scontrol", complains="Invalid job id specified", code=1)
    assert _asked(batch).state == "lost"


def test_queued_job_has_its_reason_and_no_step(
    commands: Path, batch: slurm_shared.SharedSlurmBatch, tmp_path: Path
) -> None:
    submit(batch, shared_job(tmp_path))
    command(commands, "squeue", says="17|PENDING|Resources|\n")
    assert (_asked(batch).state, _asked(batch).reason) == ("submitted", "Resources")
    command(commands, "squeue", says="17|RUNNING|None|wn1\n")
    assert _asked(batch).node == "wn1"
    assert not {"sbcast", "srun"} & set((commands / "called").read_text().split())


def _asked(batch: slurm_shared.SharedSlurmBatch) -> JobStatus:
    return batch.status(["17"])["17"]


def script(tmp_path: Path, text: str) -> subprocess.Popen[bytes]:
    """The batch script with a job script of its own, as Slurm would run it."""
    (tmp_path / "bootstrap.sh").write_text(text)
    (tmp_path / "files").write_text(f"{tmp_path / 'bootstrap.sh'}\nbootstrap.sh\n")
    (tmp_path / "node").mkdir()
    argv = ["/bin/sh", bundled.worker_file("slurm_shared.sh"), tmp_path / "node", tmp_path / "files"]
    return subprocess.Popen(
        [*map(str, argv), "bootstrap.sh", "a b"],
        env={**os.environ, "SLURM_JOB_ID": "17"},
        start_new_session=True,
    )


def test_job_runs_on_the_nodes_own_disk_and_leaves_nothing(tmp_path: Path) -> None:
    told = tmp_path / "told"
    with script(tmp_path, f'echo "$1 $(pwd)" >{told}; stat -c %a . >>{told}; exit 67\n') as child:
        assert child.wait(20) == 67
    assert told.read_text().splitlines() == [f"a b {tmp_path}/node/fasthep-validate-17", "700"]
    assert list((tmp_path / "node").iterdir()) == []


def test_cancelled_job_leaves_nothing(tmp_path: Path) -> None:
    with script(tmp_path, f"touch {tmp_path}/runs; sleep 30\n") as child:
        while not (tmp_path / "runs").exists():
            time.sleep(0.02)
        os.killpg(child.pid, signal.SIGTERM)
        assert child.wait(20) in {143, -signal.SIGTERM}
    assert list((tmp_path / "node").iterdir()) == []


def test_profile_says_what_is_shared() -> None:
    def site(name: str, **settings: str) -> str:
        changes = Overrides(settings=[(f"staging.{key}", value) for key, value in settings.items()])
        execution = load_profile(name, changes).execution
        assert (
            way_of(execution) is (SHARED if execution.job_files == "shared" else BATCHES)[execution.strategy]
        )
        return f"{execution.staging} {execution.job_files}"

    assert site("slurm") == "transfer transfer"
    assert site("slurm", mode="shared") == "shared shared"
    assert site("slurm", mode="shared", jobs="transfer") == "shared transfer"
    assert site("slurm", jobs="shared") == "transfer shared"
    assert site("htcondor", mode="shared") == "shared transfer"
    with pytest.raises(ConfigError, match="strategy 'htcondor' brings the files of jobs by its own means"):
        site("htcondor", jobs="shared")
