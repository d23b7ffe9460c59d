"""The submit description of a job: what a pool asks of HTCondor, in the words of ``condor_submit``."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING

from fasthep_validate.models.directive import overlaid, without
from fasthep_validate.models.execution import Resources

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fasthep_validate.batch.jobqueue import CondorJob
    from fasthep_validate.models.execution import Pool
    from fasthep_validate.models.job import JobSpec


# What the run needs of HTCondor, whatever the site. If the command was killed nobody removes its jobs: one
# that never started goes after a day, one that is held (its files are gone by then) after ten minutes, and
# none starts a second time.
FIXED = {
    "universe": "vanilla",
    # A node that is lost is given up after five minutes, and not after forty: the run is over by then.
    "job_lease_duration": "300",
    "should_transfer_files": "YES",
    "when_to_transfer_output": "ON_EXIT",
    "transfer_output_files": '""',
    # Lets the job script write its events to the job's log while it runs (condor_chirp ulog); a few lines a job.
    "+WantIOProxy": "true",
    "periodic_remove": "(JobStatus == 1 && (time() - QDate > 86400 || NumJobStarts > 0))"
    " || (JobStatus == 5 && time() - EnteredCurrentStatus > 600)",
}


# A spooled job stays in the queue for ten days, so that its files can be fetched. This one goes as soon as they
# were, and after an hour if nobody comes for them.
SPOOLED = {
    "leave_in_queue": "JobStatus == 4 && (StageOutFinish ?: 0) == 0 && time() - EnteredCurrentStatus < 3600"
}


def directives(pool: Pool) -> dict[str, str]:
    """Submit commands of a pool: dask-jobqueue's, what the run needs, then what the profile says."""
    from fasthep_validate.batch.jobqueue import CondorJob

    header = CondorJob(pool.resources, name=f"fasthep-{pool.name}").header()
    needed = FIXED | SPOOLED if pool.spool else FIXED
    return without("htcondor", overlaid("htcondor", header, needed, pool.directives), pool.skip_directives)


def description(jobs: Sequence[JobSpec]) -> str:
    """The submit description of jobs that have the same submit commands: one ``queue`` for all.

    What differs between jobs by no more than the worker's name is said once, with ``$(worker)`` for the
    name; of everything else each job has its own macro, found by ``$(ItemIndex)``.
    """
    each = [(job, _lines(job)) for job in jobs]
    header: dict[str, str] = {}
    for number, key in enumerate(each[0][1]):
        header |= _commands(number, key, [lines[key].replace(job.worker, "$(worker)") for job, lines in each])
    return _job(jobs[0]).describe(header, [job.worker for job in jobs])


def refusal(job: JobSpec) -> str:
    """Why HTCondor cannot be told of a job: a path holds a comma or a line break; empty if it can."""
    bad = next((path for path in (*_files(job), job.out, job.err, job.log) if set(path) & set(",\n")), None)
    if bad is None:
        return ""
    return f"HTCondor cannot transfer {bad!r}: a comma separates files there. Use a folder without one"


def _job(job: JobSpec) -> CondorJob:
    """What submits a job, and those of its kind; the directives have all that it asks for."""
    from fasthep_validate.batch.jobqueue import CondorJob

    return CondorJob(Resources(), name=job.worker, submit=(*job.address, *job.submit_arguments))


def _commands(number: int, key: str, values: Sequence[str]) -> dict[str, str]:
    """A submit command whose value each job has, with the macros for values that differ."""
    if len(set(values)) == 1:
        return {key: values[0]}
    macros = {f"v{number}_{index}": value for index, value in enumerate(values)}
    return {**macros, key: f"$(v{number}_$(ItemIndex))"}


def _lines(job: JobSpec) -> dict[str, str]:
    return {
        "executable": job.executable,
        "arguments": " ".join(job.arguments),
        "initialdir": str(home(job)),
        "transfer_input_files": ",".join(_files(job)),
        "output": job.out,
        "error": job.err,
        "log": job.log,
        **job.directives,
    }


def _files(job: JobSpec) -> list[str]:
    """What is transferred; HTCondor transfers the executable by itself."""
    travelling = (
        (source, name) for source, name in job.transfer.items() if name != Path(job.executable).name
    )
    return [source if Path(source).name == name else str(home(job) / name) for source, name in travelling]


def link_renamed(job: JobSpec) -> None:
    """HTCondor keeps the names of files: what is to have another one on the node gets a link of that name."""
    for source, name in job.transfer.items():
        link = home(job) / name
        if Path(source).name != name and not link.exists():
            link.symlink_to(source)


def home(job: JobSpec) -> Path:
    """The folder with the files that were written for this job."""
    return Path(next(source for source, name in job.transfer.items() if name == "job.params")).parent


def submit_words(job: JobSpec, file: Path) -> list[str]:
    """The command that submits a job, which is described in ``file``."""
    return _job(job).submit_words(file)


def shown(job: JobSpec) -> dict[str, str]:
    """What would submit a job: the command, and the submit description that it reads."""
    command = shlex.join(submit_words(job, Path("job.sub")))
    return {"command": command, "job.sub": description([job])}
