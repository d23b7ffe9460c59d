"""Whatever is killed with SIGKILL, nothing hangs and nothing is left behind."""

from __future__ import annotations

import os
import signal
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from fasthep_validate import load_site, open_pools

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .conftest import User

pytestmark = pytest.mark.pools

GRACE = 30.0  # seconds that the jobs of a killed command have


def running(user: User) -> Iterator[str]:
    """Processes that work in the user's temporary folder, or were started from there."""
    needle = str(user.tmp).encode()
    for path in Path("/proc").glob("[0-9]*"):
        try:
            command = (path / "cmdline").read_bytes()
            told = (command, (path / "environ").read_bytes(), os.fsencode((path / "cwd").readlink()))
        except OSError:
            continue  # it ended meanwhile, or belongs to somebody else
        if int(path.name) != os.getpid() and any(needle in text for text in told):
            yield command.replace(b"\0", b" ").decode(errors="replace")


@pytest.mark.parametrize(
    "moment",
    [
        "starting the scheduler",
        "default-1 matched ok",
        "default-1 connected ok",
        "default-1 registered ok",
    ],
)
def test_command_killed(user: User, moment: str) -> None:
    """Scheduler, job scripts, nannies and workers end by themselves, and the run's secrets are removed."""
    child = user.start("--site", user.site())
    try:
        user.wait_for(moment)
    finally:
        child.kill()
        child.wait()
    deadline = time.monotonic() + GRACE
    while (left := [*running(user), *user.tmp.iterdir()]) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert left == []
    if "registered" in moment:
        err = user.run_folder() / "debug" / "distributed" / "err" / "default-1.err"
        assert '"exit code 0"' in err.read_text().splitlines()[-1]


def test_worker_killed_while_it_is_asked(user: User, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its open questions end at once, long before the 30 seconds of a probe; the other worker is judged."""
    monkeypatch.setenv("TMPDIR", str(user.tmp))
    monkeypatch.setattr("tempfile.tempdir", None)  # it remembers TMPDIR of the first call in a process
    with open_pools(load_site(str(user.site())), outdir=user.home / "out") as pools:
        nannies = {name: pid for pid, name in _nannies(user)}
        pids = pools.client.run(os.getpid)
        names = {
            pools.client.scheduler_info()["workers"][address]["name"]: pid for address, pid in pids.items()
        }
        os.kill(names["default-0"], signal.SIGSTOP)
        victim = threading.Timer(1.0, os.killpg, (nannies["default-0"], signal.SIGKILL))
        victim.start()
        started = time.monotonic()
        found = pools.gather(peer_size=1000)
        seconds = time.monotonic() - started
        victim.join()
    assert seconds < 6
    assert found["default-1"]["problems"] == {}
    problems = found["default-0"]["problems"]
    assert {"clock", "versions", "provenance", "who"} <= set(problems)
    assert "left the scheduler" in problems["clock"]
    assert not found["default-0"]["first_task"]["ok"]
    assert "left the scheduler" in found["default-0"]["first_task"]["error"]
    assert [peer["ok"] for peer in found["default-1"]["peers"]] == [False, False]


def _nannies(user: User) -> Iterator[tuple[int, str]]:
    """Process ids of the nannies, each the leader of its group, with the worker's name."""
    for path in Path("/proc").glob("[0-9]*"):
        try:
            words = (path / "cmdline").read_bytes().split(b"\0")
            home = (path / "cwd").readlink()
        except OSError:
            continue
        if b"launch.py" in words and home.is_relative_to(user.tmp):
            yield int(path.name), home.name
