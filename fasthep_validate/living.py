"""Which process is which, and whether it is alive; see proc(5)."""

from __future__ import annotations

import socket
from pathlib import Path

from fasthep_validate.models.record import Process

PROC = Path("/proc")
ZOMBIE = "Z"


def process(pid: int) -> Process:
    """A process of this machine.

    Raises:
        OSError: there is no such process.
    """
    return Process(host=socket.gethostname(), boot=_boot(), space=_space(), pid=pid, started=_stat(pid)[1])


def here(known: Process) -> bool:
    """Whether a process was started on this machine, so that it can be told whether it is alive."""
    return known.host == socket.gethostname() and (known.boot != _boot() or known.space == _space())


def alive(known: Process) -> bool:
    """Whether a process of this machine (see :func:`here`) is alive; none outlives a boot."""
    if known.boot != _boot():
        return False
    try:
        state, started = _stat(known.pid)
    except OSError:
        return False
    return started == known.started and state != ZOMBIE


def _stat(pid: int) -> tuple[str, int]:
    """State and start time: fields 3 and 22; the second field is a name that may hold anything."""
    fields = (PROC / str(pid) / "stat").read_text(errors="replace").rpartition(")")[2].split()
    return fields[0], int(fields[19])


def _boot() -> str:
    return (PROC / "sys/kernel/random/boot_id").read_text().strip()


def _space() -> int:
    return (PROC / "self/ns/pid").stat().st_ino
