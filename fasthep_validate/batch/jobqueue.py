"""dask-jobqueue's job classes, which describe and submit jobs; what they get wrong is put right here, and only here.

What is said of bugs is about dask-jobqueue 0.9.0; numbers are those of its issues. To be imported late: Dask comes with it.
"""

from __future__ import annotations

import contextlib
import re
import shlex
import signal
from pathlib import Path
from typing import TYPE_CHECKING, Any

import dask.config
import distributed  # noqa: F401 - takes its time, which is not to be spent under _without_side_effects
import yaml

from fasthep_validate.models.directive import SLURM, without

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from fasthep_validate.models.execution import Resources


@contextlib.contextmanager
def _without_side_effects() -> Iterator[None]:
    """Keep the import from touching what is not its own.

    ``dask_jobqueue.runner`` sets a handler of SIGINT, after which Ctrl-C is no interrupt (#696) and outside of the main
    thread the import fails (#667); ``dask_jobqueue.config`` writes a file into the user's ``~/.config/dask``.
    """
    real_signal, real_file = signal.signal, dask.config.ensure_file

    def set_signal(number: int, handler: Any) -> Any:
        if getattr(handler, "__module__", "") == "dask_jobqueue.runner":
            return signal.getsignal(number)
        return real_signal(number, handler)

    def ensure_file(source: str, *rest: Any, **options: Any) -> None:
        if Path(source).name != "jobqueue.yaml":
            real_file(source, *rest, **options)

    signal.signal, dask.config.ensure_file = set_signal, ensure_file  # type: ignore[assignment]
    try:
        yield
    finally:
        signal.signal, dask.config.ensure_file = real_signal, real_file


with _without_side_effects():
    import dask_jobqueue.config
    from dask_jobqueue.htcondor import HTCondorJob
    from dask_jobqueue.slurm import SLURMJob

# Sections of Dask's configuration for the classes below. The user's own jobqueue.yaml says nothing of them: what
# counts is said by the profile. Without a walltime of its own a class would ask for half an hour.
SECTIONS = {"htcondor": "fasthep-validate-htcondor", "slurm": "fasthep-validate-slurm"}
_DEFAULTS = yaml.safe_load(Path(dask_jobqueue.config.__file__).with_name("jobqueue.yaml").read_text("utf-8"))
dask.config.update_defaults(
    {
        "jobqueue": {
            own: {**_DEFAULTS["jobqueue"][section], "walltime": None} for section, own in SECTIONS.items()
        }
    }
)

SCHEDULER = "tls://"  # the command line of a worker is not used: see worker.args
UNASKED = 2**30  # bytes; a class wants memory and disk also where the profile leaves them to the batch system
HEADER = re.compile(r"#SBATCH ([^\s=]+)(?:[= ](.*))?")  # a line of a batch script


class CondorJob(HTCondorJob):  # type: ignore[misc]
    """Jobs of HTCondor that are submitted together.

    The class has ``/bin/sh -c`` as executable, with the lines of a prologue joined by ``; ``: a step that fails goes
    unnoticed, and an empty line is a syntax error (#568). Here the job script is the executable, and is named in the header.
    """

    config_name = SECTIONS["htcondor"]

    def __init__(self, resources: Resources, *, name: str, submit: Sequence[str] = ()) -> None:
        """Describe jobs of these resources each.

        Args:
            resources: what a job asks for.
            name: of the batch.
            submit: further arguments of ``condor_submit``.
        """
        # No log_directory: it brings Stream_Output and Stream_Error, which sites forbid, and of two runs that make
        # it at the same time one fails (#692).
        super().__init__(
            scheduler=SCHEDULER,
            name=name,
            cores=resources.cpus,
            memory=resources.memory or UNASKED,
            disk=resources.disk or UNASKED,
            processes=1,
            # What else is printed differs from version to version.
            submit_command_extra=["-terse", *submit],
        )
        self._resources = resources

    def header(self) -> dict[str, str]:
        """Its submit commands, but for those that ask for resources.

        RequestMemory is rounded down by the class, to less than was asked for, and sites have their own words for it.
        """
        # The class names workers after jobs, and ours have the names of the plan.
        found = {**self.job_header_dict, "MY.DaskWorkerName": '"$(worker)"'}
        skipped = ["RequestCpus", "RequestMemory", "RequestDisk"]
        skipped += ["MY.DaskWorkerMemory"] if self._resources.memory is None else []
        skipped += ["MY.DaskWorkerDisk"] if self._resources.disk is None else []
        return without("htcondor", {key: str(value) for key, value in found.items()}, skipped)

    def describe(self, header: Mapping[str, str], workers: Sequence[str]) -> str:
        """The submit description of a job for each of the workers.

        The class submits every job by itself, all of them at the same time. These are one ``queue`` of HTCondor's.

        Args:
            header: submit commands, with ``$(worker)`` for the worker's name.
            workers: their names.
        """
        self.job_header_dict = dict(header)
        items = "".join(f"{worker}\n" for worker in workers).replace("%", "%%")
        self._script_template = f"%(job_header)s\nqueue worker from (\n{items})\n"
        return str(self.job_script())

    def submit_words(self, file: Path) -> list[str]:
        """The command that submits what a file describes."""
        return [*shlex.split(self.submit_command), str(file)]


class SlurmJob(SLURMJob):  # type: ignore[misc]
    """A job of Slurm.

    The class starts the submit host's Python by its path, where a node has none; its batch script is one of ours.
    """

    config_name = SECTIONS["slurm"]

    def __init__(self, resources: Resources, *, name: str, submit: Sequence[str] = ()) -> None:
        """Describe a job.

        Args:
            resources: what it asks for.
            name: of the job.
            submit: further arguments of ``sbatch``.
        """
        super().__init__(
            scheduler=SCHEDULER,
            name=name,
            job_name=name,
            cores=resources.cpus,
            memory=resources.memory or UNASKED,
            processes=1,
        )
        # The class has no place for arguments, which federated clusters need, and finds the id in what is said for people.
        self.submit_command = shlex.join([SLURMJob.submit_command, "--parsable", *submit])

    def header(self) -> dict[str, str]:
        """Its options of ``sbatch`` by their long names, but for those that ask for resources.

        Memory is rounded up to whole GiB by the class, and sites have their own words for it.
        """
        lines = (HEADER.fullmatch(line) for line in self.job_header.splitlines())
        found = {SLURM.get(line[1], line[1]): line[2] or "" for line in lines if line}
        return without("slurm", found, ("--cpus-per-task", "--mem"))

    def submit_words(self, script: str, *arguments: str) -> list[str]:
        """The command that submits a batch script.

        Its options are arguments, and not lines of the script: the user's own variables, such as ``SBATCH_PARTITION``, go
        before lines and not before arguments; see sbatch(1), "Input environment variables".
        """
        return [*shlex.split(self.submit_command), script, *arguments]
