"""Scheduler and gathering client of a run: one process, under the submit-side copy of the environment.

``python hub.py CONFIG`` speaks JSON lines. It says on standard output what happens (``ready``, ``failed``,
``joined``, ``left``) and answers requests that come on standard input (``{"id": 1, "do": "gather", ...}``).
When standard input ends, because the command ended or was killed, it closes the workers and exits; of a
command that was killed it removes the jobs from the batch system, and the private folder too.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import json
import os
import resource
import shutil
import signal
import subprocess
import sys
import time
import traceback
from pathlib import Path
from typing import TYPE_CHECKING

import dask.config

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from typing import TypedDict

    from distributed import Scheduler
    from distributed.security import Security

    from fasthep_validate.worker.gather import Gatherer
    from fasthep_validate.worker.installed import Source
    from fasthep_validate.worker.modified import Spec

    class Pair(TypedDict):
        """Paths of a certificate and its key."""

        cert: str
        key: str

    class Tls(TypedDict):
        """Paths of the run's certificates."""

        ca: str
        scheduler: Pair
        client: Pair

    class Request(TypedDict):
        """A line of standard input."""

        id: int
        do: str
        args: list[object]

    class Config(TypedDict):
        """What the command tells the hub.

        Attributes:
            host: name or address to listen at.
            port: TCP port, 0 for any.
            last_port: last of a range that begins with ``port``; ``None`` for one port.
            dashboard_port: port of the dashboard on loopback; ``None`` for no dashboard.
            dask_yaml: the run's Dask settings; no others are read.
            tls: the run's certificates.
            timeout: seconds for one question to a worker.
            at_once: how many workers are asked at the same time.
            grace: seconds given to a worker to end by itself.
            node_libraries: patterns of shared libraries that are the node's own.
            modifier_sources: all execution modifiers that are registered.
            modifiers: those around every task.
            folder: the run's private folder.
            guard: file with the commands that remove the run's jobs.
            jobs: folder of the directories of jobs on this machine.
            command: process id of the command.
        """

        host: str
        port: int
        last_port: int | None
        dashboard_port: int | None
        dask_yaml: str
        tls: Tls
        timeout: float
        at_once: int
        grace: float
        node_libraries: list[str]
        modifier_sources: list[Source]
        modifiers: list[Spec]
        folder: str
        guard: str
        jobs: str
        command: int


GONE = 30.0  # seconds for the jobs of this machine to end, at least
REMOVAL_TRIES, REMOVAL_PAUSE = 3, 5.0  # a busy schedd or controller is asked again, after some seconds
POLL = 0.05  # seconds between two looks at folders


def main(path: str) -> None:
    """Read the configuration and serve until standard input ends."""
    config: Config = json.loads(Path(path).read_text(encoding="utf-8"))
    for signum in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(signum, signal.SIG_IGN)  # the command ends us, by closing standard input
    allow_files()
    try:
        dask.config.refresh(paths=[config["dask_yaml"]], env={})
        asyncio.run(serve(config))
    except Exception as error:
        traceback.print_exc()
        say(event="failed", error=f"{type(error).__name__}: {error}.")
    finally:
        leave(config)


def allow_files() -> None:
    """Allow as many open files as the system does: each worker takes two, and 1024 are a common soft limit."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with contextlib.suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def leave(config: Config) -> None:
    """Outlive the private folder: the command removes it, or was killed, and then we do."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)  # closes the pipe, which tells the command that no answer will come any more
    folder = Path(config["folder"])
    while folder.exists() and os.getppid() == config["command"]:
        time.sleep(POLL)
    if os.getppid() != config["command"]:
        remove_jobs(Path(config["guard"]))
    shutil.rmtree(folder, ignore_errors=True)


def remove_jobs(guard: Path) -> None:
    """Remove the jobs of a command that was killed; those that have ended by now do not mind."""
    try:
        commands: list[list[str]] = json.loads(guard.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return  # it was killed before it had any, or has removed them
    for words in commands:
        for _ in range(REMOVAL_TRIES):
            try:
                done = subprocess.run(words, timeout=60, stdin=subprocess.DEVNULL, check=False)
            except (OSError, subprocess.SubprocessError):
                traceback.print_exc()
            else:
                if done.returncode == 0:
                    break
            time.sleep(REMOVAL_PAUSE)


def say(**message: object) -> None:
    """Write one line; whoever reads may be gone already."""
    try:
        print(json.dumps(message), flush=True)
    except (BrokenPipeError, ValueError):
        return


async def serve(config: Config) -> None:
    """Start scheduler and client, answer requests, close everything."""
    from distributed import Client

    if TYPE_CHECKING:
        from fasthep_validate.worker.gather import Gatherer
        from fasthep_validate.worker.installed import install
        from fasthep_validate.worker.watcher import Watcher
    else:
        from gather import Gatherer
        from installed import install
        from watcher import Watcher

    security = _security(config["tls"])
    try:
        scheduler = await _listen(config, security)
    except (OSError, RuntimeError, ValueError) as error:
        to = f" to {config['last_port']}" if config["last_port"] else ""
        where = f"{config['host']}, port {config['port'] or 'any'}{to}"
        hint = (
            "Choose another port, or 0 for any that is free, and a host that is an address of this machine."
        )
        say(event="failed", error=f"it cannot listen at {where}: {error.__cause__ or error}. {hint}")
        return
    watcher = Watcher(say)
    scheduler.add_plugin(watcher)
    async with Client(
        scheduler.address, security=security, asynchronous=True, set_as_default=False
    ) as client:
        gatherer = Gatherer(scheduler, client, watcher, config)
        await install(client, config["modifier_sources"], config["modifiers"])
        say(event="ready", **gatherer.scheduler_facts())
        await _requests(gatherer)
        await _end_jobs(gatherer, config)
    await scheduler.close(reason="the run is over")


def _security(tls: Tls) -> Security:
    from distributed.security import Security

    return Security(
        require_encryption=True,
        tls_ca_file=tls["ca"],
        tls_scheduler_cert=tls["scheduler"]["cert"],
        tls_scheduler_key=tls["scheduler"]["key"],
        tls_client_cert=tls["client"]["cert"],
        tls_client_key=tls["client"]["key"],
    )


async def _listen(config: Config, security: Security) -> Scheduler:
    """The scheduler, at the first port of the range that nobody else listens at."""
    last = config["last_port"] or config["port"]
    for port in range(config["port"], last):
        try:
            return await _scheduler(config, port, security)
        except (OSError, RuntimeError) as error:
            cause = error.__cause__ or error
            if not isinstance(cause, OSError) or cause.errno != errno.EADDRINUSE:
                raise
    return await _scheduler(config, last, security)


async def _scheduler(config: Config, port: int, security: Security) -> Scheduler:
    from distributed import Scheduler

    dashboard = config["dashboard_port"]
    scheduler: Scheduler = await Scheduler(
        host=config["host"],
        port=port,
        protocol="tls",
        security=security,
        dashboard=dashboard is not None,
        dashboard_address=f"127.0.0.1:{dashboard or 0}",
    )
    return scheduler


async def _requests(gatherer: Gatherer) -> None:
    """Answer requests, each in a task of its own, until standard input ends."""
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader(limit=2**26)
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    running = set()
    while line := await reader.readline():
        task = asyncio.create_task(_answer(gatherer, json.loads(line)))
        running.add(task)
        task.add_done_callback(running.discard)
    for task in running:
        task.cancel()


async def _answer(gatherer: Gatherer, request: Request) -> None:
    methods: dict[str, Callable[..., Awaitable[object]]] = {
        "gather": gatherer.gather,
        "workflow": gatherer.for_workflow,
        "scheduler": gatherer.scheduler_evidence,
        "retire": gatherer.retire,
        "renew": gatherer.renew,
    }
    try:
        result = await methods[request["do"]](*request["args"])
    except Exception as error:
        traceback.print_exc()
        say(reply=request["id"], error=f"{type(error).__name__}: {error}")
    else:
        say(reply=request["id"], result=result, time=time.time())


async def _end_jobs(gatherer: Gatherer, config: Config) -> None:
    """Close all workers, and those that register late, until no job is left on this machine."""
    jobs = Path(config["jobs"])
    deadline = time.monotonic() + max(GONE, config["grace"])
    while True:
        await gatherer.close_workers(config["grace"])
        if time.monotonic() > deadline or not any(jobs.glob("*/")):
            return
        await asyncio.sleep(POLL)


if __name__ == "__main__":
    main(sys.argv[1])
