"""The testbed itself: what the tests on it rely on, and that it leaves nothing."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from fasthep_validate import process
from tests.testbed import control, image, state
from tests.testbed.errors import Failure, Refusal
from tests.testbed.fixtures import Site, require_enabled
from tests.testbed.places import Places
from tests.testbed.plan import Plan

if TYPE_CHECKING:
    from collections.abc import Callable

pytestmark = pytest.mark.testbed

NODES = ("submit", "wn1", "wn2")
WORKERS = NODES[1:]
JOB = """\
#!/bin/sh
echo "$(id -un) $(hostname)"
echo "gpu=${CUDA_VISIBLE_DEVICES:-none}"
"""
DESCRIPTION = """\
executable = job.sh
output = job.out
error = job.err
log = job.log
should_transfer_files = YES
when_to_transfer_output = ON_EXIT
request_memory = 100MB
request_disk = 10MB
"""


@pytest.mark.parametrize("namespace", ["uts", "net", "mnt", "pid", "ipc"])
def test_namespaces_of_its_own(testbed: Site, namespace: str) -> None:
    link = f"/proc/self/ns/{namespace}"
    found = {testbed.output(node, "readlink", link) for node in NODES} | {os.readlink(link)}  # noqa: PTH115
    assert len(found) == len(NODES) + 1


@pytest.mark.parametrize("node", NODES)
def test_host_name(testbed: Site, node: str) -> None:
    assert testbed.output(node, "hostname") == f"{node}.testbed"


def test_root_file_systems_differ(testbed: Site) -> None:
    testbed.write("wn1", "/var/tmp/here", "wn1\n")
    assert not testbed.run("wn2", "test", "-e", "/var/tmp/here").ok


@pytest.mark.parametrize("node", WORKERS)
def test_no_python_on_workers(testbed: Site, node: str) -> None:
    pattern = ("(", "-name", "python*", "-o", "-name", "pypy*", ")")
    found = testbed.run(node, "find", "/", "-xdev", *pattern, "-perm", "/111", "!", "-type", "d", user="root")
    programs = [path for path in found.stdout.splitlines() if not path.endswith(".so")]
    assert programs == []


@pytest.mark.parametrize("node", NODES)
def test_no_way_out(testbed: Site, node: str) -> None:
    routes = testbed.output(node, "ip", "route").splitlines()
    assert [route.split()[0] for route in routes] == ["10.77.0.0/24"]
    assert "unreachable" in testbed.run(node, "ip", "route", "get", "192.0.2.1").stderr


@pytest.mark.parametrize("node", WORKERS)
def test_nodes_reach_each_other(testbed: Site, node: str) -> None:
    for other in NODES:
        assert testbed.run(node, "nc", "-z", "-v", other, "9").stderr.endswith("Connection refused\n")


def test_command_on_the_submit_node(testbed: Site) -> None:
    assert testbed.output("submit", "fasthep-validate", "--version").startswith("fasthep-validate ")


@pytest.fixture
def folder(testbed: Site, request: pytest.FixtureRequest) -> str:
    """An empty folder in alice's home on all nodes; without a shared home, Slurm leaves output on the worker."""
    name = f"/home/alice/{request.node.name.replace('[', '-').rstrip(']')}"
    for node in NODES:
        testbed.output(node, "sh", "-c", 'rm -rf "$1" && mkdir "$1"', "sh", name)
    return name


def submit(site: Site, folder: str, more: str = "") -> None:
    site.write("submit", f"{folder}/job.sh", JOB)
    site.write("submit", f"{folder}/job.sub", f"{DESCRIPTION}{more}queue\n")
    site.output("submit", "env", f"--chdir={folder}", "condor_submit", "job.sub")


def wait(site: Site, folder: str) -> None:
    site.output("submit", "condor_wait", "-wait", "60", f"{folder}/job.log", timeout=70)


def test_condor_job(testbed: Site, folder: str) -> None:
    submit(testbed, folder)
    wait(testbed, folder)
    user, node = testbed.output("submit", "head", "-n1", f"{folder}/job.out").split()
    assert user == "alice"
    assert node.removesuffix(".testbed") in WORKERS
    assert testbed.output("submit", "stat", "-c", "%U", f"{folder}/job.out") == "alice"


def test_condor_gpu(testbed: Site, folder: str) -> None:
    submit(testbed, folder, "request_gpus = 1\n")
    wait(testbed, folder)
    lines = testbed.output("submit", "cat", f"{folder}/job.out").splitlines()
    assert lines[0] == "alice wn1.testbed"
    assert lines[1].startswith("gpu=GPU-")


def test_condor_gpu_matches_one_node(testbed: Site) -> None:
    matching = ("condor_status", "-constraint", "TotalGPUs > 0", "-af", "Machine", "TotalGPUs")
    assert testbed.output("submit", *matching) == "wn1.testbed 1"


def test_slurm_job(testbed: Site, folder: str) -> None:
    testbed.write("submit", f"{folder}/job.sh", JOB)
    at = ("env", f"--chdir={folder}")
    testbed.output("submit", *at, "sbatch", "--wait", "-w", "wn2", "-o", "job.out", "job.sh", timeout=90)
    assert testbed.output("wn2", "head", "-n1", f"{folder}/job.out") == "alice wn2.testbed"
    assert not testbed.run("submit", "test", "-e", f"{folder}/job.out").ok, "no shared home: it stays there"


def test_slurm_output_comes_home(testbed: Site) -> None:
    found = testbed.output("submit", "srun", "-N2", "-n2", "hostname", timeout=90).splitlines()
    assert sorted(found) == ["wn1.testbed", "wn2.testbed"]


def test_slurm_gpu(testbed: Site) -> None:
    asked = ("srun", "--gres=gpu:1", "sh", "-c", 'echo "$(hostname) $CUDA_VISIBLE_DEVICES"')
    assert testbed.output("submit", *asked, timeout=90) == "wn1.testbed 0"


def test_slurm_gpu_on_no_other_node(testbed: Site) -> None:
    refused = testbed.run("submit", "srun", "--gres=gpu:1", "-w", "wn2", "hostname")
    assert "Requested node configuration is not available" in refused.stderr


@pytest.fixture
def other(tmp_path: Path) -> Places:
    """A second testbed, to be ended in all ways; its networks and names do not meet the first one's."""
    require_enabled()
    return Places(tmp_path / "run", Places.of_user().cache)


SMALL = Plan(systems=("slurm",))


def traces(places: Places) -> list[str]:
    """What there is of a testbed outside its directory: mounts, processes, namespaces, interfaces."""
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


def in_namespaces(known: state.State) -> set[int]:
    """All processes of the hub and the nodes: those that have a number in a namespace below the host's."""
    assert known.hub is not None
    below = {_namespace(process_.pid) for process_ in (known.hub, *known.nodes.values())} - {None}
    return {int(path.name) for path in Path("/proc").glob("[0-9]*") if _namespace(int(path.name)) in below}


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
    assert len(in_namespaces(known)) > len(NODES) * 2
    assert loops() == before[0] + 1
    end(other)
    assert eventually(lambda: not other.run.exists())
    assert eventually(lambda: not traces(other)), traces(other)
    assert eventually(lambda: (loops(), interfaces()) == before)
    everything = {_namespace(int(path.name)) for path in Path("/proc").glob("[0-9]*")}
    assert not namespaces & everything


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


def test_reader_of_up_killed(other: Places) -> None:
    """``up`` itself killed: the supervisor finds nobody to tell, and takes everything down."""

    def crash(line: str) -> None:
        if line.startswith("starting wn1"):
            raise OSError("as if killed")

    with pytest.raises(OSError, match="as if killed"):
        control.up(other, SMALL, crash)
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


def test_up_twice(testbed: Site) -> None:
    said: list[str] = []
    control.up(testbed.places, testbed.state.plan, said.append)
    assert said == ["is up already"]
    more = testbed.state.plan.model_copy(update={"workers": 3})
    with pytest.raises(Refusal, match="up with other options"):
        control.up(testbed.places, more, said.append)


def test_shared_home(other: Places) -> None:
    control.up(other, Plan(systems=("slurm",), workers=3, shared_home=True), print)
    try:
        site = Site(other, control.current(other))
        site.output("submit", "sbatch", "--wait", "-w", "wn3", "-o", "out", "--wrap", "hostname", timeout=90)
        assert site.output("submit", "cat", "out") == "wn3.testbed"
    finally:
        control.down(other)


def test_interrupted_exec_keeps_the_node(testbed: Site) -> None:
    assert process.run(testbed.argv("wn2", "sleep", "30"), timeout=0.5).returncode == process.TIMED_OUT
    assert testbed.run("wn2", "true").ok
