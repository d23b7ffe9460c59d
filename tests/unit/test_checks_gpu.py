"""Checks of GPUs on good and on bad evidence, and what a simulated run looks like in every output."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING
from xml.etree import ElementTree as ET

import pytest

from checks import test_gpu as checks
from checks import test_modifiers
from fasthep_validate.causes import explain_gpu
from fasthep_validate.models.gpu import GpuDevice, GpuEvidence, GpuProcess, GpuSpeed, GpuStep
from fasthep_validate.models.probe import NodeProbe
from fasthep_validate.models.profile import GpuReference, GpuSettings
from fasthep_validate.models.report import CheckResult, Report
from fasthep_validate.outcomes import check_id
from fasthep_validate.report.junit import junit
from fasthep_validate.report.summary import summary_text
from fasthep_validate.report.table import table
from fasthep_validate.report.verdict import apply_optional, count, verdict
from fasthep_validate.testing import changed, compute, good_pack, good_run, good_site, good_worker
from fasthep_validate.worker import probe_gpu

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from fasthep_validate.models.evidence import WorkerEvidence
    from fasthep_validate.models.profile import SiteProfile
    from fasthep_validate.outcomes import Finding
    from fasthep_validate.view import Worker

DEVICE = GpuDevice(index=0, uuid="GPU-a", name="A100", capability="8.0", memory=40_000_000_000)
SEEN = GpuEvidence(
    steps=tuple(GpuStep(name=name, ok=True, seconds=1.0) for name in checks.CHECKS),
    cuda_devices=(DEVICE,),
    reducer="ok",
    speed=GpuSpeed(to_device=20e9, to_host=21e9, kernel=15e12),
)
REFERENCE = GpuSettings(reference=GpuReference(to_device=20_000_000_000, kernel=15_000_000_000_000))
QUESTIONS = [getattr(checks, f"test_{name.replace('-', '_')}") for name in checks.CHECKS.values()]


def site(settings: GpuSettings = REFERENCE) -> SiteProfile:
    (pool,) = good_site().execution.pools
    resources = pool.resources.model_copy(update={"gpus": 1})
    with_gpus = changed(good_site(), "execution.pools", (pool.model_copy(update={"resources": resources}),))
    return changed(with_gpus, "checks.gpu", settings)


def evidence(gpu: GpuEvidence | None, worker: str = "default-0", node: str = "n1") -> WorkerEvidence:
    return changed(changed(good_worker(worker), "probe.gpu", gpu), "job.node", node)


def found(
    tmp_path: Path,
    check: Callable[[Worker], None],
    gpu: GpuEvidence | None,
    *others: WorkerEvidence,
    settings: GpuSettings = REFERENCE,
) -> Finding:
    run = good_run(tmp_path, site=site(settings), workers=(evidence(gpu), *others))
    return compute(check, run.workers["default-0"])


def failed(name: str, error: str) -> GpuEvidence:
    """Evidence that ends with a question that failed."""
    names = list(checks.CHECKS)
    steps = [GpuStep(name=each, ok=True) for each in names[: names.index(name)]]
    return SEEN.model_copy(update={"steps": (*steps, GpuStep(name=name, ok=False, error=error))})


def test_a_check_for_every_question() -> None:
    assert list(checks.CHECKS) == list(probe_gpu.STEPS)
    assert [check_id(check).removeprefix("test_gpu.") for check in QUESTIONS] == [
        f"gpu.{name}" for name in checks.CHECKS.values()
    ]


@pytest.mark.parametrize("check", [*QUESTIONS, checks.test_exclusive])
def test_good_evidence_passes(tmp_path: Path, check: Callable[[Worker], None]) -> None:
    assert found(tmp_path, check, SEEN).outcome == "pass"


def test_pool_without_gpus(tmp_path: Path) -> None:
    run = good_run(tmp_path)
    assert compute(checks.test_granted, run.workers["default-0"]).outcome == "n/a"


@pytest.mark.parametrize("name", list(checks.CHECKS))
def test_one_failure_blocks_all_that_come_later(tmp_path: Path, name: str) -> None:
    run = good_run(tmp_path, site=site(), workers=(evidence(failed(name, "broken")),))
    outcomes = [compute(check, run.workers["default-0"]) for check in QUESTIONS]
    at = list(checks.CHECKS).index(name)
    assert {finding.outcome for finding in outcomes[:at]} <= {"pass"}
    assert (outcomes[at].outcome, outcomes[at].message) == ("fail", "broken")
    assert {finding.blocked_by for finding in outcomes[at + 1 :]} <= {f"gpu.{checks.CHECKS[name]}[default-0]"}
    assert {finding.outcome for finding in outcomes[at + 1 :]} <= {"blocked"}


def test_missing_evidence_fails(tmp_path: Path) -> None:
    assert found(tmp_path, checks.test_granted, None).outcome == "fail"
    (tmp_path / "b").mkdir()
    result = found(tmp_path / "b", checks.test_speed, GpuEvidence(steps=SEEN.steps[:3]))
    assert (result.outcome, "promised evidence gpu.speed" in result.message) == ("fail", True)


def test_package_that_nobody_needs(tmp_path: Path) -> None:
    steps = [*SEEN.steps[:7], GpuStep(name="cupy", ok=True, skipped="cupy is not in the environment")]
    result = found(tmp_path, checks.test_cupy_computes, SEEN.model_copy(update={"steps": tuple(steps)}))
    assert (result.outcome, result.message) == ("n/a", "cupy is not in the environment")


@pytest.mark.parametrize(
    ("floor", "outcome"), [("", "pass"), ("12.4", "pass"), ("12.10", "fail"), ("13", "fail")]
)
def test_floor_of_the_pack(tmp_path: Path, floor: str, outcome: str) -> None:
    """As the manifest has it since the pack was made."""
    pack = changed(good_pack(), "manifest.floors", {"__cuda": floor} if floor else {})
    gpu = SEEN.model_copy(update={"driver_cuda": "12.4"})
    run = good_run(tmp_path, site=site(), pack=pack, workers=(evidence(gpu),))
    result = compute(checks.test_driver_new_enough, run.workers["default-0"])
    assert result.outcome == outcome
    if outcome == "fail":
        assert result.message == f"the pack needs __cuda >={floor}, the driver supports CUDA 12.4"
        cause = explain_gpu(result.message)
        assert cause is not None
        assert cause.id == "FHV-gpu-002"


def test_reducer_that_does_not_work_is_a_warning(tmp_path: Path) -> None:
    result = found(
        tmp_path, checks.test_awkward_round_trip, SEEN.model_copy(update={"reducer": "needs cuda-cccl"})
    )
    assert (result.outcome, "needs cuda-cccl" in result.message) == ("warn", True)


@pytest.mark.parametrize(
    ("node", "uuid", "outcome"),
    [("n1", "GPU-a", "fail"), ("n1", "GPU-b", "pass"), ("n2", "GPU-a", "pass")],
)
def test_same_gpu_for_two_workers(tmp_path: Path, node: str, uuid: str, outcome: str) -> None:
    theirs = SEEN.model_copy(update={"cuda_devices": (DEVICE.model_copy(update={"uuid": uuid}),)})
    result = found(tmp_path, checks.test_exclusive, SEEN, evidence(theirs, "default-1", node))
    assert result.outcome == outcome
    assert outcome == "pass" or result.message == "default-1 got the same GPU GPU-a"


def test_gpu_that_somebody_uses(tmp_path: Path) -> None:
    processes = (GpuProcess(pid=4242, uuid="GPU-a"), GpuProcess(pid=1, uuid="GPU-b"))
    result = found(tmp_path, checks.test_exclusive, SEEN.model_copy(update={"processes": processes}))
    assert (result.outcome, result.message) == ("fail", "used already by process 4242")


@pytest.mark.parametrize(
    ("speed", "outcome", "words"),
    [
        ({"to_device": 14.1e9}, "pass", ""),
        ({"to_device": 13.9e9}, "fail", "to the device 13.9 GB/s, reference 20.0"),
        ({"kernel": 1e12}, "fail", "kernel 1000.0 GFLOP/s, reference 15000.0"),
        ({"to_host": 1.0}, "pass", ""),
    ],
)
def test_speed_against_the_reference(
    tmp_path: Path, speed: dict[str, float], outcome: str, words: str
) -> None:
    assert SEEN.speed is not None
    measured = SEEN.model_copy(update={"speed": SEEN.speed.model_copy(update=speed)})
    result = found(tmp_path, checks.test_speed, measured)
    assert (result.outcome, result.message) == (outcome, words)


def test_speed_without_a_reference_is_told(tmp_path: Path) -> None:
    result = found(tmp_path, checks.test_speed, SEEN, settings=GpuSettings())
    assert result.outcome == "n/a"
    assert "to the device 20.0 GB/s, to the host 21.0 GB/s, kernel 15000.0 GFLOP/s" in result.message


# --- what was simulated certifies nothing


@pytest.mark.parametrize("check", QUESTIONS)
def test_simulated_is_not_passed(tmp_path: Path, check: Callable[[Worker], None]) -> None:
    steps = tuple(step.model_copy(update={"simulated": True}) for step in SEEN.steps)
    result = found(tmp_path, check, SEEN.model_copy(update={"steps": steps}))
    assert result.outcome == "simulated"
    assert "no GPU was used" in result.message


def test_simulation_that_fails_is_a_failure(tmp_path: Path) -> None:
    step = GpuStep(name="grant", ok=False, error="no numba", simulated=True)
    result = found(tmp_path, checks.test_granted, GpuEvidence(steps=(step,)))
    assert (result.outcome, result.message) == ("fail", "(simulated) no numba")


@pytest.mark.parametrize("check", [test_modifiers.test_ran_around_task, test_modifiers.test_result_right])
def test_modifiers_on_a_simulator(tmp_path: Path, check: Callable[[Worker], None]) -> None:
    record = {"example.record": [{"simulated": True}]}
    worker = changed(good_worker(), "dask.modifier_run.metadata", record)
    run = good_run(tmp_path, workers=(worker,))
    assert compute(check, run.workers["default-0"]).outcome == "simulated"


def simulated_report(*, required: bool = True) -> Report:
    results: tuple[CheckResult, ...] = (
        CheckResult(id="environment.ok", family="environment", worker="default-0", outcome="pass"),
        CheckResult(
            id="gpu.jit", family="gpu", worker="default-0", outcome="simulated", message="no GPU was used"
        ),
    )
    results = apply_optional(results, () if required else ("gpu.*",))
    ruling = verdict(results, site="mysite")
    return Report(
        version="1", site="mysite", run="/run", started="", finished="", verdict=ruling.verdict,
        exit_code=ruling.exit_code, sentence=ruling.sentence, counts=count(results), checks=results,
    )  # fmt: skip


def test_verdict_is_not_a_pass() -> None:
    report = simulated_report()
    assert (report.verdict, report.exit_code) == ("simulated", 1)
    assert report.sentence == (
        "Site mysite is not certified: 1 of 2 checks were only simulated on default-0, first: gpu.jit: no GPU was used."
    )


def test_optional_simulation_is_told_beside_a_pass() -> None:
    report = simulated_report(required=False)
    assert (report.verdict, report.exit_code) == ("pass", 0)
    assert "(1 only simulated)" in report.sentence


@pytest.mark.parametrize(("required", "tag"), [(True, "error"), (False, "skipped")])
def test_junit(required: bool, tag: str) -> None:
    case = ET.fromstring(junit(simulated_report(required=required))).find(
        ".//testcase[@name='gpu.jit[default-0]']"
    )
    assert case is not None
    (child,) = case
    assert (child.tag, child.get("type")) == (tag, "simulated")


def test_table_summary_and_json() -> None:
    report = simulated_report()
    shown = table(report, colour=False, width=100, verbose=False)
    assert next(line for line in shown.splitlines() if " jit " in line).startswith("simulated ")
    assert "not certified" in shown
    assert "only simulated" in summary_text(report)
    assert json.loads(report.model_dump_json())["counts"] == {"pass": 1, "simulated": 1}


def test_evidence_is_stored_and_read_again() -> None:
    probe = NodeProbe(gpu=SEEN)
    assert NodeProbe.model_validate_json(probe.model_dump_json()) == probe
