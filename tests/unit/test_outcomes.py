"""Outcomes of checks, and what is read out of their docstrings."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from fasthep_validate.outcomes import Finding, check_id, describe, finding, judge, not_applicable, warn

if TYPE_CHECKING:
    from collections.abc import Callable


def documented() -> None:
    """The site has
    a disk.

    More about disks.

    Remedy: buy
    one.
    """


def only_remedy() -> None:
    """Remedy: buy one."""


def nothing() -> None:
    pass


def raises(error: BaseException) -> Callable[[], None]:
    def check() -> None:
        raise error

    return check


@pytest.mark.parametrize(
    ("function", "told"),
    [
        (documented, ("The site has a disk.", "buy one.")),
        (only_remedy, ("", "buy one.")),
        (nothing, ("", "")),
    ],
)
def test_claim_and_remedy(function: Callable[..., object], told: tuple[str, str]) -> None:
    assert describe(function) == told


def test_the_id_of_a_check_is_made_of_its_file_and_its_name() -> None:
    def test_has_a_disk() -> None: ...

    test_has_a_disk.__module__ = "my_checks.test_worker_start"
    assert check_id(test_has_a_disk) == "worker_start.has-a-disk"


@pytest.mark.parametrize(
    ("check", "outcome", "message"),
    [
        (lambda: None, "pass", ""),
        (lambda: not_applicable("no GPU"), "n/a", "no GPU"),
        (lambda: warn("slow"), "warn", "slow"),
        (lambda: pytest.skip("elsewhere"), "n/a", "elsewhere"),
        (raises(AssertionError("found 1\nassert 1 == 2")), "fail", "found 1"),
        (
            raises(AssertionError("assert 1 == 2\n + where 1 = f()")),
            "fail",
            "assert 1 == 2\n + where 1 = f()",
        ),
        (raises(AssertionError()), "fail", "the check failed without a message"),
        (raises(KeyError("x")), "fail", "KeyError: 'x'"),
        (lambda: pytest.fail("by hand"), "fail", "by hand"),
    ],
)
def test_outcomes(check: Callable[[], object], outcome: str, message: str) -> None:
    assert judge(check) == Finding(outcome, message)  # type: ignore[arg-type]


def test_an_interrupt_is_not_an_outcome() -> None:
    with pytest.raises(KeyboardInterrupt):
        judge(raises(KeyboardInterrupt()))


def test_a_check_that_returned_passed() -> None:
    assert finding(None) == Finding("pass")
