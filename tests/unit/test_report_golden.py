"""What a person and a program get to see, compared with the files in ``tests/golden``.

``UPDATE_GOLDEN=1 pytest tests/unit/test_report_golden.py`` writes them anew; read the difference.
"""

from __future__ import annotations

import json
import os
import re
from pathlib import Path

import jsonschema
import pytest

from fasthep_validate.models.event import PhaseTime
from fasthep_validate.models.report import SCHEMA_ID, Cause, CheckResult, Outcome, Report, WorkerSummary
from fasthep_validate.report.schema import report_schema, write
from fasthep_validate.report.summary import summary_text
from fasthep_validate.report.table import table
from fasthep_validate.report.verdict import count, verdict
from fasthep_validate.store import read_model

ROOT = Path(__file__).parents[2]
GOLDEN = ROOT / "tests" / "golden"
ANSI = re.compile(r"\033\[[\d;]*m")


def compare(path: Path, text: str) -> None:
    if os.environ.get("UPDATE_GOLDEN"):
        path.write_text(text)
    assert path.exists(), f"run UPDATE_GOLDEN=1 pytest {Path(__file__).name}"
    assert text == path.read_text()


def check(name: str, worker: str, outcome: Outcome, message: str = "", **more: str) -> CheckResult:
    return CheckResult(
        id=name,
        family=name.split(".")[0],
        worker=worker,
        outcome=outcome,
        message=message,
        remedy=more.get("remedy", ""),
        blocked_by=more.get("blocked_by", ""),
        evidence=(f"evidence/{worker}.json",) if worker else (),
    )


def summary(worker: str, *, registered: bool = True) -> WorkerSummary:
    phases: tuple[PhaseTime, ...] = (
        PhaseTime(phase="transferred", start=1.0, seconds=0.124, outcome="end"),
        PhaseTime(phase="extracted", start=2.0, seconds=3.5 if registered else None, outcome="end"),
        PhaseTime(phase="credentials", start=5.5, seconds=0.0, outcome="skip"),
        PhaseTime(phase="python", start=6.0, seconds=0.8, outcome="end" if registered else "fail"),
    )
    if registered:
        phases += (PhaseTime(phase="connected", start=7.0, seconds=None, outcome="start"),)
    return WorkerSummary(
        worker=worker, pool="default", node="wn1", state="running", registered=registered, phases=phases
    )


def report(results: list[CheckResult], *workers: WorkerSummary, errors: tuple[str, ...] = ()) -> Report:
    ruling = verdict(results, site="local")
    return Report(
        version="2026.11.0",
        site="local",
        run="/home/alice/validation/local/2026-11-22T101112Z",
        started="2026-11-22T10:11:12Z",
        finished="2026-11-22T10:11:58Z",
        verdict=ruling.verdict,
        exit_code=ruling.exit_code,
        sentence=ruling.sentence,
        counts=count(results),
        checks=tuple(results),
        workers=workers,
        errors=errors,
    )


def good() -> Report:
    names = ("environment.archive-intact", "environment.imports", "connectivity.worker-to-scheduler")
    results = [check(name, f"default-{n}", "pass") for n in range(2) for name in names]
    results.append(check("connectivity.tls", "", "pass", "TLSv1.3; a peer without a certificate is refused"))
    results.append(check("modifiers.ran", "default-0", "n/a", "the profile has no modifiers"))
    return report(results, summary("default-0"), summary("default-1"))


def bad() -> Report:
    remedy = "Pack on a host whose system is not newer than the workers'."
    floor = "environment.glibc-floor"
    cause = Cause(
        id="FHV-environment-002",
        title="The node's C library is older than the environment needs",
        phase="extracted",
        evidence=tuple(f"debug/distributed/err/default-1.err: line {n} of it" for n in range(4)),
        remedy="Use a Pixi environment solved for the workers' glibc.",
    )
    failure = check(
        floor,
        "default-1",
        "fail",
        "wn1 has glibc 2.28, base/lib/libpython3.11.so.1.0 needs 2.34",
        remedy=remedy,
    )
    results = [
        check("logs.readable", "default-0", "warn", "no log", remedy="See debug/distributed/logs."),
        check("environment.archive-intact", "default-0", "pass", "sha256 as in the manifest"),
        check("environment.archive-intact", "default-1", "pass", "sha256 as in the manifest"),
        check("environment.imports", "default-0", "known", "no numba. Accepted until 2026-12-01: ticket 7."),
        check("connectivity.dns", "default-1", "blocked", blocked_by=f"{floor}[default-1]"),
        check("connectivity.dns", "default-0", "pass"),
        failure.model_copy(update={"cause": cause}),
        check(floor, "default-0", "fail", "wn0 has glibc 2.31", remedy=remedy),
        check("modifiers.ran", "default-0", "n/a"),
    ]
    workers = (summary("default-0"), summary("default-1", registered=False))
    return report(results, *workers, errors=("default: 1 of 2 workers came within 120 s",))


def many() -> Report:
    workers = [f"default-{n}" for n in range(20)]
    results = [check("environment.imports", worker, "pass") for worker in workers]
    results += [
        check("resources.cores", worker, "pass", f"{n % 2 + 1} cores") for n, worker in enumerate(workers)
    ]
    results[7] = check("environment.imports", "default-7", "fail", "no numba", remedy="Install numba.")
    return report(results, *(summary(worker) for worker in workers))


CASES = {"good": good, "bad": bad, "many": many}


@pytest.mark.parametrize("width", [80, 120])
@pytest.mark.parametrize("name", CASES)
def test_table(name: str, width: int) -> None:
    text = table(CASES[name](), colour=False, width=width, verbose=False)
    compare(GOLDEN / f"table-{name}-{width}.txt", text)


def test_table_verbose() -> None:
    compare(GOLDEN / "table-bad-verbose.txt", table(bad(), colour=False, width=100, verbose=True))


def test_table_coloured() -> None:
    compare(GOLDEN / "table-bad-colour.txt", table(bad(), colour=True, width=100, verbose=False))


@pytest.mark.parametrize("name", CASES)
def test_summary(name: str) -> None:
    compare(GOLDEN / f"summary-{name}.txt", summary_text(CASES[name]()))


@pytest.mark.parametrize("width", [20, 60, 80, 120, 200])
@pytest.mark.parametrize("name", CASES)
def test_no_line_is_wider_than_the_terminal(name: str, width: int) -> None:
    text = table(CASES[name](), colour=False, width=width, verbose=True)
    wide = [line for line in text.splitlines() if len(line) > max(width, 60)]
    assert [line for line in wide if not line.startswith("Results: ")] == []


@pytest.mark.parametrize("name", CASES)
def test_colour_changes_nothing_but_colour(name: str) -> None:
    plain, coloured = (
        table(CASES[name](), colour=colour, width=90, verbose=False) for colour in (False, True)
    )
    assert "\033" not in plain
    assert ANSI.sub("", coloured) == plain


def test_what_a_node_wrote_cannot_move_the_cursor() -> None:
    evil = report([check("logs.readable", "default-0", "fail", "\033[2Jgone\ttab\rback\a")])
    text = table(evil, colour=False, width=80, verbose=True)
    assert not {letter for letter in text if not letter.isprintable()} - {"\n"}


def test_errors_are_told_once() -> None:
    one, two = "--check: no check is called 'x'.", "--pool: no pool is called 'y'."
    single = report([], errors=(one,)).model_copy(
        update={"sentence": f"Site local could not be judged: {one}"}
    )
    assert table(single, colour=False, width=120, verbose=False).count(one) == 1
    both = single.model_copy(update={"errors": (one, two)})
    text = table(both, colour=False, width=120, verbose=False)
    assert text.startswith(f"error: {one}\nerror: {two}\n")


def test_a_remedy_stands_once() -> None:
    cause = Cause(id="FHV-batch-003", title="The job was lost", remedy="Run again.", who="admin")
    lost = [
        check("worker_start.started", f"default-{n}", "fail", "lost", remedy="Run again.").model_copy(
            update={"cause": cause}
        )
        for n in range(3)
    ]
    text = table(report(lost), colour=False, width=120, verbose=False)
    assert text.count("Run again.") == 1
    assert "-> Run again. (for the admin)" in text


def test_published_schema_is_fresh() -> None:
    published = json.dumps(report_schema(), indent=2) + "\n"
    compare(ROOT / "docs" / "reference" / "schema" / "report-1.json", published)


def test_schema_is_valid_and_bears_its_id() -> None:
    schema = report_schema()
    jsonschema.Draft202012Validator.check_schema(schema)
    assert schema["$id"] == SCHEMA_ID
    assert "schema" in schema["properties"]


@pytest.mark.parametrize("name", CASES)
def test_what_is_written_is_valid_and_can_be_read_again(name: str, tmp_path: Path) -> None:
    original = CASES[name]()
    write(original, tmp_path)
    written = json.loads((tmp_path / "report.json").read_text())
    jsonschema.validate(written, report_schema(), cls=jsonschema.Draft202012Validator)
    assert written["schema"] == SCHEMA_ID
    assert read_model(tmp_path / "report.json", Report) == original
    assert (tmp_path / "summary.txt").read_text() == summary_text(original)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["junit.xml", "report.json", "summary.txt"]


def test_schema_refuses_what_is_not_a_report(tmp_path: Path) -> None:
    write(good(), tmp_path)
    written = json.loads((tmp_path / "report.json").read_text())
    written["verdict"] = "fine"
    with pytest.raises(jsonschema.ValidationError, match="'fine' is not one of"):
        jsonschema.validate(written, report_schema(), cls=jsonschema.Draft202012Validator)
