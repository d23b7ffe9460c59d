"""The same under pytest-xdist, from stored evidence."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from fasthep_validate.testing import broken, good_worker

from .conftest import CHECKS, outcomes

if TYPE_CHECKING:
    from .conftest import User


def test_same_results_and_nothing_left_behind(user: User) -> None:
    run = user.stored(broken(good_worker("default-0"), "extracted"))
    some = (*CHECKS, "-k", "environment or worker_start or run")
    alone = user.judge(run, *some)
    expected = user.report()
    for words in (("-n", "2"), ("-n", "2", "--dist", "loadfile"), ("-n", "0")):
        done = user.judge(run, *some, *words)
        report = user.report()
        assert done.code == alone.code == pytest.ExitCode.TESTS_FAILED, done.text
        assert outcomes(report) == outcomes(expected)
        assert (report.verdict, report.counts) == (expected.verdict, expected.counts)
    assert len(user.reports()) == 4
    assert not list(run.rglob(".collected"))


def test_a_worker_process_that_dies_is_no_pass(user: User) -> None:
    user.write("test_die.py", "import os\ndef test_die(run): os._exit(1)\ndef test_fine(run): pass\n")
    done = user.judge(user.stored(), "test_die.py", "-n", "1")
    assert done.code == pytest.ExitCode.TESTS_FAILED
    assert user.report().verdict == "error"
    assert "1 of 2 checks have no result, first test_die.py::test_die" in done.text
    assert user.report().counts == {"pass": 1}


def test_stopping_early_is_no_pass(user: User) -> None:
    user.write("test_a.py", "def test_bad(): assert 0\ndef test_many(worker): pass\n")
    user.judge(user.stored(), "test_a.py", "-n", "1", "-x")
    assert user.report().verdict == "error"


def test_known_failures_do_not_count_to_maxfail(user: User) -> None:
    user.write(
        "test_soft.py",
        "import pytest\npytestmark = pytest.mark.fasthep(required=False)\ndef test_a(worker): assert 0\n",
    )
    user.write("test_then.py", "def test_then(run): pass\n")
    done = user.judge(user.stored(), "test_soft.py", "test_then.py", "-n", "1", "-x")
    assert done.code == 0, done.text
    assert user.report().counts == {"pass": 1, "warn": 2}


def test_listing(user: User) -> None:
    done = user.judge(user.stored(), *CHECKS, "-n", "2", "--collect-only", "-q")
    assert done.code == 0
    assert " tests collected" in done.text
    assert user.reports() == []


def test_no_check_is_an_error(user: User) -> None:
    user.write("test_plain.py", "def test_plain(): pass\n")
    done = user.judge(user.stored(), "test_plain.py", "-n", "1")
    assert done.code == pytest.ExitCode.TESTS_FAILED
    assert user.report().verdict == "error"
