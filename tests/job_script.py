"""Runs the job script, with a shell script for the packed Python."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
import tarfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from fasthep_validate.bundled import worker_file
from fasthep_validate.models.event import Event
from fasthep_validate.models.packed import Relocation
from fasthep_validate.pack.archive import Writer
from fasthep_validate.pack.search import Search
from fasthep_validate.pack.tree import Entry
from tests.trees import tree

if TYPE_CHECKING:
    from collections.abc import Mapping

SCRIPT = worker_file("bootstrap.sh")
# Stands in for the packed Python: the ways in which the script calls it. What extracts runs with the real one.
PYTHON = f"""#!/bin/sh
case $*: in
    *extract.py* | *node_cache.py*) echo "$3" >>extractions; exec {sys.executable} "$@" ;;
    *relocate.py*) echo "$4" >relocated; exit "$(cat relocate.code 2>/dev/null || echo 0)" ;;
    probe.py*) env >probe.env; echo "a word from the probe" >&2; cat probe.answer >"$3"; exit "$(cat probe.code)" ;;
    launch.py*) until [ -e "$3" ]; do sleep 0.02; done; exec sh ./worker.sh ;;
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

    def archive_in_parts(self, python: str = PYTHON) -> Path:
        """Pack an environment in parts: the program in the head, then ballast and a file with the old prefix."""
        manifest = {
            "relocations": [{"old": "/old/prefix", "new": ""}],
            "text_files": ["etc/where"],
            "binary_files": [],
            "placeholder": 0,
            "prefix": "",
            "base_prefix": "",
        }
        folder = tree(
            self.directory.with_name("parts"),
            {
                "bin/python": python.encode(),
                "etc/where": b"at /old/prefix/etc\n",
                "lib/ballast": os.urandom(100_000) * 60,
                ".fasthep/manifest.json": json.dumps(manifest).encode(),
            },
        )
        files = [path for path in sorted(folder.rglob("*")) if path.is_file()]
        entries = [
            Entry(
                str(path.relative_to(folder)),
                str(path),
                path.stat().st_size,
                0,
                executable=path.name == "python",
            )
            for path in files
        ]
        with Writer(
            self.directory / "env.tar.gz", "tar.gz", Search([Relocation(old="/old/prefix", new="")])
        ) as writer:
            writer.add_head(entry for entry in entries if entry.executable)
            writer.add(entry for entry in entries if not entry.executable)
            packed = writer.finish()
        assert packed.parts
        self.params.update({key: str(value) for key, value in packed.parts.model_dump().items()})
        self.params.update(sha256=packed.sha256, archive_size=str(packed.size), tree_size="6000000")
        for name in ("extract.py", "relocate.py", "node_cache.py"):
            shutil.copy(worker_file(name), self.directory)
        return Path(packed.path)

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
