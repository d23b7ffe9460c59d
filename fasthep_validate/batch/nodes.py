"""Nodes of a batch system: which there are, and which of them a run is to try one by one.

``--nodes`` takes ``all``, ``idle``, ``up`` (what is in service), ``partition:NAME``, or names with commas and
wildcards; in front of it, with ``=``, the pool whose workers are pinned: ``gpu=partition:gpu``.
"""

from __future__ import annotations

from dataclasses import dataclass
from difflib import get_close_matches
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Protocol

from fasthep_validate.errors import ConfigError, Problem
from fasthep_validate.models.node import BatchNode

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from fasthep_validate.models.execution import ExecutionConfig, Pool

OPTION = "--nodes"
DEFAULT = "default"


class NodeList(Protocol):
    """What a batch system knows of its nodes."""

    def nodes(self, address: Sequence[str] = ()) -> tuple[BatchNode, ...]:
        """All nodes, in one query.

        Args:
            address: arguments that tell the batch system's commands where a pool's jobs are.

        Raises:
            SubmitError: it could not be asked.
        """

    def pinned(self, directives: Mapping[str, str], node: str) -> dict[str, str]:
        """Directives of a job that runs on this node and nowhere else."""

    def silent(self, names: Sequence[str], address: Sequence[str] = ()) -> Mapping[str, str]:
        """Of these nodes, on which nothing starts, those that do not answer: name -> why."""


@dataclass(frozen=True)
class Wanted:
    """A value of ``--nodes``.

    Attributes:
        pool: pool whose workers are pinned; empty for the one that is there, or ``default``.
        which: what is left of the text.
    """

    pool: str
    which: str

    @classmethod
    def parse(cls, text: str) -> Wanted:
        """Read the option.

        Raises:
            ConfigError: it names nothing.
        """
        before, equals, after = text.partition("=")
        pool, which = (before.strip(), after.strip()) if equals else ("", text.strip())
        if not which.strip(",") or (equals and not pool):
            hint = "Write 'all', 'up', 'idle', 'partition:NAME', or names with commas between them."
            raise ConfigError(Problem(OPTION, f"cannot read {text!r}", hint))
        return cls(pool, which)


def pin(execution: ExecutionConfig, text: str, nodes: NodeList | None) -> ExecutionConfig:
    """The configuration with one worker on each wanted node, and no other pools.

    Args:
        execution: as the profile has it.
        text: the value of ``--nodes``.
        nodes: the list of the batch system; ``None`` if it has no nodes to choose from.

    Raises:
        ConfigError: the option cannot be read, or names a pool or nodes that do not exist.
        SubmitError: the batch system could not be asked.
    """
    wanted = Wanted.parse(text)
    if nodes is None:
        what = f"strategy {execution.strategy!r} has no nodes to choose from"
        raise ConfigError(Problem(OPTION, what, "Name a site with a batch system, or leave the option out."))
    pool = _pool(execution, wanted.pool)
    chosen = choose(nodes.nodes(pool.address), wanted.which)
    pinned = pool.model_copy(update={"nodes": chosen, "workers": len(chosen)})
    return execution.model_copy(update={"pools": (pinned,)})


def _pool(execution: ExecutionConfig, name: str) -> Pool:
    pools = {pool.name: pool for pool in execution.pools}
    if name:
        if name not in pools:
            raise ConfigError(Problem(OPTION, f"no pool {name!r}", f"Known: {', '.join(pools)}."))
        return pools[name]
    if len(pools) > 1 and DEFAULT not in pools:
        hint = f"Write {OPTION} {next(iter(pools))}=... or another of {', '.join(pools)}."
        raise ConfigError(Problem(OPTION, "which pool's workers are to be pinned is not said", hint))
    return pools.get(DEFAULT, execution.pools[0])


def choose(known: Sequence[BatchNode], which: str) -> tuple[BatchNode, ...]:
    """The nodes that are meant, sorted by name, each once.

    Names that the batch system does not know are among them, as ``unknown``: that a node of the list is not
    there any more is a finding, and no reason not to try the others.

    Raises:
        ConfigError: nothing is meant, or no such partition exists.
    """
    kind, colon, value = which.partition(":")
    if colon and kind == "partition":
        found = _of_partition(known, value.strip())
    elif which in STATES:
        found = [node for node in known if STATES[which](node)]
    else:
        return _named(known, [word.strip() for word in which.split(",") if word.strip()])
    if not found:
        states = ", ".join(f"{node.name} is {node.state}" for node in known[:5]) or "it knows none"
        hint = f"Of the {len(known)} nodes that the batch system knows: {states}."
        raise ConfigError(Problem(OPTION, f"no node is {which!r}", hint))
    return _sorted(found)


STATES: Mapping[str, Callable[[BatchNode], bool]] = {
    "all": lambda _: True,
    "up": lambda node: node.in_service,
    "idle": lambda node: node.state == "idle",
}


def _of_partition(known: Sequence[BatchNode], name: str) -> list[BatchNode]:
    partitions = sorted({partition for node in known for partition in node.partitions})
    if name not in partitions:
        hint = f"Known: {', '.join(partitions)}." if partitions else "This batch system has none."
        raise ConfigError(Problem(OPTION, f"no partition {name!r}", hint))
    return [node for node in known if name in node.partitions]


def _named(known: Sequence[BatchNode], names: Sequence[str]) -> tuple[BatchNode, ...]:
    found: list[BatchNode] = []
    for name in names:
        fitting = [node for node in known if fnmatchcase(node.name, name) or _short(node.name) == name]
        found += fitting or [BatchNode(name=name, state="unknown", reason=_near(name, known))]
    if all(node.state == "unknown" for node in found):
        first = found[0]
        raise ConfigError(Problem(OPTION, f"no node {first.name!r}", f"{first.reason.capitalize()}."))
    return _sorted(found)


def _near(name: str, known: Sequence[BatchNode]) -> str:
    near = get_close_matches(name, [node.name for node in known], n=1)
    hint = f", the nearest name is {near[0]}" if near else ""
    return f"the batch system lists no node of this name{hint}"


def _short(name: str) -> str:
    return name.partition(".")[0]


def _sorted(nodes: Sequence[BatchNode]) -> tuple[BatchNode, ...]:
    return tuple(sorted({node.name: node for node in nodes}.values(), key=lambda node: node.name))
