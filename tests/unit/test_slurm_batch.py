"""What Slurm is asked for, and what is made of its answers, with programs that stand in for its commands."""

from __future__ import annotations

import shlex
import time
from typing import TYPE_CHECKING

import pytest

from fasthep_validate.batch.slurm import SlurmBatch
from fasthep_validate.batch.slurm_options import directives
from fasthep_validate.errors import SubmitError
from fasthep_validate.models.execution import Pool, Resources
from fasthep_validate.models.job import JobSpec
from tests.batches import submit

if TYPE_CHECKING:
    from pathlib import Path

POOL = Pool(name="default", resource_name="default", workers=1, resources=Resources(cpus=2))


@pytest.fixture
def commands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of commands that are found before the system's; each appends its arguments to ``called``."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")
    return folder


def command(folder: Path, name: str, *, says: str = "", complains: str = "", code: int = 0) -> None:
    """A stand-in: real Slurm is asked in tests/testbed."""
    lines = [
        "#!/bin/sh",
        f'echo "{name} $*" >>{shlex.quote(str(folder / "called"))}',
        f"printf %s {shlex.quote(says)}",
        f"printf %s {shlex.quote(complains)} >&2",
        f"exit {code}",
    ]
    (folder / name).write_text("\n".join(lines) + "\n")
    (folder / name).chmod(0o755)


def job(folder: Path) -> JobSpec:
    params = folder / "job.params"
    params.touch()
    return JobSpec(
        worker="default-0",
        pool="default",
        executable="/somewhere/bootstrap.sh",
        arguments=("job.params",),
        directives=directives(POOL),
        transfer={str(params): "job.params"},
        out=str(folder / "out"),
        err=str(folder / "err"),
        log=str(folder / "log"),
    )


def test_refused_job_has_the_words_of_slurm(commands: Path, tmp_path: Path) -> None:
    command(commands, "sbatch", complains="sbatch: error: Invalid qos specification", code=1)
    with pytest.raises(SubmitError, match="sbatch refused the job: sbatch: error: Invalid qos specification"):
        submit(SlurmBatch(tmp_path), job(tmp_path))


@pytest.mark.parametrize(("says", "job_id"), [("17\n", "17"), ("17;cluster\n", "17")])
def test_id_of_a_job(commands: Path, tmp_path: Path, says: str, job_id: str) -> None:
    command(commands, "sbatch", says=says)
    assert submit(SlurmBatch(tmp_path), job(tmp_path)) == job_id
    called = (commands / "called").read_text()
    assert "--parsable --job-name=fasthep-default" in called
    assert "--no-requeue " in called


def test_query_that_fails_is_an_error(commands: Path, tmp_path: Path) -> None:
    command(commands, "sbatch", says="17\n")
    command(commands, "squeue", complains="slurm_load_jobs error: Unable to contact slurm controller", code=1)
    batch = SlurmBatch(tmp_path)
    with pytest.raises(SubmitError, match=r"squeue: the jobs could not be asked for: .*Unable to contact"):
        batch.status([submit(batch, job(tmp_path))])


def test_waiting_job_says_why(commands: Path, tmp_path: Path) -> None:
    command(commands, "sbatch", says="17\n")
    command(commands, "squeue", says="17|PENDING|QOSMaxJobsPerUserLimit|\n18|RUNNING|None|wn9\n")
    batch = SlurmBatch(tmp_path)
    status = batch.status([submit(batch, job(tmp_path))])["17"]
    assert (status.state, status.reason) == ("submitted", "QOSMaxJobsPerUserLimit")


def test_job_that_left_the_queue(commands: Path, tmp_path: Path) -> None:
    command(commands, "sbatch", says="17\n")
    command(commands, "squeue", says="")
    command(commands, "scontrol", says="JobId=17 JobState=NODE_FAIL Reason=NodeDown ExitCode=0:0")
    batch = SlurmBatch(tmp_path)
    status = batch.status([submit(batch, job(tmp_path))])["17"]
    assert (status.state, status.reason) == ("lost", "JobState=NODE_FAIL, Reason=NodeDown, ExitCode=0:0")


def test_files_are_sent_then_the_step_runs(commands: Path, tmp_path: Path) -> None:
    command(commands, "sbatch", says="17\n")
    command(commands, "squeue", says="17|RUNNING|None|wn1\n")
    command(commands, "sbcast")
    command(commands, "srun", says="hello", complains="warning", code=3)
    batch = SlurmBatch(tmp_path)
    job_id = submit(batch, job(tmp_path))
    deadline = time.monotonic() + 20
    while "srun" not in (commands / "called").read_text() and time.monotonic() < deadline:
        seen = batch.status([job_id])[job_id]
        assert seen.state == "running", seen
        time.sleep(0.05)
    command(commands, "squeue", says="")
    while (status := batch.status([job_id])[job_id]).state != "exited" and time.monotonic() < deadline:
        time.sleep(0.05)
    batch.cancel([])
    assert (status.exit_code, status.reason) == (3, "exit code 3")
    assert (tmp_path / "out").read_text() == "hello"
    assert (tmp_path / "err").read_text() == "warning"
    called = (commands / "called").read_text()
    assert called.index("slurm_step.sh /tmp/fasthep-validate-17/slurm_step.sh") < called.index("srun")
    assert "job.params /tmp/fasthep-validate-17/job.params" in called


@pytest.mark.parametrize(
    ("free", "found"), [(0, "Unspecified error; No space left on device: /tmp has 0 MB"), (900000, "error")]
)
def test_file_that_cannot_be_sent_ends_the_job(commands: Path, tmp_path: Path, free: int, found: str) -> None:
    command(commands, "sbatch", says="17\n")
    command(commands, "squeue", says="17|RUNNING|None|wn1\n")
    command(commands, "sbcast", complains="sbcast: error: REQUEST_FILE_BCAST(wn1): Unspecified error", code=1)
    table = f"Filesystem 1024-blocks Used Available Capacity Mounted on\ntmpfs 61440 1 {free} 1% /tmp"
    command(commands, "srun", says=table)
    command(commands, "scancel")
    batch = SlurmBatch(tmp_path)
    job_id = submit(batch, job(tmp_path))
    deadline = time.monotonic() + 20
    while (status := batch.status([job_id])[job_id]).state != "exited" and time.monotonic() < deadline:
        time.sleep(0.05)
    assert found in status.reason
    assert ("No space" in status.reason) == (free == 0)
    assert "scancel 17" in (commands / "called").read_text()


def test_every_command_is_told_the_cluster(commands: Path, tmp_path: Path) -> None:
    command(commands, "sbatch", says="17;cm4\n")
    command(commands, "squeue", says="17|RUNNING|None|wn1\n")
    for name in ("srun", "scancel", "scontrol", "sbcast"):
        command(commands, name)
    batch = SlurmBatch(tmp_path)
    job_id = submit(batch, job(tmp_path).model_copy(update={"address": ("--clusters=cm4",)}))
    deadline = time.monotonic() + 20
    while (commands / "called").read_text().count("srun") < 3 and time.monotonic() < deadline:
        batch.status([job_id])
        time.sleep(0.05)
    command(commands, "squeue", says="")
    batch.cancel([job_id])
    called = (commands / "called").read_text().splitlines()
    assert {line.split()[0] for line in called} == {"sbatch", "squeue", "srun", "scancel"}
    assert [line for line in called if "--clusters=cm4" not in line] == []


def test_job_of_another_cluster_that_left_the_queue(commands: Path, tmp_path: Path) -> None:
    command(commands, "sbatch", says="17;cm4\n")
    command(commands, "squeue")
    command(commands, "scontrol", says="JobId=17 JobState=TIMEOUT")
    batch = SlurmBatch(tmp_path)
    job_id = submit(batch, job(tmp_path).model_copy(update={"address": ("--clusters=cm4",)}))
    assert batch.status([job_id])[job_id].reason == "JobState=TIMEOUT"
    assert "scontrol --clusters=cm4 --oneliner show job 17" in (commands / "called").read_text()


def test_two_clusters_with_the_same_number(commands: Path, tmp_path: Path) -> None:
    (commands / "sbatch").write_text("#!/bin/sh\necho 17\n")
    waiting = 'case $* in *=cm4*) echo "17|PENDING|Priority|" ;; *) echo "17|PENDING|QOSMaxJobs|" ;; esac'
    (commands / "squeue").write_text(f"#!/bin/sh\n{waiting}\n")
    for name in ("sbatch", "squeue"):
        (commands / name).chmod(0o755)
    command(commands, "scancel")
    batch = SlurmBatch(tmp_path)
    of_each = {
        name: submit(batch, job(tmp_path).model_copy(update={"address": (f"--clusters={name}",)}))
        for name in ("cm4", "serial")
    }
    assert of_each == {"cm4": "17;cm4", "serial": "17;serial"}
    found = batch.status(list(of_each.values()))
    assert {job_id: status.reason for job_id, status in found.items()} == {
        "17;cm4": "Priority",
        "17;serial": "QOSMaxJobs",
    }
    batch.cancel([of_each["serial"]])
    assert (commands / "called").read_text() == "scancel --clusters=serial 17\n"
