"""The command as a user runs it: in a process of its own, in a folder of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from fasthep_validate.models.report import Report

if TYPE_CHECKING:
    from collections.abc import Iterator

FAST = """\
site: fast
execution:
  pools: {default: {resources: {cpus: 1, memory: 1 GB}, workers: 2}}
  environment: {type: shared-prefix, prefix: current}
  modifiers: [fasthep.trace]
timeouts: {worker_start: 60, worker_shutdown: 20, death: 20}
"""


@dataclass(frozen=True)
class Done:
    """A command that ended."""

    code: int
    out: str
    err: str

    @property
    def everything(self) -> str:
        return f"exit code {self.code}\n{self.out}\n{self.err}"


@dataclass
class User:
    """Somebody at a terminal: a folder, a private temporary folder, an environment."""

    home: Path
    cache: Path
    env: dict[str, str] = field(default_factory=dict)
    children: list[subprocess.Popen[str]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.tmp = self.home / "tmp"
        self.tmp.mkdir()

    def start(self, *args: str | Path) -> subprocess.Popen[str]:
        """Start the command; its output goes to files, for a pipe that nobody reads would stop it."""
        with (self.home / "out.txt").open("w") as out, (self.home / "err.txt").open("w") as err:
            child = subprocess.Popen(
                [sys.executable, "-m", "fasthep_validate", *map(str, args)],
                cwd=self.home,
                env=self.environment(),
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=err,
                text=True,
            )
        self.children.append(child)
        return child

    def run(self, *args: str | Path, timeout: float = 120) -> Done:
        child = self.start(*args)
        child.wait(timeout)
        return self.done(child)

    def done(self, child: subprocess.Popen[str]) -> Done:
        return Done(child.returncode, (self.home / "out.txt").read_text(), self.err())

    def err(self) -> str:
        return (self.home / "err.txt").read_text()

    def environment(self) -> dict[str, str]:
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("PYTEST", "COV"))}
        own = {"TMPDIR": str(self.tmp), "XDG_CACHE_HOME": str(self.cache), "NO_COLOR": "1"}
        own["XDG_STATE_HOME"] = str(self.home / "state")
        return {**kept, **own, **self.env}

    def site(self, text: str = FAST, name: str = "fast") -> Path:
        path = self.home / f"{name}.yaml"
        path.write_text(text)
        return path

    def run_folder(self, site: str = "fast") -> Path:
        return (self.home / "fasthep-validate-results" / site / "latest").resolve()

    def report(self, site: str = "fast") -> Report:
        path = self.run_folder(site) / "debug" / "distributed" / "results" / "report.json"
        return Report.model_validate(json.loads(path.read_text()))

    def wait_for(self, text: str, *, timeout: float = 60) -> None:
        """Wait until the command has said something on standard error."""
        deadline = time.monotonic() + timeout
        while text not in self.err():
            ended = self.children[-1].poll() is not None
            assert not ended, f"ended without saying {text!r}:\n{self.err()}"
            assert time.monotonic() < deadline, f"never said {text!r}:\n{self.err()}"
            time.sleep(0.02)

    def left(self) -> list[str]:
        """What is left of runs: processes that name our temporary folder, or anything in it."""
        told = (arguments(process) for process in Path("/proc").glob("[0-9]*/cmdline"))
        processes = [
            words.replace(b"\0", b" ").decode(errors="replace")
            for words in told
            if str(self.tmp).encode() in words
        ]
        return processes + [str(path) for path in self.tmp.iterdir()]


def arguments(path: Path) -> bytes:
    """Of a process that may have ended in the meantime."""
    try:
        return path.read_bytes()
    except OSError:
        return b""


@pytest.fixture(scope="session")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One cache for all tests: the environment is packed once, also under pytest-xdist."""
    base = tmp_path_factory.getbasetemp()
    shared = base.parent if os.environ.get("PYTEST_XDIST_WORKER") else base
    path = shared / "cache"
    path.mkdir(exist_ok=True)
    return path


@pytest.fixture
def user(tmp_path: Path, cache: Path) -> Iterator[User]:
    """A user; after the test nothing of the user's runs may be left."""
    home = tmp_path / "a user's folder"
    home.mkdir()
    somebody = User(home, cache)
    yield somebody
    for child in somebody.children:
        child.kill()
        child.wait()
    deadline = time.monotonic() + 5
    while somebody.left() and time.monotonic() < deadline:
        time.sleep(0.1)
    assert somebody.left() == []
