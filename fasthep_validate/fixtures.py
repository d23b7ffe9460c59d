"""Checks under pytest: fixtures that read evidence, and outcomes that become results.

* :class:`Checks` runs where tests run (in each worker process of pytest-xdist): fixtures and outcomes.
* :class:`Record` runs where the report is written (never in a worker process of pytest-xdist).
"""

from __future__ import annotations

from contextlib import nullcontext, suppress
from datetime import UTC, datetime
from types import ModuleType
from typing import TYPE_CHECKING

import pytest

from fasthep_validate.causes import CATALOGUE, explain, explain_gpu
from fasthep_validate.collecting import FIXTURES, Bundled, info, is_check, is_live, uses
from fasthep_validate.connection import Connection, connect
from fasthep_validate.models.profile import CheckSettings
from fasthep_validate.models.report import CheckResult
from fasthep_validate.outcomes import Blocked, Finding, finding, not_applicable
from fasthep_validate.report.verdict import apply_settings
from fasthep_validate.signals import held
from fasthep_validate.store import read_model
from fasthep_validate.view import Run

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator, Sequence
    from pathlib import Path

    from _pytest.capture import CaptureManager
    from distributed import Client

    from fasthep_validate.models.report import Cause, CheckInfo
    from fasthep_validate.recorder import Recorder
    from fasthep_validate.view import Worker

RESULT = "fasthep_result"  # attribute of pytest's report, which travels from a worker of pytest-xdist


class Checks:
    """Fixtures over a run folder, and the outcome of every check."""

    def __init__(
        self,
        workers: Sequence[str],
        folder: Callable[[], Path],
        *,
        settings: CheckSettings | None = None,
        live: bool = True,
    ) -> None:
        """Make the fixtures.

        Args:
            workers: planned workers; tests are parametrised over them before any has come.
            folder: gives the run folder, once there is one.
            settings: which failures the profile accepts; pytest is not to fail by these.
            live: whether the pools are open; they are not when stored evidence is judged.
        """
        self._workers = tuple(workers)
        self._folder = folder
        self._settings = settings or CheckSettings()
        self._live = live
        self._run: Run | None = None
        self._client: Client | None = None

    def plugins(self) -> tuple[object, ...]:
        """What pytest has to know for our checks to run."""
        fixtures = _fixtures(self, self._workers)
        return self, fixtures, Bundled({name: getattr(fixtures, name) for name in FIXTURES})

    def evidence(self) -> Run:
        """The run, as it is stored."""
        if self._run is None:
            self._run = Run.load(self._folder())
        return self._run

    def forget(self) -> None:
        """Read the evidence again for the next check: closing the pools has added to it."""
        self._run = None

    def client(self) -> Client:
        """Connect to the open pools.

        Raises:
            NotApplicable: there are none.
            Blocked: no worker came; a task would wait for ever.
            ConfigError: the versions here differ from those of the worker environment.
        """
        if not self._live:
            not_applicable("the pools are not open: stored evidence is judged")
        workers = list(self.evidence().workers.values())
        if not any(worker.evidence.dask for worker in workers):
            raise Blocked(by=workers[0].start_check)
        self._client = connect(read_model(self._folder() / "connection.json", Connection))
        return self._client

    def disconnect(self) -> None:
        """Close the client, if there is one; it does not outlive the pools."""
        client, self._client = self._client, None
        if client is not None:
            with suppress(OSError, TimeoutError):
                client.close(timeout=2)

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_makereport(
        self, item: pytest.Item, call: pytest.CallInfo[None]
    ) -> Generator[None, pytest.TestReport, pytest.TestReport]:
        """Turn the end of a check into a result that travels with pytest's report."""
        report = yield
        ended = call.when == "call" or call.excinfo is not None
        if ended and isinstance(item, pytest.Function) and is_check(item):
            result = self._result(item, call, _finding(call, report))
            vars(report)[RESULT] = result.model_dump_json()
            self._show(report, result)
        return report

    def _result(self, item: pytest.Function, call: pytest.CallInfo[None], found: Finding) -> CheckResult:
        check = info(item)
        worker = str(item.callspec.params["worker"]) if uses(item, "worker") else ""
        cause = self._cause(check, worker, found)
        files = (f"evidence/{worker}.json", f"events/{worker}.jsonl") if worker else ("evidence/submit.json",)
        return CheckResult(
            id=check.id,
            family=check.family,
            worker=worker,
            outcome=found.outcome,
            required=check.required,
            claim=check.claim,
            message=_storable(found.message),
            remedy=(cause.remedy if cause else check.remedy) if found.outcome in {"fail", "warn"} else "",
            seconds=round(call.duration, 4),
            evidence=files,
            blocked_by=found.blocked_by,
            nodeid=item.nodeid,
            cause=cause,
        )

    def _cause(self, check: CheckInfo, worker: str, found: Finding) -> Cause | None:
        """The cause that the check names, or that the worker's evidence has of a start that failed."""
        if found.cause:
            return CATALOGUE[found.cause].shown_by(found.message)
        if found.outcome == "fail" and check.family in ("gpu", "modifiers"):
            return explain_gpu(found.message)
        if found.outcome != "fail" or check.family != "worker_start" or self._run is None or not worker:
            return None
        return explain(self._run.workers[worker].evidence)

    def _show(self, report: pytest.TestReport, result: CheckResult) -> None:
        """A failure that the profile accepts is an expected one to pytest; any other shows its remedy."""
        (seen,) = apply_settings([result], self._settings, today=datetime.now(UTC).date())
        if report.failed and seen.outcome in {"warn", "known"}:
            report.outcome = "skipped"
            report.wasxfail = f"{seen.outcome}: {seen.message}"
        elif report.failed and result.remedy:
            report.sections.append(("What to do", result.remedy))


def _fixtures(checks: Checks, workers: Sequence[str]) -> ModuleType:
    """Our fixtures, as a plugin; a module, for pytest takes a fixture of the session from no instance.

    The planned workers are parameters of the fixture ``worker`` and thereby pytest's own business: a user's
    fixture of this name takes its place without being parametrised, and his
    ``@pytest.mark.parametrize("worker", ...)`` has precedence.
    """

    @pytest.fixture
    def run() -> Run:
        """Evidence of the whole run."""
        return checks.evidence()

    @pytest.fixture(params=workers)
    def worker(request: pytest.FixtureRequest) -> Worker:
        """Evidence of one planned worker, whether it has come or not."""
        return checks.evidence().workers[request.param]

    @pytest.fixture(scope="session")
    def fasthep_client() -> Iterator[Client]:
        """A Dask client on the open pools."""
        yield checks.client()
        checks.disconnect()

    plugin = ModuleType("fasthep_fixtures")
    vars(plugin).update(run=run, worker=worker, fasthep_client=fasthep_client)
    return plugin


def _finding(call: pytest.CallInfo[None], report: pytest.TestReport) -> Finding:
    """What a check found, seen with the eyes of pytest where its author used ``xfail``."""
    found = finding(call.excinfo.value if call.excinfo else None)
    if found.outcome == "fail" and report.skipped:
        return Finding("known", f"{found.message} (expected: {report.wasxfail or 'xfail'})")
    if found.outcome == "pass" and report.failed:
        return Finding("fail", str(report.longrepr))
    if call.when == "teardown":
        return Finding(found.outcome, f"after the check: {found.message}")
    return found


def _storable(text: str) -> str:
    """Text that JSON can hold; a file's name may be bytes that are no text at all."""
    return text.encode(errors="backslashreplace").decode()


class Record:
    """Hands every result to the recorder."""

    def __init__(self, recorder: Callable[[], Recorder | None]) -> None:
        self._recorder = recorder
        self.nodeids: set[str] = set()

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Take the result out of pytest's report, wherever that was made."""
        recorder, text = self._recorder(), vars(report).get(RESULT)
        if text is not None and recorder is not None:
            self.nodeids.add(report.nodeid)
            recorder.add(CheckResult.model_validate_json(text))


class CloseAfterLive:
    """Closes the pools before the first check that does not need them open."""

    def __init__(self, close: Callable[[], None], checks: Checks) -> None:
        self._close = close
        self._checks = checks
        self._closed = False

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> None:
        """Let live checks pass. Closing is not cut short by a signal, and tells its progress."""
        if self._closed or is_live(item):
            return
        self._closed = True
        capture: CaptureManager | None = item.config.pluginmanager.get_plugin("capturemanager")
        with held(), capture.global_and_fixture_disabled() if capture else nullcontext():
            self._checks.disconnect()
            self._close()
        self._checks.forget()
