"""Runs the job script, with a shell script for the packed Python."""

from __future__ import annotations

import hashlib
import subprocess
import tarfile
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from fasthep_validate.bundled import worker_file
from fasthep_validate.models.event import Event
from tests.trees import tree

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

SCRIPT = worker_file("bootstrap.sh")
# Stands in for the packed Python: the four ways in which the script calls it.
PYTHON = """#!/bin/sh
case $*: in
    *relocate.py*) echo "$4" >relocated; exit "$(cat relocate.code 2>/dev/null || echo 0)" ;;
    probe.py*) env >probe.env; echo "a word from the probe" >&2; cat probe.answer >"$3"; exit "$(cat probe.code)" ;;
    launch.py*) exec sh ./worker.sh ;;
esac
"""


@dataclass
class Job:
    """A job's directory and how to run the script in it."""

    directory: Path
    shell: list[str]
    params: dict[str, str]
    env: dict[str, str] = field(default_factory=lambda: {"PATH": "/usr/local/bin:/usr/bin:/bin"})

    def start(self, script: Path = SCRIPT) -> subprocess.Popen[str]:
        lines = [f"{key}={value}\n" for key, value in self.params.items()]
        (self.directory / "job.params").write_text("".join(lines))
        return subprocess.Popen(
            [*self.shell, str(script), str(self.directory / "job.params")],
            cwd="/",
            env=self.env,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def run(self) -> Ended:
        return self.end(self.start())

    def end(self, process: subprocess.Popen[str]) -> Ended:
        out, err = process.communicate(timeout=60)
        prefix = "FHV-EVENT "
        printed = [line[len(prefix) :] for line in err.splitlines() if line.startswith(prefix)]
        file = self.directory / "events.jsonl"
        if file.exists():  # both sinks tell the same
            assert file.read_text().splitlines() == printed
        events = [Event.model_validate_json(line) for line in printed]
        return Ended(process.returncode, out, err, events)

    def archive(self, python: str = PYTHON, files: Mapping[str, str] | None = None) -> Path:
        """Pack an environment of one program (and some files) and write down what was packed."""
        folder = self.directory.with_name("tree")
        (folder / "bin").mkdir(parents=True, exist_ok=True)
        (folder / "bin" / "python").write_text(python)
        (folder / "bin" / "python").chmod(0o755)
        tree(folder, {name: text.encode() for name, text in (files or {}).items()})
        archive = self.directory / "env.tar.gz"
        with tarfile.open(archive, "w:gz") as packed:
            packed.add(folder, ".")
        data = archive.read_bytes()
        self.params.update(sha256=hashlib.sha256(data).hexdigest(), archive_size=str(len(data)))
        return archive

    def code(self, texts: Mapping[str, str]) -> None:
        """Pack a code layer and write down what was packed."""
        layer = tree(self.directory.with_name("layer"), {name: text.encode() for name, text in texts.items()})
        archive = self.directory / "code.tar.gz"
        with tarfile.open(archive, "w:gz") as packed:
            packed.add(layer, ".")
        data = archive.read_bytes()
        self.params.update(
            code=archive.name, code_sha256=hashlib.sha256(data).hexdigest(), code_size=str(len(data))
        )


@dataclass
class Ended:
    code: int
    out: str
    err: str
    events: list[Event]

    def steps(self) -> list[str]:
        return [f"{event.phase} {event.state}" for event in self.events]

    def failure(self) -> Event:
        """The one event that tells of a failed phase, before the last one."""
        found = [event for event in self.events[:-1] if event.state == "fail"]
        assert len(found) == 1, self.events
        assert self.events[-1].phase == "exited"
        return found[0]
