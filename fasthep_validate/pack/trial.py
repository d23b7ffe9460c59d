"""Extracts a pack on this machine as a job script does, and starts its Python there.

Writing a gigabyte takes longer than packing it where disks are slow. So the trial of a new pack leaves packages out that a
worker's start does not import; ``fasthep-validate pack verify`` extracts them all.
"""

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
    from collections.abc import Collection, Iterable, Sequence

    from fasthep_validate.models.packed import Archive, PackedEnv, Parts

EXTRACTING, STARTING = 900.0, 120.0  # seconds
IMPORT = "import sys\nfor name in sys.argv[1:]: __import__(name)"
LOADED = IMPORT + "\nprint(*{name.partition('.')[0] for name in sys.modules})"
NODE = {"PATH": "/usr/bin:/bin"}  # environment of what runs here: nothing of the user's


def loaded_with(python: str, modules: Iterable[str]) -> set[str]:
    """Packages that importing modules needs; found by doing it where the environment lies. None if it fails there."""
    done = process.run([python, "-I", "-B", "-c", LOADED, *modules], timeout=STARTING, env=NODE)
    return set(done.stdout.split()) if done.ok else set()


def packages_beside(packed: PackedEnv, names: Iterable[str], loaded: Collection[str]) -> set[str]:
    """Directories of packages that need not be there when the packages that were loaded are.

    Args:
        packed: the pack.
        names: all files in it.
        loaded: what is needed; all is, when it is not known.
    """
    if not loaded:
        return set()
    keep = (*packed.manifest.text_files, *packed.manifest.binary_files)
    found = set()
    for site in packed.manifest.site_packages:
        below = (name[len(site) + 1 :] for name in names if name.startswith(f"{site}/"))
        tops = {top for top, slash, _ in (name.partition("/") for name in below) if slash}
        found |= {
            f"{site}/{top}"
            for top in tops
            if top.removesuffix(".libs") not in loaded and ".dist-info" not in top
        }
    return {folder for folder in found if not any(name.startswith(f"{folder}/") for name in keep)}


def try_out(packed: PackedEnv, folder: Path, modules: Iterable[str], left: Iterable[str] = ()) -> None:
    """Extract a pack in a new folder, start its Python there and import modules.

    Args:
        packed: the pack.
        folder: for all that is extracted.
        modules: what must be importable.
        left: directories of the pack that are not needed for it.

    Raises:
        PackError: it cannot be extracted, or does not run, on this machine.
    """
    assert packed.base
    root, code = folder / "env", folder / "code"
    extract(packed, root, left)
    code.mkdir()
    if packed.code:
        _run(["tar", "-xzf", packed.code.archive.path, "-C", code], packed.code.archive)
    words = [str(root / packed.manifest.python), "-I", "-c", IMPORT, *modules]
    done = process.run(words, timeout=STARTING, env={**NODE, VARIABLE: str(code)})
    if not done.ok:
        raise PackError(
            f"{packed.base.path}: does not run here: {_last(done)}. See what the manifest says it needs."
        )


def extract(packed: PackedEnv, root: Path, left: Iterable[str] = ()) -> None:
    """Extract a base in a new directory, with ``tar`` and its own Python, and relocate it there.

    Raises:
        PackError: it cannot be extracted here.
    """
    assert packed.base
    root.mkdir(parents=True)
    python = root / packed.manifest.base_python
    if packed.base.parts:
        _extract_parts(packed.base, packed.base.parts, root, python, left)
        return
    _run(["tar", "-xzf", packed.base.path, "-C", root], packed.base)
    _run([python, "-I", "-S", worker_file("relocate.py"), root], packed.base)


def _extract_parts(base: Archive, parts: Parts, root: Path, python: Path, left: Iterable[str]) -> None:
    with tempfile.TemporaryDirectory(dir=root.parent) as folder:
        head, names = Path(folder, "head.tar.gz"), Path(folder, "left")
        with Path(base.path).open("rb") as stream:
            head.write_bytes(stream.read(parts.head_size))
        _run(["tar", "-xzf", head, "-C", root], base)
        names.write_text("".join(f"{name}\n" for name in left), encoding="utf-8", errors="surrogateescape")
        cores = str(len(os.sched_getaffinity(0)))
        words = (base.path, root, root, str(parts.index_size), parts.index_sha256, cores, names)
        _run([python, "-I", "-S", worker_file("extract.py"), *words], base)


def _run(words: Sequence[str | Path], archive: Archive) -> None:
    done = process.run(words, timeout=EXTRACTING, env=NODE)
    if not done.ok:
        raise PackError(f"{archive.path}: cannot be extracted here: {_last(done)}. Pack again.")


def _last(done: process.Completed) -> str:
    return (done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[-1]
