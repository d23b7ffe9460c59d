"""What is up, as the supervisor writes it and everybody else reads it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import Field, ValidationError

from fasthep_validate.models.base import Model
from tests.testbed.plan import Plan

if TYPE_CHECKING:
    from tests.testbed.places import Places


class Process(Model):
    """A process that cannot be mistaken for a later one of the same number.

    Attributes:
        pid: its number in the host's namespace.
        started: clock ticks from boot to its start.
    """

    pid: int
    started: int

    @classmethod
    def of(cls, pid: int) -> Process:
        """The process that now has this number.

        Raises:
            OSError: there is none.
        """
        return cls(pid=pid, started=int(_fields(pid)[19]))  # field 22 of proc_pid_stat(5)

    @property
    def alive(self) -> bool:
        """Whether it is still there; a zombie is not."""
        try:
            fields = _fields(self.pid)
        except OSError:
            return False
        return int(fields[19]) == self.started and fields[0] not in "ZX"


def _fields(pid: int) -> list[str]:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()


def child(pid: int) -> int | None:
    """The first child of a process."""
    for directory in Path("/proc").glob("[0-9]*"):
        try:
            if int(_fields(int(directory.name))[1]) == pid:
                return int(directory.name)
        except OSError:
            continue
    return None


class State(Model):
    """A testbed that is up, or on its way.

    Attributes:
        plan: what it consists of.
        supervisor: who holds it; it ends with this process.
        hub: first process of the namespaces that the nodes share.
        nodes: first process of each node that has been started, by its name.
        ready: whether all batch systems have been ready.
    """

    plan: Plan
    supervisor: Process
    hub: Process | None = None
    nodes: Mapping[str, Process] = Field(default_factory=dict)
    ready: bool = False


def write(places: Places, state: State) -> None:
    """Store it; a reader sees the old one or the new one, never half of it."""
    new = places.state.with_suffix(".new")
    new.write_text(state.to_json())
    new.replace(places.state)


def read(places: Places) -> State | None:
    """What is stored; ``None`` where there is nothing, or nothing that can be read."""
    try:
        return State.model_validate_json(places.state.read_text())
    except (OSError, ValidationError):
        return None
