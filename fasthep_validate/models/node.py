"""A node of a batch system, as the batch system lists it."""

from __future__ import annotations

from typing import Literal

from fasthep_validate.models.base import Model

NodeState = Literal["idle", "busy", "drained", "down", "unknown"]
IN_SERVICE = frozenset({"idle", "busy"})


class BatchNode(Model):
    """A node.

    Attributes:
        name: as the batch system calls it; a job is pinned to it by this name.
        state: ``idle``; ``busy`` (jobs run, or it is set aside for some); ``drained`` (no job starts on it
            any more), ``down``, or ``unknown`` to the batch system.
        reason: the batch system's own words, where it has any.
        partitions: partitions it is in; none where the batch system has no such thing.
    """

    name: str
    state: NodeState
    reason: str = ""
    partitions: tuple[str, ...] = ()

    @property
    def in_service(self) -> bool:
        """Whether jobs can start on it, sooner or later."""
        return self.state in IN_SERVICE

    @property
    def words(self) -> str:
        """Its state with the reason, such as ``drained: disk errors``."""
        return f"{self.state}: {self.reason}" if self.reason else self.state
