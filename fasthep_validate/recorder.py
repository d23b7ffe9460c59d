"""Keeps the report of a run up to date on disk, from its first second to its verdict."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from importlib.metadata import version
from typing import TYPE_CHECKING

from fasthep_validate.models.evidence import WorkerEvidence
from fasthep_validate.models.report import Report
from fasthep_validate.report.by_node import by_node
from fasthep_validate.report.phases import summarise
from fasthep_validate.report.schema import write
from fasthep_validate.report.verdict import apply_settings, count, verdict
from fasthep_validate.store import RunFolder, read_model

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from fasthep_validate.errors import FasthepValidateError
    from fasthep_validate.models.profile import SiteProfile
    from fasthep_validate.models.report import CheckResult

INTERVAL = 0.5  # seconds between two writes while checks are judged


class Recorder:
    """Takes results of checks one by one and writes the report as it goes."""

    def __init__(self, site: SiteProfile, folder: RunFolder, results: Path | None = None) -> None:
        """Write the first, incomplete report.

        Args:
            site: the site's profile.
            folder: the run folder.
            results: where the report goes; by default the run's own results.
        """
        self.site = site
        self.folder = folder
        self.results = results or folder.results
        self.checks: list[CheckResult] = []
        self.report = Report(
            version=version("fasthep-validate"),
            site=site.site,
            run=str(folder.path),
            results=str(self.results),
            started=_now(),
            sentence="The run goes on.",
        )
        self._written = 0.0
        self.results.mkdir(parents=True, exist_ok=True)
        self.write()

    def add(self, result: CheckResult) -> None:
        """Take a result; the report on disk is at most half a second behind."""
        self.checks.append(result)
        if time.monotonic() - self._written > INTERVAL:
            self.report = self._so_far()
            self.write()

    def finish(self, error: FasthepValidateError | None = None) -> Report:
        """Judge the run, write the report and return it.

        Args:
            error: the error that ended the run, if one did.
        """
        self.report = self._so_far()
        ruling = verdict(self.report.checks, site=self.site.site, error=error)
        self.report = self.report.model_copy(
            update={
                "finished": _now(),
                "verdict": ruling.verdict,
                "exit_code": ruling.exit_code,
                "sentence": ruling.sentence,
                "errors": tuple(str(error).splitlines()) if error else (),
            }
        )
        self.write()
        return self.report

    def write(self) -> None:
        """Write the report as it is."""
        write(self.report, self.results)
        self._written = time.monotonic()

    def _so_far(self) -> Report:
        checks = apply_settings(self.checks, self.site.checks, today=datetime.now(UTC).date())
        evidence = tuple(self._evidence())
        return self.report.model_copy(
            update={
                "checks": checks,
                "counts": count(checks),
                "workers": tuple(map(summarise, evidence)),
                "nodes": by_node(self.site.execution, evidence, checks),
            }
        )

    def _evidence(self) -> Iterator[WorkerEvidence]:
        for worker in self.site.execution.worker_ids():
            path = self.folder.evidence / f"{worker}.json"
            if path.exists():
                yield read_model(path, WorkerEvidence)


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
