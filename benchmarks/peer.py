"""What fasthep-distributed does, with its own functions: run with the Python of the environment that it packs.

``prepare OUT`` prints as JSON how long it took and what a job needs; ``scheduler COUNT`` prints its address and, once so
many workers have registered, the time of the last, and ends them.
"""

from __future__ import annotations

import asyncio
import json
import resource
import sys
import time
from pathlib import Path

EXECUTION = {
    "backend": "dask",
    "strategy": "htcondor",
    "environment": {"type": "packed-pixi", "mode": "prefix", "source": "current"},
    "staging": {"mode": "transfer"},
}


def prepare(out: Path) -> dict[str, object]:
    """All that it does on the submit host before a job can be submitted."""
    from fasthep_distributed._dask import _worker_env as peer
    from hepflow.build_layout import BuildPaths

    times: dict[str, float] = {}
    pack = peer.pack_relocatable_prefix

    def timed(*arguments: object) -> object:
        begun = time.monotonic()
        done = pack(*arguments)
        times["pack"] = time.monotonic() - begun
        return done

    peer.pack_relocatable_prefix = timed
    paths = BuildPaths(out)
    begun = time.monotonic()
    prepared = peer.prepare_worker_environment(EXECUTION, build_paths=paths)
    staged = peer.prepare_staged_execution_files(prepared, build_paths=paths, staging=EXECUTION["staging"])
    times["prepare"] = time.monotonic() - begun
    peaks = (resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return {
        **times,
        "peak": max(peaks) * 1024,
        "size": prepared.environment_archive.stat().st_size,
        "commands": staged.bootstrap_commands,
        "files": [str(path) for path in staged.transfer_files],
    }


async def scheduler(count: int) -> None:
    """A scheduler as a user would have it."""
    from distributed import Scheduler

    async with Scheduler(port=0, host="127.0.0.1", dashboard=False) as running:
        print(running.address, flush=True)
        while len(running.workers) < count:
            await asyncio.sleep(0.005)
        print(time.time(), flush=True)
        await running.retire_workers(list(running.workers), close_workers=True, remove=True)


if __name__ == "__main__":
    command, argument = sys.argv[1:]
    if command == "prepare":
        print(json.dumps(prepare(Path(argument))))
    else:
        asyncio.run(scheduler(int(argument)))
