"""A job as it is submitted, and what the batch system says of it."""

from __future__ import annotations

from typing import Literal

from fasthep_validate.models.base import Model
from fasthep_validate.models.node import BatchNode

JobState = Literal["planned", "refused", "submitted", "running", "exited", "held", "removed", "lost"]


class JobSpec(Model):
    """One worker job, complete: ``--dry-run`` prints exactly this.

    Attributes:
        worker: planned worker, such as ``default-0``.
        pool: its pool.
        executable: the job script (``bootstrap.sh``), absolute path on the submit host.
        arguments: its arguments.
        directives: what the batch system is told; for ``local`` the scrubbed environment.
        transfer: files that go with the job, absolute path -> name in the job's directory.
        out: where standard output comes to on the submit host.
        err: where standard error comes to.
        log: the batch system's own log of the job.
        address: arguments for every command of the batch system's about this job, where it has several
            queues: ``("-name", "schedd")``, ``("--clusters=name",)``.
        submit_arguments: further arguments of the command that submits it.
        cancel_arguments: further arguments of the command that removes it.
        node: the node it is pinned to, as it was when the run began; ``None`` if any will do.
    """

    worker: str
    pool: str
    executable: str
    arguments: tuple[str, ...]
    directives: dict[str, str]
    transfer: dict[str, str]
    out: str
    err: str
    log: str
    address: tuple[str, ...] = ()
    submit_arguments: tuple[str, ...] = ()
    cancel_arguments: tuple[str, ...] = ()
    node: BatchNode | None = None


class Submission(Model):
    """What became of a job that was to be submitted.

    Attributes:
        worker: its planned worker.
        job_id: the batch system's id; empty if it was refused.
        refusal: why it was refused, in the batch system's own words.
    """

    worker: str
    job_id: str = ""
    refusal: str = ""


class JobStatus(Model):
    """What the batch system knows of a job.

    Attributes:
        job_id: the batch system's id; for ``local`` the process id.
        state: where the job is.
        exit_code: of the job script; negative for a signal; ``None`` while it runs.
        reason: the batch system's own words, where it has any.
        node: name of the node, where known.
    """

    job_id: str
    state: JobState
    exit_code: int | None = None
    reason: str = ""
    node: str = ""
