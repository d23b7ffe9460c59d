"""FAST-HEP's own workflows on our pools: the same products as its local backend, file by file."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from tests import workflows

if TYPE_CHECKING:
    from pathlib import Path

    from .conftest import User

pytestmark = pytest.mark.pools

RUN = """\
import sys
from hepflow.api import run_workflow_file
result = run_workflow_file("workflow.yaml", outdir=sys.argv[1], chunk_size=400, **eval(sys.argv[2]))
print(result.backend, result.strategy, result.success)
"""
EXECUTION = """\
execution:
  backend: dask
  strategy: local
  environment: {type: shared-prefix, prefix: current}
  resources: {default: {cpus: 1, memory: 1 GB}, big: {cpus: 1, memory: 2 GB}}
  pools: {default: {resources: default, workers: 1}, big: {resources: big, workers: 1}}
"""


def run(user: User, outdir: str, options: str = "{}") -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", RUN, outdir, options],
        cwd=user.home,
        env=user.environment(),
        capture_output=True,
        text=True,
        timeout=280,
        check=False,
    )


def summary(user: User, outdir: str = "ours") -> str:
    return (user.home / outdir / "run_summary.yaml").read_text()


def test_the_products_are_those_of_the_local_backend(user: User) -> None:
    workflows.make(user.home, execution=EXECUTION)
    local = run(user, "local", "{'backend': 'local', 'strategy': 'default'}")
    assert local.stdout == "local default True\n", local.stderr
    ours = run(user, "ours")
    assert ours.stdout == "dask local True\n", ours.stderr
    expected = workflows.products(user.home / "local")
    assert set(expected) > {"histograms/Spectrum.pkl", "cutflows/Select.json", "files/hard/first/0_2.root"}
    assert workflows.products(user.home / "ours") == expected
    logs = user.home / "ours" / "execution" / "dask" / "local" / "latest" / "debug" / "distributed" / "err"
    assert {path.name for path in logs.iterdir()} == {"default-0.err", "big-0.err"}
    assert "worker: default-0" in summary(user)
    assert "worker: big-0" in summary(user)


def test_a_stage_runs_where_it_must_with_the_modifiers_of_stage_and_execution(user: User) -> None:
    modifier = "from pathlib import Path\nclass Mine:\n    def before_node(self, *, node, inputs, ctx):\n"
    modifier += "        ctx['execution_modifier_metadata'].setdefault('mine', []).append(node.id)\n"
    (user.home / "mine.py").write_text(modifier)
    (user.home / "site.yaml").write_text(
        "extends: local\nexecution_modifiers: {mine: {impl: 'mine:Mine', source: mine.py}}\n"
        "execution: {modifiers: []}\n"
    )
    execution = f"{EXECUTION}  modifiers: [mine]\n  config: {{site: ./site.yaml}}\n"
    stage = "      execution: {require: big, modifiers: [fasthep.trace]}\n"
    workflows.make(user.home, execution=execution, stage=stage)
    ours = run(user, "ours")
    assert ours.stdout == "dask local True\n", ours.stderr
    assert "worker: default-0" not in summary(user)
    told = json.loads((user.home / "ours" / "execution" / "dask" / "modifiers.json").read_text())
    assert len(told) == 5
    for partition in told.values():
        assert partition["mine"] == [
            "read.events", "stage.Derived", "stage.Spectrum", "stage.Select", "write.Select.0",
        ]  # fmt: skip
        assert {entry["node"] for entry in partition["fasthep.trace"]} == {"stage.Derived"}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            ("run < 900", "nothing < 900"),
            ".root): it failed on a worker: ",
        ),
        (
            ("resources: big, workers", "resources: bigg, workers"),
            "references missing resource class 'bigg'",
        ),
        (("STAGE", "execution: {require: huge}"), "huge"),
    ],
)
def test_what_goes_wrong_is_told_in_one_sentence(user: User, change: tuple[str, str], message: str) -> None:
    text = workflows.WORKFLOW.replace(*change)
    workflows.make(user.home, execution=EXECUTION.replace(*change), text=text)
    ours = run(user, "ours")
    assert ours.returncode == 1
    assert message in ours.stderr


def test_the_command_validates_what_a_workflow_needs(user: User) -> None:
    workflows.make(user.home, execution=EXECUTION)
    done = user.run(
        "--site", "local", "--workflow", "workflow.yaml", "--check", "workflow", "--check", "worker_start"
    )
    assert done.code == 0, done.everything
    outcomes = {(check.id, check.worker): check.outcome for check in user.report("local").checks}
    assert outcomes["workflow.resources-offered", ""] == "pass"
    for identity in ("fasthep-versions-equal", "implementations-importable", "inputs-reachable"):
        assert outcomes[f"workflow.{identity}", "default-0"] == "pass"


def test_an_input_that_no_worker_can_read(user: User) -> None:
    gone = workflows.WORKFLOW.replace("[first.root]", '["root://127.0.0.1:1//gone.root"]')
    workflows.make(user.home, execution=EXECUTION, text=gone)
    done = user.run("--workflow", "workflow.yaml", "--check", "workflow")
    assert done.code == 1, done.everything
    failed = [check for check in user.report("local").checks if check.outcome == "fail"]
    assert {check.id for check in failed} == {"workflow.inputs-reachable"}
    assert all("gone.root" in check.message for check in failed)


def test_a_workflow_that_is_not_there_and_one_that_cannot_be_compiled(user: User) -> None:
    done = user.run("--site", "local", "--workflow", "gone.yaml")
    assert (done.code, done.out) == (2, "")
    assert "--workflow: gone.yaml is not there" in done.err
    broken: Path = workflows.make(user.home, execution=EXECUTION)
    broken.write_text(broken.read_text().replace("op: hep.hist", "op: hep.hisst"))
    done = user.run("--site", "local", "--workflow", broken)
    assert (done.code, done.out) == (2, "")
    assert "stage Spectrum: no operation 'hep.hisst' is registered. Did you mean 'hep.hist'?" in done.err
    broken.write_text("analysis: [}")
    done = user.run("--site", "local", "--workflow", broken)
    assert (done.code, done.out) == (2, "")
    assert "fasthep-flow cannot compile it" in done.err
    assert "Traceback" not in done.err
