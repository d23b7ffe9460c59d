"""Checks of a workflow's needs on evidence that is changed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from checks import test_workflow
from fasthep_validate.models.workflow import InputSeen, WorkflowInput, WorkflowNeeds, WorkflowSeen
from fasthep_validate.testing import changed, compute, good_run, good_site, good_worker

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

NEEDS = WorkflowNeeds(
    path="/home/alice/workflow.yaml",
    partitions=3,
    inputs=(
        WorkflowInput(name="a.root", path="/data/a.root", size=10),
        WorkflowInput(name="small.csv", path="/home/alice/small.csv", size=5, travels=True),
        WorkflowInput(name="root://host//b.root", path="root://host//b.root"),
    ),
    implementations=("fasthep_carpenter.operations.hist:run_hist_transform",),
    require={"default": ("Derived",)},
    versions={"fasthep-flow": "2026.10.1"},
)
SEEN = WorkflowSeen(
    inputs=(
        InputSeen(name="a.root", size=10),
        InputSeen(name="small.csv", error="/home/alice/small.csv: No such file or directory"),
        InputSeen(name="root://host//b.root", seconds=0.2),
    ),
    implementations={"fasthep_carpenter.operations.hist:run_hist_transform": ""},
    versions={"fasthep-flow": "2026.10.1"},
)
OF_WORKER = (
    test_workflow.test_fasthep_versions_equal,
    test_workflow.test_implementations_importable,
    test_workflow.test_inputs_reachable,
)


def found(
    tmp_path: Path, check: Callable[..., object], *, needs: WorkflowNeeds, seen: WorkflowSeen | None
) -> Any:
    site = good_site().model_copy(update={"workflow": needs})
    workers = [changed(good_worker(), "dask.workflow", seen), good_worker("default-1")]
    run = good_run(tmp_path, site=site, workers=workers)
    if check is test_workflow.test_resources_offered:
        return compute(check, run)
    return compute(check, run.workers["default-0"])


@pytest.mark.parametrize("check", [test_workflow.test_resources_offered, *OF_WORKER])
def test_a_workflow_that_has_all_it_needs(tmp_path: Path, check: Callable[..., object]) -> None:
    assert found(tmp_path, check, needs=NEEDS, seen=SEEN).outcome == "pass"


@pytest.mark.parametrize("check", OF_WORKER)
def test_a_worker_that_was_not_asked(tmp_path: Path, check: Callable[..., object]) -> None:
    result = found(tmp_path, check, needs=NEEDS, seen=None)
    assert result.outcome == "fail"
    assert "dask.workflow is missing" in result.message


@pytest.mark.parametrize(
    ("update", "outcome", "message"),
    [
        (
            {"require": {"gpu": ("Fit", "Train")}},
            "fail",
            "'gpu' is required by Fit, Train; pools offer default",
        ),
        ({"prefer": {"gpu": ("Fit",)}}, "warn", "gpu is preferred, and no pool offers it"),
        ({"prefer": {"gpu": ("Fit",)}, "fallback": {"default": ("Fit",)}}, "pass", ""),
    ],
)
def test_resources(tmp_path: Path, update: dict[str, Any], outcome: str, message: str) -> None:
    needs = NEEDS.model_copy(update=update)
    result = found(tmp_path, test_workflow.test_resources_offered, needs=needs, seen=SEEN)
    assert (result.outcome, message in result.message) == (outcome, True)


@pytest.mark.parametrize(
    ("index", "update", "message"),
    [
        (0, {"versions": {}}, "fasthep-flow is 2026.10.1 here and not there on the worker"),
        (0, {"versions": {"fasthep-flow": "2026.9.0"}}, "and 2026.9.0 on the worker"),
        (1, {"implementations": {"a:b": "ImportError: no a"}}, "a:b: ImportError: no a"),
    ],
)
def test_software(tmp_path: Path, index: int, update: dict[str, Any], message: str) -> None:
    result = found(tmp_path, OF_WORKER[index], needs=NEEDS, seen=SEEN.model_copy(update=update))
    assert (result.outcome, message in result.message) == ("fail", True)


@pytest.mark.parametrize(
    ("position", "seen", "message"),
    [
        (
            0,
            InputSeen(name="a.root", error="/data/a.root: Permission denied"),
            "a.root: /data/a.root: Permission",
        ),
        (0, InputSeen(name="a.root", size=9), "a.root has 9 bytes there and 10 here"),
        (2, InputSeen(name="root://host//b.root", error="no answer within 30 s"), "no answer within 30 s"),
    ],
)
def test_inputs(tmp_path: Path, position: int, seen: InputSeen, message: str) -> None:
    inputs = [*SEEN.inputs]
    inputs[position] = seen
    answer = SEEN.model_copy(update={"inputs": tuple(inputs)})
    result = found(tmp_path, test_workflow.test_inputs_reachable, needs=NEEDS, seen=answer)
    assert (result.outcome, message in result.message) == ("fail", True)
