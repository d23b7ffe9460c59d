"""Options of Slurm's commands: what a pool asks of ``sbatch``."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

from fasthep_validate.models.directive import overlaid, without

if TYPE_CHECKING:
    from fasthep_validate.models.execution import Pool
    from fasthep_validate.models.job import JobSpec

BASE = "/tmp"
NOWHERE = "/dev/null"
# What a step gets of the environment: nothing of the submit host's but the way to its tools.
ENVIRONMENT = {"PATH": "/usr/local/bin:/usr/bin:/bin"}


def directives(pool: Pool) -> dict[str, str]:
    """Options of ``sbatch`` for a pool: what the run needs, then what the profile says.

    An empty value is an option without one.
    """
    fixed = {
        "--job-name": f"fasthep-{pool.name}",
        "--nodes": "1",
        "--ntasks": "1",
        "--chdir": BASE,
        "--output": NOWHERE,
        "--export": ",".join(ENVIRONMENT),
        "--no-requeue": "",
    }
    return without("slurm", overlaid("slurm", fixed, pool.directives), pool.skip_directives)


def option(name: str, value: str) -> list[str]:
    """An option as words of a command line; a short one has its value apart."""
    if not value:
        return [name]
    return [f"{name}={value}"] if name.startswith("--") else [name, value]


def submit_words(job: JobSpec, script: str, *arguments: str) -> list[str]:
    """The command that submits a job; ``script`` is its batch script."""
    options = [word for item in job.directives.items() for word in option(*item)]
    return ["sbatch", "--parsable", *job.address, *options, *job.submit_arguments, script, *arguments]


def shown(job: JobSpec, script: str = "slurm_hold.sh") -> dict[str, str]:
    """What would submit a job."""
    return {"command": shlex.join(submit_words(job, script))}
