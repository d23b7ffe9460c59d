"""Extracts a pack on this machine as a job script does, and starts its Python there."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from fasthep_validate import process
from fasthep_validate.bundled import worker_file
from fasthep_validate.errors import PackError
from fasthep_validate.pack.code import VARIABLE

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from fasthep_validate.models.packed import Archive, PackedEnv, Parts

EXTRACTING, STARTING = 900.0, 120.0  # seconds
IMPORT = "import sys\nfor name in sys.argv[1:]: __import__(name)"
NODE = {"PATH": "/usr/bin:/bin"}  # environment of what runs here: nothing of the user's


def try_out(packed: PackedEnv, folder: Path, modules: Iterable[str]) -> None:
    """Extract a pack in a new folder, start its Python there and import modules.

    Raises:
        PackError: it cannot be extracted, or does not run, on this machine.
    """
    assert packed.base
    root, code = folder / "env", folder / "code"
    extract(packed, root)
    code.mkdir()
    if packed.code:
        _run(["tar", "-xzf", packed.code.archive.path, "-C", code], packed.code.archive)
    words = [str(root / packed.manifest.python), "-I", "-c", IMPORT, *modules]
    done = process.run(words, timeout=STARTING, env={**NODE, VARIABLE: str(code)})
    if not done.ok:
        raise PackError(
            f"{packed.base.path}: does not run here: {_last(done)}. See what the manifest says it needs."
        )


def extract(packed: PackedEnv, root: Path) -> None:
    """Extract a base in an empty directory, with ``tar`` and its own Python, and relocate it there.

    Raises:
        PackError: it cannot be extracted here.
    """
    assert packed.base
    root.mkdir(parents=True)
    python = root / packed.manifest.base_python
    if packed.base.parts:
        _extract_parts(packed.base, packed.base.parts, root, python)
        return
    _run(["tar", "-xzf", packed.base.path, "-C", root], packed.base)
    _run([python, "-I", "-S", worker_file("relocate.py"), root], packed.base)


def _extract_parts(base: Archive, parts: Parts, root: Path, python: Path) -> None:
    with tempfile.NamedTemporaryFile(dir=root, prefix=".head-") as head:
        with Path(base.path).open("rb") as stream:
            head.write(stream.read(parts.head_size))
        head.flush()
        _run(["tar", "-xzf", head.name, "-C", root], base)
    cores = len(os.sched_getaffinity(0))
    index = (str(parts.index_size), parts.index_sha256)
    _run([python, "-I", "-S", worker_file("extract.py"), base.path, root, root, *index, str(cores)], base)


def _run(words: Sequence[str | Path], archive: Archive) -> None:
    done = process.run(words, timeout=EXTRACTING, env=NODE)
    if not done.ok:
        raise PackError(f"{archive.path}: cannot be extracted here: {_last(done)}. Pack again.")


def _last(done: process.Completed) -> str:
    return (done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[-1]
