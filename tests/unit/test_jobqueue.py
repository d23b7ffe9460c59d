"""dask-jobqueue's job classes, and that what they get wrong does not reach a batch system."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

import dask.config
import pytest
from dask_jobqueue.htcondor import HTCondorJob
from dask_jobqueue.slurm import SLURMJob

from fasthep_validate.batch import condor_description, slurm_options
from fasthep_validate.batch.jobqueue import CondorJob, SlurmJob
from fasthep_validate.models.execution import Pool, Resources

if TYPE_CHECKING:
    from pathlib import Path

ALL = Resources(cpus=3, memory=2_000_000_000, disk=4_000_000_000)
NOTHING = Resources(cpus=1)


def pool(**more: object) -> Pool:
    return Pool.model_validate(
        {"name": "p", "resource_name": "r", "workers": 1, "resources": ALL.model_dump(), **more}
    )


def test_jobs_are_those_of_dask_jobqueue() -> None:
    assert issubclass(CondorJob, HTCondorJob)
    assert issubclass(SlurmJob, SLURMJob)


def test_what_the_class_says_of_a_job_of_htcondor() -> None:
    assert CondorJob(ALL, name="a name").header() == {
        "batch_name": "a name",
        "MY.JobId": '"$(ClusterId).$(ProcId)"',
        "MY.DaskWorkerName": '"$(worker)"',
        "MY.DaskWorkerCores": "3",
        "MY.DaskWorkerMemory": "2000000000",
        "MY.DaskWorkerDisk": "4000000000",
    }


def test_what_is_not_asked_for_is_not_said() -> None:
    assert not {"MY.DaskWorkerMemory", "MY.DaskWorkerDisk"} & set(CondorJob(NOTHING, name="n").header())
    assert SlurmJob(NOTHING, name="n").header() == {"--job-name": "n", "--ntasks": "1"}


def test_description_is_the_class_s_own_text() -> None:
    """Of header and workers, with nothing of a shell and nothing of this Python in it."""
    job = CondorJob(ALL, name="n")
    text = job.describe({"executable": "boot.sh", "arguments": "100%"}, ["w-0", "w-1"])
    assert text == "executable = boot.sh\narguments = 100%\nqueue worker from (\nw-0\nw-1\n)\n"
    assert text == job.job_script()


def test_commands_are_those_of_the_class(tmp_path: Path) -> None:
    words = CondorJob(ALL, name="n", submit=("-name", "a schedd")).submit_words(tmp_path)
    assert words == [HTCondorJob.submit_command, "-terse", "-name", "a schedd", str(tmp_path)]
    words = SlurmJob(ALL, name="n", submit=("--comment=two words",)).submit_words("script", "argument")
    assert words == [SLURMJob.submit_command, "--parsable", "--comment=two words", "script", "argument"]


@pytest.mark.parametrize("section", ["htcondor", "slurm"])
def test_settings_of_the_user_s_dask_do_not_count(section: str) -> None:
    def told() -> tuple[dict[str, str], dict[str, str]]:
        return condor_description.directives(pool()), slurm_options.directives(pool())

    before = told()
    theirs = {
        "log-directory": "/nonexistent/logs", "job-extra-directives": ["--wrong"], "walltime": "9:00:00", "queue": "wrong",
        "account": "wrong", "job-directives-skip": ["-n"], "submit-command-extra": ["-wrong"], "extra": ["--wrong"],
    }  # fmt: skip
    with dask.config.set({f"jobqueue.{section}.{key}": value for key, value in theirs.items()}):
        assert told() == before
        assert "-wrong" not in CondorJob(ALL, name="n").submit_command
    assert "--time" not in before[1]


def test_what_is_left_out_is_left_out_by_its_whole_name() -> None:
    """The class would leave out every line with these letters, and is at a loss about a name that is not there."""
    asked = {"-p": "short", "--cpus-per-task": "3"}
    told = slurm_options.directives(pool(directives=asked, skip_directives=("-p", "--none")))
    assert told.keys() & {"-p", "--partition"} == set()
    assert told["--cpus-per-task"] == "3"
    told = condor_description.directives(pool(skip_directives=("batch", "batch_name", "none")))
    assert "batch_name" not in told
    assert "MY.DaskWorkerName" in told


ALONE = """
import os, signal, sys, threading
before = signal.getsignal(signal.SIGINT)
failed = []

def load():
    try:
        import fasthep_validate.batch.jobqueue
    except BaseException as error:
        failed.append(error)

if sys.argv[1] == "thread":
    thread = threading.Thread(target=load)
    thread.start()
    thread.join()
else:
    load()
assert not failed, failed
assert "dask_jobqueue.runner" in sys.modules
assert signal.getsignal(signal.SIGINT) is before, signal.getsignal(signal.SIGINT)
signal.signal(signal.SIGTERM, signal.SIG_IGN)
assert signal.getsignal(signal.SIGTERM) == signal.SIG_IGN
print([name for _, _, files in os.walk(os.environ["HOME"]) for name in files if "jobqueue" in name])
"""


@pytest.mark.parametrize("where", ["main", "thread"])
def test_import_touches_nothing_else(tmp_path: Path, where: str) -> None:
    """Neither what Ctrl-C does nor the user's files, and it can be made anywhere."""
    done = subprocess.run(
        [sys.executable, "-c", ALONE, where],
        env={"HOME": str(tmp_path), "PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout) == (0, "[]\n"), done.stderr
