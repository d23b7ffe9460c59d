"""Results on standard output."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fasthep_validate.cli.options import Display
    from fasthep_validate.models.report import Report


def print_report(report: Report, display: Display) -> None:
    """The table of a report, or its JSON."""
    from fasthep_validate.report.table import table

    if display.as_json:
        typer.echo(report.to_json(), nl=False)
        return
    width = shutil.get_terminal_size((100, 24)).columns
    typer.echo(table(report, colour=display.colour, width=width, verbose=display.verbose))


def print_table(rows: Sequence[tuple[str, ...]], headers: Sequence[str]) -> None:
    """Rows under headers; without headers as plain columns."""
    from tabulate import tabulate

    typer.echo(tabulate(rows, headers=headers, tablefmt="simple" if headers else "plain"))
