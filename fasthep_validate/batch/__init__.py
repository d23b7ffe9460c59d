"""Ways to run a job script on a worker node.

A batch system is a :class:`Batch`: submit, status, cancel. Dispatch is a look-up in :data:`BATCHES`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from fasthep_validate.batch import condor_description, htcondor, local, slurm, slurm_options, slurm_shared
from fasthep_validate.batch.nodes_htcondor import HTCondorNodes
from fasthep_validate.batch.nodes_slurm import SlurmNodes

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from fasthep_validate.batch.nodes import NodeList
    from fasthep_validate.models.execution import ExecutionConfig, Pool, Strategy
    from fasthep_validate.models.job import JobSpec, JobStatus, Submission


class Batch(Protocol):
    """A batch system, as the cluster sees it.

    Attributes:
        interval: seconds between two queries; asking more often is no use, or burdens others.
        chunk: how many jobs are submitted by one call, between which the user hears of progress.
    """

    interval: float
    chunk: int

    def submit(self, jobs: Sequence[JobSpec]) -> Sequence[Submission]:
        """Submit jobs; one that is refused is told in the batch system's own words, and the others go on."""

    def status(self, job_ids: Sequence[str]) -> Mapping[str, JobStatus]:
        """What the batch system knows of these jobs, in one query.

        Raises:
            SubmitError: it could not be asked; a query that fails is never an answer.
        """

    def explain(self, job_id: str) -> str:
        """Why a job waits, in the batch system's own words; asked rarely, and for one of many that are alike.

        Empty where :meth:`status` says all that is known.
        """

    def fetch(self, job_ids: Sequence[str]) -> None:
        """Bring the output of these jobs, which run and are about to be removed, as far as it is possible."""

    def removal(self, job_ids: Sequence[str]) -> Sequence[Sequence[str]]:
        """The commands that remove these jobs, for whoever cleans up after a run that was killed."""

    def cancel(self, job_ids: Sequence[str]) -> None:
        """Remove these jobs; those that are gone already are no error."""


@dataclass(frozen=True)
class Way:
    """How a strategy of FAST-HEP reaches its batch system.

    Attributes:
        make: makes the :class:`Batch`; it may use the folder that it is given, which is private to the
            run and goes away with it.
        directives: what the batch system is told for the jobs of a pool.
        shown: what would submit a job, for people to read: heading -> text.
        nodes: its nodes, where a job can be sent to one of them.
    """

    make: Callable[[Path], Batch]
    directives: Callable[[Pool], dict[str, str]]
    shown: Callable[[JobSpec], dict[str, str]]
    nodes: NodeList | None = None

    def told(self, pool: Pool, node: str) -> dict[str, str]:
        """What the batch system is told for a job of a pool; ``node`` is empty if any will do."""
        directives = self.directives(pool)
        return self.nodes.pinned(directives, node) if self.nodes and node else directives


BATCHES: Mapping[Strategy, Way] = {
    "local": Way(local.LocalBatch, local.directives, local.shown),
    "htcondor": Way(
        htcondor.HTCondorBatch, condor_description.directives, condor_description.shown, HTCondorNodes()
    ),
    "slurm": Way(slurm.SlurmBatch, slurm_options.directives, slurm_options.shown, SlurmNodes()),
}
SHARED: Mapping[Strategy, Way] = {
    "slurm": Way(slurm_shared.SharedSlurmBatch, slurm_shared.directives, slurm_shared.shown, SlurmNodes()),
}
"""Where the files of jobs lie on a shared filesystem."""


def way_of(execution: ExecutionConfig) -> Way:
    """How the jobs of an execution configuration reach their batch system."""
    return (SHARED if execution.job_files == "shared" else BATCHES)[execution.strategy]
