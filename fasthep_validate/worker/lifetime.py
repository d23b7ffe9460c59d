"""Ends Dask workers by address: all of them when a run is over, some of them when a pool shrinks; for ``hub.py``."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from distributed import rpc

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from distributed import Scheduler
    from distributed.scheduler import WorkerState

CLOSING = 5.0  # seconds for a nanny to take the word that it is to close


async def close(scheduler: Scheduler, states: Iterable[WorkerState], grace: float) -> None:
    """Close workers, each within ``grace`` seconds.

    A worker that is closed by the scheduler keeps its process for two seconds more, in which it waits
    for a word of its nanny; so the nanny is told, and whom that does not reach is closed directly.
    """
    states = list(states)
    nannies = [state.nanny for state in states if state.nanny]
    closing = (_close_nanny(scheduler, nanny, grace) for nanny in nannies)
    await asyncio.gather(*closing, return_exceptions=True)
    for state in states:
        await scheduler.remove_worker(state.address, close=True, stimulus_id="run-over")


async def retire(scheduler: Scheduler, names: Sequence[str], grace: float) -> list[str]:
    """Take workers out of a run that goes on: their results move to others, then they are closed.

    Args:
        scheduler: their scheduler.
        names: planned workers.
        grace: seconds for each to end.

    Returns:
        Those that were there.
    """
    wanted = set(names)
    states = [state for state in scheduler.workers.values() if str(state.name) in wanted]
    # By address: names that Dask does not know as addresses are passed over without a word.
    addresses = [state.address for state in states]
    await scheduler.retire_workers(workers=addresses, close_workers=False, remove=False)
    await close(scheduler, states, grace)
    return [str(state.name) for state in states]


async def _close_nanny(scheduler: Scheduler, address: str, grace: float) -> None:
    """The nanny answers, or closes the connection, once its worker has ended."""
    options = scheduler.connection_args
    async with rpc(address, timeout=CLOSING, connection_args=options) as nanny:
        await asyncio.wait_for(nanny.terminate(timeout=grace, reason="run-over"), CLOSING + grace)
