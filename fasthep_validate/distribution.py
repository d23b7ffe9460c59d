"""The worker processes of pytest-xdist: what they are told, and what they tell.

The controller does not collect. It has to know which checks were planned, and whether one of them needs the
pools open; each worker process writes that into a file.
"""

from __future__ import annotations

import shutil
import time
from pathlib import Path

import pytest

from fasthep_validate.collecting import Selection, is_check, is_live
from fasthep_validate.fixtures import Checks
from fasthep_validate.models.base import Model
from fasthep_validate.models.profile import SiteProfile
from fasthep_validate.store import read_model, write_model

KEY = "fasthep_validate"  # of xdist's workerinput
PATIENCE = 60.0  # seconds for xdist's workers to collect, which they do while pools open


class Told(Model):
    """What a worker process is told.

    Attributes:
        run: the run folder.
        collected: folder for what it has collected.
        live: whether the pools are open.
    """

    run: Path
    collected: Path
    live: bool


class Collected(Model):
    """What a worker process has collected.

    Attributes:
        checks: pytest's ids of the checks.
        live: whether any of them needs the pools open.
    """

    checks: tuple[str, ...]
    live: bool


def register_node(config: pytest.Config) -> None:
    """In a worker process: register fixtures over the run that the controller has named, if it has."""
    workerinput: dict[str, str] = config.workerinput  # type: ignore[attr-defined]
    if KEY not in workerinput:
        return
    told = Told.model_validate_json(workerinput[KEY])
    site = read_model(told.run / "profile.json", SiteProfile)
    workers = site.execution.worker_ids()
    checks = Checks(workers, lambda: told.run, settings=site.checks, live=told.live)
    tell = TellCollected(told.collected / f"{workerinput['workerid']}.json")
    for plugin in (*checks.plugins(), Selection(), tell):
        config.pluginmanager.register(plugin)


class TellCollected:
    """In a worker process: tells the controller what was collected."""

    def __init__(self, file: Path) -> None:
        self._file = file

    @pytest.hookimpl(tryfirst=True)
    def pytest_collection_finish(self, session: pytest.Session) -> None:
        """Write it, before pytest-xdist asks for the first test."""
        checks = [item for item in session.items if is_check(item)]
        collected = Collected(checks=tuple(item.nodeid for item in checks), live=any(map(is_live, checks)))
        write_model(self._file, collected)


class Nodes:
    """In the controller: all worker processes."""

    def __init__(self, run: Path, results: Path, *, live: bool) -> None:
        """Make a folder for what they collect.

        Args:
            run: the run folder.
            results: folder that can be written; :meth:`remove` takes away what is made here.
            live: whether the pools are open.
        """
        self._told = Told(run=run, collected=results / ".collected", live=live)
        self._told.collected.mkdir()
        self._started = 0

    def tell(self) -> dict[str, str]:
        """What is added to a process's ``workerinput``."""
        self._started += 1
        return {KEY: self._told.model_dump_json()}

    def live(self) -> bool:
        """Whether a check needs the pools open, or may: a process that does not answer in time may have one."""
        deadline = time.monotonic() + PATIENCE
        while len(found := self._collected()) < self._started and time.monotonic() < deadline:
            time.sleep(0.05)
        return len(found) < self._started or any(collected.live for collected in found)

    def planned(self) -> set[str]:
        """The ids that pytest has for all checks."""
        return {check for collected in self._collected() for check in collected.checks}

    def remove(self) -> None:
        """Remove the folder."""
        shutil.rmtree(self._told.collected, ignore_errors=True)

    def _collected(self) -> list[Collected]:
        return [read_model(file, Collected) for file in self._told.collected.glob("*.json")]
