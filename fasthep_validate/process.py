"""The only place that starts programs on the submit host."""

from __future__ import annotations

import os
import signal
import subprocess
from dataclasses import dataclass
from typing import TYPE_CHECKING

from fasthep_validate.scrubbing import without_secrets

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

TIMED_OUT = 124
NOT_FOUND = 127


@dataclass(frozen=True)
class Completed:
    """A program that ended.

    Attributes:
        returncode: its exit code; 124 when it ran out of time, 126 or 127 when it could not be started.
        stdout: what it wrote, as UTF-8.
        stderr: what it wrote there, or the words for why it could not be run.
    """

    returncode: int
    stdout: str
    stderr: str

    @property
    def ok(self) -> bool:
        """Whether it ended with exit code 0."""
        return self.returncode == 0


def run(
    argv: Sequence[str | Path],
    *,
    timeout: float,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    input: str | None = None,
) -> Completed:
    """Run a program to its end and never raise for what it does.

    Args:
        argv: program and arguments; no shell reads them.
        timeout: seconds after which it and its children are killed.
        env: its whole environment; ``None`` passes ours on, without variables that hold a secret.
        cwd: directory to run it in.
        input: text for its standard input; nothing else is ever connected to it.
    """
    try:
        child = subprocess.Popen(
            [os.fspath(word) for word in argv],
            stdin=subprocess.DEVNULL if input is None else subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=without_secrets(os.environ) if env is None else dict(env),
            cwd=cwd,
            start_new_session=True,
        )
    except OSError as error:
        code = NOT_FOUND if isinstance(error, FileNotFoundError) else 126
        return Completed(code, "", f"{argv[0]}: {error.strerror}")
    try:
        out, err = child.communicate(None if input is None else input.encode(), timeout=timeout)
    except subprocess.TimeoutExpired:
        kill_group(child)
        out, err = child.communicate()
        words = f"{argv[0]}: no answer within {timeout:g} s"
        return Completed(TIMED_OUT, _text(out), f"{_text(err)}{words}")
    except BaseException:
        kill_group(child)
        child.communicate()
        raise
    return Completed(child.returncode, _text(out), _text(err))


def spawn(
    argv: Sequence[str | Path],
    *,
    env: Mapping[str, str],
    cwd: Path,
    stdin: int,
    stdout: int,
    stderr: int,
) -> subprocess.Popen[bytes]:
    """Start a program in a session of its own and return at once.

    A session of its own keeps Ctrl-C on the terminal from reaching it: who started it ends it.

    Args:
        argv: program and arguments.
        env: its whole environment.
        cwd: directory to run it in.
        stdin: file descriptor, ``subprocess.PIPE`` or ``subprocess.DEVNULL``; likewise the others.
        stdout: see ``stdin``.
        stderr: see ``stdin``.

    Raises:
        OSError: it cannot be started.
    """
    return subprocess.Popen(
        [os.fspath(word) for word in argv],
        stdin=stdin,
        stdout=stdout,
        stderr=stderr,
        env=dict(env),
        cwd=cwd,
        start_new_session=True,
    )


def kill_group(child: subprocess.Popen[bytes], signum: int = signal.SIGKILL) -> None:
    """Send a signal to the session of a child that :func:`run` or :func:`spawn` started."""
    try:
        os.killpg(child.pid, signum)
    except ProcessLookupError:
        return


def _text(data: bytes) -> str:
    return data.decode("utf-8", errors="replace")
