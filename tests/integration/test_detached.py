"""Runs that go on without a terminal, and what the next start does about one that was killed."""

from __future__ import annotations

import json
import os
import re
import signal
import tarfile
import time
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pathlib import Path

    from tests.integration.conftest import User

pytestmark = [pytest.mark.pools, pytest.mark.slow]


def registered(user: User) -> None:
    """Wait until a worker has registered; the command would take too long to say so."""
    deadline = time.monotonic() + 60
    while not any('"registered"' in path.read_text() for path in (user.run_folder() / "events").iterdir()):
        assert time.monotonic() < deadline, user.run("status").out
        time.sleep(0.02)


def ended(user: User) -> None:
    deadline = time.monotonic() + 120
    while json.loads(user.run("status", "--json").out)["life"] != "ended":
        assert time.monotonic() < deadline, user.run("status").out


def pids(record: Path) -> dict[str, int]:
    head, *left = (json.loads(line) for line in record.read_text().splitlines())
    (hub,) = (item["helper"]["pid"] for item in left if "helper" in item)
    return {"command": head["command"]["pid"], "hub": hub}


def test_run_without_a_terminal(user: User, tmp_path: Path) -> None:
    started = user.run("run", "--detach", "--site", user.site())
    assert started.code == 0, started.everything
    assert "fasthep-validate results" in started.out
    told = re.search(r"goes on as process (\d+)", started.out)
    assert told
    pid = int(told[1])
    assert os.getsid(pid) == pid, "a session of its own"
    early = user.run("results")
    assert early.code == 7, early.everything
    assert "the run goes on" in early.err
    assert f"the run goes on, as process {pid}" in user.run("status").out
    ended(user)
    results = user.run("results", user.run_folder())
    assert results.code == 0, results.everything
    assert "Site fast works" in results.out
    archive = tmp_path / "run.tar.gz"
    assert user.run("retrieve", "--output", archive).code == 0
    with tarfile.open(archive) as opened:
        names = opened.getnames()
    assert any(name.endswith("results/report.json") for name in names)
    assert not any(name.endswith((".key", ".pem", "connection.json")) for name in names)
    assert user.left() == []


def test_mistake_is_told_before_the_terminal_is_left(user: User) -> None:
    done = user.run("run", "--detach", "--site", "nosuch")
    assert done.code == 2
    assert "no site 'nosuch'" in done.err
    assert user.run("status").code == 2, "there is no run"


def test_stopped(user: User) -> None:
    user.run("run", "--detach", "--site", user.site())
    registered(user)
    stopped = user.run("stop")
    assert stopped.code == 0, stopped.everything
    assert "has ended" in stopped.out
    results = user.run("results")
    assert results.code == 143
    assert user.left() == []


def test_next_start_cleans_up_after_command_and_hub_were_killed(user: User) -> None:
    """Nobody was left to clean up; a living run of the same user is not touched."""
    user.run("run", "--detach", "--site", user.site())
    registered(user)
    (record,) = (user.home / "state" / "fasthep-validate" / "runs").iterdir()
    killed = pids(record)
    os.kill(killed["hub"], signal.SIGSTOP)  # it would begin to clean up as soon as the command is gone
    os.kill(killed["command"], signal.SIGKILL)
    os.kill(killed["hub"], signal.SIGKILL)
    assert "Its command was killed" in user.run("status").out
    dead = user.run("results")
    assert dead.code == 6
    assert "was killed: there is no verdict" in dead.err
    assert user.left(), "nothing was left: the test shows nothing"
    other = user.run("--site", user.site())
    assert other.code == 0, other.everything
    assert "whose command was killed, left" in other.err
    assert user.left() == []
    assert not list(record.parent.iterdir())
