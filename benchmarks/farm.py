"""A light Dask worker for each job of the simulated schedd, all in this one process: ``farm.py SCHEDD``."""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path

import dask.config
from distributed import Worker
from distributed.security import Security

# What each worker would do for itself all the time: a thread that samples its stack, a look at the machine.
LIGHT = {
    "distributed.worker.http.routes": [],
    "distributed.worker.profile.enabled": False,
    "distributed.admin.system-monitor.interval": "1h",
    "distributed.admin.tick.interval": "10s",
    "distributed.diagnostics.nvml": False,
}
AT_ONCE = 8  # workers that start at the same time
TERMINATED = "005 ({0}.{1:0>3}.000) 2026-01-01 00:00:00 Job terminated.\n\t(1) Normal termination (return value 0)\n...\n"


class Farm:
    """Starts a worker for each job and takes those that ended out of the queue."""

    def __init__(self, schedd: Path) -> None:
        self.schedd = schedd
        self.known: set[str] = set()
        self.room = asyncio.Semaphore(AT_ONCE)
        self.running: set[asyncio.Task[None]] = set()

    async def forever(self) -> None:
        """Until somebody ends this process."""
        while True:
            for path in sorted((self.schedd / "jobs").iterdir()):
                if path.name not in self.known:
                    self.known.add(path.name)
                    task = asyncio.create_task(self.run(path))
                    self.running.add(task)
                    task.add_done_callback(self.running.discard)
            await asyncio.sleep(0.2)

    async def run(self, path: Path) -> None:
        """One job: its worker, to the end."""
        job = json.loads(path.read_text(encoding="utf-8"))
        arguments = (Path(job["initialdir"]) / "worker.args").read_text(encoding="utf-8").splitlines()
        files = {Path(name).name: name for name in job["transfer_input_files"].split(",")}
        security = Security(
            require_encryption=True,
            tls_ca_file=files["ca.pem"],
            tls_worker_cert=files["worker.pem"],
            tls_worker_key=files["worker.key"],
        )
        async with self.room:
            worker = await Worker(
                arguments[0],
                name=arguments[arguments.index("--name") + 1],
                nthreads=1,
                memory_limit=0,
                dashboard=False,
                security=security,
                protocol="tls",
                heartbeat_interval="5s",
            )
        finished = asyncio.create_task(worker.finished())
        while not finished.done() and not (self.schedd / "removed" / path.name).exists():
            await asyncio.sleep(0.5)
        await worker.close(nanny=False)
        await asyncio.to_thread(self.ended, path, Path(job["log"]))

    @staticmethod
    def ended(path: Path, log: Path) -> None:
        """Say so in the job's log, and let the queue forget it."""
        with log.open("a", encoding="utf-8") as stream:
            stream.write(TERMINATED.format(*path.name.split(".")))
        path.unlink()


if __name__ == "__main__":
    dask.config.set(LIGHT)
    asyncio.run(Farm(Path(sys.argv[1])).forever())
