"""Tables of what was measured on both sides, and the page of the documentation that has them."""

from __future__ import annotations

import statistics
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path

MEGABYTES = 1e6


class Row(NamedTuple):
    """What is compared.

    Attributes:
        what: in words.
        mine: name of our number.
        theirs: name of the number that it is compared with.
        target: greatest ratio of the medians; ``None`` for none.
        bytes: whether the numbers are bytes, and not seconds.
    """

    what: str
    mine: str
    theirs: str
    target: float | None = None
    bytes: bool = False


def comparison(rows: Iterable[Row], numbers: Mapping[str, Sequence[float]]) -> str:
    """Medians of both sides, the ratio of the medians, and the smallest and greatest ratio of any round."""
    lines = [
        "| what | ours | compared with | ratio | ratios of the rounds | at most | |",
        "| --- | ---: | ---: | ---: | ---: | ---: | --- |",
    ]
    for row in rows:
        mine, theirs = numbers.get(row.mine, ()), numbers.get(row.theirs, ())
        if not mine or not theirs:
            continue
        middle = statistics.median(mine) / statistics.median(theirs)
        ratios = [one / other for one, other in zip(mine, theirs, strict=False)]
        target = "" if row.target is None else f"{row.target:g}"
        verdict = "" if row.target is None else ("reached" if middle <= row.target else "**not reached**")
        cells = (
            row.what,
            amount(mine, row.bytes),
            amount(theirs, row.bytes),
            f"{middle:.3f}",
            f"{min(ratios):.3f} to {max(ratios):.3f}",
            target,
            verdict,
        )
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def amount(values: Sequence[float], in_bytes: bool) -> str:
    """Median of some seconds or bytes."""
    middle = statistics.median(values)
    return f"{middle / MEGABYTES:.0f} MB" if in_bytes else f"{middle:.3g} s"


def profile(columns: Mapping[str, Mapping[str, Sequence[float]]]) -> str:
    """Medians in seconds: one column a name, one row a step."""
    steps = list(dict.fromkeys(step for column in columns.values() for step in column))
    lines = ["| s | " + " | ".join(columns) + " |", "| --- |" + " ---: |" * len(columns)]
    for step in steps:
        found = (column.get(step, ()) for column in columns.values())
        cells = (f"{statistics.median(values):.2f}" if values else "" for values in found)
        lines.append(f"| {step} | " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def put(page: Path, name: str, text: str) -> None:
    """Replace what a page has between ``<!-- NAME -->`` and ``<!-- /NAME -->``."""
    begin, end = f"<!-- {name} -->\n", f"<!-- /{name} -->"
    before, found, rest = page.read_text(encoding="utf-8").partition(begin)
    _, closed, after = rest.partition(end)
    if not found or not closed:
        raise ValueError(f"{page}: has no lines {begin.strip()} and {end}. Put them where the table belongs.")
    page.write_text(f"{before}{begin}\n{text}\n{end}{after}", encoding="utf-8")
