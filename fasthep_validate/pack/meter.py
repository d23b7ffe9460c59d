"""Tells how far a long piece of work is: bytes done, bytes in all, and how long it may still take."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

EVERY = 1.0  # seconds between two lines


class Meter:
    """Counts bytes, and says a line every second.

    Args:
        what: is being done, such as ``packing``.
        total: bytes in all, as far as it is known.
        say: gets the lines.
        clock: seconds that only go forward.
    """

    def __init__(
        self,
        what: str,
        total: int,
        say: Callable[[str], None],
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.what, self.total, self.say, self.clock = what, total, say, clock
        self.done = 0
        self._started = self._said = clock()

    def add(self, count: int) -> None:
        """Count bytes that have been dealt with."""
        self.done += count
        now = self.clock()
        if now - self._said < EVERY:
            return
        self._said = now
        left = max(self.total - self.done, 0) * (now - self._started) / max(self.done, 1)
        self.say(f"{self.what}: {self.done / 1e6:.0f} of {self.total / 1e6:.0f} MB, about {left:.0f} s left")
