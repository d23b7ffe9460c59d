"""Cleans up after commands that were killed, or whose machine went down: jobs, processes, private folders."""

from __future__ import annotations

import os
import shutil
import signal
from contextlib import suppress
from typing import TYPE_CHECKING

from filelock import FileLock, Timeout

from fasthep_validate import living, records
from fasthep_validate.batch.left import QUEUES
from fasthep_validate.errors import SubmitError
from fasthep_validate.private import PREFIX

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from fasthep_validate.records import Known


def clean(say: Callable[[str], None]) -> None:
    """Remove what runs of this user left on this machine whose command is dead; a line for each of them.

    Runs that go on are not touched, nor those of other machines: only there it can be told whether a
    command lives. What cannot be removed now is tried again next time.
    """
    dead = [record for record in records.known() if not record.alive]
    if not dead:
        return
    lock = FileLock(records.state_folder() / "clean.lock", timeout=0)
    with suppress(Timeout, OSError), lock:  # another command is at it
        for record in dead:
            say(remove(record))


def remove(record: Known) -> str:
    """Remove what a dead run left, and tell of it in a sentence."""
    name = f"the run {record.run}, whose command was killed"
    try:
        removed = list(_remove(record))
    except SubmitError as error:
        return f"{name}, may have left jobs {' '.join(record.jobs)}: {error}"
    record.path.unlink(missing_ok=True)
    return f"{name}, left {', '.join(removed)}: removed" if removed else f"{name}, left nothing"


def _remove(record: Known) -> Iterator[str]:
    """The helpers first: one that lives goes on submitting or cleaning."""
    for helper in record.helpers:
        if living.here(helper) and living.alive(helper):
            with suppress(ProcessLookupError):
                os.kill(helper.pid, signal.SIGKILL)
            yield f"process {helper.pid}"
    jobs = QUEUES[record.head.strategy](record.run, record.left)
    jobs.remove()
    yield from (f"job {job} ({state})" for job, state in jobs.states.items())
    for folder in record.folders:
        if _is_private(folder):
            shutil.rmtree(folder, ignore_errors=True)
            yield str(folder)
    (record.run / "connection.json").unlink(missing_ok=True)


def _is_private(folder: Path) -> bool:
    """Whether it is a folder that a run of ours made: nothing else is removed, whatever a record says."""
    with suppress(OSError):
        return folder.name.startswith(PREFIX) and folder.lstat().st_uid == os.getuid() and folder.is_dir()
    return False
