"""``--fasthep-site`` with real workers: opened once, judged as by the command, closed however it ends."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING

import pytest

from .conftest import CHECKS, Ended, interrupt, outcomes, wait_for

if TYPE_CHECKING:
    from .conftest import User

pytestmark = pytest.mark.pools

LIVE = """\
from pathlib import Path

def test_dead(worker):
    assert worker.evidence.job.state == "exited"
    assert not (worker.run.folder / "connection.json").exists()

def test_live(fasthep_client, tmp_path_factory):
    assert fasthep_client.submit(sum, [1, 2, 3]).result(timeout=20) == 6
    assert len(fasthep_client.scheduler_info()["workers"]) == 2
"""
SLOW = """\
import time
from pathlib import Path

def test_slow(fasthep_client):
    Path(__file__).with_name("reached").touch()
    time.sleep(60)
"""


def opened(done: Ended) -> int:
    return done.text.count("starting the scheduler")


def test_same_verdict_as_the_command(user: User) -> None:
    profile = user.profile()
    done = user.pytest("--fasthep-site", profile, *CHECKS)
    mine = user.report()
    judged = user.cli("--site", profile)
    theirs = user.report()
    assert (done.code, mine.verdict) == (0, "pass"), done.text
    assert (judged.code, theirs.verdict) == (0, "pass"), judged.text
    assert outcomes(mine) == outcomes(theirs)
    assert len(mine.checks) > 80
    assert (mine.site, len(mine.workers), mine.exit_code) == ("tiny", 2, 0)
    assert "fasthep-validate: site tiny, planned: default-0, default-1" in done.text
    assert opened(done) == 1
    assert user.left() == []


def test_live_checks_run_first_and_the_pools_close_after_them(user: User) -> None:
    user.write("my_checks/test_pool.py", LIVE)
    done = user.pytest("--fasthep-site", user.profile(), "my_checks", "-s", "--fasthep-outdir", "out")
    assert done.code == 0, done.text
    assert [check.id for check in user.report().checks] == ["pool.live", "pool.dead", "pool.dead"]
    assert (user.home / "out" / "tiny" / "latest").is_symlink()
    assert "Failed to reconnect" not in done.text
    assert user.left() == []


def test_one_set_of_pools_for_all_processes_of_xdist(user: User) -> None:
    user.write("my_checks/test_pool.py", LIVE)
    words = ("--fasthep-site", user.profile(), "--fasthep-pool", "default=2", "-n", "2")
    done = user.pytest(*words, "my_checks", *CHECKS, "-k", "live or environment or logs")
    assert done.code == 0, done.text
    report = user.report()
    assert {("pool.live", "", "pass"), ("logs.out-came-back", "default-1", "pass")} <= set(outcomes(report))
    done = user.pytest(*words, "my_checks", "-k", "test_dead")
    assert done.code == 0, done.text
    assert opened(done) == 1
    assert user.left() == []


def test_no_worker_comes(user: User) -> None:
    """All is judged: one failure, the others blocked, also what would have to wait for a worker."""
    user.write("my_checks/test_pool.py", LIVE)
    wrong = (
        "staging: {mode: shared}",
        "staging: {mode: shared}\n  config: {worker_extra_args: [--no-such-option]}",
    )
    done = user.pytest("--fasthep-site", user.profile(wrong), "my_checks", *CHECKS, "-k", "live or started")
    report = user.report()
    assert done.code == pytest.ExitCode.TESTS_FAILED, done.text
    assert (report.exit_code, report.verdict) == (5, "fail"), done.text
    assert "no worker came" in done.text
    found = {(check.id, check.worker): check for check in report.checks}
    assert found["worker_start.started", "default-0"].outcome == "fail"
    assert found["pool.live", ""].blocked_by == "worker_start.started[default-0]"
    assert user.left() == []


@pytest.mark.parametrize(
    ("change", "message", "words"),
    [
        (("prefix: current", "prefix: /nowhere/env"), "/nowhere/env", ()),
        # RFC 5737: never an address of this machine
        (("host: 127.0.0.1", "host: 192.0.2.1"), "scheduler", ("-n", "2")),
    ],
    ids=["pack", "submit-xdist"],
)
def test_an_error_while_opening(
    user: User, change: tuple[str, str], message: str, words: tuple[str, ...]
) -> None:
    profile = user.profile(change)
    done = user.pytest("--fasthep-site", profile, *CHECKS, *words)
    assert done.code == pytest.ExitCode.TESTS_FAILED, done.text
    assert message in done.text
    assert "Traceback" not in done.text
    assert "INTERNALERROR" not in done.text
    report = user.report()
    assert report.verdict == "error"
    assert message in report.errors[0]
    assert user.left() == []


@pytest.mark.parametrize(
    ("when", "signum", "words"),
    [
        ("opening", signal.SIGINT, ()),
        ("opening", signal.SIGTERM, ("-n", "2")),
        ("judging", signal.SIGTERM, ()),
        ("judging", signal.SIGINT, ("-n", "2")),
    ],
    ids=["opening", "opening-xdist", "judging", "judging-xdist"],
)
def test_a_signal_ends_in_order(
    user: User, words: tuple[str, ...], signum: signal.Signals, when: str
) -> None:
    user.write("my_checks/test_slow.py", SLOW)
    start = user.start(
        "pytest", "-p", "no:cacheprovider", "--fasthep-site", user.profile(), "my_checks", *words
    )
    wait_for(lambda: reached(user, when))
    # A terminal sends Ctrl-C to all processes of the group; a batch system sends SIGTERM to the one it knows.
    done = interrupt(start, signum, group=signum == signal.SIGINT)
    assert done.code == pytest.ExitCode.INTERRUPTED, done.text
    assert user.left() == []
    report = user.report()
    assert (report.verdict, report.exit_code) == ("incomplete", 128 + signum)
    assert report.finished
    assert signum.name in report.sentence
    assert not list(user.home.rglob("connection.json"))
    assert not list(user.home.rglob(".collected"))


def reached(user: User, when: str) -> bool:
    if when == "opening":
        return any(user.home.rglob("jobs/default-1/job.json"))
    return (user.home / "my_checks" / "reached").exists()
