"""On which workers the partitions of a plan may run: ``require``, ``prefer`` and ``fallback`` of its stages.

A partition is one task, so all of its stages run on one worker. What several stages ask for must be met by
one pool.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from fasthep_validate.errors import ConfigError, Problem

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from hepflow.model.plan import ExecutionPlan

    from fasthep_validate.models.execution import Pool

WORDS = ("require", "prefer", "fallback")


@dataclass(frozen=True)
class Wishes:
    """What the stages of a plan ask for: names of resources -> the stages that do.

    Attributes:
        require: must be met.
        prefer: is met where such a worker is there.
        fallback: takes the place of what is preferred.
    """

    require: Mapping[str, Sequence[str]]
    prefer: Mapping[str, Sequence[str]]
    fallback: Mapping[str, Sequence[str]]

    @classmethod
    def of(cls, plan: ExecutionPlan) -> Wishes:
        """The wishes of all stages."""
        found: dict[str, dict[str, list[str]]] = {word: {} for word in WORDS}
        for node in plan.nodes:
            execution = node.meta.get("execution") or {}
            for word in WORDS:
                if name := execution.get(word):
                    found[word].setdefault(str(name), []).append(str(node.meta.get("stage_id") or node.id))
        return cls(**found)


@dataclass(frozen=True)
class Placement:
    """Where tasks may run.

    Attributes:
        pools: names of the pools; all of them when nothing was asked for.
        resources: Dask resources that a task takes while it runs.
        note: what could not be had, in words; empty if nothing.
    """

    pools: tuple[str, ...]
    resources: Mapping[str, float]
    note: str = ""


def place(wishes: Wishes, pools: Sequence[Pool], alive: Iterable[str]) -> Placement:
    """Where the tasks of a plan go.

    Args:
        wishes: what its stages ask for.
        pools: the pools of the run.
        alive: names of pools with at least one worker.

    Raises:
        ConfigError: no pool meets what is required.
    """
    there = set(alive)
    if wishes.require:
        chosen = _meeting(wishes.require, pools)
        if not chosen:
            raise ConfigError(*_unmet(wishes.require, pools))
        return _on(chosen, "")
    for wish in (wishes.prefer, wishes.fallback):
        chosen = [pool for pool in _meeting(wish, pools) if pool.name in there]
        if wish and chosen:
            missing = wishes.prefer if wish is wishes.fallback else {}
            note = f"no worker of {_listed(missing)}; {_listed(wish)} is used" if missing else ""
            return _on(chosen, note)
    note = f"no worker of {_listed(wishes.prefer)}; any is used" if wishes.prefer else ""
    return Placement(tuple(pool.name for pool in pools), {}, note)


def _meeting(wish: Mapping[str, Sequence[str]], pools: Sequence[Pool]) -> list[Pool]:
    """Pools of that resource; for several resources, pools that have as much as the largest of each."""
    named = {pool.resource_name: pool for pool in pools}
    if len(wish) < 2 or not set(wish) <= set(named):
        return [pool for pool in pools if set(wish) == {pool.resource_name}]
    asked = [named[name].resources for name in wish]
    return [
        pool
        for pool in pools
        if pool.resources.cpus >= max(item.cpus for item in asked)
        and (pool.resources.memory or 0) >= max(item.memory or 0 for item in asked)
        and pool.resources.gpus >= max(item.gpus for item in asked)
    ]


def _unmet(wish: Mapping[str, Sequence[str]], pools: Sequence[Pool]) -> list[Problem]:
    known = ", ".join(sorted({pool.resource_name for pool in pools}))
    if len(wish) > 1:
        what = f"stages require {_listed(wish)}, and a partition runs on one worker; no pool has all of it"
        return [Problem("workflow", what, "Require one resource, or add a pool that covers both.")]
    return [
        Problem(f"stage {', '.join(stages)}", f"no pool has the resources {name!r}", f"Known: {known}.")
        for name, stages in wish.items()
    ]


def _on(pools: Sequence[Pool], note: str) -> Placement:
    gpus = min(pool.resources.gpus for pool in pools)
    return Placement(tuple(pool.name for pool in pools), {"GPU": float(gpus)} if gpus else {}, note)


def _listed(wish: Mapping[str, Sequence[str]]) -> str:
    return " and ".join(repr(name) for name in wish)
