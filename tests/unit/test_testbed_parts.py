"""The parts of the testbed that need no root: what it consists of, what it is given, what it says."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from pathlib import Path

import pytest
from pydantic import ValidationError

from tests.testbed import host, image, software, specs, state
from tests.testbed.__main__ import main
from tests.testbed.errors import Refusal
from tests.testbed.places import CHECKOUT, FILES, Places
from tests.testbed.plan import Plan, hosts, slurm_nodes

PLAN = Plan(workers=3)


def test_nodes() -> None:
    assert [(node.host, node.address, node.gpus) for node in PLAN.nodes] == [
        ("submit.testbed", "10.77.0.10", 0),
        ("wn1.testbed", "10.77.0.11", 1),
        ("wn2.testbed", "10.77.0.12", 0),
        ("wn3.testbed", "10.77.0.13", 0),
    ]


@pytest.mark.parametrize("workers", [0, 1, 100])
def test_number_of_workers(workers: int) -> None:
    with pytest.raises(ValidationError, match="workers"):
        Plan(workers=workers)


def test_hosts() -> None:
    assert "10.77.0.11 wn1.testbed wn1\n" in hosts(PLAN)
    assert len(hosts(PLAN).splitlines()) == 2 + len(PLAN.nodes)


def test_slurm_nodes() -> None:
    assert slurm_nodes(PLAN).splitlines()[:2] == [
        "NodeName=wn1 NodeAddr=10.77.0.11 CPUs=4 RealMemory=8000 Gres=gpu:1 State=UNKNOWN",
        "NodeName=wn2 NodeAddr=10.77.0.12 CPUs=4 RealMemory=8000 State=UNKNOWN",
    ]


def test_specs(tmp_path: Path) -> None:
    places = Places(tmp_path, tmp_path)
    seen = software.Software(
        binds=(Path("/opt/env"),), links=((Path("/usr/local/bin/tool"), "/opt/env/tool"),)
    )
    specs.write(places, PLAN, seen)
    submit, wn1, wn2 = (places.spec(name) for name in ("submit", "wn1", "wn2"))
    assert (submit / "binds").read_text() == "/opt/env\n"
    assert (submit / "root/usr/local/bin/tool").readlink() == Path("/opt/env/tool")
    assert (wn1 / "binds").read_text() == ""
    assert "STARTD" in (wn1 / "root/etc/condor/config.d/60-role.config").read_text()
    assert "SCHEDD" in (submit / "root/etc/condor/config.d/60-role.config").read_text()
    assert (wn1 / "root/etc/condor/config.d/70-gpu.config").exists()
    assert not (wn2 / "root/etc/condor/config.d/70-gpu.config").exists()
    assert os.access(wn1 / "root/usr/local/lib/testbed/start-slurm", os.X_OK)
    keys = {(spec / "root/etc/munge/munge.key").read_bytes() for spec in (submit, wn1, wn2)}
    assert len(keys) == 1


def test_trees_of_one_system() -> None:
    plan = Plan(systems=("htcondor",), shared_home=True)
    found = [tree.relative_to(FILES).as_posix() for tree in specs.trees(plan, plan.nodes[0])]
    assert found == ["htcondor/all", "htcondor/submit", "htcondor/shared-home"]


def test_first_mirror() -> None:
    targets = "Other tools https://tools.invalid/\nDebian Debian-Security http://a.invalid/s/\n"
    assert host.first_mirror(targets) is None
    assert (
        host.first_mirror(f"{targets}Debian Debian http://a.invalid/debian/\n") == "http://a.invalid/debian/"
    )


def test_missing_tools_are_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A machine without any tool cannot be had for a test, and root not always."""
    monkeypatch.setattr(host, "search_path", lambda: str(tmp_path))
    monkeypatch.setattr(os, "geteuid", lambda: 0)  # who runs the tests is not given
    monkeypatch.setattr(platform, "freedesktop_os_release", lambda: {"ID": "debian", "NAME": "Debian"})
    with pytest.raises(Refusal) as caught:
        host.check()
    assert str(caught.value).endswith(
        "Run: apt-get install -y iproute2 mmdebstrap nftables squashfs-tools util-linux"
    )


def test_not_root(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)  # who runs the tests is not given
    with pytest.raises(Refusal, match="needs root, and this is user 1000"):
        host.check()


def test_outermost() -> None:
    paths = [Path(name) for name in ("/a/b", "/a/b/c", "/a/bc", "/a/b")]
    assert software.outermost(paths) == (Path("/a/b"), Path("/a/bc"))


def test_links_outside(tmp_path: Path) -> None:
    system, prefix = tmp_path / "system", tmp_path / "prefix"
    system.mkdir()
    prefix.mkdir()
    (system / "python3.11").touch()
    (system / "python3").symlink_to("python3.11")
    (prefix / "python3").symlink_to(system / "python3")
    (prefix / "python").symlink_to("python3")
    assert software.links_outside(prefix, prefix / "python") == [(system / "python3", "python3.11")]


def test_prefix_without_the_command(tmp_path: Path) -> None:
    with pytest.raises(Refusal, match="has no bin/fasthep-validate"):
        software.of_prefix(tmp_path)


def test_process_is_not_mistaken() -> None:
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    known = state.Process.of(child.pid)
    assert known.alive
    assert state.child(os.getpid()) is not None
    assert not known.model_copy(update={"started": known.started + 1}).alive
    child.communicate()
    assert not known.alive


def test_key_follows_the_recipe(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = image.key()
    (tmp_path / "packages").write_text("less\n")
    monkeypatch.setattr(image, "RECIPE", tmp_path)  # the real recipe is not changed for a test
    assert image.key() != before


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["exec", "wn1", "--", "hostname"], "testbed: is not up. Start it: python -m tests.testbed up\n"),
        (["exec", "wn1"], "exec: no command. Give it after --, as in: exec wn1 -- hostname\n"),
        (["status"], "testbed: is not up. Start it: python -m tests.testbed up\n"),
        (["up", "--nodes", "1"], "--nodes: 1 is not possible. Input should be greater than or equal to 2.\n"),
    ],
)
def test_refused(
    words: list[str],
    said: str,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("FASTHEP_TESTBED_DIR", str(tmp_path / "run"))
    assert main(words) == 2
    assert capsys.readouterr().err == said


def test_checkout() -> None:
    assert (CHECKOUT / "tests" / "testbed" / "files" / "hub.sh").exists()
