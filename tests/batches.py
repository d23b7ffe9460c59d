"""A job at a batch system, for tests of one job."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fasthep_validate.errors import SubmitError

if TYPE_CHECKING:
    from fasthep_validate.batch import Batch
    from fasthep_validate.models.job import JobSpec


def submit(batch: Batch, job: JobSpec) -> str:
    """The id of a job that is submitted alone."""
    (submission,) = batch.submit([job])
    if submission.refusal:
        raise SubmitError(f"{submission.worker}: {submission.refusal}.")
    return submission.job_id
