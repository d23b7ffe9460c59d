"""The run folder: where everything of a run is written, and how it is read again."""

from __future__ import annotations

import os
import tempfile
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TypeVar

from pydantic import ValidationError

from fasthep_validate.errors import ConfigError, JudgeError, Problem
from fasthep_validate.models.base import Model

M = TypeVar("M", bound=Model)


@dataclass(frozen=True)
class RunFolder:
    """The layout of one run below ``path``.

    ::

        profile.json  execution.json  pack.json     what was asked for
        jobs/<worker>/                              what was submitted
        events/<worker>.jsonl                       phases of each worker's start
        evidence/<worker>.json, submit.json         what was seen
        debug/distributed/{logs,out,err}/<worker>   logs of the workers
        debug/distributed/results/                  the verdict
    """

    path: Path

    @property
    def debug(self) -> Path:
        """``debug/distributed``, where FAST-HEP looks for logs of workers."""
        return self.path / "debug" / "distributed"

    @property
    def results(self) -> Path:
        """``debug/distributed/results``: the report in all its forms."""
        return self.debug / "results"

    @property
    def jobs(self) -> Path:
        """``jobs``: one folder a worker with what was submitted."""
        return self.path / "jobs"

    @property
    def events(self) -> Path:
        """``events``: one file of JSON lines a worker."""
        return self.path / "events"

    @property
    def evidence(self) -> Path:
        """``evidence``: one JSON file a worker and one for the submit host."""
        return self.path / "evidence"

    def log(self, kind: str, worker: str) -> Path:
        """A worker's ``out``, ``err`` or ``log`` file."""
        folder = {"log": "logs"}.get(kind, kind)
        return self.debug / folder / f"{worker}.{kind}"

    def create(self) -> None:
        """Make all folders."""
        for folder in (self.results, self.jobs, self.events, self.evidence):
            folder.mkdir(parents=True, exist_ok=True)
        for kind in ("logs", "out", "err"):
            (self.debug / kind).mkdir(exist_ok=True)


def new_run(outdir: Path, site: str) -> RunFolder:
    """Make ``<outdir>/<site>/<UTC time>`` and let ``latest`` point at it.

    It is the owner's alone (mode 0700). Two runs within the same second get folders of their own (``...Z-2``).

    Raises:
        ConfigError: the folder cannot be written.
    """
    stamp = datetime.now(UTC).strftime("%Y-%m-%dT%H%M%SZ")
    parent = outdir.expanduser().absolute() / site
    try:
        _make_outdir(parent)
        folder = RunFolder(_claim(parent, stamp))
        folder.create()
        _point_latest(parent, folder.path.name)
    except OSError as error:
        what = f"results cannot be written to {parent}: {error.strerror}"
        hint = "Name a folder that you can write to with --outdir."
        raise ConfigError(Problem("--outdir", what, hint)) from error
    return folder


def rejudged(folder: RunFolder) -> Path:
    """A folder of its own for a run that is judged again: the run's first verdict stays."""
    parent = folder.results / "rejudged"
    try:
        parent.mkdir(exist_ok=True)
        return _claim(parent, datetime.now(UTC).strftime("%Y-%m-%dT%H%M%SZ"))
    except OSError as error:
        raise JudgeError(
            f"{parent}: cannot be written: {error.strerror}. Copy the run to a folder of yours."
        ) from error


def _claim(parent: Path, stamp: str) -> Path:
    for attempt in range(1, 1000):
        path = parent / (stamp if attempt == 1 else f"{stamp}-{attempt}")
        with suppress(FileExistsError):
            path.mkdir(mode=0o700)
            return path
    raise FileExistsError(0, "a thousand runs within one second", str(parent))


def _make_outdir(parent: Path) -> None:
    """Results in a git checkout are not for git, nor for the pack of an editable install there."""
    fresh = not parent.parent.exists()
    parent.mkdir(parents=True, exist_ok=True)
    if fresh:
        (parent.parent / ".gitignore").write_text("*\n")


def _point_latest(parent: Path, name: str) -> None:
    """Replace the link in one step: two runs at once must not find it missing."""
    link = parent / f".latest-{name}"
    link.unlink(missing_ok=True)
    link.symlink_to(name)
    try:
        link.replace(parent / "latest")
    except IsADirectoryError:
        link.unlink()


def write_text(path: Path, text: str, *, mode: int = 0o644) -> None:
    """Write a file in one step: a reader sees the old text or the new one, never a part.

    Args:
        path: the file.
        text: its new content.
        mode: permissions, less what the umask takes away.
    """
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as stream:
            stream.write(text)
        Path(name).chmod(mode & ~_umask())
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def _umask() -> int:
    """The umask; the kernel tells it without a moment in which it is another."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("Umask:"):
            return int(line.split()[1], 8)
    return 0o077


def write_model(path: Path, model: Model) -> None:
    """Store a model as JSON, in one step."""
    write_text(path, model.to_json())


def read_model(path: Path, model: type[M]) -> M:
    """Read a model back.

    Raises:
        JudgeError: the file is missing, broken, or of another version.
    """
    try:
        text = path.read_bytes()
    except OSError as error:
        what = f"{path}: evidence cannot be read: {error.strerror}."
        raise JudgeError(f"{what} Name a folder of a run, such as <outdir>/<site>/latest.") from error
    try:
        return model.model_validate_json(text)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"]) or "the file"
        what = f"{path}: not valid evidence: {place}: {first['msg']} ({error.error_count()} in all)."
        hint = "It is damaged or was written by another version; run the site again."
        raise JudgeError(f"{what} {hint}") from error
