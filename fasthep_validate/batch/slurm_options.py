"""Options of Slurm's commands: what a pool asks of ``sbatch``."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from fasthep_validate.models.execution import Pool
    from fasthep_validate.models.job import JobSpec

BASE = "/tmp"
# What a step gets of the environment: nothing of the submit host's but the way to its tools.
ENVIRONMENT = {"PATH": "/usr/local/bin:/usr/bin:/bin"}


def directives(pool: Pool) -> dict[str, str]:
    """Options of ``sbatch`` for a pool: what it asks for, then what the profile adds or changes.

    ``--mem`` is in MiB, rounded up; an empty value is an option without one. ``disk`` is not asked for:
    most clusters do not say how much their nodes have, and ``--tmp`` would then fit none.
    """
    asked = pool.resources
    wanted = {
        "--job-name": f"fasthep-{pool.name}",
        "--nodes": "1",
        "--ntasks": "1",
        "--cpus-per-task": str(asked.cpus),
        "--mem": f"{-(-asked.memory // 2**20)}M" if asked.memory else "",
        "--gres": f"gpu:{asked.gpus}" if asked.gpus else "",
        "--chdir": BASE,
        "--output": "/dev/null",
        "--export": ",".join(ENVIRONMENT),
        "--no-requeue": "",
    }
    return {key: value for key, value in wanted.items() if value or key == "--no-requeue"} | pool.directives


def submit_words(job: JobSpec, script: str, *arguments: str) -> list[str]:
    """The command that submits a job; ``script`` is its batch script."""
    options = [f"{key}={value}" if value else key for key, value in job.directives.items()]
    return ["sbatch", "--parsable", *job.address, *options, *job.submit_arguments, script, *arguments]
