"""Gathers ``models.evidence.DaskEvidence`` of running workers; used by ``hub.py`` alone."""

from __future__ import annotations

import asyncio
import inspect
import sys
import time

import cloudpickle
import modified
import psutil
import tasks
import wire
from distributed.diagnostics.plugin import SchedulerPlugin

# The worker environment has neither module: they travel with each call.
cloudpickle.register_pickle_by_value(tasks)
cloudpickle.register_pickle_by_value(modified)
cloudpickle.register_pickle_by_value(sys.modules[__name__])


def by_value(function):
    """A function that cannot be pickled by its name.

    Dask tries plain pickle before cloudpickle, and that would only name a module that the worker has not.
    """

    def call(*args):
        return function(*args)

    return call


# More workers than this are not tried each with each, but each with its neighbours in a ring.
ALL_PAIRS = 5


def watcher(say):
    """A scheduler plugin that says who joins and who leaves."""

    class Watcher(SchedulerPlugin):
        names = {}

        def add_worker(self, scheduler, worker):
            state = scheduler.workers[worker]
            self.names[worker] = state.name
            say(event="joined", worker=str(state.name), address=worker, node=state.host, time=time.time())

        def remove_worker(self, scheduler, worker, **_):  # later versions pass more
            say(event="left", worker=str(self.names.pop(worker, worker)), time=time.time())

    return Watcher()


async def ask_scheduler(dask_worker):
    """A call from the worker to the scheduler."""
    await dask_worker.scheduler.identity()


class Gatherer:
    """Puts the questions to the workers of one scheduler."""

    def __init__(self, scheduler, client, config):
        self.scheduler = scheduler
        self.client = client
        self.patience = config["timeout"]
        self.node_libraries = config["node_libraries"]
        self.modifiers = config["modifiers"]
        self.client_tls = {"ca": config["tls"]["ca"], **config["tls"]["client"]}

    def scheduler_facts(self):
        """What the command needs to know of the scheduler before the first worker comes."""
        return {"address": self.scheduler.address, "versions": tasks.versions(), "pid": psutil.Process().pid}

    async def scheduler_evidence(self):
        """What is seen of the scheduler: the fields of ``models.evidence.SubmitEvidence``."""
        tls = await self._thread(wire.endpoint, "scheduler", self.scheduler.address, self.client_tls)
        return {
            "scheduler_address": self.scheduler.address,
            "client_versions": tasks.versions(),
            "scheduler_versions": await self.client.run_on_scheduler(tasks.versions),
            "listeners": await self._heard("scheduler", self.scheduler.address, tasks.listeners()),
            "tls": [tls],
        }

    async def gather(self, names, peer_size):
        """Evidence of the workers with these names; who has left the scheduler by then is not in the answer.

        Args:
            names: planned workers.
            peer_size: bytes to send from worker to worker.
        """
        states = {str(state.name): state for state in self.scheduler.workers.values()}
        here = {name: states[name] for name in names if name in states}
        found = await asyncio.gather(*(self._worker(name, state) for name, state in here.items()))
        evidence = dict(zip(here, found, strict=True))
        for name, peers in (await self._peers(here, peer_size)).items():
            evidence[name]["peers"] = peers
        return evidence

    async def retire(self, names):
        """Retire workers by name (all, if none is named) and close them."""
        states = list(self.scheduler.workers.values())
        addresses = [state.address for state in states if not names or str(state.name) in names]
        if addresses:
            await self.scheduler.retire_workers(workers=addresses, close_workers=True, remove=True)
        return addresses

    async def _worker(self, name, state):
        """Everything of one worker but its peers; a question that fails is told in ``problems``."""
        evidence = {
            "address": state.address,
            "nanny": state.nanny,
            "hostname": state.host,
            "pid": 0,
            "nthreads": state.nthreads,
            "memory_limit": state.memory_limit or 0,
            "resources": dict(state.resources),
            "problems": {},
        }
        questions = {
            "first_task": self._first_task(state),
            "scheduler_to_worker": self._call(state, tasks.describe),
            "scheduler_to_nanny": self._call(state, tasks.describe, nanny=True) if state.nanny else None,
            "worker_to_scheduler": self._call(state, ask_scheduler),
            "clock": self._clock(state),
            "listeners": self._listeners(state),
            "tls": self._tls(state),
            "modifier_run": self._modifiers(state) if self.modifiers else None,
            "identity": self._identity(state),
        }
        asked = {key: asyncio.wait_for(ask, self.patience) for key, ask in questions.items() if ask is not None}
        answers = await asyncio.gather(*asked.values(), return_exceptions=True)
        for key, answer in zip(asked, answers, strict=True):
            if isinstance(answer, BaseException):
                evidence["problems"][key] = self._words(answer)
            elif key == "identity":
                evidence.update(answer)
            else:
                evidence[key] = answer
        return evidence

    async def _identity(self, state):
        """Name of the node, versions and provenance: of the worker's own process."""
        who = await self._run(state, tasks.describe)
        return {
            "hostname": who["hostname"],
            "pid": who["pid"],
            "hostname_lookup": await self._thread(wire.lookup, who["hostname"]),
            "versions": await self._run(state, tasks.versions),
            "provenance": await self._run(state, tasks.provenance, self.node_libraries),
        }

    async def _first_task(self, state):
        started = time.monotonic()
        future = self.client.submit(sum, [1, 2, 3], workers=[state.address], pure=False)
        right = await future == 6
        error = "" if right else "the first task returned a wrong result"
        return {"ok": right, "seconds": time.monotonic() - started, "error": error}

    async def _call(self, state, function, *, nanny=False):
        """One round trip; what goes wrong is evidence, not a problem of ours."""
        started = time.monotonic()
        try:
            await asyncio.wait_for(self._run(state, function, nanny=nanny), self.patience)
        except Exception as error:
            return {"ok": False, "seconds": time.monotonic() - started, "error": self._words(error)}
        return {"ok": True, "seconds": time.monotonic() - started}

    async def _clock(self, state):
        """Offset of the clock at the middle of the shortest of five round trips."""
        samples = []
        for _ in range(5):
            before = time.time()
            there = await self._run(state, time.time)
            after = time.time()
            samples.append({"offset": there - (before + after) / 2, "round_trip": after - before})
        return min(samples, key=lambda sample: sample["round_trip"])

    async def _listeners(self, state):
        heard = await self._heard("worker", state.address, await self._run(state, tasks.listeners))
        if state.nanny:
            heard += await self._heard("nanny", state.nanny, await self._run(state, tasks.listeners, nanny=True))
        return heard

    async def _heard(self, process, address, sockets):
        """Ask every listening port for HTTP, at the host by which the process is reached."""
        host, _ = wire.split(address)
        answers = [self._thread(wire.answers_plain_http, host, ip, port) for ip, port in sockets]
        return [
            {"process": process, "ip": ip, "port": port, "loopback": wire.is_loopback(ip), "answers_plain_http": open_}
            for (ip, port), open_ in zip(sockets, await asyncio.gather(*answers), strict=True)
        ]

    async def _tls(self, state):
        ends = {"worker": state.address, "nanny": state.nanny}
        asked = [self._thread(wire.endpoint, who, at, self.client_tls) for who, at in ends.items() if at]
        return await asyncio.gather(*asked)

    async def _modifiers(self, state):
        inputs = {"stream": {"values": [1, 2, 3, 4]}}
        future = self.client.submit(
            by_value(tasks.modified), modified, inputs, self.modifiers, workers=[state.address], pure=False
        )
        seen = await future
        return {"modifiers": [spec["name"] for spec in self.modifiers], "expected": 10, "metadata": {}, **self._run_facts(seen)}

    @staticmethod
    def _run_facts(seen):
        return {key: seen[key] for key in ("result", "metadata", "hostname", "pid", "prefix", "error") if key in seen}

    async def _peers(self, states, size):
        """Data from worker to worker, each pair both ways (a ring when there are many)."""
        names = list(states)
        if len(names) <= ALL_PAIRS:
            pairs = [(a, b) for a in names for b in names if a != b]
        else:
            ring = list(zip(names, names[1:] + names[:1], strict=True))
            pairs = ring + [(b, a) for a, b in ring]
        moved = await asyncio.gather(*(self._transfer(states, a, b, size) for a, b in pairs))
        return {name: [move for move in moved if name in (move["source"], move["target"])] for name in names}

    async def _transfer(self, states, source, target, size):
        seed = f"{source}>{target}@{time.time_ns()}"
        expected = tasks.digest(tasks.block(size, seed))
        seen = {"source": source, "target": target, "size": size, "ok": False}
        try:
            data = self.client.submit(by_value(tasks.block), size, seed, workers=[states[source].address], pure=False)
            await asyncio.wait_for(data, self.patience)
            started = time.monotonic()
            there = self.client.submit(by_value(tasks.digest), data, workers=[states[target].address], pure=False)
            equal = await asyncio.wait_for(there, self.patience) == expected
        except Exception as error:
            return {**seen, "error": self._words(error)}
        error = "" if equal else "the data that came is not the data that was sent"
        return {**seen, "ok": equal, "seconds": time.monotonic() - started, "error": error}

    async def _run(self, state, function, *args, nanny=False):
        sent = function if inspect.iscoroutinefunction(function) else by_value(function)
        answers = await self.client.run(sent, *args, workers=[state.address], nanny=nanny)
        return next(iter(answers.values()))

    @staticmethod
    async def _thread(function, *args):
        return await asyncio.get_running_loop().run_in_executor(None, function, *args)

    def _words(self, error):
        if isinstance(error, TimeoutError):
            return f"no answer within {self.patience:g} s"
        return f"{type(error).__name__}: {error}".splitlines()[0]
