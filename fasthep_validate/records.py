"""Records of runs that go on, in a private folder of the user: what to clean up if a command is killed.

A record is a file of JSON lines, ``<state>/fasthep-validate/runs/<id>.jsonl``: a :class:`Head`, then a
:class:`Left` for everything that would be left behind. It is there from before the first such thing until
after the last one is gone.
"""

from __future__ import annotations

import json
import os
import secrets
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Self

from pydantic import ValidationError

from fasthep_validate import living
from fasthep_validate.models.record import Head, Left, Process
from fasthep_validate.store import write_text

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fasthep_validate.store import RunFolder

NEWEST = "newest"


def state_folder() -> Path:
    """``$XDG_STATE_HOME/fasthep-validate``, by default below ``~/.local/state``."""
    base = os.environ.get("XDG_STATE_HOME") or str(Path.home() / ".local" / "state")
    return Path(base) / "fasthep-validate"


@dataclass
class Record:
    """The record of a run of this process, while it is written.

    Attributes:
        path: its file; ``None`` where none can be written: then nobody cleans up after a killed command.
        problem: why there is no file.
    """

    path: Path | None
    problem: str = ""

    @classmethod
    def begin(cls, folder: RunFolder, *, site: str, strategy: str) -> Self:
        """Begin the record of a run, and note that it is the newest one."""
        head = Head(
            run=str(folder.path),
            site=site,
            strategy=strategy,
            command=living.process(os.getpid()),
            begun=datetime.now(UTC).isoformat(timespec="seconds"),
        )
        path = state_folder() / "runs" / f"{folder.path.name}-{secrets.token_hex(4)}.jsonl"
        try:
            path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            write_text(path, head.model_dump_json() + "\n", mode=0o600)
            write_text(state_folder() / NEWEST, f"{folder.path}\n", mode=0o600)
        except OSError as error:
            return cls(None, f"{path.parent}: {error.strerror}")
        return cls(path)

    def folder(self, path: Path) -> None:
        """Note a private folder."""
        self._add(Left(folder=str(path)))

    def helper(self, pid: int) -> None:
        """Note a process that serves the run; one that is gone already need not be."""
        with suppress(OSError):
            self._add(Left(helper=living.process(pid)))

    def submitting(self, worker: str, address: tuple[str, ...] = ()) -> None:
        """Note that a job is about to be submitted: a command that is killed now may leave it."""
        self._add(Left(worker=worker, address=address))

    def job(self, worker: str, job: str, address: tuple[str, ...] = ()) -> None:
        """Note a job that was submitted."""
        self._add(Left(worker=worker, job=job, address=address))

    def end(self) -> None:
        """Nothing is left."""
        if self.path is not None:
            self.path.unlink(missing_ok=True)
            self.path = None

    def _add(self, left: Left) -> None:
        if self.path is not None:
            with suppress(OSError), self.path.open("a", encoding="utf-8") as stream:
                stream.write(left.model_dump_json(exclude_defaults=True) + "\n")


@dataclass(frozen=True)
class Known:
    """A record as it was read.

    Attributes:
        path: its file.
        head: whose it is.
        left: what may be left, in the order in which it was noted.
    """

    path: Path
    head: Head
    left: tuple[Left, ...] = field(default=())

    @property
    def here(self) -> bool:
        """Whether it is a matter of this machine."""
        return living.here(self.head.command)

    @property
    def alive(self) -> bool:
        """Whether its command lives, as far as this machine can tell."""
        return not self.here or living.alive(self.head.command)

    @property
    def run(self) -> Path:
        """The run folder."""
        return Path(self.head.run)

    @property
    def jobs(self) -> dict[str, Left]:
        """Jobs by their ids."""
        return {left.job: left for left in self.left if left.job}

    @property
    def helpers(self) -> tuple[Process, ...]:
        """Processes that serve the run."""
        return tuple(left.helper for left in self.left if left.helper)

    @property
    def folders(self) -> tuple[Path, ...]:
        """Private folders."""
        return tuple(Path(left.folder) for left in self.left if left.folder)


def known() -> Iterator[Known]:
    """The records of all runs of this user that go on, or that were killed; oldest first."""
    for path in sorted((state_folder() / "runs").glob("*.jsonl")):
        if (record := read(path)) is not None:
            yield record


def read(path: Path) -> Known | None:
    """A record; a last line that was never finished is left out, and ``None`` where there is none to read."""
    try:
        text = path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    first, *rest = text.splitlines() or [""]
    try:
        head = Head.model_validate_json(first)
    except ValidationError:
        return None
    return Known(path, head, tuple(_lines(rest)))


def of_run(folder: Path) -> Known | None:
    """The record of the run with this folder, if it goes on or was killed."""
    path = folder.resolve()
    return next((record for record in known() if record.run.resolve() == path), None)


def newest() -> Path | None:
    """The folder of the run that began last, if it is still there."""
    try:
        path = Path((state_folder() / NEWEST).read_text(encoding="utf-8").strip())
    except OSError:
        return None
    return path if path.is_absolute() and path.is_dir() else None


def _lines(lines: list[str]) -> Iterator[Left]:
    for line in lines:
        with suppress(ValidationError, json.JSONDecodeError):
            yield Left.model_validate_json(line)
