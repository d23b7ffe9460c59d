"""Scheduler and gathering client of a run: one process, under the submit-side copy of the environment.

``python hub.py CONFIG`` speaks JSON lines. It says on standard output what happens (``ready``, ``joined``,
``left``) and answers requests that come on standard input (``{"id": 1, "do": "gather", ...}``). When
standard input ends, because the command ended or was killed, it closes the workers, removes the run's
secrets and exits.
"""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import signal
import sys
import time
import traceback

import dask.config


def main(path):
    """Read the configuration and serve until standard input ends."""
    with open(path, encoding="utf-8") as stream:
        config = json.load(stream)
    for signum in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(signum, signal.SIG_IGN)  # the command ends us, by closing standard input
    try:
        dask.config.refresh(paths=[config["dask_yaml"]], env={})
        asyncio.run(serve(config))
    finally:
        for folder in config["remove"]:
            shutil.rmtree(folder, ignore_errors=True)


def say(**message):
    """Write one line; whoever reads may be gone already."""
    try:
        print(json.dumps(message), flush=True)
    except (BrokenPipeError, ValueError):
        return


async def serve(config):
    """Start scheduler and client, answer requests, close everything."""
    from distributed import Client, Scheduler
    from distributed.security import Security
    from gather import Gatherer, watcher

    tls = config["tls"]
    security = Security(
        require_encryption=True,
        tls_ca_file=tls["ca"],
        tls_scheduler_cert=tls["scheduler"]["cert"],
        tls_scheduler_key=tls["scheduler"]["key"],
        tls_client_cert=tls["client"]["cert"],
        tls_client_key=tls["client"]["key"],
    )
    try:
        scheduler = await Scheduler(
            host=config["host"],
            port=config["port"],
            protocol="tls",
            security=security,
            dashboard=False,
            dashboard_address="127.0.0.1:0",
        )
    except (OSError, ValueError) as error:
        say(event="failed", error=f"{type(error).__name__}: {error}")
        return
    scheduler.add_plugin(watcher(say))
    async with Client(scheduler.address, security=security, asynchronous=True, set_as_default=False) as client:
        gatherer = Gatherer(scheduler, client, config)
        say(event="ready", **gatherer.scheduler_facts())
        await _requests(gatherer)
        await gatherer.retire([])
    await scheduler.close(reason="the run is over")


async def _requests(gatherer):
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


async def _answer(gatherer, request):
    methods = {"gather": gatherer.gather, "retire": gatherer.retire, "scheduler": gatherer.scheduler_evidence}
    try:
        result = await methods[request["do"]](*request.get("args", []))
    except Exception as error:
        traceback.print_exc()
        say(reply=request["id"], error=f"{type(error).__name__}: {error}")
    else:
        say(reply=request["id"], result=result, time=time.time())


if __name__ == "__main__":
    main(os.path.abspath(sys.argv[1]))
