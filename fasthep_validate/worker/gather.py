"""Gathers ``models.evidence.DaskEvidence`` of running workers; used by ``hub.py`` alone."""

from __future__ import annotations

import asyncio
import inspect
import os
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import cloudpickle
from distributed import wait

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping, Sequence

    from distributed import Client, Scheduler
    from distributed.scheduler import WorkerState

    from fasthep_validate.worker import lifetime, modified, placement, renewal, tasks, wire, workflow
    from fasthep_validate.worker.hub import Config
    from fasthep_validate.worker.watcher import Watcher, WorkerLeftError

    Facts = dict[str, object]
else:
    import lifetime
    import modified
    import placement
    import renewal
    import tasks
    import wire
    import workflow
    from watcher import Watcher, WorkerLeftError

T = TypeVar("T")

# The worker environment has none of these modules: they travel with each call.
for _module in (tasks, modified, renewal, workflow, sys.modules[__name__]):
    cloudpickle.register_pickle_by_value(_module)

# More workers than this are not tried each with each, but each with its neighbours in a ring.
ALL_PAIRS = 5
THREADS = 8  # a worker's: it has two TLS ports, a name and a few listeners to look at


def by_value(function: Callable[..., T]) -> Callable[..., T]:
    """A function that cannot be pickled by its name.

    Dask tries plain pickle before cloudpickle, and that would only name a module that the worker has not.
    """

    def call(*args: object) -> T:
        return function(*args)

    call.__name__ = function.__name__  # for the worker's log
    return call


async def ask_scheduler(dask_worker: Any) -> None:
    """A call from the worker to the scheduler."""
    await dask_worker.scheduler.identity()


class Gatherer:
    """Puts the questions to the workers of one scheduler."""

    def __init__(self, scheduler: Scheduler, client: Client, watcher: Watcher, config: Config) -> None:
        self.scheduler = scheduler
        self.client = client
        self.watcher = watcher
        self.patience = config["timeout"]
        self.node_libraries = config["node_libraries"]
        self.modifiers = config["modifiers"]
        self.client_tls = {"ca": config["tls"]["ca"], **config["tls"]["client"]}
        self._slots = asyncio.Semaphore(config["at_once"])
        self._threads = ThreadPoolExecutor(THREADS * config["at_once"])

    def scheduler_facts(self) -> Facts:
        """What the command needs to know of the scheduler before the first worker comes."""
        return {"address": self.scheduler.address, "versions": tasks.versions(), "pid": os.getpid()}

    async def scheduler_evidence(self) -> Facts:
        """What is seen of the scheduler: the fields of ``models.evidence.SubmitEvidence``."""
        address = self.scheduler.address
        return {
            "scheduler_address": address,
            "client_versions": tasks.versions(),
            "scheduler_versions": await self.client.run_on_scheduler(tasks.versions),
            "listeners": await self._heard("scheduler", address, tasks.listeners()),
            "tls": [await self._thread(wire.endpoint, "scheduler", address, self.client_tls)],
            "placements": await placement.placements(
                self.scheduler, self.client, where=by_value(tasks.address), patience=self.patience
            ),
        }

    async def gather(self, names: Sequence[str], peer_size: int) -> dict[str, Facts]:
        """Evidence of the workers with these names; who has left the scheduler by then is not in the answer.

        Args:
            names: planned workers.
            peer_size: bytes to send from worker to worker.
        """
        here = self._here(names)
        found = dict(zip(here, await asyncio.gather(*map(self._worker, here.values()))))
        for name, peers in (await self._peers(here, peer_size)).items():
            found[name]["peers"] = peers
        return found

    async def for_workflow(self, names: Sequence[str], needs: Facts) -> dict[str, Facts]:
        """What the workers with these names say to the needs of a workflow.

        Args:
            names: planned workers.
            needs: fields of ``models.workflow.WorkflowNeeds``.
        """
        here = self._here(names)
        return dict(zip(here, await asyncio.gather(*(self._look(state, needs) for state in here.values()))))

    def _here(self, names: Sequence[str]) -> dict[str, WorkerState]:
        """Those of the planned workers that are registered."""
        states = {str(state.name): state for state in self.scheduler.workers.values()}
        return {name: states[name] for name in names if name in states}

    async def _look(self, state: WorkerState, needs: Facts) -> Facts:
        try:
            async with self._slots:
                question = by_value(workflow.look)
                seen = self.client.submit(question, needs, self.patience, workers=[state.address], pure=False)
                return {"workflow": await seen}
        except Exception as error:
            return {"problem": self._words(error)}

    async def renew(self, copy: str) -> dict[str, str]:
        """Take a renewed credential to all workers: worker -> what went wrong there, empty if nothing did."""
        bring = renewal.carrying(Path(copy))
        states = {str(state.name): state for state in self.scheduler.workers.values()}
        asked = (self._until(self._run(state, bring), state) for state in states.values())
        answers = await asyncio.gather(*asked, return_exceptions=True)
        told = (self._words(answer) if isinstance(answer, BaseException) else answer for answer in answers)
        return dict(zip(states, told))

    async def close_workers(self, grace: float) -> None:
        """Close all workers, each within ``grace`` seconds."""
        await lifetime.close(self.scheduler, self.scheduler.workers.values(), grace)

    async def retire(self, names: Sequence[str], grace: float) -> list[str]:
        """Close these workers while the others go on; see :func:`lifetime.retire`."""
        return await lifetime.retire(self.scheduler, names, grace)

    async def _worker(self, state: WorkerState) -> Facts:
        """Everything of one worker but its peers; a question that fails is told in ``problems``."""
        questions = {
            "first_task": self._exchange(state, self._sum(state)),
            "scheduler_to_worker": self._exchange(state, self._run(state, tasks.describe)),
            "worker_to_scheduler": self._exchange(state, self._run(state, ask_scheduler)),
            "clock": self._until(self._clock(state), state),
            "listeners": self._until(self._listeners(state), state),
            "tls": self._until(self._tls(state), state),
            "versions": self._until(self._run(state, tasks.versions), state),
            "provenance": self._until(self._run(state, tasks.provenance, self.node_libraries), state),
            "who": self._until(self._run(state, tasks.describe), state),
        }
        if state.nanny:
            there = self._run(state, tasks.describe, nanny=True)
            questions["scheduler_to_nanny"] = self._exchange(state, there)
        if self.modifiers:
            questions["modifier_run"] = self._until(self._modifiers(state), state)
        async with self._slots:
            answers = await asyncio.gather(*questions.values(), return_exceptions=True)
        found = dict(zip(questions, answers))
        problems = {
            key: self._words(answer) for key, answer in found.items() if isinstance(answer, Exception)
        }
        answered = {key: answer for key, answer in found.items() if key not in problems}
        who: Any = answered.pop("who", {"hostname": state.host, "pid": 0})
        return {
            **self._state(state),
            **answered,
            "hostname": who["hostname"],
            "hostname_lookup": await self._thread(wire.lookup, who["hostname"]),
            "pid": who["pid"],
            "problems": problems,
        }

    @staticmethod
    def _state(state: WorkerState) -> Facts:
        """What the worker told when it registered."""
        return {
            "address": state.address,
            "nanny": state.nanny,
            "nthreads": state.nthreads,
            "memory_limit": state.memory_limit or 0,
            "resources": dict(state.resources),
        }

    async def _sum(self, state: WorkerState) -> None:
        result = await self.client.submit(sum, [1, 2, 3], workers=[state.address], pure=False)
        if result != 6:
            raise ValueError(f"the sum of 1, 2 and 3 is {result!r}")

    async def _exchange(self, state: WorkerState, question: Awaitable[object]) -> Facts:
        """One round trip; what goes wrong is evidence, not a problem of ours."""
        started = time.monotonic()
        try:
            await self._until(question, state)
        except Exception as error:
            return {"ok": False, "seconds": time.monotonic() - started, "error": self._words(error)}
        return {"ok": True, "seconds": time.monotonic() - started}

    async def _clock(self, state: WorkerState) -> Facts:
        """Offset of the clock at the middle of the shortest of five round trips."""
        samples = []
        for _ in range(5):
            before = time.time()
            there = await self._run(state, time.time)
            after = time.time()
            samples.append((after - before, there - (before + after) / 2))
        round_trip, offset = min(samples)
        return {"offset": offset, "round_trip": round_trip}

    async def _listeners(self, state: WorkerState) -> list[Facts]:
        heard = await self._heard("worker", state.address, await self._run(state, tasks.listeners))
        if state.nanny:
            there = await self._run(state, tasks.listeners, nanny=True)
            heard += await self._heard("nanny", state.nanny, there)
        return heard

    async def _heard(self, process: str, address: str, sockets: Sequence[tuple[str, int]]) -> list[Facts]:
        """Ask every listening port for HTTP, at the host by which the process is reached."""
        host, _ = wire.split(address)
        asked = (self._thread(wire.answers_plain_http, host, ip, port) for ip, port in sockets)
        answers = await asyncio.gather(*asked)
        return [
            {"process": process, "ip": ip, "port": port, "loopback": wire.is_loopback(ip), "answers_plain_http": yes}
            for (ip, port), yes in zip(sockets, answers)
        ]  # fmt: skip

    async def _tls(self, state: WorkerState) -> list[Facts]:
        ends = {"worker": state.address, "nanny": state.nanny}
        asked = [self._thread(wire.endpoint, who, at, self.client_tls) for who, at in ends.items() if at]
        return list(await asyncio.gather(*asked))

    async def _modifiers(self, state: WorkerState) -> Facts:
        inputs = tasks.example(self.modifiers)
        question = by_value(tasks.modified)
        seen: Facts = await self.client.submit(
            question, inputs, tasks.kernels(self.modifiers), workers=[state.address], pure=False
        )
        told = ("result", "metadata", "hostname", "pid", "prefix", "error")
        names = [spec["name"] for spec in self.modifiers]
        return {"modifiers": names, "expected": 10, **{key: seen[key] for key in told if key in seen}}

    async def _peers(self, states: Mapping[str, WorkerState], size: int) -> dict[str, list[Facts]]:
        """Data from worker to worker, each pair both ways (a ring when there are many)."""
        names = list(states)
        if len(names) <= ALL_PAIRS:
            pairs = [(a, b) for a in names for b in names if a != b]
        else:
            ring = list(zip(names, names[1:] + names[:1]))
            pairs = ring + [(b, a) for a, b in ring]
        moved = await asyncio.gather(*(self._transfer(states, a, b, size) for a, b in pairs))
        return {
            name: [move for pair, move in zip(pairs, moved) if name in pair]
            for name in names
        }  # fmt: skip

    async def _transfer(
        self, states: Mapping[str, WorkerState], source: str, target: str, size: int
    ) -> Facts:
        seen: Facts = {"source": source, "target": target, "size": size, "ok": False}
        try:
            async with self._slots:
                equal, seconds = await self._move(states[source], states[target], size)
        except Exception as error:
            return {**seen, "error": self._words(error)}
        error_words = "" if equal else "the data that came is not the data that was sent"
        return {**seen, "ok": equal, "seconds": seconds, "error": error_words}

    async def _move(self, source: WorkerState, target: WorkerState, size: int) -> tuple[bool, float]:
        """Whether a block that ``source`` made is the same on ``target``, and how long it took to get there."""
        seed = f"{source.address}>{target.address}@{time.time_ns()}"
        expected = await self._thread(lambda: tasks.digest(tasks.block(size, seed)))
        data = self.client.submit(by_value(tasks.block), size, seed, workers=[source.address], pure=False)
        with self.client.as_current():
            made: Awaitable[object] = wait([data])
        await self._until(made, source)
        started = time.monotonic()
        there = self.client.submit(by_value(tasks.digest), data, workers=[target.address], pure=False)
        digest = await self._until(there, source, target)
        return digest == expected, time.monotonic() - started

    async def _run(
        self, state: WorkerState, function: Callable[..., T], *args: object, nanny: bool = False
    ) -> T:
        sent = function if inspect.iscoroutinefunction(function) else by_value(function)
        answers: dict[str, T] = await self.client.run(sent, *args, workers=[state.address], nanny=nanny)
        return next(iter(answers.values()))

    async def _until(self, question: Awaitable[T], *states: WorkerState) -> T:
        """An answer, awaited as long as patience lasts and these workers are there.

        Raises:
            WorkerLeftError: one of them left.
            asyncio.TimeoutError: no answer in time.
        """
        asked = asyncio.ensure_future(question)
        leaving = [self.watcher.leaving(state.address) for state in states]
        ends: list[asyncio.Future[Any]] = [asked, *leaving]
        try:
            await asyncio.wait(ends, timeout=self.patience, return_when=asyncio.FIRST_COMPLETED)
            if asked.done():
                return asked.result()
            raise WorkerLeftError if any(gone.done() for gone in leaving) else asyncio.TimeoutError
        finally:
            asked.cancel()

    async def _thread(self, function: Callable[..., T], *args: object) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._threads, function, *args)

    def _words(self, error: BaseException) -> str:
        if isinstance(error, (TimeoutError, asyncio.TimeoutError)):
            return f"no answer within {self.patience:g} s"
        return f"{type(error).__name__}: {error}".splitlines()[0]
