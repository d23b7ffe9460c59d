"""Nodes one by one, users side by side, and what is left of killed runs: on real HTCondor and real Slurm."""

from __future__ import annotations

import json
import subprocess
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

from tests.testbed.nodes import argv_on
from tests.testbed.sites import System, system, wait

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from tests.testbed.fixtures import Site

__all__ = ["system"]

pytestmark = [pytest.mark.testbed, pytest.mark.slow]

SCRATCH: Mapping[str, str] = {"htcondor": "/var/lib/condor/execute", "slurm": "/tmp"}
DRAIN: Mapping[str, tuple[tuple[str, ...], tuple[str, ...], str]] = {
    "htcondor": (
        ("condor_drain", "-reason", "disk errors", "wn1.testbed"),
        ("condor_drain", "-cancel", "wn1.testbed"),
        'test "$(condor_status wn1.testbed -af State)" = {}',
    ),
    "slurm": (
        ("scontrol", "update", "nodename=wn1", "state=drain", "reason=disk errors"),
        ("scontrol", "update", "nodename=wn1", "state=resume"),
        'test "$(sinfo -h -N -n wn1 -o %T)" = {}',
    ),
}
IDS: Mapping[str, str] = {
    "htcondor": 'condor_q -format %d. ClusterId -format "%d " ProcId',
    "slurm": "squeue --noheader --format=%i",
}
STATES: Mapping[str, tuple[str, str]] = {"htcondor": ("Drained", "Unclaimed"), "slurm": ("drained", "idle")}


@contextmanager
def drained(testbed: Site, batch: str) -> Iterator[None]:
    """Take wn1 out of service."""
    drain, resume, seen = DRAIN[batch]
    out, back = STATES[batch]
    testbed.output("submit", *drain, user="root")
    try:
        wait(testbed, seen.format(out))
        yield
    finally:
        testbed.output("submit", *resume, user="root")
        wait(testbed, seen.format(back))


@contextmanager
def noexec(testbed: Site, batch: str) -> Iterator[None]:
    """Forbid programs in the scratch of wn2."""
    place = SCRATCH[batch]
    testbed.output("wn2", "mount", "--bind", place, place, user="root")
    try:
        testbed.output("wn2", "mount", "-o", "remount,bind,noexec", place, user="root")
        yield
    finally:
        testbed.output("wn2", "umount", "--lazy", place, user="root")


def test_broken_node_is_singled_out(testbed: Site, system: System) -> None:
    """wn1 is drained, wn2 can run nothing; nobody waits for the one, and the other gives its reason."""
    with drained(testbed, system.name), noexec(testbed, system.name):
        done, seen = system.validate(testbed, "nodes", "--nodes", "all")
    assert done.returncode in {1, 5}, done.stdout + done.stderr
    found = {node.node.partition(".")[0]: node for node in seen.nodes}
    assert found["wn1"].verdict == "out of service"
    assert "drained: disk errors" in found["wn1"].why
    assert found["wn2"].verdict == "fail"
    assert found["wn2"].cause == "FHV-resources-002", found["wn2"]
    assert "out of service" in done.stdout


def test_nodes_of_a_list_and_one_that_is_not_there(testbed: Site, system: System) -> None:
    """The others pass, each on the node that it was pinned to."""
    done, seen = system.validate(testbed, "list", "--nodes", "wn1,wn2,wn7")
    assert done.returncode == 1, done.stdout + done.stderr
    verdicts = {node.node.partition(".")[0]: node.verdict for node in seen.nodes}
    assert verdicts == {"wn7": "out of service", "wn1": "pass", "wn2": "pass"}
    ran = {worker.worker: worker.node.partition(".")[0] for worker in seen.workers if worker.registered}
    pinned = {node.worker: node.node.partition(".")[0] for node in seen.nodes if node.verdict == "pass"}
    assert ran == pinned


def start(testbed: Site, system: System, name: str, *, user: str = "alice") -> subprocess.Popen[bytes]:
    words = " ".join(system.command(f"/home/{user}/{name}")).replace("/home/alice", f"/home/{user}")
    argv = argv_on(
        testbed.state.nodes["submit"], ["sh", "-c", f"cd; exec {words} >{name}.out 2>{name}.err"], user=user
    )
    return subprocess.Popen(argv, stdin=subprocess.DEVNULL)


def test_two_runs_of_one_user_and_one_of_another_at_once(testbed: Site, system: System) -> None:
    started = [
        ("alice", "side-a", start(testbed, system, f"side-a-{system.name}")),
        ("alice", "side-b", start(testbed, system, f"side-b-{system.name}")),
        ("bob", "side-c", start(testbed, system, f"side-c-{system.name}", user="bob")),
    ]
    for user, name, child in started:
        code = child.wait(300)
        said = testbed.run(
            "submit", "sh", "-c", f"tail -n 20 /home/{user}/{name}-{system.name}.*", user="root"
        ).stdout
        assert code == 0, f"{user} {name}: {said}"
    wait(testbed, f'test -z "$({system.queue})"')


def test_next_start_removes_what_command_and_hub_left(testbed: Site, system: System) -> None:
    """SIGKILL of both at once; a run of somebody else that goes on is not touched."""
    name = f"lost-{system.name}"
    child = start(testbed, system, name)
    wait(testbed, f"grep -q 'default-. registered' /home/alice/{name}.err")
    records = "/home/alice/.local/state/fasthep-validate/runs"
    (record,) = testbed.output("submit", "ls", records).split()
    head, *left = map(json.loads, testbed.output("submit", "cat", f"{records}/{record}").splitlines())
    hub = next(item["helper"]["pid"] for item in left if "helper" in item)
    testbed.output("submit", "kill", "-STOP", str(hub))
    testbed.output("submit", "kill", "-KILL", str(head["command"]["pid"]), str(hub))
    child.wait(30)
    jobs = {item["job"] for item in left if "job" in item}
    assert jobs, left
    queued = testbed.output("submit", "sh", "-c", IDS[system.name])
    assert jobs & set(queued.split()), "no job was left: the test shows nothing"
    done = testbed.run(
        "submit",
        *system.command(f"/home/alice/{name}"),
        "--set",
        "config.worker_start_timeout=1",
        timeout=120,
    )
    said = " ".join(done.stderr.split())
    assert "whose command was killed, left" in said, said
    assert any(f"job {job}" in said for job in jobs), said
    wait(testbed, f'test -z "$({system.queue})"')
    assert (
        testbed.output("submit", "sh", "-c", f"ls -d {records}/* /tmp/fasthep-validate-* 2>/dev/null || true")
        == ""
    )


def test_detached_run(testbed: Site, system: System) -> None:
    outdir = f"/home/alice/detached-{system.name}"
    command = ["env", "HOME=/home/alice", "fasthep-validate"]
    site = ["--site", system.site, "--outdir", outdir]
    assert "can be closed" in testbed.output("submit", *command, "run", "--detach", *site)
    folder = f"{outdir}/{system.site}/latest"
    wait(testbed, f"grep -q 'default-. registered' {folder}/detached.log")
    status = testbed.output("submit", *command, "status")
    assert "goes on" in status
    assert "running" in status
    assert testbed.run("submit", *command, "results").returncode in {0, 7}
    wait(testbed, f"grep -q 'Site {system.site} works' {folder}/detached.log")
    assert testbed.run("submit", *command, "results", folder).ok
    archive = f"/home/alice/detached-{system.name}.tar.gz"
    testbed.output("submit", *command, "retrieve", "--output", archive)
    assert "report.json" in testbed.output("submit", "tar", "tzf", archive)


def test_plugin_on_the_submit_node(testbed: Site, system: System) -> None:
    words = ["env", "HOME=/home/alice", "sh", "-c"]
    pytest_of = "$(dirname $(readlink -f /usr/local/bin/fasthep-validate))/pytest"
    line = f"cd && {pytest_of} -p no:cacheprovider -n 2 --fasthep-site {system.site} --pyargs fasthep_validate.checks"
    done = testbed.run("submit", *words, line, timeout=200)
    assert done.ok, done.stdout[-3000:] + done.stderr[-2000:]
    assert " passed" in done.stdout
