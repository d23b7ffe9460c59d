"""``junit.xml``: what a CI system reads of a report."""

from __future__ import annotations

from typing import TYPE_CHECKING
from xml.etree import ElementTree as ET

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fasthep_validate.models.report import CheckResult, Report
from fasthep_validate.report.junit import junit

if TYPE_CHECKING:
    from fasthep_validate.models.report import Outcome


def check(outcome: Outcome, identity: str = "resources.memory", **changes: object) -> CheckResult:
    result = CheckResult(id=identity, family=identity.partition(".")[0], worker="default-0", outcome=outcome)
    return result.model_copy(update=changes)


def parsed(*checks: CheckResult) -> ET.Element:
    report = Report(version="1", site="here", run="/run", started="2026-01-02T03:04:05+00:00", checks=checks)
    text = junit(report)
    assert text.startswith("<?xml ")
    assert text.endswith("\n")
    return ET.fromstring(text)


@pytest.mark.parametrize(
    ("outcome", "required", "tag"),
    [
        ("pass", True, None),
        ("fail", True, "failure"),
        ("blocked", True, "error"),
        ("blocked", False, "skipped"),
        ("n/a", True, "skipped"),
        ("known", True, "skipped"),
        ("warn", True, "system-out"),
        ("warn", False, "system-out"),
    ],
)
def test_element_of_an_outcome(outcome: Outcome, required: bool, tag: str | None) -> None:
    case = parsed(check(outcome, message="first\nsecond", remedy="mend it", required=required))[0][0]
    assert [child.tag for child in case] == ([tag] if tag and outcome != "pass" else ["system-out"])
    assert case[0].text == "first\nsecond\nWhat to do: mend it"
    if tag not in (None, "system-out"):
        assert case[0].attrib == {"message": "first", "type": outcome}


def test_a_pass_has_nothing_to_say() -> None:
    case = parsed(check("pass"))[0][0]
    assert len(case) == 0
    assert case.attrib == {
        "classname": "here.resources",
        "name": "resources.memory[default-0]",
        "time": "0.000",
    }


def test_a_failure_without_words_has_its_outcome() -> None:
    failure = parsed(check("fail"))[0][0][0]
    assert failure.get("message") == "fail"


def test_suites_are_families_with_counts() -> None:
    checks = [
        check("pass", seconds=0.25),
        check("fail", "logs.out"),
        check("blocked", seconds=0.5),
        check("n/a"),
        check("known"),
        check("pass", "logs.err", worker=""),
    ]
    root = parsed(*checks)
    assert root.tag == "testsuites"
    logs, resources = root
    assert logs.attrib == {
        "name": "logs",
        "timestamp": "2026-01-02T03:04:05+00:00",
        "tests": "2",
        "failures": "1",
        "errors": "0",
        "skipped": "0",
        "time": "0.000",
    }
    assert {name: resources.get(name) for name in ("tests", "failures", "errors", "skipped", "time")} == {
        "tests": "4",
        "failures": "0",
        "errors": "1",
        "skipped": "2",
        "time": "0.750",
    }
    assert [case.get("name") for case in logs] == ["logs.out[default-0]", "logs.err"]


def test_no_checks() -> None:
    assert len(parsed()) == 0


@given(st.text(st.characters(codec="utf-8")))
def test_any_message_can_be_read_back(message: str) -> None:
    root = parsed(check("fail", message=message, id=f"a.{message}", worker=message))
    assert root.find(".//failure") is not None


def test_control_characters_are_left_out() -> None:
    failure = parsed(check("fail", message="\x1b[31mred\x1b[0m\x00 \ttab\r\n\ufffe"))[0][0][0]
    assert failure.text == "[31mred[0m \ttab\n"
