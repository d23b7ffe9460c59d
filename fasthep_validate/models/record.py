"""What is noted of a run outside its folder, for whoever has to clean up after it."""

from __future__ import annotations

from fasthep_validate.models.base import Model


class Process(Model):
    """A process, such that no later one with the same number is taken for it.

    Attributes:
        host: name of its machine.
        boot: the kernel's id of the machine's boot.
        space: the kernel's number of its process namespace: process ids mean nothing in another one.
        pid: process id.
        started: clock ticks from the boot to its start.
    """

    host: str
    boot: str
    space: int
    pid: int
    started: int


class Head(Model):
    """First line of a record.

    Attributes:
        run: absolute path of the run folder.
        site: name of the site.
        strategy: how its jobs are run.
        command: the process that carries the run out.
        begun: UTC time, ISO 8601.
    """

    run: str
    site: str
    strategy: str
    command: Process
    begun: str


class Left(Model):
    """A further line: something that would be left behind if the command were killed; one thing a line.

    Attributes:
        folder: a private folder on the command's machine.
        helper: a process that serves the run.
        worker: a worker whose job is being submitted, or was.
        job: the batch system's id of its job; empty as long as that is not known.
        address: arguments that tell every command of the batch system where the job is.
    """

    folder: str = ""
    helper: Process | None = None
    worker: str = ""
    job: str = ""
    address: tuple[str, ...] = ()
