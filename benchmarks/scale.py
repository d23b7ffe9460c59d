"""What the submit side costs for each worker, at several numbers of simulated jobs: time, memory, files, calls.

``python benchmarks/scale.py [--workers N ...]`` prints a table in Markdown. See README.md for what is simulated.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

import psutil

from fasthep_validate.campaign import Campaign, load_profile
from fasthep_validate.progress import Silent

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fasthep_validate.cluster import Cluster

HERE = Path(__file__).resolve().parent
TOOLS = ("condor_submit", "condor_q", "condor_rm")
QUIET = 10.0  # seconds for which the open pools are only looked after
PROFILE = """\
site: scale
execution:
  strategy: htcondor
  resources: {{default: {{cpus: 1}}}}
  pools: {{default: {{resources: default, workers: {workers}}}}}
  config: {{nanny: false}}
  environment: {{type: shared-prefix, prefix: current}}
  staging: {{mode: shared}}
network: {{scheduler: {{host: 127.0.0.1}}}}
timeouts: {{worker_start: 1200 s, worker_shutdown: 120 s}}
"""
ROWS = {
    "submit": "describe and submit, s",
    "register": "until all have registered, s",
    "submit_each": "describe and submit, ms a worker",
    "register_cpu": "CPU of the hub until all have registered, ms a worker",
    "waiting_cpu": "CPU of the command and what it starts meanwhile, %",
    "close_cpu": "CPU of command and hub to close, ms a worker",
    "quiet_cpu": "CPU of the command and what it starts while all is quiet, %",
    "close": "close, s",
    "command_memory": "memory of the command, MB",
    "hub_memory": "memory of the hub, MB",
    "command_files": "open files of the command",
    "hub_files": "open files of the hub",
    "submits": "condor_submit, calls",
    "queries_a_minute": "condor_q, calls a minute while pools are open",
    "removals": "condor_rm, calls",
}


@contextmanager
def simulated_schedd(folder: Path) -> Iterator[Path]:
    """A schedd that is a folder, its commands on PATH, and the process that runs its jobs."""
    schedd, tools = folder / "schedd", folder / "bin"
    for name in ("clusters", "starting", "jobs", "removed"):
        (schedd / name).mkdir(parents=True)
    (schedd / "calls").touch()
    tools.mkdir()
    for name in TOOLS:
        (tools / name).symlink_to(HERE / "fake_condor" / "condor.py")
    os.environ["PATH"] = f"{tools}:{os.environ['PATH']}"
    os.environ["FAKE_CONDOR"] = str(schedd)
    with (folder / "farm.log").open("w") as log:
        farm = subprocess.Popen(
            [sys.executable, HERE / "farm.py", schedd], stdout=log, stderr=log, cwd=folder
        )
    try:
        yield schedd
    finally:
        farm.terminate()
        farm.wait()


def calls(schedd: Path) -> Counter[str]:
    return Counter((schedd / "calls").read_text().split())


def measure(workers: int, folder: Path, quiet: float) -> dict[str, float]:
    """One run."""
    profile = folder / "scale.yaml"
    profile.write_text(PROFILE.format(workers=workers))
    with simulated_schedd(folder) as schedd:
        campaign = Campaign.begin(load_profile(str(profile)), outdir=folder / "out", progress=Silent())
        campaign.prepare()
        found = {"workers": float(workers)}
        begun = time.monotonic()
        cluster = _started(campaign)
        hub = psutil.Process(cluster.hub.pid)
        found["submit"] = time.monotonic() - begun
        found["submit_each"] = 1000 * found["submit"] / workers
        waiting, command = time.monotonic(), _cpu()
        cluster.wait()
        found["register"] = time.monotonic() - begun
        found["register_cpu"] = 1000 * _cpu(hub) / workers
        found["waiting_cpu"] = 100 * (_cpu() - command) / (time.monotonic() - waiting)
        if len(cluster.registered) != workers:
            sys.exit(f"{len(cluster.registered)} of {workers} workers registered; see {folder}/farm.log")
        found |= _quiet(cluster, schedd, quiet)
        begun, before = time.monotonic(), _cpu() + _cpu(hub)
        with ThreadPoolExecutor(1) as looking:
            over = looking.submit(_cpu_to_the_end, hub)
            campaign.close()
        found["close"] = time.monotonic() - begun
        found["close_cpu"] = 1000 * (over.result() - before) / workers
        told = calls(schedd)
        found |= {"submits": told["condor_submit"], "removals": told["condor_rm"]}
    return found


def _started(campaign: Campaign) -> Cluster:
    """The pools with all jobs submitted, and no worker waited for."""
    from fasthep_validate.cluster import Cluster

    assert campaign.packed is not None
    campaign.cluster = Cluster(
        campaign.site.execution,
        campaign.packed,
        campaign.folder,
        progress=campaign.progress,
        record=campaign.record,
    )
    campaign.cluster.start()
    return campaign.cluster


def _cpu(process: psutil.Process | None = None) -> float:
    """Seconds of CPU of a process (this one), and of what it has started and waited for."""
    return float(sum((process or psutil.Process()).cpu_times()[:4]))


def _cpu_to_the_end(hub: psutil.Process) -> float:
    """The last that the hub showed of itself, and this process then."""
    seen = _cpu(hub)
    with suppress(psutil.NoSuchProcess):
        while hub.status() != psutil.STATUS_ZOMBIE:
            seen = _cpu(hub)
            time.sleep(0.05)
    return seen + _cpu()


def _quiet(cluster: Cluster, schedd: Path, wanted: float) -> dict[str, float]:
    """What the open pools cost while nothing happens."""
    command, hub = psutil.Process(), psutil.Process(cluster.hub.pid)
    before, cpu, begun = calls(schedd), _cpu(), time.monotonic()
    while time.monotonic() - begun < wanted:
        cluster.poll()
        time.sleep(0.1)
    seconds = time.monotonic() - begun
    asked = calls(schedd)["condor_q"] - before["condor_q"]
    return {
        "quiet_cpu": 100 * (_cpu() - cpu) / seconds,
        "command_memory": command.memory_info().rss / 1e6,
        "hub_memory": hub.memory_info().rss / 1e6,
        "command_files": command.num_fds(),
        "hub_files": hub.num_fds(),
        "queries_a_minute": 60 * asked / seconds,
    }


def table(runs: list[dict[str, float]]) -> str:
    head = ["workers", *(f"{run['workers']:g}" for run in runs)]
    lines = [head, ["---", *("---:" for _ in runs)]]
    lines += [
        [title, *(f"{run[key]:.3g}" if run[key] < 100 else f"{run[key]:.0f}" for run in runs)]
        for key, title in ROWS.items()
    ]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def main() -> None:
    """Each number in a process of its own, so that memory is that of one run."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--workers", type=int, nargs="+", default=[10, 100, 1000])
    parser.add_argument("--quiet", type=float, default=QUIET, help="seconds to look at open pools")
    parser.add_argument("--one", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        with tempfile.TemporaryDirectory(prefix="scale-") as folder:
            print(json.dumps(measure(options.one, Path(folder), options.quiet)))
        return
    runs = []
    for workers in options.workers:
        print(f"{workers} workers", file=sys.stderr)
        done = subprocess.run(
            [sys.executable, __file__, "--quiet", str(options.quiet), "--one", str(workers)],
            stdout=subprocess.PIPE,
            check=True,
            text=True,
        )
        runs.append(json.loads(done.stdout.splitlines()[-1]))
    print("Simulated: the batch system's commands, and the workers (light ones, all in one process).")
    print(table(runs))


if __name__ == "__main__":
    main()
