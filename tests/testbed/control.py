"""What the command does: up, status, exec, down."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING

from filelock import FileLock, Timeout

from fasthep_validate import process
from tests.testbed import host, image, software, state
from tests.testbed.errors import Failure, Refusal
from tests.testbed.nodes import TIMEOUT, argv_on
from tests.testbed.places import CHECKOUT
from tests.testbed.plan import SUBMIT
from tests.testbed.systems import SYSTEMS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from tests.testbed.places import Places
    from tests.testbed.plan import Plan
    from tests.testbed.state import Process, State

LOCK_TIMEOUT = image.TIMEOUT + 600  # seconds that another `up` may take
END_TIMEOUT = 40  # seconds for a supervisor to end; a tenth of a second is usual


def up(places: Places, plan: Plan, say: Callable[[str], None]) -> None:
    """Bring the testbed up; return when its batch systems are ready, or at once if they are.

    Raises:
        Refusal: this machine cannot, or something else is up.
        Failure: a step failed; what had been started is gone.
    """
    host.check()
    with _lock(places):
        known = state.read(places)
        if known is not None and known.ready and known.supervisor.alive:
            if known.plan != plan:
                raise Refusal(f"testbed: up with other options: {known.plan!r}. Take it down first: down")
            say("is up already")
            return
        _end(places)
        software.of_prefix(plan.prefix)  # what is wrong with it is said before anything is made
        path = image.ensure(places.cache, say)
        _start(places, plan, path, say)


def down(places: Places) -> None:
    """Take down whatever there is of a testbed; return when nothing is left.

    Raises:
        Failure: something is left.
    """
    _end(places)
    with contextlib.suppress(Timeout), FileLock(places.cache / "lock", timeout=0):
        image.remove_unfinished(places.cache)


def current(places: Places) -> State:
    """What is up.

    Raises:
        Refusal: nothing is.
    """
    known = state.read(places)
    if known is None or not known.ready or not known.supervisor.alive:
        raise Refusal("testbed: is not up. Start it: python -m tests.testbed up")
    return known


def status(places: Places) -> Iterator[str]:
    """Lines on the nodes that are up, and on what the batch systems say about them.

    Raises:
        Refusal: nothing is up.
    """
    known = current(places)
    for node in known.plan.nodes:
        first = known.nodes[node.name]
        yield f"{node.host} {node.address} {f'process {first.pid}' if first.alive else 'dead'}"
    for name in known.plan.systems:
        done = process.run(argv_on(known.nodes[SUBMIT], SYSTEMS[name].query), timeout=TIMEOUT)
        yield from (f"{name}: {line}" for line in (done.stdout + done.stderr).splitlines())


def argv(places: Places, node: str, command: Sequence[str], *, user: str = "root") -> list[str]:
    """The command line on the host that runs a command on a node.

    Raises:
        Refusal: there is no such node.
    """
    known = current(places)
    if node not in known.nodes:
        raise Refusal(f"testbed: no node {node!r}. Nodes: {', '.join(known.nodes)}")
    return argv_on(known.nodes[node], command, user=user)


@contextlib.contextmanager
def _lock(places: Places) -> Iterator[None]:
    places.cache.mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(places.cache / "lock", timeout=LOCK_TIMEOUT):
            yield
    except Timeout:
        raise Failure(f"testbed: another 'up' has not ended for {LOCK_TIMEOUT} s") from None


def _start(places: Places, plan: Plan, path: Path, say: Callable[[str], None]) -> None:
    """Start the supervisor and pass on what it says until it closes its output: ready, or failed."""
    for directory in (places.run, places.run / "log", places.run / "nodes"):
        directory.mkdir(mode=0o700, parents=True)
    module = [sys.executable, "-m", "tests.testbed.supervisor"]
    child = process.spawn(
        [*module, places.run, places.cache, path, plan.model_dump_json()],
        env=os.environ,
        cwd=CHECKOUT,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    try:
        _pass_on(child, say)
    except BaseException:
        child.terminate()
        child.wait(END_TIMEOUT)
        raise
    known = state.read(places)
    if known is None or not known.ready:
        child.wait(END_TIMEOUT)
        raise Failure("testbed: did not come up, and nothing of it is left")
    child.returncode = 0  # it goes on without us: nobody is to wait for it


def _pass_on(child: subprocess.Popen[bytes], say: Callable[[str], None]) -> None:
    assert child.stdout is not None
    with child.stdout as lines:
        for line in lines:
            say(line.decode().rstrip())


def _end(places: Places) -> None:
    """End the supervisor, if there is one, and see that everything has gone with it."""
    known = state.read(places)
    if known is not None:
        for process_ in (known.supervisor, known.hub):
            if process_ is not None:
                _end_process(process_)
    # Whoever sweeps after a killed supervisor may be at it.
    _wait(lambda: not places.run.exists(), timeout=1 if known is not None else 0)
    shutil.rmtree(places.run, ignore_errors=True)
    if places.run.exists():
        raise Failure(f"testbed: {places.run} cannot be removed. See what holds it: findmnt, fuser")


def _end_process(known: Process) -> None:
    for signum in (signal.SIGTERM, signal.SIGKILL):
        if known.alive:
            os.kill(known.pid, signum)
        if _wait(lambda: not known.alive, timeout=END_TIMEOUT):
            return
    raise Failure(
        f"testbed: process {known.pid} does not end. See what it waits for: ps -o wchan {known.pid}"
    )


def _wait(true: Callable[[], bool], *, timeout: float) -> bool:
    deadline = time.monotonic() + timeout
    while not (done := true()) and time.monotonic() < deadline:
        time.sleep(0.02)
    return done
