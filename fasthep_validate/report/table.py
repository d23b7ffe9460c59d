"""The table on the terminal."""

from __future__ import annotations

import textwrap
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path
from typing import TYPE_CHECKING

from tabulate import tabulate

from fasthep_validate.report.verdict import tally
from fasthep_validate.store import RunFolder

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from fasthep_validate.models.report import CheckResult, NodeSummary, Outcome, Report, Verdict

HEADERS = ("outcome", "check", "worker", "found")
MIN_WIDTH = 60
FOLD_ABOVE = 12
"""Number of workers above which equal passes of a check share one row."""

_ORDER: tuple[Outcome, ...] = ("fail", "blocked", "simulated", "warn", "known", "pass", "n/a")
_HEADER_PADDING = 2  # tabulate makes a column wider than its header by this
_QUIET = {"pass", "n/a"}
_SHORT_EVIDENCE = 3
_BOLD = "1"
_COLOURS: dict[Outcome, str] = {
    "fail": "1;31",
    "blocked": "35",
    "simulated": "1;35",
    "warn": "33",
    "known": "36",
    "pass": "32",
    "n/a": "2",
}
_NODE_COLOURS = {"fail": "1;31", "out of service": "35", "not tried": "33", "known": "36", "pass": "32"}
_VERDICT_COLOURS: dict[Verdict, str] = {
    "pass": "1;32",
    "fail": "1;31",
    "simulated": "1;35",
    "incomplete": "1;33",
    "error": "1;31",
}


@dataclass(frozen=True)
class _Row:
    """A row before it is wrapped.

    Attributes:
        outcome: its outcome.
        check: id of the check without its family.
        worker: planned worker, or how many.
        found: paragraphs of the last column.
    """

    outcome: Outcome
    check: str
    worker: str
    found: tuple[str, ...]


@dataclass(frozen=True)
class _Group:
    """Rows under one heading."""

    heading: str
    rows: tuple[_Row, ...]


@dataclass(frozen=True)
class _Style:
    """How the terminal wants it.

    Attributes:
        colour: whether ANSI colours may be used.
        width: columns of the terminal.
        verbose: no folding, all evidence.
    """

    colour: bool
    width: int
    verbose: bool

    def paint(self, text: str, code: str) -> str:
        """Text in a colour (an ANSI code), where colours may be used."""
        return f"\033[{code}m{text}\033[0m" if self.colour else text


def table(report: Report, *, colour: bool, width: int, verbose: bool) -> str:
    """The report as text: one row a check and worker, what needs attention first, the verdict last.

    Args:
        report: what to show.
        colour: use ANSI colours.
        width: columns of the terminal; less than 60 is taken as 60.
        verbose: fold nothing and show all evidence.
    """
    style = _Style(colour=colour, width=max(width, MIN_WIDTH), verbose=verbose)
    groups = tuple(_groups(report, style))
    parts = [_grid(groups, style)] if groups else []
    if report.nodes:
        parts.append(_nodes(report.nodes, style))
    if not _told_in_sentence(report):
        parts.append("\n".join(_paragraph(f"error: {error}", style) for error in report.errors))
    if silent := () if verbose else _not_applicable(report):
        parts.append(_paragraph(f"Not applicable here: {', '.join(silent)} (-v says why).", style))
    parts.append(_closing(report, style))
    return "\n\n".join(parts) + "\n"


def _not_applicable(report: Report) -> tuple[str, ...]:
    """Families of which no check applies, such as ``gpu`` where no pool asks for one."""
    spoken = {check.family for check in report.checks if check.outcome != "n/a"}
    return tuple(dict.fromkeys(check.family for check in report.checks if check.family not in spoken))


def _told_in_sentence(report: Report) -> bool:
    """Whether the sentence says all that the errors say: a single one stands in it already."""
    return not report.errors or (len(report.errors) == 1 and report.errors[0].rstrip(".") in report.sentence)


def _nodes(nodes: Sequence[NodeSummary], style: _Style) -> str:
    """A row a node, worst first; with many nodes those that pass share one."""
    passed = [node.node for node in nodes if node.verdict == "pass"]
    fold = len(passed) > FOLD_ABOVE and not style.verbose
    rows = [(node.verdict, node.node, node.why) for node in nodes if not fold or node.verdict != "pass"]
    rows += [("pass", f"{len(passed)} nodes", "")] if fold else []
    verdict, name = (max(len(row[column]) for row in rows) for column in (0, 1))
    room = max(style.width - verdict - name - 4, MIN_WIDTH // 2)
    lines = [style.paint(f"nodes: {len(passed)} of {len(nodes)} passed", _BOLD)]
    for said, node, why in rows:
        first, *rest = _wrap(why, room) or [""]
        painted = style.paint(f"{said:{verdict}}", _NODE_COLOURS[said])
        lines.append(f"{painted}  {node:{name}}  {first}".rstrip())
        lines += [f"{'':{verdict}}  {'':{name}}  {line}" for line in rest]
    return "\n".join(lines)


def _closing(report: Report, style: _Style) -> str:
    sentence = _paragraph(report.sentence or "The run is not finished.", style)
    # The path is left in one piece, however long: it is there to be copied.
    results = f"Results: {report.results or RunFolder(Path(report.run)).results}"
    return f"{style.paint(sentence, _VERDICT_COLOURS[report.verdict])}\n{results}"


def _groups(report: Report, style: _Style) -> Iterator[_Group]:
    """Families that need attention, worst rows first; then what passed, by family."""
    fold = (len(report.workers) > FOLD_ABOVE or bool(report.nodes)) and not style.verbose
    loud = [result for result in report.checks if result.outcome not in _QUIET]
    if report.nodes and not style.verbose:  # a node that is out of service blocks all checks of it
        loud = [result for result in loud if result.outcome != "blocked"]
    silent = () if style.verbose else _not_applicable(report)
    quiet = [check for check in report.checks if check.outcome in _QUIET and check.family not in silent]
    for results, folded in ((loud, False), (quiet, fold)):
        families = dict.fromkeys(result.family for result in sorted(results, key=_rank))
        for family in families:
            members = _together([result for result in results if result.family == family])
            rows = _folded(members) if folded else _rows(members, style)
            yield _Group(f"{family}: {tally(members)}", tuple(rows))


def _together(results: Sequence[CheckResult]) -> list[CheckResult]:
    """Worst first, and rows of one check next to each other."""
    place = {name: index for index, name in enumerate(dict.fromkeys(result.id for result in results))}
    return sorted(results, key=lambda result: (_rank(result), place[result.id]))


def _rank(result: CheckResult) -> int:
    return _ORDER.index(result.outcome)


def _rows(results: Iterable[CheckResult], style: _Style) -> Iterator[_Row]:
    """A row each; a remedy that several rows share stands under the first of them only."""
    told: set[str] = set()
    for result in results:
        found = [*_finding(result), *_why(result, style)]
        found += [f"-> {remedy}" for remedy in _remedies(result) if remedy not in told]
        told.update(_remedies(result))
        if style.verbose and result.outcome not in _QUIET:
            found += [f"see {path}" for path in result.evidence]
        yield _Row(result.outcome, _short(result), result.worker or "-", tuple(found))


def _folded(results: Iterable[CheckResult]) -> Iterator[_Row]:
    """A row for each check, outcome and message, with the number of workers."""
    kinds: dict[tuple[str, Outcome, str], list[CheckResult]] = {}
    for result in results:
        kinds.setdefault((result.id, result.outcome, result.message), []).append(result)
    for members in kinds.values():
        first = members[0]
        workers = f"{len(members)} workers" if len(members) > 1 else first.worker or "-"
        yield _Row(first.outcome, _short(first), workers, tuple(_finding(first)))


def _short(result: CheckResult) -> str:
    return result.id.removeprefix(f"{result.family}.")


def _finding(result: CheckResult) -> Iterator[str]:
    yield from result.message.splitlines()
    if result.blocked_by and result.blocked_by not in result.message:
        yield f"blocked by {result.blocked_by}"


def _why(result: CheckResult, style: _Style) -> Iterator[str]:
    """The cause out of the catalogue, with the lines that show it."""
    if result.cause is None:
        return
    yield f"{result.cause.id}: {result.cause.title}"
    evidence = result.cause.evidence
    shown = evidence if style.verbose else evidence[:_SHORT_EVIDENCE]
    yield from (f"| {line}" for line in shown)
    if len(shown) < len(evidence):
        yield f"| ... {len(evidence) - len(shown)} more with -v"


def _remedies(result: CheckResult) -> tuple[str, ...]:
    """What to do, the most specific first; nothing for what is blocked by another, or accepted."""
    if result.outcome not in {"fail", "warn"}:
        return ()
    cause = result.cause
    specific = f"{cause.remedy} (for the {cause.who})" if cause else ""
    general = "" if cause and cause.remedy == result.remedy else result.remedy
    return tuple(remedy for remedy in (specific, general) if remedy)


def _grid(groups: Sequence[_Group], style: _Style) -> str:
    """All groups in one grid, so that the columns line up, with the headings between the rows."""
    widths = _widths([row for group in groups for row in group.rows], style.width)
    blocks = [[_cells(row, widths) for row in group.rows] for group in groups]
    cells = [line for block in blocks for row in block for line in row]
    text = tabulate(cells, headers=HEADERS, tablefmt="simple", disable_numparse=True)
    head, rule, *lines = (line.rstrip() for line in text.splitlines())
    told = [head, rule]
    body = iter(lines)
    for group, block in zip(groups, blocks, strict=True):
        told += ["", style.paint(group.heading, _BOLD)]
        for row, row_cells in zip(group.rows, block, strict=True):
            first, *rest = (next(body) for _ in row_cells)
            told += [_painted(first, row.outcome, style), *rest]
    return "\n".join(told)


def _painted(line: str, outcome: Outcome, style: _Style) -> str:
    return style.paint(outcome, _COLOURS[outcome]) + line.removeprefix(outcome)


def _widths(rows: Sequence[_Row], width: int) -> tuple[int, int, int, int]:
    """Columns for each cell; names get what they need up to a third of the width, the findings the rest."""
    outcome, check, worker, _ = (len(header) + _HEADER_PADDING for header in HEADERS)
    outcome = max(outcome, *(len(text) for text in _ORDER))
    check = max(check, min(max(len(row.check) for row in rows), width // 3))
    worker = max(worker, min(max(len(row.worker) for row in rows), width // 5))
    gaps = 2 * (len(HEADERS) - 1)
    return outcome, check, worker, width - outcome - check - worker - gaps


def _cells(row: _Row, widths: Sequence[int]) -> list[tuple[str, ...]]:
    """A row wrapped: one tuple of cells for each line of the terminal."""
    paragraphs = ((row.outcome,), (row.check,), (row.worker,), row.found)
    columns = (
        [line for text in texts for line in _wrap(text, width)]
        for texts, width in zip(paragraphs, widths, strict=True)
    )
    return list(zip_longest(*columns, fillvalue=""))


def _wrap(text: str, width: int) -> list[str]:
    """Text in lines; whatever a node wrote into it cannot move the cursor."""
    printable = "".join(letter if letter.isprintable() else " " for letter in text)
    return textwrap.wrap(printable, width, break_on_hyphens=False)


def _paragraph(text: str, style: _Style) -> str:
    return "\n".join(line for part in text.splitlines() for line in _wrap(part, style.width))
