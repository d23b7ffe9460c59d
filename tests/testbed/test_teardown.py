"""However a testbed ends, nothing of it is left: processes, mounts, namespaces, interfaces, loop devices, files."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from fasthep_validate import process
from tests.testbed import control, image, state
from tests.testbed.errors import Failure
from tests.testbed.fixtures import Site, require_enabled
from tests.testbed.places import CHECKOUT, Places
from tests.testbed.plan import Plan

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

pytestmark = pytest.mark.testbed


@pytest.fixture
def other(tmp_path: Path) -> Iterator[Places]:
    """A second testbed, to be ended in all ways; its networks and names do not meet the first one's."""
    require_enabled()
    places = Places(tmp_path / "run", Places.of_user().cache)
    yield places
    control.down(places)


SMALL = Plan(systems=("slurm",))


def traces(places: Places) -> list[str]:
    """The host's mounts and processes that name the directory of a testbed."""
    mounts = [line for line in Path("/proc/mounts").read_text().splitlines() if str(places.run) in line]
    processes = [
        path.read_bytes().replace(b"\0", b" ").decode(errors="replace")
        for path in Path("/proc").glob("[0-9]*/cmdline")
        if _mentions(path, str(places.run))
    ]
    return mounts + processes


def _mentions(cmdline: Path, text: str) -> bool:
    try:
        return text.encode() in cmdline.read_bytes()
    except OSError:
        return False


def loops() -> int:
    """Loop devices that have a file."""
    return len(list(Path("/sys/block").glob("loop*/loop/backing_file")))


def interfaces() -> set[str]:
    return {path.name for path in Path("/sys/class/net").iterdir()}


def processes_in(namespaces: set[int | None]) -> list[int]:
    """The processes of namespaces of processes, whatever they call themselves."""
    pids = [int(path.name) for path in Path("/proc").glob("[0-9]*")]
    return [pid for pid in pids if _namespace(pid) in namespaces - {None}]


def _namespace(pid: int) -> int | None:
    try:
        return Path(f"/proc/{pid}/ns/pid").stat().st_ino
    except OSError:
        return None


def eventually(true: Callable[[], bool], timeout: float = 10) -> bool:
    deadline = time.monotonic() + timeout
    while not true() and time.monotonic() < deadline:
        time.sleep(0.02)
    return true()


def taken_down(places: Places) -> None:
    control.down(places)


def supervisor_killed(places: Places) -> None:
    os.kill(control.current(places).supervisor.pid, signal.SIGKILL)


def hub_killed(places: Places) -> None:
    known = control.current(places)
    assert known.hub is not None
    os.kill(known.hub.pid, signal.SIGKILL)


@pytest.mark.parametrize("end", [taken_down, supervisor_killed, hub_killed])
def test_nothing_is_left(other: Places, end: Callable[[Places], None]) -> None:
    before = loops(), interfaces()
    control.up(other, SMALL, print)
    known = control.current(other)
    assert known.hub is not None
    namespaces = {_namespace(first.pid) for first in (known.hub, *known.nodes.values())}
    assert len(processes_in(namespaces)) > 2 * len(known.nodes)
    assert loops() >= 1  # of one file there is one, however many mount it
    end(other)
    assert eventually(lambda: not other.run.exists())
    assert eventually(lambda: not traces(other)), traces(other)
    assert eventually(lambda: (loops(), interfaces()) == before)
    assert eventually(lambda: not processes_in(namespaces))


def test_killed_while_coming_up(other: Places) -> None:
    """Whatever is there when the supervisor is killed is gone, and the next ``up`` is not disturbed."""

    def kill_it(line: str) -> None:
        known = state.read(other)
        if line.startswith("starting slurm") and known is not None:
            os.kill(known.supervisor.pid, signal.SIGKILL)

    before = loops()
    with pytest.raises(Failure, match="did not come up"):
        control.up(other, SMALL, kill_it)
    control.up(other, SMALL, print)
    control.down(other)
    assert eventually(lambda: loops() == before and not traces(other))


@pytest.mark.parametrize("then", ["down", "nothing"])
def test_up_killed(other: Places, tmp_path: Path, then: str) -> None:
    """``up`` itself killed: the supervisor finds nobody to tell and takes everything down, and ``down`` is sooner."""
    places = {"FASTHEP_TESTBED_DIR": str(other.run), "FASTHEP_TESTBED_CACHE": str(other.cache)}
    before = loops()
    with (tmp_path / "out.txt").open("w") as out:
        up = process.spawn(
            [sys.executable, "-m", "tests.testbed", "up", "--batch", "slurm"],
            env={**os.environ, **places, "PYTHONUNBUFFERED": "1"},
            cwd=CHECKOUT,
            stdin=subprocess.DEVNULL,
            stdout=out.fileno(),
            stderr=subprocess.STDOUT,
        )
    assert eventually(lambda: "starting wn1" in (tmp_path / "out.txt").read_text())
    up.kill()
    up.wait()
    if then == "down":
        control.down(other)
        assert not other.run.exists()
    assert eventually(lambda: not other.run.exists() and not traces(other)), traces(other)
    assert eventually(lambda: loops() == before)


def test_interrupted_up(other: Places) -> None:
    """Ctrl-C in ``up`` has everything taken down before it ends."""

    def interrupt(line: str) -> None:
        if line.startswith("starting wn1"):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        control.up(other, SMALL, interrupt)
    assert not other.run.exists()


def test_failing_step_is_named(
    other: Places, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The log's last lines say why: here there is no such image to mount."""
    path = other.run.parent / "image.squashfs"
    path.write_text("not an image\n")
    monkeypatch.setattr(image, "ensure", lambda cache, say: path)  # a broken image cannot be made
    with pytest.raises(Failure, match="did not come up"):
        control.up(other, SMALL, print)
    assert "hub: did not start" in capsys.readouterr().out
    assert not other.run.exists()


def test_shared_home(other: Places) -> None:
    control.up(other, Plan(systems=("slurm",), workers=3, shared_home=True), print)
    site = Site(other, control.current(other))
    site.output("submit", "sbatch", "--wait", "-w", "wn3", "-o", "out", "--wrap", "hostname", timeout=90)
    assert site.output("submit", "cat", "out") == "wn3.testbed"
