"""The report of a run on disk, at every moment."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from fasthep_validate import recorder
from fasthep_validate.errors import Interrupted, PackError
from fasthep_validate.models.report import CheckResult, Report
from fasthep_validate.recorder import Recorder
from fasthep_validate.store import RunFolder, new_run, read_model, write_model
from fasthep_validate.testing import good_site, good_worker

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def folder(tmp_path: Path) -> RunFolder:
    return new_run(tmp_path, "example")


def stored(folder: RunFolder) -> Report:
    return read_model(folder.results / "report.json", Report)


def result(outcome: str = "pass", worker: str = "default-0") -> CheckResult:
    fields = {"id": "resources.cores", "family": "resources", "worker": worker, "outcome": outcome}
    return CheckResult.model_validate({**fields, "claim": "Cores are there."})


def test_report_is_there_from_the_first_second(folder: RunFolder) -> None:
    Recorder(good_site(), folder)
    report = stored(folder)
    assert report.verdict == "incomplete"
    assert report.site == "example"
    assert report.finished is None
    assert {path.name for path in folder.results.iterdir()} >= {"report.json", "summary.txt"}


def test_results_are_written_as_they_come(folder: RunFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recorder, "INTERVAL", -1.0)  # written at every result
    record = Recorder(good_site(), folder)
    record.add(result())
    assert [check.id for check in stored(folder).checks] == ["resources.cores"]
    assert stored(folder).verdict == "incomplete"


def test_not_written_for_every_single_result(folder: RunFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recorder, "INTERVAL", 60.0)  # never due
    record = Recorder(good_site(), folder)
    record.add(result())
    assert stored(folder).checks == ()
    assert len(record.finish().checks) == 1


@pytest.mark.parametrize(("outcome", "verdict", "code"), [("pass", "pass", 0), ("fail", "fail", 1)])
def test_verdict(folder: RunFolder, outcome: str, verdict: str, code: int) -> None:
    record = Recorder(good_site(), folder)
    record.add(result())
    record.add(result(outcome, "default-1"))
    report = record.finish()
    assert (report.verdict, report.exit_code) == (verdict, code)
    assert stored(folder) == report
    assert report.finished is not None
    assert report.finished >= report.started


def test_no_check_is_no_pass(folder: RunFolder) -> None:
    assert Recorder(good_site(), folder).finish().exit_code == 6


def test_error_is_told(folder: RunFolder) -> None:
    report = Recorder(good_site(), folder).finish(PackError("venv: cannot travel.\nAnother line."))
    assert (report.verdict, report.exit_code) == ("error", 3)
    assert report.errors == ("venv: cannot travel.", "Another line.")


def test_interruption(folder: RunFolder) -> None:
    record = Recorder(good_site(), folder)
    record.add(result())
    report = record.finish(Interrupted(15))
    assert (report.verdict, report.exit_code) == ("incomplete", 143)
    assert len(report.checks) == 1


def test_workers_with_evidence_are_summed_up(folder: RunFolder) -> None:
    write_model(folder.evidence / "default-1.json", good_worker("default-1"))
    report = Recorder(good_site(), folder).finish()
    assert [worker.worker for worker in report.workers] == ["default-1"]


def test_judged_again_elsewhere(folder: RunFolder, tmp_path: Path) -> None:
    Recorder(good_site(), folder, tmp_path / "again").finish()
    assert read_model(tmp_path / "again" / "report.json", Report).site == "example"
    assert not (folder.results / "report.json").exists()
