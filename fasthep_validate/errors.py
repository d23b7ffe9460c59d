"""The errors of the package: one class for each exit code of the command.

::

    FasthepValidateError        6  internal error
    ├── ConfigError             2  configuration or usage
    ├── PackError               3  the environment cannot be packed
    ├── SubmitError             4  the batch system refused a job
    ├── NoWorkersError          5  no worker came
    ├── JudgeError              6  nothing could be judged
    ├── Unfinished              7  the run goes on
    └── Interrupted           130  Ctrl-C (143: SIGTERM)

A message reads ``<where>: <what is wrong, with the value>. <what to do>.``
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar


class FasthepValidateError(Exception):
    """Base of all errors; raised itself only where the package broke its own rules."""

    exit_code: ClassVar[int] = 6


@dataclass(frozen=True)
class Problem:
    """One mistake in a configuration: where it is, what is wrong, what to do.

    Attributes:
        where: ``file:line`` where known, else the option or key, such as ``--pool``.
        what: what is wrong, with the value.
        hint: what to do; empty when nothing better than ``what`` can be said.
    """

    where: str
    what: str
    hint: str = ""

    def __str__(self) -> str:
        text = f"{self.where}: {self.what}"
        return f"{text.rstrip('.')}. {self.hint}" if self.hint else text


class ConfigError(FasthepValidateError):
    """Configuration or usage is wrong; carries every mistake that was found, not just the first."""

    exit_code = 2

    def __init__(self, *problems: Problem | str) -> None:
        self.problems = problems
        super().__init__("\n".join(str(problem) for problem in problems))


class PackError(FasthepValidateError):
    """The worker environment cannot be packed, or cannot travel."""

    exit_code = 3


class SubmitError(FasthepValidateError):
    """A job could not be submitted, or the scheduler could not be started."""

    exit_code = 4


class NoWorkersError(FasthepValidateError):
    """No worker of any pool registered with the scheduler."""

    exit_code = 5


class JudgeError(FasthepValidateError):
    """No check ran, or the evidence could not be read."""

    exit_code = 6


class Unfinished(FasthepValidateError):
    """The run that was asked for goes on; what is known so far was shown."""

    exit_code = 7


class Interrupted(FasthepValidateError):
    """The run was stopped by a signal; ``signum`` is its number."""

    exit_code = 130

    def __init__(self, signum: int) -> None:
        self.signum = signum
        super().__init__(f"interrupted by signal {signum}")

    @property
    def code(self) -> int:
        """Exit code of the command: 128 plus the signal's number (SIGHUP 129, SIGINT 130, SIGTERM 143)."""
        return 128 + self.signum
