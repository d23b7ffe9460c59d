"""A folder of a user who runs pytest with our plugin, in processes of its own."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from fasthep_validate import process
from fasthep_validate.models.report import Report
from fasthep_validate.testing import good_run

if TYPE_CHECKING:
    import signal
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from fasthep_validate.models.evidence import WorkerEvidence
    from fasthep_validate.models.profile import SiteProfile

CHECKS = ("--pyargs", "fasthep_validate.checks")
# An environment that is used in place: nothing to pack, nothing to extract.
TINY = """\
site: tiny
execution:
  backend: dask
  strategy: local
  pools: {default: {resources: {cpus: 1, memory: 1 GB}, workers: 2}}
  environment: {type: shared-prefix, prefix: current}
  staging: {mode: shared}
network: {scheduler: {host: 127.0.0.1, port: 0}}
timeouts: {worker_start: 60 s, worker_shutdown: 10 s, probe: 20 s}
checks: {min_free_scratch: 1 MB}
"""


@dataclass(frozen=True)
class Ended:
    """A command that is over."""

    code: int
    text: str


@dataclass(frozen=True)
class User:
    """Somebody with a folder, and a folder for temporary files to see what is left there."""

    home: Path
    tmp: Path
    children: list[subprocess.Popen[str]] = field(default_factory=list)

    @property
    def env(self) -> dict[str, str]:
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("PYTEST_", "COV"))}
        return {**kept, "HOME": str(self.home), "TMPDIR": str(self.tmp), "COLUMNS": "200"}

    def stored(self, *workers: WorkerEvidence, site: SiteProfile | None = None) -> Path:
        """A stored run, good unless evidence is given that is not."""
        run = self.home / "run"
        run.mkdir()
        good_run(run, workers=workers, site=site)
        return run

    def write(self, name: str, text: str) -> Path:
        path = self.home / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        return path

    def profile(self, *changes: tuple[str, str]) -> Path:
        text = TINY
        for old, new in changes:
            assert old in text
            text = text.replace(old, new)
        return self.write("tiny.yaml", text)

    def start(self, *words: str | Path) -> subprocess.Popen[str]:
        """Start a module with the Python of the tests, in a process group of its own."""
        child = subprocess.Popen(
            [sys.executable, "-m", *map(str, words)],
            cwd=self.home,
            env=self.env,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        self.children.append(child)
        return child

    def run(self, *words: str | Path) -> Ended:
        return end(self.start(*words))

    def pytest(self, *words: str | Path) -> Ended:
        return self.run("pytest", "-p", "no:cacheprovider", *words)

    def judge(self, run: Path, *words: str | Path) -> Ended:
        """Judge stored evidence with the plugin."""
        return self.pytest("--fasthep-evidence", run, *words)

    def cli(self, *words: str | Path) -> Ended:
        return self.run("fasthep_validate", *words)

    def reports(self) -> list[Report]:
        """All reports, the oldest first."""
        files = sorted(self.home.rglob("report.json"), key=lambda file: file.stat().st_mtime_ns)
        return [Report.model_validate_json(file.read_bytes()) for file in files if "latest" not in file.parts]

    def report(self) -> Report:
        return self.reports()[-1]

    def left(self) -> list[str]:
        """Processes and files of pools that should be gone."""
        wait_for(lambda: not self._processes(), seconds=5, must=False)
        return [*self._processes(), *map(str, self.tmp.glob("fasthep-validate-*"))]

    def _processes(self) -> list[str]:
        return [words for words in command_lines() if str(self.tmp) in words]


def end(child: subprocess.Popen[str]) -> Ended:
    text, _ = child.communicate(timeout=120)
    return Ended(child.returncode, text)


def interrupt(child: subprocess.Popen[str], signum: signal.Signals, *, group: bool = False) -> Ended:
    """Send a signal to the process alone, or to its group as a terminal does, and wait for the end."""
    (os.killpg if group else os.kill)(child.pid, signum)
    return end(child)


def wait_for(there: Callable[[], bool], *, seconds: float = 60.0, must: bool = True) -> None:
    deadline = time.monotonic() + seconds
    while not there() and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not must or there()


def command_lines() -> Iterable[str]:
    for file in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            yield file.read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:  # it has ended
            continue


def outcomes(report: Report) -> Sequence[tuple[str, str, str]]:
    """What two reports of the same evidence have in common."""
    return sorted((check.id, check.worker, check.outcome) for check in report.checks)


@pytest.fixture
def user(tmp_path: Path) -> Iterator[User]:
    for name in ("home", "tmp"):
        (tmp_path / name).mkdir()
    user = User(tmp_path / "home", tmp_path / "tmp")
    yield user
    for child in user.children:
        if child.poll() is None:
            process.kill_group(child)  # type: ignore[arg-type]
            child.communicate()
