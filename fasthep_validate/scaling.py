"""Whether a pool can have a number of workers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fasthep_validate.errors import ConfigError, Problem

if TYPE_CHECKING:
    from fasthep_validate.models.execution import ExecutionConfig, Pool


def scalable(execution: ExecutionConfig, name: str, workers: int) -> Pool:
    """The pool of this name, if it can have this many workers.

    Raises:
        ConfigError: there is none, its workers are pinned to nodes, or the number is negative.
    """
    pool = next((pool for pool in execution.pools if pool.name == name), None)
    where = f"scale({name!r}, {workers})"
    if pool is None:
        known = ", ".join(pool.name for pool in execution.pools)
        raise ConfigError(Problem(where, "no such pool", f"Pools: {known}."))
    if pool.nodes:
        raise ConfigError(Problem(where, "its workers are pinned to nodes", "Leave --nodes out."))
    if workers < 0:
        raise ConfigError(Problem(where, "a pool cannot have fewer than 0 workers"))
    return pool
