"""``process.run`` with real programs."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from fasthep_validate import process
from tests.processes import ends

CHILD_OF_A_CHILD = "sleep 60 & echo $!; wait"


def test_output_and_code() -> None:
    done = process.run(["sh", "-c", "echo out; echo err >&2; exit 3"], timeout=10)
    assert done == process.Completed(3, "out\n", "err\n")
    assert not done.ok


def test_input() -> None:
    assert process.run(["cat"], timeout=10, input="ä\n").stdout == "ä\n"


def test_without_input_there_is_none() -> None:
    assert process.run(["cat"], timeout=10).stdout == ""


def test_environment_is_the_whole_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LEAKS", "yes")
    assert process.run(["/usr/bin/env"], timeout=10, env={"A": "1"}).stdout == "A=1\n"
    assert "LEAKS=yes" in process.run(["/usr/bin/env"], timeout=10).stdout


def test_folder(tmp_path: Path) -> None:
    assert process.run(["pwd", "-P"], timeout=10, cwd=tmp_path).stdout.strip() == str(tmp_path.resolve())


def test_output_that_is_not_utf8() -> None:
    assert process.run(["printf", r"\377"], timeout=10).stdout == "\N{REPLACEMENT CHARACTER}"


def test_no_shell_reads_the_arguments() -> None:
    assert process.run(["echo", "$HOME; `id`"], timeout=10).stdout == "$HOME; `id`\n"


def test_missing_program() -> None:
    done = process.run(["no-such-program"], timeout=10)
    assert (done.returncode, done.stderr) == (127, "no-such-program: No such file or directory")


def test_program_that_cannot_be_executed(tmp_path: Path) -> None:
    program = tmp_path / "program"
    program.touch(mode=0o600)
    assert process.run([program], timeout=10).returncode == 126


def test_ended_by_a_signal() -> None:
    assert process.run(["sh", "-c", "kill -9 $$"], timeout=10).returncode == -9


def test_time_out_kills_children_of_children_too() -> None:
    started = time.monotonic()
    done = process.run(["sh", "-c", CHILD_OF_A_CHILD], timeout=0.2)
    assert time.monotonic() - started < 5
    assert done.returncode == 124
    assert done.stderr == "sh: no answer within 0.2 s"
    assert ends(int(done.stdout))


def test_interrupted_run_leaves_nothing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Ctrl-C while a program runs: it and its children are killed."""
    noted = tmp_path / "pid"

    def interrupted(child: subprocess.Popen[bytes], *_: object, **__: object) -> tuple[bytes, bytes]:
        while not noted.exists() or not noted.read_text():
            time.sleep(0.01)
        monkeypatch.undo()
        raise KeyboardInterrupt

    # A real Ctrl-C would hit pytest itself, and at any moment.
    monkeypatch.setattr(subprocess.Popen, "communicate", interrupted)
    with pytest.raises(KeyboardInterrupt):
        process.run(["sh", "-c", f"sleep 60 & echo $! >'{noted}'; wait"], timeout=10)
    assert ends(int(noted.read_text()))


def test_spawn_leads_a_session_of_its_own(tmp_path: Path) -> None:
    none = subprocess.DEVNULL
    child = process.spawn(["sleep", "60"], env=os.environ, cwd=tmp_path, stdin=none, stdout=none, stderr=none)
    try:
        assert os.getsid(child.pid) == child.pid
    finally:
        process.kill_group(child)
    assert child.wait(5) == -9
    process.kill_group(child)  # of nobody: no error


def test_python_is_found_by_path() -> None:
    assert process.run([Path(sys.executable), "-c", "print(1)"], timeout=10).stdout == "1\n"
