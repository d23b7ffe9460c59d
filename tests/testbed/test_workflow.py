"""FAST-HEP's workflows on real HTCondor and real Slurm: nodes without Python and without the user's files."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests import workflows

if TYPE_CHECKING:
    from tests.testbed.fixtures import Site
    from tests.testbed.sites import System

pytestmark = [pytest.mark.testbed, pytest.mark.slow]


@pytest.mark.usefixtures("nothing_left")
def test_the_products_are_those_of_the_local_backend(testbed: Site, system: System) -> None:
    """Input files travel, stages run where they prefer, and what partitions write comes home."""
    home = f"/home/alice/workflow-{system.name}"
    testbed.output("submit", "mkdir", "-p", home)
    for file in (Path(__file__).parent / "scripts" / "workflow.py", Path(str(workflows.__file__))):
        testbed.write("submit", f"{home}/{file.name}", file.read_text())
    python = testbed.output("submit", "sh", "-c", "head -n 1 $(command -v fasthep-validate)").removeprefix(
        "#!"
    )
    words = ("env", "HOME=/home/alice", python, f"{home}/workflow.py", system.name, home)
    answer = json.loads(testbed.output("submit", *words, timeout=300).splitlines()[-1])
    assert answer == {
        "success": True,
        "strategy": system.name,
        "files": 10,
        "different": [],
        "workers": ["gpu-0"],
        "nodes": ["wn1.testbed"],
        "partitions": 5,
    }


def test_the_command_validates_a_workflow(testbed: Site, system: System) -> None:
    """The files of the test before; on nodes that do not see them they are small enough to travel."""
    home = f"/home/alice/workflow-{system.name}"
    options = ("--workflow", f"{home}/workflow.yaml", "--check", "workflow")
    command = " ".join((*system.command(home), *options))
    done = testbed.run("submit", "sh", "-c", f"cd {home} && {command}", timeout=200)
    assert done.ok, done.stdout + done.stderr
    seen = system.report(testbed, home)
    assert {(check.id, check.outcome) for check in seen.checks} == {
        ("workflow.resources-offered", "pass"),
        ("workflow.fasthep-versions-equal", "pass"),
        ("workflow.implementations-importable", "pass"),
        ("workflow.inputs-reachable", "pass"),
    }
