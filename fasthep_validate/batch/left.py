"""Jobs that a killed command left: which of them are still there, and their removal.

These work from what is noted of a run alone, without the objects that submitted its jobs.
"""

from __future__ import annotations

import json
import os
import signal
import time
from collections import defaultdict
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from fasthep_validate.batch.command import ask
from fasthep_validate.errors import SubmitError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from fasthep_validate.models.record import Left

PATIENCE = 60.0  # seconds for one command of a batch system
ENDING = 5.0  # seconds for a process that was killed to be gone
CONDOR_STATES = {
    1: "idle",
    2: "running",
    3: "removed",
    4: "completed",
    5: "held",
    6: "running",
    7: "suspended",
}
GONE = {"removed", "completed"}


class Queue(Protocol):
    """The jobs of a run that may be left."""

    def __call__(self, run: Path, left: Sequence[Left]) -> Jobs:
        """Look for them; ``run`` is the run folder, ``left`` what is noted."""


class Jobs:
    """Jobs that are still there.

    Attributes:
        states: id -> state, in the batch system's words.
    """

    def __init__(self, states: Mapping[str, str], remove: Callable[[Sequence[str]], None]) -> None:
        self.states = dict(states)
        self._remove = remove

    def remove(self) -> None:
        """Remove them all.

        Raises:
            SubmitError: the batch system refused.
        """
        if self.states:
            self._remove(tuple(self.states))


def condor_jobs(run: Path, left: Sequence[Left]) -> Jobs:
    """Jobs in the queues that the run used: by their ids, and by their log for one whose id nobody noted."""
    found: dict[str, str] = {}
    where: dict[str, tuple[str, ...]] = {}
    for address, ids in _by_address(left).items():
        for ad in _condor_ads(address):
            job = f"{ad['ClusterId']}.{ad['ProcId']}"
            mine = job in ids or Path(str(ad.get("UserLog", ""))).is_relative_to(run)
            state = CONDOR_STATES.get(int(str(ad["JobStatus"])), "unknown")
            if mine and state not in GONE:
                found[job], where[job] = state, address

    def remove(jobs: Sequence[str]) -> None:
        for job in jobs:
            _must("condor_rm", *where[job], job)

    return Jobs(found, remove)


def _condor_ads(address: Sequence[str]) -> list[dict[str, object]]:
    attributes = "ClusterId,ProcId,JobStatus,UserLog"
    text = _must("condor_q", *address, "-json", "-attributes", attributes)
    ads: list[dict[str, object]] = json.loads(text) if text.strip() else []
    return ads


def slurm_jobs(run: Path, left: Sequence[Left]) -> Jobs:  # noqa: ARG001 - Slurm notes no path of ours
    """Jobs in the queue, by their ids; one whose id nobody noted ends by itself (see ``slurm_hold.sh``)."""
    found: dict[str, str] = {}
    where: dict[str, tuple[str, ...]] = {}
    for address, ids in _by_address(left).items():
        lines = _must("squeue", *address, "--me", "--noheader", "--format=%i|%T").splitlines()
        for job, _, state in (line.partition("|") for line in lines):
            if job in ids:
                found[job], where[job] = state.lower(), address

    def remove(jobs: Sequence[str]) -> None:
        for job in jobs:
            _must("scancel", *where[job], job)

    return Jobs(found, remove)


def local_jobs(run: Path, left: Sequence[Left]) -> Jobs:  # noqa: ARG001 - processes are known by their folder
    """Processes of this user that work in a private folder of the run."""
    folders = [Path(item.folder) for item in left if item.folder]

    def remove(jobs: Sequence[str]) -> None:
        for pid in jobs:
            with suppress(ProcessLookupError):
                os.kill(int(pid), signal.SIGKILL)
        deadline = time.monotonic() + ENDING
        while set(jobs) & set(_working_in(folders)) and time.monotonic() < deadline:
            time.sleep(0.05)

    return Jobs(dict.fromkeys(_working_in(folders), "running"), remove)


def _working_in(folders: Sequence[Path]) -> list[str]:
    """Ids of the user's processes whose working directory is in one of these folders, or was."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with suppress(OSError):
                if entry.stat().st_uid == os.getuid() and _inside((entry / "cwd").readlink(), folders):
                    found.append(entry.name)
    return found


def _inside(path: Path, folders: Sequence[Path]) -> bool:
    return any(path.is_relative_to(folder) for folder in folders)


def _by_address(left: Sequence[Left]) -> Mapping[tuple[str, ...], set[str]]:
    """The ids of the jobs in each queue that the run submitted to."""
    found: dict[tuple[str, ...], set[str]] = defaultdict(set)
    for item in left:
        if item.worker:
            found[item.address] |= {item.job} - {""}
    return found


def _must(*argv: str) -> str:
    done = ask(argv, timeout=PATIENCE)
    if not done.ok:
        raise SubmitError(f"{argv[0]}: {' '.join((done.stderr or done.stdout).split())}")
    return done.stdout


QUEUES: Mapping[str, Queue] = {"local": local_jobs, "htcondor": condor_jobs, "slurm": slurm_jobs}
"""By strategy."""
