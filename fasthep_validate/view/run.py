"""A run as it is stored in its folder."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from fasthep_validate.models.evidence import SubmitEvidence, WorkerEvidence
from fasthep_validate.models.execution import ExecutionConfig
from fasthep_validate.models.job import JobStatus
from fasthep_validate.models.packed import PackedEnv
from fasthep_validate.models.profile import SiteProfile
from fasthep_validate.store import RunFolder, read_model
from fasthep_validate.view.node import SubmitHost
from fasthep_validate.view.worker import Worker

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path


@dataclass(frozen=True)
class Run:
    """A run as it is stored in its folder.

    Attributes:
        folder: the run folder.
        site: the site's profile.
        execution: what was started, overrides included.
        pack: the environment that the workers got.
        submit: what was seen on the submit host.
        evidence: planned worker -> what is stored of it.
    """

    folder: Path
    site: SiteProfile
    execution: ExecutionConfig
    pack: PackedEnv
    submit: SubmitEvidence
    evidence: Mapping[str, WorkerEvidence]

    @classmethod
    def load(cls, folder: Path) -> Run:
        """Read a run folder.

        A planned worker of which nothing is stored is a lost one.

        Raises:
            JudgeError: a file is missing or broken.
        """
        layout = RunFolder(folder)
        execution = read_model(folder / "execution.json", ExecutionConfig)
        return cls(
            folder=folder,
            site=read_model(folder / "profile.json", SiteProfile),
            execution=execution,
            pack=read_model(folder / "pack.json", PackedEnv),
            submit=read_model(layout.evidence / "submit.json", SubmitEvidence),
            evidence={
                worker: _stored(layout.evidence / f"{worker}.json", worker, pool.name)
                for pool in execution.pools
                for worker in pool.worker_ids()
            },
        )

    @cached_property
    def workers(self) -> dict[str, Worker]:
        """Planned worker -> its view, in the order of the profile."""
        return {
            worker: Worker(run=self, pool=pool, evidence=self.evidence[worker])
            for pool in self.execution.pools
            for worker in pool.worker_ids()
        }

    @property
    def submit_host(self) -> SubmitHost:
        """The submit host, which is the baseline that workers are compared with."""
        return SubmitHost(self.submit)

    @property
    def packed(self) -> bool:
        """Whether an archive travelled to the workers; it does not for ``shared-prefix``."""
        return self.pack.base is not None


def _stored(path: Path, worker: str, pool: str) -> WorkerEvidence:
    if path.exists():
        return read_model(path, WorkerEvidence)
    job = JobStatus(job_id="", state="lost", reason="no evidence of this worker was stored")
    return WorkerEvidence(worker=worker, pool=pool, job=job)
