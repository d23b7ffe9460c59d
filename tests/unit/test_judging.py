"""Checks in this process, as the command runs them: undisturbed by the user's pytest, and leaving nothing."""

from __future__ import annotations

import logging
import os
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from fasthep_validate import bundled
from fasthep_validate.collecting import fits
from fasthep_validate.errors import JudgeError
from fasthep_validate.judging import collect_checks, judge
from fasthep_validate.recorder import Recorder
from fasthep_validate.store import RunFolder, rejudged
from fasthep_validate.testing import good_run, good_site

if TYPE_CHECKING:
    from collections.abc import Callable

    from fasthep_validate.models.report import Report


@pytest.fixture
def run(tmp_path: Path) -> RunFolder:
    folder = tmp_path / "run"
    folder.mkdir()
    good_run(folder)
    return RunFolder(folder)


def judged(
    run: RunFolder,
    *paths: Path,
    patterns: tuple[str, ...] = (),
    close: Callable[[], None] | None = None,
) -> Report:
    recorder = Recorder(good_site(), run, rejudged(run))
    judge(run, recorder, paths=[bundled.checks_dir(), *paths], patterns=patterns, close=close)
    return recorder.finish()


def written(folder: Path, text: str, name: str = "test_mine.py") -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text(text)
    return folder


def test_good_evidence_passes(run: RunFolder) -> None:
    report = judged(run)
    assert (report.verdict, set(report.counts)) == ("pass", {"pass", "n/a"})
    assert report.counts["pass"] > 90
    assert report.checks[0].evidence == ("evidence/default-0.json", "events/default-0.jsonl")
    assert report.checks[0].nodeid == "checks/test_connectivity.py::test_registered[default-0]"


@pytest.mark.parametrize(
    ("patterns", "number"),
    [
        (("environment",), 24),
        (("environment.archive-intact",), 2),
        (("*.archive-*", "logs"), 10),
        (("environ",), 0),
    ],
)
def test_patterns_select(run: RunFolder, patterns: tuple[str, ...], number: int) -> None:
    assert len(judged(run, patterns=patterns).checks) == number


def test_a_pattern_means_an_id_a_family_or_what_its_wildcards_say() -> None:
    assert fits("logs.out", ["logs"])
    assert fits("logs.out", ["no", "logs.out"])
    assert fits("mine/logs.out", ["mine/*"])
    assert not fits("mine/logs.out", ["logs"])
    assert not fits("logs.out", [])


def test_nothing_is_left_in_this_process(run: RunFolder, tmp_path: Path) -> None:
    mine = written(tmp_path / "mine", "import helper\ndef test_a(): assert helper.VALUE == 1\n")
    written(mine, "VALUE = 1\n", "helper.py")
    other = written(tmp_path / "other", "import helper\ndef test_a(): assert helper.VALUE == 2\n")
    written(other, "VALUE = 2\n", "helper.py")
    before = state()
    for folder in (mine, other):
        collect_checks([bundled.checks_dir(), folder])
        report = judged(run, folder, patterns=("mine",))
        assert report.counts == {"pass": 1}
        assert state() == before
    assert not {"helper", "test_mine"} & set(sys.modules)


def state() -> list[object]:
    """What a test session could change for whoever comes after it."""
    signals = [signal.getsignal(signum) for signum in (signal.SIGINT, signal.SIGTERM)]
    ours = [name for name in sys.modules if name.startswith("fasthep_validate.checks.")]
    variables = {name: value for name, value in os.environ.items() if name != "PYTEST_CURRENT_TEST"}
    root = logging.getLogger()
    streams = (sys.stdin, sys.stdout, sys.stderr)
    return [
        signals, ours, variables, list(sys.path), list(sys.meta_path), root.handlers[:], root.level, streams, Path.cwd(),
    ]  # fmt: skip


@pytest.mark.parametrize("package", [True, False])
def test_checks_of_a_package_import_each_other(run: RunFolder, tmp_path: Path, package: bool) -> None:
    mine = written(
        tmp_path / "mine", f"from {'.' if package else ''}helper import VALUE\ndef test_a(): assert VALUE\n"
    )
    written(mine, "VALUE = 1\n", "helper.py")
    if package:
        written(mine, "", "__init__.py")
    assert judged(run, mine, patterns=("mine",)).counts == {"pass": 1}


def test_the_users_pytest_does_not_disturb(
    run: RunFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither its environment, nor its configuration, nor a conftest.py above the checks."""
    project = tmp_path / "project"
    mine = written(project / "my_checks", "def test_a(worker, extra): assert extra == 1\n")
    written(mine, "import pytest\n@pytest.fixture\ndef extra(): return 1\n", "conftest.py")
    written(project, "raise RuntimeError('not to be loaded')\n", "conftest.py")
    written(project, "[pytest]\naddopts = --nosuch\nrequired_plugins = nosuch\n", "pytest.ini")
    monkeypatch.chdir(project)
    monkeypatch.setenv("PYTEST_ADDOPTS", "--nosuch -k nothing")
    monkeypatch.setenv("PYTEST_PLUGINS", "nosuch")
    monkeypatch.setenv("PYTHONWARNINGS", "error")
    assert judged(run, mine, patterns=("mine",)).counts == {"pass": 2}
    assert os.environ["PYTEST_PLUGINS"] == "nosuch"


def test_one_file_can_be_named(run: RunFolder, tmp_path: Path) -> None:
    mine = written(tmp_path / "mine", "def test_a(run): assert run.site.site == 'example'\n")
    written(mine, "import nosuchmodule\n", "test_other.py")
    assert judged(run, mine / "test_mine.py", patterns=("mine",)).counts == {"pass": 1}


def test_what_checks_are(tmp_path: Path) -> None:
    mine = written(
        tmp_path / "mine",
        'def test_a_b(run):\n    """Holds.\n\n    Remedy: mend it."""\ndef test_c(): pass\n',
    )
    found = collect_checks([bundled.checks_dir(), mine])
    assert found["mine.a-b"].claim == "Holds."
    assert found["mine.a-b"].remedy == "mend it."
    assert found["mine.a-b"].file == str(mine / "test_mine.py")
    assert found["mine.c"].required
    assert found["logs.out-came-back"].file == "test_logs.py"
    assert {"environment.archive-intact", "worker_start.started"} < found.keys()


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("test_mine.py", "import nosuchmodule\n", "No module named 'nosuchmodule'"),
        ("test_mine.py", "def test_a(:\n", "SyntaxError: invalid syntax"),
        ("conftest.py", "import nosuchmodule\n", "No module named 'nosuchmodule'"),
    ],
)
def test_files_that_cannot_be_imported(
    run: RunFolder, tmp_path: Path, capfd: pytest.CaptureFixture[str], name: str, text: str, words: str
) -> None:
    mine = written(tmp_path / "mine", text, name)
    with pytest.raises(JudgeError, match="checks could not be imported") as caught:
        judged(run, mine)
    assert words in str(caught.value)
    assert name in str(caught.value)
    assert capfd.readouterr() == ("", "")


def test_a_check_that_ends_the_session(run: RunFolder, tmp_path: Path) -> None:
    mine = written(tmp_path / "mine", "import pytest\ndef test_a(run): pytest.exit('had enough')\n")
    with pytest.raises(JudgeError, match="one of them ended the session: had enough"):
        judged(run, mine)


def test_ctrl_c_goes_through(run: RunFolder, tmp_path: Path) -> None:
    mine = written(tmp_path / "mine", "def test_a(run): raise KeyboardInterrupt\n")
    with pytest.raises(KeyboardInterrupt):
        judged(run, mine)


def test_a_message_that_is_no_text(run: RunFolder, tmp_path: Path) -> None:
    mine = written(tmp_path / "mine", "import os\ndef test_a(run): assert 0, os.fsdecode(b'/tmp/\\xff\\0')\n")
    (result,) = judged(run, mine, patterns=("mine",)).checks
    assert result.message == "/tmp/\\udcff\0"


def test_pools_close_once_before_the_first_check_that_is_not_live(run: RunFolder, tmp_path: Path) -> None:
    mine = written(tmp_path / "mine", "def test_a(fasthep_client): pass\n")
    closed: list[str] = []
    report = judged(run, mine, close=lambda: closed.append("closed"))
    assert closed == ["closed"]
    assert report.checks[0].id == "mine.a"
    assert "connection.json" in report.checks[0].message
