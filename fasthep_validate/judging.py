"""Checks under pytest: fixtures that read evidence, and outcomes that become results.

* :class:`Checks` runs where tests run (in each worker process of pytest-xdist): fixtures and outcomes.
* :class:`Record` runs where the report is written (never in a worker process of pytest-xdist).
"""

from __future__ import annotations

from contextlib import suppress
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from fasthep_validate.causes import explain
from fasthep_validate.connection import Connection, connect
from fasthep_validate.errors import JudgeError
from fasthep_validate.models.execution import ExecutionConfig
from fasthep_validate.models.report import CheckInfo, CheckResult
from fasthep_validate.outcomes import check_id, describe, finding
from fasthep_validate.store import RunFolder, read_model
from fasthep_validate.view import Run, Worker

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator, Sequence

    from distributed import Client

    from fasthep_validate.models.report import Cause
    from fasthep_validate.recorder import Recorder

PROPERTY = "fasthep_check"
FIXTURES = {"worker", "run", "fasthep_client"}
LIVE = "fasthep_client"


def is_check(item: pytest.Item) -> bool:
    """Whether a test judges a site: it uses one of our fixtures."""
    return bool(FIXTURES & set(getattr(item, "fixturenames", ())))


def is_live(item: pytest.Item) -> bool:
    """Whether a check needs the pools to be open."""
    return LIVE in getattr(item, "fixturenames", ())


def info(item: pytest.Function) -> CheckInfo:
    """What is known of a check before it runs."""
    marker = item.get_closest_marker("fasthep")
    claim, remedy = describe(item.function)
    identity = check_id(item.function)
    return CheckInfo(
        id=identity,
        family=identity.partition(".")[0],
        claim=claim,
        remedy=remedy,
        file=item.path.name,
        required=bool(marker.kwargs.get("required", True)) if marker else True,
    )


class Checks:
    """Fixtures over a run folder, and the outcome of every check."""

    def __init__(self, workers: Sequence[str], folder: Callable[[], Path]) -> None:
        """Make the fixtures.

        Args:
            workers: planned workers; tests are parametrised over them before any has come.
            folder: gives the run folder, once there is one.
        """
        self._workers = tuple(workers)
        self._folder = folder
        self._run: Run | None = None

    def pytest_generate_tests(self, metafunc: pytest.Metafunc) -> None:
        """A check of a worker is a check of every planned one, whether it has come or not."""
        if "worker" in metafunc.fixturenames:
            metafunc.parametrize("worker", self._workers, indirect=True)

    @pytest.fixture
    def worker(self, run: Run, request: pytest.FixtureRequest) -> Worker:
        """Evidence of one planned worker."""
        return run.workers[request.param]

    @pytest.fixture
    def run(self) -> Run:
        """Evidence of the whole run."""
        if self._run is None:
            self._run = Run.load(self._folder())
        return self._run

    def forget(self) -> None:
        """Read the evidence again for the next check: closing the pools has added to it."""
        self._run = None

    @pytest.fixture(scope="session")
    def fasthep_client(self) -> Iterator[Client]:
        """A Dask client on the open pools.

        It is left to end with the pools: they are closed before this fixture would be.
        """
        path = self._folder() / "connection.json"
        if not path.exists():
            pytest.skip("the pools are not open: stored evidence is judged")
        client = connect(read_model(path, Connection))
        yield client
        with suppress(OSError, TimeoutError):
            client.close(timeout=2)

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(
        self, item: pytest.Item, call: pytest.CallInfo[None]
    ) -> Generator[None, pytest.TestReport, pytest.TestReport]:
        """Turn the end of a check into a result that travels with pytest's report."""
        report = yield
        ended = call.when == "call" or (call.when == "setup" and call.excinfo is not None)
        if ended and isinstance(item, pytest.Function) and is_check(item):
            result = self._result(item, call)
            report.user_properties.append((PROPERTY, result.model_dump_json()))
        return report

    def _result(self, item: pytest.Function, call: pytest.CallInfo[None]) -> CheckResult:
        check = info(item)
        found = finding(call.excinfo.value if call.excinfo else None)
        worker = str(item.callspec.params.get("worker", "")) if hasattr(item, "callspec") else ""
        failed = found.outcome == "fail"
        cause = self._cause(worker) if failed and check.family == "worker_start" else None
        return CheckResult(
            id=check.id,
            family=check.family,
            worker=worker,
            outcome=found.outcome if check.required or not failed else "warn",
            required=check.required,
            claim=check.claim,
            message=found.message,
            remedy=(cause.remedy if cause else check.remedy) if found.outcome in {"fail", "warn"} else "",
            seconds=round(call.duration, 4),
            evidence=(f"evidence/{worker}.json", f"events/{worker}.jsonl")
            if worker
            else ("evidence/submit.json",),
            blocked_by=found.blocked_by,
            nodeid=item.nodeid,
            cause=cause,
        )

    def _cause(self, worker: str) -> Cause | None:
        return explain(self._run.workers[worker].evidence) if self._run and worker else None


class Selection:
    """Keeps the checks whose id fits a pattern, and puts live ones first: the pools close after them."""

    def __init__(self, patterns: Sequence[str] = ()) -> None:
        self.patterns = patterns

    @pytest.hookimpl(trylast=True)
    def pytest_collection_modifyitems(self, config: pytest.Config, items: list[pytest.Item]) -> None:
        """Deselect and sort."""
        kept = [item for item in items if not self.patterns or self._fits(item)]
        config.hook.pytest_deselected(items=[item for item in items if item not in kept])
        items[:] = sorted(kept, key=lambda item: not is_live(item))

    def _fits(self, item: pytest.Item) -> bool:
        return isinstance(item, pytest.Function) and fits(check_id(item.function), self.patterns)


def fits(identity: str, patterns: Sequence[str]) -> bool:
    """Whether an id is meant by one of the patterns: its family, itself, or with wildcards."""
    return any(fnmatchcase(identity, pattern) or identity.startswith(f"{pattern}.") for pattern in patterns)


class Record:
    """Hands every result to the recorder."""

    def __init__(self, recorder: Callable[[], Recorder | None]) -> None:
        self._recorder = recorder

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Take the result out of pytest's report, wherever that was made."""
        recorder = self._recorder()
        for name, value in report.user_properties:
            if name == PROPERTY and report.when in {"setup", "call"} and recorder is not None:
                recorder.add(CheckResult.model_validate_json(str(value)))


class Catalogue:
    """Notes which checks were collected."""

    def __init__(self) -> None:
        self.checks: dict[str, CheckInfo] = {}

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        """Take them."""
        for item in session.items:
            if isinstance(item, pytest.Function) and is_check(item):
                check = info(item)
                self.checks[check.id] = check


def run_pytest(paths: Sequence[Path], *, plugins: Sequence[object]) -> int:
    """Run checks in this process, undisturbed by the pytest configuration of the current folder.

    Returns:
        pytest's exit code.
    """
    options = ["-p", "no:terminal", "-p", "no:cacheprovider", "-p", "fasthep_validate.plugin"]
    options += [
        "-c",
        "/dev/null",
        "--rootdir",
        str(paths[0]),
        "--import-mode=importlib",
        "-o",
        "python_files=test_*.py",
    ]
    options += ["--disable-plugin-autoload", "-W", "ignore"]
    return int(pytest.main([*options, *map(str, paths)], plugins=list(plugins)))


def collect_checks(paths: Sequence[Path]) -> dict[str, CheckInfo]:
    """The checks that exist below these paths, by id.

    Raises:
        JudgeError: one of them could not be imported.
    """
    catalogue, problems = Catalogue(), Problems()
    checks = Checks(["worker"], Path)
    run_pytest(paths, plugins=[catalogue, problems, checks, CollectOnly()])
    problems.complain()
    return catalogue.checks


class CollectOnly:
    """Ends a pytest run after collection."""

    def pytest_runtestloop(self) -> bool:
        """Do nothing instead of running tests."""
        return True


class Problems:
    """Keeps what went wrong while checks were imported."""

    def __init__(self) -> None:
        self.texts: list[str] = []

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        """Keep the last line of each failure."""
        if report.failed:
            lines = [line for line in report.longreprtext.splitlines() if line.strip()]
            self.texts.append(
                f"{report.nodeid}: {lines[-1].removeprefix('E').strip() if lines else 'unreadable'}"
            )

    def complain(self) -> None:
        """Raise :class:`JudgeError` if there was any."""
        if self.texts:
            listed = "\n".join(self.texts)
            raise JudgeError(
                f"checks could not be imported:\n{listed}\nMend them, or leave them out of --add-checks."
            )


def judge(
    run: RunFolder,
    recorder: Recorder,
    *,
    paths: Sequence[Path],
    patterns: Sequence[str],
    close: Callable[[], None],
) -> None:
    """Run the checks over a run folder and record the results.

    Args:
        run: the run folder.
        recorder: takes the results.
        paths: folders or files with checks.
        patterns: ids of checks, with wildcards, or families; all if there are none.
        close: closes the pools; called before the first check that does not need them.

    Raises:
        JudgeError: checks could not be imported or pytest broke.
    """
    execution = read_model(run.path / "execution.json", ExecutionConfig)
    problems, checks = Problems(), Checks(execution.worker_ids(), lambda: run.path)
    closer = CloseAfterLive(close, checks)
    plugins = [checks, Record(lambda: recorder), Selection(patterns), closer, problems]
    code = run_pytest(paths, plugins=plugins)
    problems.complain()
    if code not in {pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED, pytest.ExitCode.NO_TESTS_COLLECTED}:
        if code == pytest.ExitCode.INTERRUPTED:
            raise KeyboardInterrupt
        raise JudgeError(f"checks: pytest ended with exit code {code}. Run 'pytest {paths[0]}' to see why.")


class CloseAfterLive:
    """Closes the pools before the first check that does not need them open."""

    def __init__(self, close: Callable[[], None], checks: Checks) -> None:
        self._close = close
        self._checks = checks
        self._closed = False

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> None:
        """Let live checks pass."""
        if self._closed or is_live(item):
            return
        self._closed = True
        self._close()
        self._checks.forget()
