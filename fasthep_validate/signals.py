"""Ctrl-C, SIGTERM and a lost terminal end a run in order: pools closed, report written, nothing left."""

from __future__ import annotations

import signal
import threading
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import FrameType

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@dataclass
class Stopped:
    """Which signal came, if one did.

    Attributes:
        signum: its number, 0 for none.
    """

    signum: int = 0


@contextmanager
def stoppable() -> Iterator[Stopped]:
    """Turn the first SIGINT, SIGTERM or SIGHUP into ``KeyboardInterrupt``; those after it are not heard.

    A second Ctrl-C must not cut the cleaning short that the first one started. Outside the main thread
    Python hears no signals, and nothing changes.
    """
    stopped = Stopped()

    def stop(signum: int, _frame: FrameType | None) -> None:
        if not stopped.signum:
            stopped.signum = signum
            raise KeyboardInterrupt

    with _handler(stop):
        yield stopped


@contextmanager
def held() -> Iterator[None]:
    """Hold these signals back until the end of the block, where the first one acts.

    For what must not be left half done, such as closing pools.
    """
    came: list[int] = []

    def hold(signum: int, _frame: FrameType | None) -> None:
        came.append(signum)

    try:
        with _handler(hold):
            yield
    finally:
        if came:
            signal.raise_signal(came[0])


@contextmanager
def _handler(handle: Callable[[int, FrameType | None], None]) -> Iterator[None]:
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    heard = [signum for signum in SIGNALS if not _is_nohup(signum)]
    before = {signum: signal.signal(signum, handle) for signum in heard}
    try:
        yield
    finally:
        for signum, handler in before.items():
            signal.signal(signum, handler)


def _is_nohup(signum: int) -> bool:
    """Whether the user wants the run to outlive the terminal."""
    return signum == signal.SIGHUP and signal.getsignal(signum) == signal.SIG_IGN
