"""The testbed itself: what the tests on it rely on."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from fasthep_validate import process
from tests.testbed import control
from tests.testbed.errors import Refusal

if TYPE_CHECKING:
    from tests.testbed.fixtures import Site

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
    named = ("(", "-name", "python*", "-o", "-name", "pypy*", ")", "-perm", "/111", "!", "-type", "d")
    found = testbed.output(node, "find", "/", "-xdev", *named, user="root").splitlines()
    data = ("/usr/share/", "/var/lib/dpkg/info/")
    assert [path for path in found if not path.startswith(data)] == []
    assert testbed.run(node, "sh", "-c", "command -v python || command -v python3").stdout == ""


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


def test_up_twice(testbed: Site) -> None:
    said: list[str] = []
    control.up(testbed.places, testbed.state.plan, said.append)
    assert said == ["is up already"]
    more = testbed.state.plan.model_copy(update={"workers": 3})
    with pytest.raises(Refusal, match="up with other options"):
        control.up(testbed.places, more, said.append)


def test_interrupted_exec_keeps_the_node(testbed: Site) -> None:
    assert process.run(testbed.argv("wn2", "sleep", "30"), timeout=0.5).returncode == process.TIMED_OUT
    assert testbed.run("wn2", "true").ok
