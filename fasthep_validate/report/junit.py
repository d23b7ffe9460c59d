"""``junit.xml``, for CI systems that show test results.

It is made from the report and not by pytest: to pytest a blocked check is a skipped test, and a CI system
would show a site that does not work as green.
"""

from __future__ import annotations

import re
from itertools import groupby
from operator import attrgetter
from typing import TYPE_CHECKING
from xml.etree import ElementTree as ET

if TYPE_CHECKING:
    from fasthep_validate.models.report import CheckResult, Outcome, Report

# Outcome -> element below <testcase>, for a check that is required.
_ELEMENTS: dict[Outcome, str] = {
    "fail": "failure",
    "blocked": "error",
    "simulated": "error",
    "n/a": "skipped",
    "known": "skipped",
}
_ONLY_REQUIRED = {"blocked", "simulated"}  # errors; of a check that is optional they are skipped ones

# All but the characters of https://www.w3.org/TR/xml/#charsets, and the carriage return, which no reader keeps.
_UNWRITABLE = re.compile("[^\t\n\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def junit(report: Report) -> str:
    """The report as JUnit XML: a suite for each family, a case for each check and worker.

    The dialect is the one that Jenkins and GitLab read: ``failure`` for a failed check, ``error`` for a
    blocked one and one that was only simulated, ``skipped`` for one that does not apply or is accepted; a warning is a passed case with
    its message in ``system-out``.
    """
    root = ET.Element("testsuites", name=f"{report.tool} {report.site}")
    checks = sorted(report.checks, key=attrgetter("family"))
    for family, results in groupby(checks, key=attrgetter("family")):
        _suite(root, family, list(results), report)
    ET.indent(root)
    text: bytes = ET.tostring(root, encoding="utf-8", xml_declaration=True)
    return text.decode() + "\n"


def _suite(root: ET.Element, family: str, results: list[CheckResult], report: Report) -> None:
    suite = ET.SubElement(root, "testsuite", name=family, timestamp=report.started, tests=str(len(results)))
    cases = [_case(suite, result, report.site) for result in results]
    for attribute, tag in (("failures", "failure"), ("errors", "error"), ("skipped", "skipped")):
        suite.set(attribute, str(sum(case.find(tag) is not None for case in cases)))
    suite.set("time", f"{sum(result.seconds for result in results):.3f}")


def _case(suite: ET.Element, result: CheckResult, site: str) -> ET.Element:
    name = f"{result.id}[{result.worker}]" if result.worker else result.id
    case = ET.SubElement(
        suite,
        "testcase",
        classname=f"{site}.{result.family}",
        name=_printable(name),
        time=f"{result.seconds:.3f}",
    )
    text = _printable("\n".join(part for part in (result.message, _remedy(result)) if part))
    optional = not result.required and result.outcome in _ONLY_REQUIRED
    tag = "skipped" if optional else _ELEMENTS.get(result.outcome)
    if tag:
        told = text.partition("\n")[0] or result.outcome
        ET.SubElement(case, tag, message=told, type=result.outcome).text = text
    elif text:
        ET.SubElement(case, "system-out").text = text
    return case


def _remedy(result: CheckResult) -> str:
    return f"What to do: {result.remedy}" if result.remedy else ""


def _printable(text: str) -> str:
    """XML 1.0 has no way to write control characters, surrogates and the like."""
    return _UNWRITABLE.sub("", text)
