"""``report.json``, its JSON schema, and writing the results of a run."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic.json_schema import JsonSchemaValue  # noqa: TC002

from fasthep_validate.models.report import SCHEMA_ID, Report
from fasthep_validate.report.junit import junit
from fasthep_validate.report.summary import summary_text
from fasthep_validate.store import write_model, write_text

if TYPE_CHECKING:
    from pathlib import Path

DIALECT = "https://json-schema.org/draft/2020-12/schema"


def report_schema() -> JsonSchemaValue:
    """The JSON schema of ``report.json``; published under its ``$id``."""
    return {"$schema": DIALECT, "$id": SCHEMA_ID} | Report.model_json_schema(mode="serialization")


def write(report: Report, folder: Path) -> None:
    """Write ``report.json``, ``junit.xml`` and ``summary.txt`` into ``folder``, each in one step.

    Called again and again while a run goes on: a reader always finds a whole report.
    """
    write_model(folder / "report.json", report)
    write_text(folder / "junit.xml", junit(report))
    write_text(folder / "summary.txt", summary_text(report))
