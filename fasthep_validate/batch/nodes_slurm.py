"""Nodes of a Slurm cluster, as ``sinfo`` lists them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fasthep_validate.batch.command import ask
from fasthep_validate.errors import SubmitError
from fasthep_validate.models.node import BatchNode

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from fasthep_validate.models.node import NodeState

PATIENCE = 60.0  # seconds for one command of Slurm's
# States of sinfo(1), long form, without their flags; what is not here is busy with something.
STATES: Mapping[str, NodeState] = {
    "idle": "idle",
    "planned": "idle",
    "down": "down",
    "fail": "down",
    "failing": "down",
    "error": "down",
    "inval": "down",
    "unknown": "down",
    "future": "down",
    "maint": "drained",
    "drained": "drained",
    "draining": "drained",
    "drain": "drained",
}
NOT_RESPONDING = "*"
FLAGS = "*~#!%$@^-+"
NO_REASON = {"none", "(null)", ""}


class SlurmNodes:
    """The nodes of the cluster that the command line tools of this submit host talk to."""

    def nodes(self, address: Sequence[str] = ()) -> tuple[BatchNode, ...]:
        """Every node once, with all its partitions."""
        argv = ["sinfo", *address, "--Node", "--all", "--noheader", "--format=%N|%T|%R|%E"]
        done = ask(argv, timeout=PATIENCE)
        if not done.ok:
            raise SubmitError(f"sinfo: the nodes could not be asked for: {' '.join(done.stderr.split())}.")
        found: dict[str, BatchNode] = {}
        for line in done.stdout.splitlines():
            if "|" not in line:  # the name of the cluster, where one was given
                continue
            name, state, partition, reason = line.split("|", 3)
            before = found[name].partitions if name in found else ()
            found[name] = _node(name, state, reason, (*before, partition))
        return tuple(found.values())

    def pinned(self, directives: Mapping[str, str], node: str) -> dict[str, str]:
        """``--nodelist`` with this node alone."""
        short = {"-w", "--nodelist"}
        return {**{key: value for key, value in directives.items() if key not in short}, "--nodelist": node}

    def silent(  # of a Protocol
        self,
        names: Sequence[str],  # noqa: ARG002
        address: Sequence[str] = (),  # noqa: ARG002
    ) -> Mapping[str, str]:
        """None: slurmctld asks its nodes itself, and :meth:`nodes` tells what it knows."""
        return {}


def _node(name: str, written: str, reason: str, partitions: tuple[str, ...]) -> BatchNode:
    word = written.rstrip(FLAGS)
    state = STATES.get(word, "busy")
    told = [] if word in {"idle", state} else [word]
    if NOT_RESPONDING in written:
        state, told = "down", ["it does not respond"]
    told += [] if reason.strip() in NO_REASON else [reason.strip()]
    return BatchNode(name=name, state=state, reason=", ".join(told), partitions=partitions)
