"""Runs the checks over a run folder, in this process: what the command does with pytest."""

from __future__ import annotations

import os
import shlex
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from fasthep_validate import bundled
from fasthep_validate.collecting import AllAreChecks, Catalogue, Selection
from fasthep_validate.errors import JudgeError
from fasthep_validate.fixtures import Checks, CloseAfterLive, Record
from fasthep_validate.models.execution import ExecutionConfig
from fasthep_validate.store import RunFolder, read_model

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator, Sequence

    from fasthep_validate.models.report import CheckInfo
    from fasthep_validate.recorder import Recorder


class Problems:
    """Keeps what kept checks from being run."""

    def __init__(self) -> None:
        self.texts: list[str] = []
        self.stopped_by: BaseException | None = None

    @pytest.hookimpl(wrapper=True)
    def pytest_load_initial_conftests(self) -> Generator[None, None, None]:
        """Keep the error of a ``conftest.py`` that cannot be imported; pytest is to say nothing of it."""
        try:
            yield
        except Exception as error:
            self.texts.append(str(error))
            raise pytest.UsageError from error

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        """Keep the last line of each failure."""
        if report.failed:
            lines = [line for line in report.longreprtext.splitlines() if line.strip()]
            self.texts.append(
                f"{report.nodeid}: {lines[-1].removeprefix('E').strip() if lines else 'unreadable'}"
            )

    def pytest_keyboard_interrupt(self, excinfo: pytest.ExceptionInfo[BaseException]) -> None:
        """Keep what ended the session before its time: Ctrl-C, or ``pytest.exit()`` in a check."""
        self.stopped_by = excinfo.value

    def complain(self, code: int) -> None:
        """Raise what kept checks from being run.

        Raises:
            JudgeError: checks could not be imported, or pytest ended by another code than one of results.
            KeyboardInterrupt: a signal came.
        """
        if type(self.stopped_by) is KeyboardInterrupt:  # and not pytest's Interrupted, which is one too
            raise KeyboardInterrupt
        if self.texts:
            listed = "\n".join(self.texts)
            raise JudgeError(
                f"checks could not be imported:\n{listed}\nMend them, or leave them out of --add-checks."
            )
        if self.stopped_by is not None:
            raise JudgeError(f"checks: one of them ended the session: {self.stopped_by}. Mend it.")
        if code not in {pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED, pytest.ExitCode.NO_TESTS_COLLECTED}:
            raise JudgeError(f"checks: pytest ended with exit code {code}. Run them with pytest to see why.")


class CollectOnly:
    """Ends a pytest run after collection."""

    def pytest_runtestloop(self) -> bool:
        """Do nothing instead of running tests."""
        return True


def run_pytest(paths: Sequence[Path], *, plugins: Sequence[object]) -> None:
    """Run checks in this process, without the user's pytest configuration, and leave nothing of them behind.

    Modules beside a user's checks can be imported by them, as under plain pytest.

    Raises:
        JudgeError: they could not be run.
        KeyboardInterrupt: a signal came.
    """
    roots = [_import_root(path) for path in paths if path != bundled.checks_dir()]
    options = {
        "-c": "/dev/null",
        "--rootdir": str(bundled.checks_dir().parent),
        "--confcutdir": str(_folder(paths[-1])),
        "--import-mode": "importlib",
        "-W": "ignore",
    }
    arguments = [word for option in options.items() for word in option]
    arguments += ["-o", "python_files=test_*.py", "-o", f"pythonpath={shlex.join(map(str, roots))}"]
    for name in ("no:terminal", "no:cacheprovider", "fasthep_validate.plugin"):
        arguments += ["-p", name]
    problems = Problems()
    with _undisturbed(), _forgotten([*map(_folder, paths)]):
        code = pytest.main(
            ["--disable-plugin-autoload", *arguments, *map(str, paths)],
            plugins=[problems, AllAreChecks(), *plugins],
        )
    problems.complain(int(code))


def _folder(path: Path) -> Path:
    return path if path.is_dir() else path.parent


def _import_root(path: Path) -> Path:
    """The folder that imports start from: the first one upwards that is not a package."""
    folder = _folder(path)
    return _import_root(folder.parent) if (folder / "__init__.py").exists() else folder


@contextmanager
def _undisturbed() -> Iterator[None]:
    """Take away the environment variables that pytest obeys, such as ``PYTEST_ADDOPTS``."""
    taken = {name: os.environ.pop(name) for name in list(os.environ) if name.startswith("PYTEST_")}
    try:
        yield
    finally:
        os.environ.update(taken)


@contextmanager
def _forgotten(folders: Sequence[Path]) -> Iterator[None]:
    """Forget modules that were imported from these folders: others of the same name may come."""
    before = set(sys.modules)
    try:
        yield
    finally:
        for name in set(sys.modules) - before:
            file = getattr(sys.modules[name], "__file__", None)
            if file and any(Path(file).is_relative_to(folder) for folder in folders):
                del sys.modules[name]


def collect_checks(paths: Sequence[Path]) -> dict[str, CheckInfo]:
    """The checks that exist below these paths, by id.

    Raises:
        JudgeError: one of them could not be imported.
    """
    catalogue = Catalogue()
    run_pytest(paths, plugins=[*Checks(["worker"], Path).plugins(), catalogue, CollectOnly()])
    return catalogue.checks


def judge(
    run: RunFolder,
    recorder: Recorder,
    *,
    paths: Sequence[Path],
    patterns: Sequence[str],
    close: Callable[[], None] | None = None,
) -> None:
    """Run the checks over a run folder and record the results.

    Args:
        run: the run folder.
        recorder: takes the results.
        paths: folders or files with checks.
        patterns: ids of checks, with wildcards, or families; all if there are none.
        close: closes the pools; called before the first check that does not need them. ``None`` if they
            are closed: evidence that was stored is judged.

    Raises:
        JudgeError: checks could not be imported or pytest broke.
    """
    execution = read_model(run.path / "execution.json", ExecutionConfig)
    live = close is not None
    checks = Checks(execution.worker_ids(), lambda: run.path, settings=recorder.site.checks, live=live)
    plugins = [*checks.plugins(), Record(lambda: recorder), Selection(patterns)]
    if close is not None:
        plugins.append(CloseAfterLive(close, checks))
    run_pytest(paths, plugins=plugins)
