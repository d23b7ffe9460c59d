"""A site's pools around the tests of a pytest session: ``pytest --fasthep-site`` and ``--fasthep-evidence``.

Under pytest-xdist the controller opens the pools once, around its test loop; the worker processes are told
the run folder and read evidence from it.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from fasthep_validate.campaign import DEFAULT_OUTDIR, Campaign, load_profile
from fasthep_validate.errors import ConfigError, FasthepValidateError, Interrupted
from fasthep_validate.judging import Checks, CloseAfterLive, Record, Selection, is_live
from fasthep_validate.models.execution import ExecutionConfig
from fasthep_validate.models.profile import SiteProfile
from fasthep_validate.profiles import parse_overrides
from fasthep_validate.recorder import Recorder
from fasthep_validate.signals import stoppable
from fasthep_validate.store import RunFolder, read_model, rejudged, write_text

if TYPE_CHECKING:
    from collections.abc import Generator

    from fasthep_validate.models.event import Event
    from fasthep_validate.signals import Stopped

RUN = "fasthep_run"  # key of xdist's workerinput
COLLECTED = ".collected"  # folder where xdist's workers say whether they have live checks
PATIENCE = 60.0  # seconds for xdist's workers to collect


def register(config: pytest.Config) -> None:
    """Register what this process needs: worker of pytest-xdist, stored evidence, or a site to open."""
    plugins = config.pluginmanager
    if hasattr(config, "workerinput"):
        run = Path(config.workerinput[RUN])
        execution = read_model(run / "execution.json", ExecutionConfig)
        plugins.register(Checks(execution.worker_ids(), lambda: run), "fasthep-checks")
        plugins.register(Selection(), "fasthep-selection")
        plugins.register(TellCollected(run, config.workerinput["workerid"]), "fasthep-collected")
        return
    try:
        make = StoredSession if config.option.fasthep_evidence else OpenSession
        session = make(config)
    except FasthepValidateError as error:
        raise pytest.UsageError(str(error)) from error
    plugins.register(session, "fasthep-session")
    plugins.register(session.checks, "fasthep-checks")
    plugins.register(Selection(), "fasthep-selection")
    plugins.register(Record(lambda: session.recorder), "fasthep-record")


class TellCollected:
    """In a worker of pytest-xdist: tells the controller whether there are live checks."""

    def __init__(self, run: Path, worker: str) -> None:
        self._file = run / COLLECTED / worker

    @pytest.hookimpl(trylast=True)
    def pytest_collection_finish(self, session: pytest.Session) -> None:
        """Write ``live`` or nothing."""
        write_text(self._file, "live" if any(map(is_live, session.items)) else "")


class StoredSession:
    """Judges the evidence of a run that is over."""

    def __init__(self, config: pytest.Config) -> None:
        """Read the run folder.

        Raises:
            JudgeError: it is not one.
        """
        self.folder = RunFolder(Path(config.option.fasthep_evidence).absolute())
        self.site = read_model(self.folder.path / "profile.json", SiteProfile)
        execution = read_model(self.folder.path / "execution.json", ExecutionConfig)
        self.checks = Checks(execution.worker_ids(), lambda: self.folder.path)
        self.recorder: Recorder | None = None
        self.error: FasthepValidateError | None = None
        self._config = config

    def pytest_sessionstart(self, session: pytest.Session) -> None:
        """Start a report beside the run's own, which stays."""
        if not session.config.option.collectonly:
            self.recorder = Recorder(self.site, self.folder, rejudged(self.folder))

    def pytest_configure_node(self, node: object) -> None:
        """Tell a worker of pytest-xdist where the run is (hook of pytest-xdist)."""
        node.workerinput[RUN] = str(self.folder.path)  # type: ignore[attr-defined]
        (self.folder.path / COLLECTED).mkdir(exist_ok=True)

    @pytest.hookimpl(trylast=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        """Write the verdict; a session whose tests all passed fails with it."""
        if self.recorder is None:
            return
        report = self.recorder.finish(self.error)
        if report.verdict != "pass" and session.exitstatus in {
            pytest.ExitCode.OK,
            pytest.ExitCode.NO_TESTS_COLLECTED,
        }:
            session.exitstatus = pytest.ExitCode.TESTS_FAILED

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """Print the sentence and where the results are."""
        if self.recorder is not None and self.recorder.report.finished:
            terminalreporter.section("fasthep-validate")
            terminalreporter.line(self.recorder.report.sentence)
            terminalreporter.line(f"Results: {self.recorder.results}")


class OpenSession(StoredSession):
    """Opens the pools of a site around the tests, gathers evidence, and judges it."""

    def __init__(self, config: pytest.Config) -> None:
        """Read the site's profile; nothing is started or written yet.

        Raises:
            ConfigError: the profile or an option is wrong.
        """
        option = config.option
        if hasattr(option, "numprocesses") and option.fasthep_evidence:
            raise ConfigError("--fasthep-site and --fasthep-evidence: name one of them.")
        overrides = parse_overrides(option.fasthep_pool, option.fasthep_set)
        self.site = load_profile(option.fasthep_site, overrides)
        self.checks = Checks(self.site.execution.worker_ids(), lambda: self.folder.path)
        self.recorder = None
        self.error = None
        self.campaign: Campaign | None = None
        self._config = config
        self._nodes = 0

    @pytest.hookimpl(tryfirst=True)
    def pytest_sessionstart(self, session: pytest.Session) -> None:
        """Make the run folder, before pytest-xdist starts its workers."""
        if session.config.option.collectonly:
            return
        outdir = Path(self._config.option.fasthep_outdir or DEFAULT_OUTDIR)
        try:
            self.campaign = Campaign.begin(self.site, outdir=outdir, progress=Lines(session.config))
        except FasthepValidateError as error:
            raise pytest.UsageError(str(error)) from error
        self.folder = self.campaign.folder
        self.recorder = Recorder(self.site, self.folder)

    def pytest_configure_node(self, node: object) -> None:
        """Count the workers of pytest-xdist, and tell each where the run is."""
        super().pytest_configure_node(node)
        self._nodes += 1

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtestloop(self, session: pytest.Session) -> Generator[None, bool, bool]:
        """Open the pools around the loop."""
        if self.campaign is None or (not session.items and not self._nodes):
            return (yield)
        with stoppable() as stopped:
            try:
                self._open(session)
                return (yield)
            except FasthepValidateError as error:
                self.error = error
                raise pytest.UsageError(str(error)) from error
            finally:
                self._note(stopped)
                self.campaign.close()

    def _open(self, session: pytest.Session) -> None:
        assert self.campaign is not None
        self.campaign.open()
        self.campaign.gather()
        self.error = self.campaign.workers_error()
        if self._nodes and not self._live_elsewhere():
            self.campaign.close()
        if not self._nodes:
            closer = CloseAfterLive(self.campaign.close, self.checks)
            session.config.pluginmanager.register(closer, "fasthep-close")

    def _live_elsewhere(self) -> bool:
        """Whether any worker of pytest-xdist has collected a live check; they collect while pools open."""
        folder, deadline = self.folder.path / COLLECTED, time.monotonic() + PATIENCE
        while self._nodes and len(list(folder.iterdir())) < self._nodes and time.monotonic() < deadline:
            time.sleep(0.05)
        return self._nodes > 0 and any(file.read_text() == "live" for file in folder.iterdir())

    def _note(self, stopped: Stopped) -> None:
        if stopped.signum:
            self.error = Interrupted(stopped.signum)


class Lines:
    """Progress as lines of pytest's terminal."""

    def __init__(self, config: pytest.Config) -> None:
        self._reporter = config.pluginmanager.get_plugin("terminalreporter")

    def step(self, text: str) -> None:
        """Write a line."""
        if self._reporter is not None:
            self._reporter.ensure_newline()
            self._reporter.write_line(f"fasthep-validate: {text}")

    def event(self, event: Event) -> None:
        """Write a line where a phase failed or the worker is there."""
        if event.state == "fail" or (event.phase == "registered" and event.state == "end"):
            self.step(f"{event.worker}: {event.phase} {event.detail or event.code}".rstrip())
