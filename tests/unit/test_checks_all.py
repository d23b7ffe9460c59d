"""What holds for every check: good evidence passes, missing evidence is told, no failure shows twice."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
from typing import TYPE_CHECKING

import pytest

import checks
from fasthep_validate.models.event import PHASES
from fasthep_validate.outcomes import check_id, describe
from fasthep_validate.testing import broken, changed, compute, good_pack, good_run, good_worker

if TYPE_CHECKING:
    from pathlib import Path

    from fasthep_validate.models.event import Phase

MODULES = [
    importlib.import_module(f"checks.{module.name}") for module in pkgutil.iter_modules(checks.__path__)
]
FUNCTIONS = [
    function
    for module in MODULES
    for name, function in inspect.getmembers(module, inspect.isfunction)
    if name.startswith("test_")
]
ALL = {check_id(function): function for function in FUNCTIONS}
OF_WORKER = {
    identity: check for identity, check in ALL.items() if "worker" in inspect.signature(check).parameters
}
OF_RUN = {identity: check for identity, check in ALL.items() if identity not in OF_WORKER}
# These have nothing to say of a pool without GPUs, of a run without a workflow, and of one without credentials.
NOT_APPLICABLE = {
    "environment.activated",
    "environment.shared-prefix-equal",
    "resources.gpus",
    *(identity for identity in ALL if identity.startswith(("workflow.", "credentials.", "gpu."))),
}
START = "worker_start.started"


def test_every_family_is_there() -> None:
    families = {identity.partition(".")[0] for identity in ALL}
    assert families == {
        "worker_start",
        "environment",
        "connectivity",
        "resources",
        "logs",
        "modifiers",
        "workflow",
        "storage",
        "credentials",
        "gpu",
    }
    assert len(ALL) == len(FUNCTIONS)


@pytest.mark.parametrize("identity", ALL)
def test_a_check_has_claim_and_remedy_and_one_subject(identity: str) -> None:
    claim, remedy = describe(ALL[identity])
    assert claim.endswith(".")
    assert remedy.endswith(".")
    assert list(inspect.signature(ALL[identity]).parameters) in (["worker"], ["run"])


def test_good_evidence_passes_everywhere(tmp_path: Path) -> None:
    run = good_run(tmp_path)
    found = {identity: compute(check, run.workers["default-1"]) for identity, check in OF_WORKER.items()}
    found |= {identity: compute(check, run) for identity, check in OF_RUN.items()}
    assert {identity for identity, result in found.items() if result.outcome != "pass"} == NOT_APPLICABLE
    assert not any(result.message for identity, result in found.items() if identity not in NOT_APPLICABLE)


@pytest.mark.parametrize("phase", ["submitted", "matched", "preflight", "extracted", "python", "connected"])
def test_a_start_that_failed_fails_one_check_and_blocks_the_others(tmp_path: Path, phase: Phase) -> None:
    dead = changed(broken(good_worker(), phase, code="some-code"), "logs", ())
    worker = good_run(tmp_path, workers=(dead,)).workers["default-0"]
    found = {identity: compute(check, worker) for identity, check in OF_WORKER.items()}
    assert [identity for identity, result in found.items() if result.outcome == "fail"] == [START]
    assert {result.blocked_by for result in found.values() if result.outcome == "blocked"} == {
        f"{START}[default-0]"
    }
    judged = {identity for identity, result in found.items() if result.outcome == "pass"}
    possible = {"logs.no-secrets"}
    if PHASES.index(phase) > PHASES.index("transferred"):
        possible |= {"environment.archive-intact"}
    if PHASES.index(phase) > PHASES.index("python"):
        possible |= {
            name
            for name in OF_WORKER
            if name.startswith(("environment.", "resources.", "connectivity.", "storage."))
        }
    assert judged <= possible


def test_the_other_workers_are_judged(tmp_path: Path) -> None:
    run = good_run(tmp_path, workers=(broken(good_worker("default-0"), "extracted"),))
    found = {identity: compute(check, run.workers["default-1"]) for identity, check in OF_WORKER.items()}
    assert not [identity for identity, result in found.items() if result.outcome == "fail"]
    assert found["connectivity.worker-to-worker"].blocked_by == f"{START}[default-0]"


@pytest.mark.parametrize("path", ["probe", "dask"])
def test_promised_evidence_that_is_missing_is_never_a_pass(tmp_path: Path, path: str) -> None:
    """Of a worker that came: nothing is blocked, for nothing failed before."""
    evidence = changed(good_worker(), "job.state", "running")
    hollow = changed(evidence, path, None)
    worker = good_run(tmp_path, workers=(hollow,)).workers["default-0"]
    found = {identity: compute(check, worker) for identity, check in OF_WORKER.items()}
    missing = {identity for identity, result in found.items() if "promised evidence" in result.message}
    assert len(missing) > 10
    assert all(found[identity].outcome == "fail" for identity in missing)
    assert not [identity for identity, result in found.items() if result.outcome == "blocked"]


def test_a_probe_that_found_nothing_says_why(tmp_path: Path) -> None:
    names = ("host", "python", "imports", "versions", "provenance", "leftovers", "scratch", "limits")
    evidence = changed(good_worker(), "probe.problems", dict.fromkeys(names, "timed out after 30 s"))
    for name in names:
        evidence = changed(evidence, f"probe.{name}", None)
    worker = good_run(tmp_path, workers=(evidence,)).workers["default-0"]
    found = [compute(check, worker) for check in OF_WORKER.values()]
    told = [result for result in found if "timed out after 30 s" in result.message]
    assert len(told) > 10
    assert {result.outcome for result in told} == {"fail"}


def test_checks_of_an_environment_in_place_have_no_archive_to_judge(tmp_path: Path) -> None:
    pack = good_pack().model_copy(update={"base": None})
    worker = good_run(tmp_path, pack=pack).workers["default-0"]
    found = {identity: compute(check, worker).outcome for identity, check in OF_WORKER.items()}
    assert {identity for identity, outcome in found.items() if outcome == "n/a"} - NOT_APPLICABLE == {
        "environment.archive-intact",
        "environment.extracted-completely",
        "environment.no-leftover-prefix",
        "environment.nothing-from-outside",
        "environment.prefix-inside-pack",
    }
