"""What goes wrong with a testbed, by the exit code of the command."""

from __future__ import annotations

from typing import ClassVar


class Failure(Exception):
    """A step failed; whatever it had started is gone."""

    exit_code: ClassVar[int] = 1


class Refusal(Failure):
    """The machine or the usage is not such that a testbed can be started; nothing was tried."""

    exit_code = 2
