"""The workers' logs as they came back to the submit host."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fasthep_validate.events import worker_lines
from fasthep_validate.models.evidence import LogFile
from fasthep_validate.scrubbing import scrub

if TYPE_CHECKING:
    from pathlib import Path

    from fasthep_validate.store import RunFolder

TAIL = 150  # lines; a chain of Python exceptions has its root far above its end
READ = 65_536  # bytes from the end; enough for the lines that anybody reads


def collect(folder: RunFolder, worker: str) -> tuple[LogFile, ...]:
    """Look at ``out``, ``err`` and ``log`` of a worker."""
    return tuple(_look(folder, kind, worker) for kind in ("out", "err", "log"))


def _look(folder: RunFolder, kind: str, worker: str) -> LogFile:
    path = folder.log(kind, worker)
    where = str(path.relative_to(folder.path))
    try:
        data = _end(path)
    except OSError:
        return LogFile(kind=kind, path=where, size=None, readable=False)
    lines = worker_lines(scrub(data.decode("utf-8", errors="replace")).splitlines())
    return LogFile(
        kind=kind, path=where, size=path.stat().st_size, readable=b"\0" not in data, tail=tuple(lines[-TAIL:])
    )


def _end(path: Path) -> bytes:
    with path.open("rb") as stream:
        stream.seek(max(0, path.stat().st_size - READ))
        return stream.read()
