"""Whether processes that a test has heard of are still there."""

from __future__ import annotations

import time
from pathlib import Path

PATIENCE = 10.0  # seconds: the kernel ends a process that was killed when it next has time for it


def runs(pid: int) -> bool:
    """Whether a process runs; a zombie that nobody reaps, as in a container, does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


def ends(pid: int) -> bool:
    """Whether a process is gone, now or within a moment."""
    deadline = time.monotonic() + PATIENCE
    while runs(pid) and time.monotonic() < deadline:
        time.sleep(0.01)
    return not runs(pid)
