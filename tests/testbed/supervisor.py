"""The process that holds a testbed: it starts everything, and everything ends with it.

Run as ``python -m tests.testbed.supervisor RUN CACHE IMAGE PLAN``, with the plan in JSON; what it does it says on standard
output, which it closes when all is ready.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from fasthep_validate import process
from tests.testbed import nodes, software, specs, state, systems
from tests.testbed.errors import Failure
from tests.testbed.places import FILES, Places
from tests.testbed.plan import Plan
from tests.testbed.state import Process, State

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import FrameType

UP_TIMEOUT = 400  # seconds for everything; the steps have their own, smaller ones
GONE_TIMEOUT = 20  # seconds for the kernel to end the processes of a namespace
ENDING = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


def main(run: str, cache: str, image: str, plan: str) -> int:
    """Hold the testbed until told to end, or until its hub ends."""
    os.umask(0o022)
    for signum in ENDING:
        signal.signal(signum, _end)
    signal.signal(signal.SIGALRM, _too_late)
    places = Places(Path(run), Path(cache))
    known = State(plan=Plan.model_validate_json(plan), supervisor=Process.of(os.getpid()))
    try:
        with _swept(places.run), _ended_hub(places):
            state.write(places, known)
            _up(places, known, Path(image))
            _close_output(places)
            _hold(places)
    except Failure as error:
        _say(f"{error}\ntaken down, for it did not come up")
        return 1
    finally:
        shutil.rmtree(places.run, ignore_errors=True)
    return 0


def _up(places: Places, known: State, image: Path) -> None:
    signal.alarm(UP_TIMEOUT)
    plan, start = known.plan, time.monotonic()
    _say("writing the nodes' files")
    specs.write(places, plan, software.of_prefix(plan.prefix))
    _say(f"starting the hub on {image.name}")
    hub = nodes.start_hub(places, image)
    known = known.model_copy(update={"hub": hub})
    state.write(places, known)
    started: dict[str, Process] = {}
    for node in plan.nodes:
        _say(f"starting {node.host} at {node.address}")
        started[node.name] = nodes.start_node(places, hub, node, shared_home=plan.shared_home)
        known = known.model_copy(update={"nodes": dict(started)})
        state.write(places, known)
    for name in plan.systems:
        _say(f"starting {name}")
        systems.start(name, plan, started)
    for name in plan.systems:
        systems.wait(name, plan, started)
        _say(f"{name} is ready, {time.monotonic() - start:.1f} s after the start")
    signal.alarm(0)
    state.write(places, known.model_copy(update={"ready": True}))


def _hold(places: Places) -> None:
    """Wait for the end of the hub, and reap the nodes that somebody ends on the way."""
    known = state.read(places)
    while known is not None and known.hub is not None and known.hub.alive:
        with contextlib.suppress(ChildProcessError):
            os.waitpid(-1, os.WNOHANG)
        time.sleep(0.5)


@contextlib.contextmanager
def _swept(run: Path) -> Iterator[None]:
    """Have the run directory removed when we are gone, also by SIGKILL: a pipe tells."""
    reading, writing = os.pipe()
    process.spawn(
        ["sh", FILES / "sweep.sh", run],
        env=os.environ,
        cwd=Path("/"),
        stdin=reading,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    os.close(reading)
    try:
        yield
    finally:
        os.close(writing)


@contextlib.contextmanager
def _ended_hub(places: Places) -> Iterator[None]:
    """End the hub, and with it all nodes, whatever happens; the kernel reaps it when the last process is gone."""
    try:
        yield
    finally:
        for signum in (*ENDING, signal.SIGALRM):
            signal.signal(signum, signal.SIG_IGN)
        known = state.read(places)
        if known is not None and known.hub is not None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(known.hub.pid, signal.SIGKILL)
            deadline = time.monotonic() + GONE_TIMEOUT
            while known.hub.alive and time.monotonic() < deadline:
                time.sleep(0.01)


def _close_output(places: Places) -> None:
    """Let whoever reads our output go on; what is said from now on goes to a file."""
    sys.stdout.flush()
    with places.log("supervisor").open("w") as log:
        os.dup2(log.fileno(), 1)
        os.dup2(log.fileno(), 2)


def _say(text: str) -> None:
    """One line; a reader that is gone (a killed ``up``) ends us."""
    try:
        print(text, flush=True)
    except BrokenPipeError:
        sys.stdout = open(os.devnull, "w")  # noqa: SIM115, PTH123  for what is printed on the way out
        raise SystemExit(1) from None


def _end(signum: int, frame: FrameType | None) -> NoReturn:
    raise SystemExit(0)


def _too_late(signum: int, frame: FrameType | None) -> NoReturn:
    raise Failure(f"not up after {UP_TIMEOUT} s")


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
