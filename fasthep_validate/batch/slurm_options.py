"""Options of Slurm's commands: what a pool asks of ``sbatch``."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING

from fasthep_validate.models.directive import overlaid, same, without
from fasthep_validate.models.execution import Resources

if TYPE_CHECKING:
    from fasthep_validate.models.execution import Pool
    from fasthep_validate.models.job import JobSpec

BASE = "/tmp"
NOWHERE = "/dev/null"
# What a step gets of the environment: nothing of the submit host's but the way to its tools.
ENVIRONMENT = {"PATH": "/usr/local/bin:/usr/bin:/bin"}


# A step beside the batch script, in the same allocation.
STEP = ("--overlap", "--ntasks=1", "--nodes=1", f"--export={','.join(ENVIRONMENT)}")


def directives(pool: Pool) -> dict[str, str]:
    """Options of ``sbatch`` for a pool: dask-jobqueue's, what the run needs, then what the profile says.

    An empty value is an option without one.
    """
    from fasthep_validate.batch.jobqueue import SlurmJob

    header = SlurmJob(pool.resources, name=f"fasthep-{pool.name}").header()
    fixed = {
        "--nodes": "1",
        "--chdir": BASE,
        "--output": NOWHERE,
        "--export": ",".join(ENVIRONMENT),
        "--no-requeue": "",
        # If the command was killed nobody removes what still waits. It also bounds the time of a job that starts.
        "--deadline": "now+7days",
    }
    return without("slurm", overlaid("slurm", header, fixed, pool.directives), pool.skip_directives)


def option(name: str, value: str) -> list[str]:
    """An option as words of a command line; a short one has its value apart."""
    if not value:
        return [name]
    return [f"{name}={value}"] if name.startswith("--") else [name, value]


def submit_words(job: JobSpec, script: str, *arguments: str) -> list[str]:
    """The command that submits a job; ``script`` is its batch script."""
    from fasthep_validate.batch.jobqueue import SlurmJob

    options = [word for item in job.directives.items() for word in option(*item)]
    words = (*job.address, *options, *job.submit_arguments)
    return SlurmJob(Resources(), name=job.worker, submit=words).submit_words(script, *arguments)


def send_words(job: JobSpec, job_id: str, source: str, target: str) -> list[str]:
    """The command that sends a file to the node of a job that runs.

    ``sbcast`` has no option ``--clusters``, so to another cluster the file is the input of a step that writes it.
    """
    if not job.address:
        return ["sbcast", "--preserve", "--force", f"--jobid={job_id}", source, target]
    step = ["srun", *job.address, f"--jobid={job_id}", *STEP, f"--chdir={BASE}", f"--input={source}"]
    return [*step, "dd", f"of={target}", "bs=1M", "status=none"]


def room_words(job: JobSpec, job_id: str) -> list[str]:
    """The command that tells how much room the node of a job has for its files, in the words of ``df -Pk``."""
    return ["srun", *job.address, f"--jobid={job_id}", *STEP, f"--chdir={BASE}", "df", "-Pk", BASE]


def step_words(job: JobSpec, job_id: str, home: str) -> list[str]:
    """The command that runs the job script as a step of a job; ``home`` is the job's directory on its node."""
    # A step of one task is given one core where tasks are bound to cores, and not those of its job.
    cores = {key: value for key, value in job.directives.items() if same("slurm", key, "--cpus-per-task")}
    own = [word for item in cores.items() for word in option(*item)]
    step = ["srun", *job.address, f"--jobid={job_id}", *STEP, "--unbuffered", *own, f"--chdir={home}"]
    return [*step, "/bin/sh", f"{home}/slurm_step.sh", Path(job.executable).name, *job.arguments]


def shown(job: JobSpec, script: str = "slurm_hold.sh") -> dict[str, str]:
    """What would submit a job."""
    return {"command": shlex.join(submit_words(job, script))}
