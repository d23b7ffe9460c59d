"""Where tasks land that ask for a Dask resource: ``models.evidence.Placement``; for ``hub.py``."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from distributed import Client, Scheduler
    from distributed.scheduler import WorkerState

    Facts = dict[str, object]

EACH = 4  # tasks for each worker that has the label, at most MOST in all
MOST = 32


async def placements(
    scheduler: Scheduler, client: Client, *, where: Callable[[int], str], patience: float
) -> list[Facts]:
    """For every label: who has it, and who ran tasks that asked for it.

    Args:
        scheduler: the scheduler of the run.
        client: its client.
        where: the task; returns the address of the worker that runs it.
        patience: seconds for all tasks of a label.
    """
    labels = sorted(set(_labels(scheduler)))
    return [await _placement(scheduler, client, label, where=where, patience=patience) for label in labels]


def _labels(scheduler: Scheduler) -> Iterator[str]:
    for state in scheduler.workers.values():
        yield from state.resources


async def _placement(
    scheduler: Scheduler, client: Client, label: str, *, where: Callable[[int], str], patience: float
) -> Facts:
    states: list[WorkerState] = list(scheduler.workers.values())
    names = {state.address: str(state.name) for state in states}
    owners = sorted(str(state.name) for state in states if state.resources.get(label))
    asked = min(EACH * len(owners), MOST)
    seen: Facts = {"label": label, "offered_by": owners, "asked": asked}
    futures = client.map(where, range(asked), resources={label: 1}, pure=False)
    try:
        addresses = await asyncio.wait_for(client.gather(futures, asynchronous=True), patience)
    except Exception as error:  # that it does not work is what was to be found out
        words = f"no answer within {patience:g} s" if isinstance(error, asyncio.TimeoutError) else repr(error)
        return {**seen, "error": words}
    finally:
        await client.cancel(futures, asynchronous=True, force=True)
    return {**seen, "ran_on": sorted(names.get(address, address) for address in addresses)}
