"""Slurm with a shared filesystem: the batch script runs the job script, output goes where the submit host sees it.

No ``srun`` and no ``sbcast``: the submit host keeps no process for a job. The run folder must be on the shared
filesystem; files that may not be (those of this package, credentials) are copied there, to the run's private folder.
The worker still works on the node's own disk.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from fasthep_validate import bundled
from fasthep_validate.batch import slurm, slurm_options
from fasthep_validate.batch.command import ask
from fasthep_validate.batch.slurm_options import BASE, submit_words
from fasthep_validate.models.job import JobStatus, Submission
from fasthep_validate.store import write_text

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from fasthep_validate.models.execution import Pool
    from fasthep_validate.models.job import JobSpec

SCRIPT = "slurm_shared.sh"


def directives(pool: Pool) -> dict[str, str]:
    """Options of ``sbatch`` for a pool; ``--output`` and ``--error`` are each job's own and come later."""
    told = slurm_options.directives(pool)
    if told.get("--output") == slurm_options.NOWHERE:
        del told["--output"]
    return told


def shown(job: JobSpec) -> dict[str, str]:
    """What would submit a job."""
    return slurm_options.shown(_told(job), SCRIPT)


class SharedSlurmBatch(slurm.SlurmBatch):
    """Jobs that find their files, and leave their output, on a shared filesystem."""

    def __init__(self, scratch: Path) -> None:
        """``scratch`` is below the run's private folder, which is in the run folder."""
        super().__init__(scratch)
        self._files = scratch.parent / "files"
        self._run = scratch.parent.parent
        self._copies: dict[str, Path] = {}
        self._ended: dict[str, JobStatus] = {}

    def _submit(self, job: JobSpec) -> Submission:
        try:
            files = self._listed(job)
        except OSError as error:
            refusal = f"its files cannot be copied to {self._files}: {error.strerror}"
            return Submission(worker=job.worker, refusal=refusal)
        told = _told(job)
        script = str(bundled.worker_file(SCRIPT))
        words = (BASE, str(files), Path(job.executable).name, *job.arguments)
        return self._ask(told, submit_words(told, script, *words))

    def _listed(self, job: JobSpec) -> Path:
        """The list of a job's files for the batch script."""
        self._files.mkdir(mode=0o700, exist_ok=True)
        lines = [line for source, name in job.transfer.items() for line in (str(self._shared(source)), name)]
        path = self._files / f"{job.worker}.files"
        write_text(path, "".join(f"{line}\n" for line in lines), mode=0o600)
        return path

    def _shared(self, source: str) -> Path:
        """A file where nodes can read it; what several jobs need is copied once."""
        path = Path(source)
        if path.is_relative_to(self._run):
            return path
        if source not in self._copies:
            copy = self._files / f"{len(self._copies)}-{path.name}"
            shutil.copyfile(source, copy)
            copy.chmod(0o600)
            self._copies[source] = copy
        return self._copies[source]

    def _status(self, job_id: str, line: Sequence[str] | None) -> JobStatus:
        state, reason, node = line[1:] if line else ("", "", "")
        if state in slurm.STATES:
            why = reason if state == "PENDING" else ""
            return JobStatus(job_id=job_id, state=slurm.STATES[state], reason=why, node=node)
        if job_id not in self._ended:
            self._ended[job_id] = _outcome(job_id, self._allocations[job_id])
        return self._ended[job_id]


def _outcome(job_id: str, allocation: slurm.Allocation) -> JobStatus:
    """What Slurm still knows of a job that has left the queue: it forgets it after MinJobAge."""
    argv = ["scontrol", *allocation.job.address, "--oneliner", "show", "job", allocation.number]
    done = ask(argv, timeout=slurm.PATIENCE)
    facts: Mapping[str, str] = dict(word.partition("=")[::2] for word in done.stdout.split())
    told = ", ".join(f"{key}={facts[key]}" for key in ("JobState", "Reason", "ExitCode") if key in facts)
    code, _, signum = facts.get("ExitCode", "").partition(":")
    node = facts.get("BatchHost", "")
    if facts.get("JobState") not in {"COMPLETED", "FAILED"} or not code.isdigit():
        state = "removed" if told else "lost"
        reason = told or "Slurm knows nothing of it any more"
        return JobStatus.model_validate({"job_id": job_id, "state": state, "reason": reason, "node": node})
    number = -int(signum) if signum.isdigit() and int(signum) else int(code)
    return JobStatus(job_id=job_id, state="exited", exit_code=number, reason=told, node=node)


def _told(job: JobSpec) -> JobSpec:
    """The job with the places of its output among its options."""
    own = {"--output": _literal(job.out), "--error": _literal(job.err)}
    return job.model_copy(update={"directives": {**own, **job.directives}})


def _literal(path: str) -> str:
    """A path for ``--output``, where ``%`` begins a pattern; see sbatch(1)."""
    return path.replace("%", "%%")
