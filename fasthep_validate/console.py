"""Progress of a run on a terminal, or as plain lines where there is none."""

from __future__ import annotations

import sys
import time
from collections import Counter
from contextlib import contextmanager
from typing import TYPE_CHECKING

from fasthep_validate.progress import Silent

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rich.console import Console
    from rich.table import Table

    from fasthep_validate.models.event import Event, EventState
    from fasthep_validate.progress import Progress

MARKS: dict[EventState, str] = {"start": "...", "end": "ok", "fail": "FAILED", "skip": "skipped"}
ROWS = 24  # workers with a row each; of more the table tells how many are in which phase


def stage(event: Event) -> str:
    """Where a worker is, such as ``extracted ...`` or ``idle: no slot fits``."""
    if event.phase == "matched" and event.state == "start":
        return f"idle: {event.detail}"
    return f"{event.phase} {MARKS[event.state]}"


class PlainLines:
    """A line for each step and each phase that ended, on standard error."""

    def __init__(self) -> None:
        self._started = time.monotonic()

    def step(self, text: str) -> None:
        """Write a line with the seconds since the start."""
        print(f"{time.monotonic() - self._started:6.1f} s  {text}", file=sys.stderr, flush=True)  # noqa: T201

    def event(self, event: Event) -> None:
        """Write a line for a phase that ended, and for a job of which is known why it waits."""
        if event.state != "start":
            words = f"{event.worker}  {stage(event)} {event.code} {event.detail}"
            self.step(" ".join(words.split()))
        elif event.phase == "matched":
            self.step(f"{event.worker} {stage(event)}")


class LiveTable:
    """A row a worker that shows the phase it is in; the steps of the run scroll by above."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._started = time.monotonic()
        self._rows: dict[str, Event] = {}
        self._since: dict[str, float] = {}

    def step(self, text: str) -> None:
        """Print a line above the table."""
        from rich.markup import escape

        self._console.print(f"[dim]{self._seconds(self._started)}[/]  {escape(text)}", highlight=False)

    def event(self, event: Event) -> None:
        """Show the phase in the worker's row."""
        if event.state == "fail":
            words = f"{event.worker}  {event.phase}: {event.code} {event.detail}"
            self._console.print(words, style="red", markup=False, highlight=False)
        self._rows[event.worker] = event
        self._since.setdefault(event.worker, time.monotonic())

    def table(self) -> Table:
        """The rows as they are now; asked for several times a second, so that the seconds run."""
        from rich.table import Table
        from rich.text import Text

        table = Table.grid(padding=(0, 2))
        rows = list(self._rows.items())
        if len(rows) > ROWS:
            stages = Counter((stage(event), self._style(event)) for _, event in rows)
            for (words, style), number in stages.most_common():
                table.add_row(f"{number} workers", Text(words, style))
            return table
        for worker, event in rows:
            table.add_row(worker, Text(stage(event), self._style(event)), self._seconds(self._since[worker]))
        return table

    @staticmethod
    def _style(event: Event) -> str:
        return {"fail": "red", "end": "green"}.get(event.state, "yellow")

    @staticmethod
    def _seconds(since: float) -> str:
        return f"{time.monotonic() - since:6.1f} s"


@contextmanager
def progress(*, colour: bool, quiet: bool = False) -> Iterator[Progress]:
    """Whatever fits standard error: a live table on a terminal, lines in a file, nothing if quiet."""
    if quiet:
        yield Silent()
    elif sys.stderr.isatty():
        from rich.console import Console
        from rich.live import Live

        console = Console(stderr=True, no_color=not colour)
        shown = LiveTable(console)
        with Live(get_renderable=shown.table, console=console, transient=True, refresh_per_second=4):
            yield shown
    else:
        yield PlainLines()
