"""Jobs that are submitted together, by a batch system that takes all of them or none."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fasthep_validate.models.job import Submission

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from fasthep_validate.models.job import JobSpec

IN_A_ROW = 3  # jobs that are refused one after the other in the same words, after which no more is tried


def submit_apart(
    jobs: Sequence[JobSpec], submit: Callable[[Sequence[JobSpec]], list[str] | str]
) -> list[Submission]:
    """Submit jobs together, and if that is refused in halves, until each refusal has its job.

    Args:
        jobs: jobs that one command can submit.
        submit: gives the ids of all, or the words in which they were refused.
    """
    done: list[Submission] = []
    waiting = [jobs]
    said: list[str] = []  # in which words jobs were refused since the last one that was taken
    while waiting:
        part = waiting.pop(0)
        if len(said) >= IN_A_ROW and len(set(said)) == 1:
            words = f"not tried after {len(said)} others; {said[0]}"
            done += [Submission(worker=job.worker, refusal=words) for job in part]
            continue
        answer = submit(part)
        if isinstance(answer, list):
            done += [Submission(worker=job.worker, job_id=i) for job, i in zip(part, answer, strict=True)]
            said = []
        elif len(part) > 1:
            half = len(part) // 2
            waiting[:0] = [part[:half], part[half:]]
        else:
            done.append(Submission(worker=part[0].worker, refusal=answer))
            said.append(answer)
    return done
