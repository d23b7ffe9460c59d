"""A site's pools around the tests of a pytest session: ``pytest --fasthep-site`` and ``--fasthep-evidence``.

Under pytest-xdist the controller opens the pools once, around its test loop; the worker processes are told
the run folder and read evidence from it.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from fasthep_validate.campaign import DEFAULT_OUTDIR, Campaign, load_profile
from fasthep_validate.collecting import Selection, is_check
from fasthep_validate.distribution import Nodes, register_node
from fasthep_validate.errors import ConfigError, FasthepValidateError, Interrupted, JudgeError, Problem
from fasthep_validate.fixtures import Checks, CloseAfterLive, Record
from fasthep_validate.models.profile import SiteProfile
from fasthep_validate.profiles import parse_overrides
from fasthep_validate.recorder import Recorder
from fasthep_validate.signals import Stopped, held, stoppable
from fasthep_validate.store import RunFolder, read_model, rejudged
from fasthep_validate.view import Run

if TYPE_CHECKING:
    from collections.abc import Generator

    from fasthep_validate.models.event import Event

HOW = "Add '--pyargs fasthep_validate.checks', or tests with the fixture 'worker'"


def register(config: pytest.Config) -> None:
    """Register what this process needs: worker of pytest-xdist, stored evidence, or a site to open.

    Raises:
        pytest.UsageError: the options, the profile or the run folder are wrong.
    """
    plugins = config.pluginmanager
    if hasattr(config, "workerinput"):
        register_node(config)
        return
    try:
        session = _session(config)
    except FasthepValidateError as error:
        raise pytest.UsageError(str(error)) from error
    for plugin in (*session.checks.plugins(), Selection(), session.record):
        plugins.register(plugin)
    plugins.register(session, "fasthep-session")


def _session(config: pytest.Config) -> Session:
    option = config.option
    with_site = {
        "--fasthep-outdir": option.fasthep_outdir,
        "--fasthep-pool": option.fasthep_pool,
        "--fasthep-set": option.fasthep_set,
    }
    if option.fasthep_site and option.fasthep_evidence:
        what = f"named together with --fasthep-evidence {option.fasthep_evidence}"
        raise ConfigError(Problem(f"--fasthep-site {option.fasthep_site}", what, "Name one of them."))
    if option.fasthep_site:
        return OpenSession(config)
    lost = [name for name, value in with_site.items() if value]
    if lost:
        raise ConfigError(Problem(", ".join(lost), "no site is opened", "Name one with --fasthep-site."))
    return StoredSession(config)


class Session(ABC):
    """What is common to all: results are recorded, and pytest fails where the verdict is no pass."""

    site: SiteProfile

    def __init__(self, config: pytest.Config, site: SiteProfile, *, live: bool) -> None:
        self.site = site
        self.checks = Checks(
            site.execution.worker_ids(), lambda: self.folder.path, settings=site.checks, live=live
        )
        self.record = Record(lambda: self.recorder)
        self.recorder: Recorder | None = None
        self.error: FasthepValidateError | None = None
        self._config = config
        self._live = live
        self._planned: set[str] = set()
        self._nodes: Nodes | None = None
        self._stopped = Stopped()

    @property
    @abstractmethod
    def folder(self) -> RunFolder:
        """The run folder."""

    @abstractmethod
    def begin(self) -> Recorder:
        """Make what has to be there before the first check runs, and start the report.

        Raises:
            ConfigError: the results cannot be written.
        """

    @pytest.hookimpl(tryfirst=True)
    def pytest_sessionstart(self) -> None:
        """Begin before pytest-xdist starts its workers, who have to be told the run folder."""
        if self._config.pluginmanager.has_plugin("dsession"):
            recorder = self._begin()
            self._nodes = Nodes(self.folder.path, recorder.results, live=self._live)
            self._config.add_cleanup(self._nodes.remove)

    @pytest.hookimpl(optionalhook=True)
    def pytest_configure_node(self, node: object) -> None:
        """Tell a worker of pytest-xdist where the run is (hook of pytest-xdist)."""
        if self._nodes is not None:
            node.workerinput.update(self._nodes.tell())  # type: ignore[attr-defined]

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtestloop(self, session: pytest.Session) -> Generator[None, bool, bool]:
        """Open what is to be opened around the loop, unless nothing would be judged."""
        option = session.config.option
        broken = session.testsfailed and not option.continue_on_collection_errors
        if option.collectonly or option.setupplan or broken:
            return (yield)
        if self._nodes is None and not any(map(is_check, session.items)):
            self.error = JudgeError(f"{self.site.site}: no check was collected, nothing was opened. {HOW}.")
            return (yield)
        stack = ExitStack()
        self._config.add_cleanup(stack.close)
        self._stopped = stack.enter_context(stoppable())
        try:
            self._open(session)
            return (yield)
        except FasthepValidateError as error:
            self.error = error
            raise session.Failed(str(error)) from error
        finally:
            with held():
                self.close()

    def _begin(self) -> Recorder:
        try:
            self.recorder = self.begin()
        except FasthepValidateError as error:
            raise pytest.UsageError(str(error)) from error
        return self.recorder

    def _open(self, session: pytest.Session) -> None:
        self._planned = {item.nodeid for item in session.items if is_check(item)}
        if self._nodes is None:
            self._begin()
        self.open(session)

    @abstractmethod
    def open(self, session: pytest.Session) -> None:
        """Open the pools, where there are any."""

    @abstractmethod
    def close(self) -> None:
        """Close them; called however the tests end."""

    @pytest.hookimpl(trylast=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        """Write the verdict; a session whose tests all passed fails with it."""
        good = self.error is None
        if self.recorder is not None:
            with held():
                good = self._finish(self.recorder)
        if not good and session.exitstatus == pytest.ExitCode.OK:
            session.exitstatus = pytest.ExitCode.TESTS_FAILED

    def _finish(self, recorder: Recorder) -> bool:
        """A run that lost checks on the way (``-x``, a worker of pytest-xdist that died) has not passed."""
        if self._stopped.signum:
            self.error = Interrupted(self._stopped.signum)
        report = recorder.finish(self.error)
        planned = self._planned | (self._nodes.planned() if self._nodes else set())
        lost = sorted(planned - self.record.nodeids)
        if report.verdict == "pass" and lost:
            what = f"{len(lost)} of {len(planned)} checks have no result, first {lost[0]}"
            self.error = JudgeError(f"{self.site.site}: {what}. See above why pytest did not run them.")
            report = recorder.finish(self.error)
        return report.verdict == "pass"

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """Print the sentence, the error and where the results are."""
        if self.recorder is None and self.error is None:
            return
        terminalreporter.section("fasthep-validate")
        if self.error is not None and not isinstance(self.error, Interrupted):
            terminalreporter.line(str(self.error), red=True)
        if self.recorder is not None and self.recorder.report.finished:
            good = self.recorder.report.verdict == "pass"
            terminalreporter.line(self.recorder.report.sentence, green=good, red=not good)
            terminalreporter.line(f"Results: {self.recorder.results}")


class StoredSession(Session):
    """Judges the evidence of a run that is over."""

    def __init__(self, config: pytest.Config) -> None:
        """Read the run folder.

        Raises:
            JudgeError: it is not one, or its evidence is damaged.
        """
        self._folder = RunFolder(Path(config.option.fasthep_evidence).absolute())
        Run.load(self._folder.path)
        super().__init__(config, read_model(self._folder.path / "profile.json", SiteProfile), live=False)

    def __str__(self) -> str:
        return f"evidence of {self.site.site} in {self._folder.path}"

    @property
    def folder(self) -> RunFolder:
        """The folder of the old run."""
        return self._folder

    def begin(self) -> Recorder:
        """Start a report beside the run's own, which stays."""
        return Recorder(self.site, self._folder, rejudged(self._folder))

    def open(self, session: pytest.Session) -> None:
        """Nothing: all is stored."""

    def close(self) -> None:
        """Nothing: all is stored."""


class OpenSession(Session):
    """Opens the pools of a site around the tests, gathers evidence, and judges it."""

    def __init__(self, config: pytest.Config) -> None:
        """Read the site's profile; nothing is started or written yet.

        Raises:
            ConfigError: the profile or an option is wrong.
        """
        overrides = parse_overrides(config.option.fasthep_pool, config.option.fasthep_set)
        super().__init__(config, load_profile(config.option.fasthep_site, overrides), live=True)
        self._campaign: Campaign | None = None

    def __str__(self) -> str:
        return f"site {self.site.site}, planned: {', '.join(self.site.execution.worker_ids())}"

    @property
    def campaign(self) -> Campaign:
        """The run, once it has begun."""
        assert self._campaign is not None
        return self._campaign

    @property
    def folder(self) -> RunFolder:
        """The folder of the new run."""
        return self.campaign.folder

    def begin(self) -> Recorder:
        """Make the run folder."""
        outdir = Path(self._config.option.fasthep_outdir or DEFAULT_OUTDIR)
        self._campaign = Campaign.begin(self.site, outdir=outdir, progress=Lines(self._config))
        return Recorder(self.site, self._campaign.folder)

    def open(self, session: pytest.Session) -> None:
        """Open the pools and gather; they close before the first check if no check needs them open.

        That no worker comes does not end the run: the checks tell why.
        """
        self.campaign.open()
        self.campaign.gather()
        self.error = self.campaign.workers_error()
        if self._nodes is None:
            closer = CloseAfterLive(self.campaign.close, self.checks)
            session.config.pluginmanager.register(closer, "fasthep-close")
        elif not self._nodes.live():
            with held():
                self.campaign.close()

    def close(self) -> None:
        """Close the pools if they are still open."""
        if self._campaign is not None:
            self.checks.disconnect()
            self._campaign.close()


class Lines:
    """Progress as lines of pytest's terminal; none with ``-q``."""

    def __init__(self, config: pytest.Config) -> None:
        quiet = config.option.verbose < 0
        self._reporter = None if quiet else config.pluginmanager.get_plugin("terminalreporter")

    def step(self, text: str) -> None:
        """Write a line."""
        if self._reporter is not None:
            self._reporter.ensure_newline()
            self._reporter.write_line(f"fasthep-validate: {text}")

    def event(self, event: Event) -> None:
        """Write a line where a phase failed or the worker is there."""
        if event.state == "fail" or (event.phase == "registered" and event.state == "end"):
            self.step(f"{event.worker}: {event.phase} {event.detail or event.code}".rstrip())
