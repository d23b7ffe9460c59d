"""Looks after nodes that jobs wait for: one that goes out of service is not waited for to the end."""

from __future__ import annotations

import time
from contextlib import suppress
from typing import TYPE_CHECKING

from fasthep_validate.errors import SubmitError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from fasthep_validate.batch.nodes import NodeList
    from fasthep_validate.models.job import JobSpec

INTERVAL = 10.0  # seconds between two lists of nodes
PATIENCE = 20.0  # seconds after which a node that is said to be idle, and starts nothing, is asked itself


class NodeWatch:
    """The nodes that the jobs of a run are pinned to."""

    def __init__(self, nodes: NodeList | None, jobs: Iterable[JobSpec]) -> None:
        """``nodes`` is the batch system's list; without pinned jobs nobody is asked."""
        self._nodes = nodes
        pinned = [job for job in jobs if job.node]
        self._pinned = {job.worker: job.node.name for job in pinned if job.node}
        self._address = (
            pinned[0].address if pinned else ()
        )  # one pool is pinned, so they are all in one place
        self._begun = self._asked = time.monotonic()
        self._heard: set[str] = set()

    @property
    def due(self) -> bool:
        """Whether it is time for another look."""
        return bool(self._pinned) and time.monotonic() - self._asked >= INTERVAL

    def lost(self, waiting: Iterable[str]) -> Mapping[str, str]:
        """Of workers whose jobs wait, those whose node is out of service: worker -> why; empty between looks."""
        pinned = {worker: self._pinned[worker] for worker in waiting if worker in self._pinned}
        now = time.monotonic()
        if self._nodes is None or not pinned or not self.due:
            return {}
        self._asked = now
        with suppress(SubmitError):  # asked again next time
            known = {node.name: node for node in self._nodes.nodes(self._address)}
            why = {name: "the batch system lists it no more" for name in pinned.values() if name not in known}
            why |= {name: node.words for name, node in known.items() if not node.in_service}
            if now - self._begun > PATIENCE:
                idle = {name for name in pinned.values() if name not in why and known[name].state == "idle"}
                asked = sorted(idle - self._heard)
                why |= self._nodes.silent(asked, self._address)
                self._heard |= set(asked) - set(why)
            return {worker: why[name] for worker, name in pinned.items() if name in why}
        return {}
