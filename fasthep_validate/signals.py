"""Ctrl-C and SIGTERM end a run in order: pools closed, report written, nothing left."""

from __future__ import annotations

import signal
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import FrameType


@dataclass
class Stopped:
    """Which signal came, if one did.

    Attributes:
        signum: its number, 0 for none.
    """

    signum: int = 0


@contextmanager
def stoppable() -> Iterator[Stopped]:
    """Turn the first SIGINT or SIGTERM into ``KeyboardInterrupt``; those after it are not heard.

    A second Ctrl-C must not cut the cleaning short that the first one started.
    """
    stopped = Stopped()

    def stop(signum: int, _frame: FrameType | None) -> None:
        if not stopped.signum:
            stopped.signum = signum
            raise KeyboardInterrupt

    before = {signum: signal.signal(signum, stop) for signum in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield stopped
    finally:
        for signum, handler in before.items():
            signal.signal(signum, handler)
