"""The report as plain text, with the duration of each phase (``summary.txt``)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tabulate import tabulate

from fasthep_validate.models.event import PHASES
from fasthep_validate.report.table import table

if TYPE_CHECKING:
    from fasthep_validate.models.event import Phase, PhaseTime
    from fasthep_validate.models.report import Report, WorkerSummary

WIDTH = 100


def summary_text(report: Report) -> str:
    """Everything a person wants to know of a run, as plain text of 100 columns (the phases may need more)."""
    parts = [_head(report), table(report, colour=False, width=WIDTH, verbose=True)]
    if report.workers:
        parts.append(_phases(report.workers))
    return "\n".join(parts)


def _head(report: Report) -> str:
    lines = (
        ("site", report.site),
        ("tool", f"{report.tool} {report.version}"),
        ("started", report.started),
        ("finished", report.finished or "not yet"),
        ("run", report.run),
    )
    return tabulate(lines, tablefmt="plain", disable_numparse=True) + "\n"


def _phases(workers: tuple[WorkerSummary, ...]) -> str:
    """Seconds of each phase, a row a worker; phases that no worker has are left out."""
    seen = {time.phase for worker in workers for time in worker.phases}
    phases = tuple(phase for phase in PHASES if phase in seen)
    headers = ("worker", "node", "job", "registered", *phases)
    rows = [_phase_row(worker, phases) for worker in workers]
    align = ("left",) * 4 + ("right",) * len(phases)
    text = tabulate(rows, headers=headers, tablefmt="simple", disable_numparse=True, colalign=align)
    note = "Seconds of each phase of a worker's start, each by one machine's clock ('?': two clocks)."
    return f"{note}\n\n{text}\n"


def _phase_row(worker: WorkerSummary, phases: tuple[Phase, ...]) -> tuple[str, ...]:
    times = {time.phase: _duration(time) for time in worker.phases}
    registered = "yes" if worker.registered else "no"
    return (
        worker.worker,
        worker.node or "-",
        worker.state or "-",
        registered,
        *(times.get(phase, "") for phase in phases),
    )


def _duration(time: PhaseTime) -> str:
    if time.outcome == "start":
        return "not ended"
    seconds = "?" if time.seconds is None else f"{time.seconds:.2f}"
    words = {"fail": f"failed {seconds}", "skip": "skipped"}
    return words.get(time.outcome, seconds)
