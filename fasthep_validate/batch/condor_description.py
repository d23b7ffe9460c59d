"""The submit description of a job: what a pool asks of HTCondor, in the words of ``condor_submit``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from fasthep_validate.errors import SubmitError

if TYPE_CHECKING:
    from fasthep_validate.models.execution import Pool
    from fasthep_validate.models.job import JobSpec


def directives(pool: Pool) -> dict[str, str]:
    """Submit commands of a pool: what it asks for, then what the profile adds or changes.

    ``request_memory`` is in MiB and ``request_disk`` in KiB, rounded up; see the manual of condor_submit.
    """
    asked = pool.resources
    wanted = {
        "universe": "vanilla",
        "should_transfer_files": "YES",
        "when_to_transfer_output": "ON_EXIT",
        "transfer_output_files": '""',
        "request_cpus": str(asked.cpus),
        "request_memory": str(-(-asked.memory // 2**20)) if asked.memory else "",
        "request_disk": str(-(-asked.disk // 2**10)) if asked.disk else "",
        "request_gpus": str(asked.gpus) if asked.gpus else "",
        # If the command was killed nobody removes its jobs: one that never started goes after a day, one that
        # is held (its files are gone by then) after ten minutes, and none starts a second time.
        "periodic_remove": "(JobStatus == 1 && (time() - QDate > 86400 || NumJobStarts > 0))"
        " || (JobStatus == 5 && time() - EnteredCurrentStatus > 600)",
    }
    return {key: value for key, value in wanted.items() if value} | pool.directives


def description(job: JobSpec, folder: Path) -> str:
    """The submit description of a job.

    Raises:
        SubmitError: a path that HTCondor cannot be told, because it holds a comma or a line break.
    """
    files = [source for source, name in job.transfer.items() if name != Path(job.executable).name]
    for path in (*files, job.out, job.err, job.log):
        if set(path) & set(",\n"):
            what = f"{job.worker}: HTCondor cannot transfer {path!r}: a comma separates files there"
            raise SubmitError(f"{what}. Use a folder without one.")
    lines = {
        "executable": job.executable,
        "arguments": " ".join(job.arguments),
        "initialdir": str(folder),
        "transfer_input_files": ",".join(files),
        "output": job.out,
        "error": job.err,
        "log": job.log,
        **job.directives,
    }
    return "".join(f"{key} = {value}\n" for key, value in lines.items()) + "queue 1\n"


def submit_words(job: JobSpec, file: Path) -> list[str]:
    """The command that submits a job, which is described in ``file``."""
    return ["condor_submit", "-terse", *job.address, *job.submit_arguments, str(file)]
