"""Who joins and who leaves the scheduler; used by ``hub.py`` and ``gather.py``."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any

from distributed.diagnostics.plugin import SchedulerPlugin

if TYPE_CHECKING:
    from collections.abc import Callable

    from distributed import Scheduler


class WorkerLeftError(Exception):
    """A worker left the scheduler before it had answered."""

    def __str__(self) -> str:
        return "the worker left the scheduler before it had answered"


class Watcher(SchedulerPlugin):
    """Says who joins and who leaves, and lets others wait for the leaving."""

    def __init__(self, say: Callable[..., None]) -> None:
        self._say = say
        self._names: dict[str, str] = {}
        self._leaving: dict[str, asyncio.Future[None]] = {}

    def add_worker(self, scheduler: Scheduler, worker: str) -> None:
        """Dask's call: a worker registered."""
        state = scheduler.workers[worker]
        self._names[worker] = str(state.name)
        self._leaving[worker] = asyncio.get_running_loop().create_future()
        self._say(event="joined", worker=str(state.name), address=worker, node=state.host, time=time.time())

    def remove_worker(self, scheduler: Scheduler, worker: str, **_: Any) -> None:  # noqa: ARG002
        """Dask's call: a worker left; later versions pass more."""
        leaving = self._leaving.pop(worker, None)
        if leaving is not None:
            leaving.set_result(None)
        self._say(event="left", worker=self._names.pop(worker, worker), time=time.time())

    def leaving(self, address: str) -> asyncio.Future[None]:
        """Done as soon as the worker with this address is gone."""
        if address in self._leaving:
            return self._leaving[address]
        gone = asyncio.get_running_loop().create_future()
        gone.set_result(None)
        return gone
