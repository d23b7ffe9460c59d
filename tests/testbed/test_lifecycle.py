"""The life of jobs and workers on real HTCondor and real Slurm, beyond a run that goes well."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.testbed.fixtures import Site
    from tests.testbed.sites import System

pytestmark = [pytest.mark.testbed, pytest.mark.slow]

SCRIPTS = Path(__file__).parent / "scripts"


def own_work(site: Site, system: System, script: str) -> dict[str, object]:
    """What a Python script of alice's says last, on the pools of a site."""
    home = f"/home/alice/{script}-{system.name}"
    site.output("submit", "mkdir", "-p", home)
    site.write("submit", f"{home}/{script}.py", (SCRIPTS / f"{script}.py").read_text())
    python = site.output("submit", "sh", "-c", "head -n 1 $(command -v fasthep-validate)").removeprefix("#!")
    words = ("env", "HOME=/home/alice", python, f"{home}/{script}.py", system.site, home)
    answer: dict[str, object] = json.loads(site.output("submit", *words, timeout=300).splitlines()[-1])
    return answer


@pytest.mark.usefixtures("nothing_left")
def test_pools_grow_and_shrink(testbed: Site, system: System) -> None:
    """By name, with jobs that end by themselves; a task that asks for a GPU runs on the node that has one."""
    told = own_work(testbed, system, "scale")
    assert told == {
        "start": ["default-0", "gpu-0"],
        "gpu task": "wn1.testbed",
        "grown": ["default-0", "default-1", "default-2", "gpu-0"],
        "shrunk": ["default-0"],
        "states": {"default-1": ["exited", 0], "default-2": ["exited", 0], "gpu-0": ["exited", 0]},
        "gpu again": ["default-0", "gpu-1"],
    }
