"""Jobs that are submitted together, to something that takes all of them or none."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hypothesis import given
from hypothesis import strategies as st

from fasthep_validate.batch.chunks import IN_A_ROW, submit_apart
from fasthep_validate.models.job import JobSpec

if TYPE_CHECKING:
    from collections.abc import Sequence


def jobs(number: int) -> list[JobSpec]:
    return [
        JobSpec(
            worker=f"w-{index}", pool="p", executable="", arguments=(), directives={}, transfer={}, out="", err="", log=""
        )
        for index in range(number)
    ]  # fmt: skip


class Picky:
    """Refuses certain workers, each in its own words, and counts how often it was asked."""

    def __init__(self, *bad: str, words: str = "") -> None:
        self.bad = bad
        self.words = words
        self.asked = 0
        self.taken = 0

    def __call__(self, part: Sequence[JobSpec]) -> list[str] | str:
        self.asked += 1
        for job in part:
            if job.worker in self.bad:
                return self.words or f"no {job.worker}"
        ids = [str(self.taken + index) for index in range(len(part))]
        self.taken += len(part)
        return ids


@given(number=st.integers(1, 40), bad=st.sets(st.integers(0, 39), max_size=6))
def test_each_refusal_has_its_job(number: int, bad: set[int]) -> None:
    refuse = Picky(*(f"w-{index}" for index in bad))
    done = {each.worker: each for each in submit_apart(jobs(number), refuse)}
    assert list(done) == [f"w-{index}" for index in range(number)]
    refused = {each.worker for each in done.values() if each.refusal}
    assert refused == {f"w-{index}" for index in bad if index < number}
    assert all(done[name].refusal == f"no {name}" for name in refused)
    ids = [each.job_id for each in done.values() if each.job_id]
    assert len(set(ids)) == len(ids) == number - len(refused)


def test_one_question_when_all_is_well() -> None:
    taken = Picky()
    assert len(submit_apart(jobs(1000), taken)) == 1000
    assert taken.asked == 1


def test_what_is_refused_as_a_whole_is_not_asked_job_by_job() -> None:
    nothing = Picky(*(f"w-{index}" for index in range(1000)), words="no such group")
    done = submit_apart(jobs(1000), nothing)
    assert nothing.asked < 20
    assert {each.refusal for each in done} == {
        "no such group",
        f"not tried after {IN_A_ROW} others; no such group",
    }


def test_limit_on_jobs() -> None:
    """What fits goes in."""

    class Limit(Picky):
        def __call__(self, part: Sequence[JobSpec]) -> list[str] | str:
            return "too many jobs" if self.taken + len(part) > 9 else super().__call__(part)

    done = submit_apart(jobs(10), Limit())
    assert sum(bool(each.job_id) for each in done) == 9
    assert done[-1].refusal == "too many jobs"
