"""The catalogue of causes: what each means, what to do, who can do it.

An id is never used for anything else, also when its entry has gone: it is quoted in tickets.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from fasthep_validate.causes import credentials, gpu, inside, outside, storage

if TYPE_CHECKING:
    from fasthep_validate.causes.entry import Entry

CATALOGUE: dict[str, Entry] = {
    entry.id: entry
    for entry in (
        *inside.WORKER_START,
        *inside.ENVIRONMENT,
        *inside.CREDENTIAL,
        *credentials.FAULTS.values(),
        *storage.STORAGE,
        *outside.CONNECTIVITY,
        *outside.RESOURCES,
        *outside.BATCH,
        *outside.HARNESS,
        *gpu.GPU,
    )
}
"""Id -> entry."""


def reference() -> str:
    """The catalogue as a Markdown table, for the documentation."""
    head = ("id", "what it is", "what it means", "what to do", "who")
    rows = (
        (f"`{entry.id}`", entry.title, entry.meaning, entry.remedy, entry.who) for entry in CATALOGUE.values()
    )
    return "".join(_line(cells) for cells in (head, ("---",) * len(head), *rows))


def _line(cells: tuple[str, ...]) -> str:
    escaped = (cell.replace("|", "\\|") for cell in cells)
    return f"| {' | '.join(escaped)} |\n"
