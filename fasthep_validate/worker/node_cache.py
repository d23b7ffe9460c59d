"""Keep the environments that a user's jobs have extracted on a node below a size.

Run by a job that has just extracted one, with its Python::

    bin/python3.11 -I -S node_cache.py DIRECTORY LIMIT KEY

``DIRECTORY`` belongs to the user alone and holds one directory an environment. Its file ``.fasthep/whole`` holds the
id of the node's boot and the size of the environment in bytes; it is touched
by every job that uses it, and locked by every worker (``launch.py``). The oldest go first, until all take no more than
``LIMIT`` bytes; none that is in use, that was used within the hour, or whose name is ``KEY``. What killed jobs have left
goes as well. Standard library only, any Python >= 3.9.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import sys
import time
from pathlib import Path

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

WHOLE = ".fasthep/whole"
RECENT = 3600.0  # seconds: between a job's look at the cache and its worker's lock there is a moment
LEFT = (".partial.", ".old.")  # in names of what is not an environment (yet, or any more)


def size_of(folder: Path) -> int:
    """Bytes of an environment, as the job wrote down that extracted it."""
    try:
        return int((folder / WHOLE).read_text().split()[1])
    except (OSError, ValueError, IndexError):
        return 0


def used(folder: Path) -> float:
    """When an environment was used last, or something that is none was changed."""
    for file in (folder / WHOLE, folder):
        with contextlib.suppress(OSError):
            return file.stat().st_mtime
    return time.time()


@contextlib.contextmanager
def unused(folder: Path) -> Iterator[bool]:
    """Whether no worker holds the environment; none can take it meanwhile."""
    try:
        handle = os.open(folder / WHOLE, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        yield True
        return
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield True
    except OSError:
        yield False
    finally:
        os.close(handle)


def remove(folder: Path) -> bool:
    """Remove an environment unless it is in use: first its name goes, then its files."""
    if time.time() - used(folder) < RECENT:
        return False
    with unused(folder) as free:
        if not free:
            return False
        gone = folder.with_name(f"{folder.name}.old.{os.getpid()}")
        folder.rename(gone)
    shutil.rmtree(gone, ignore_errors=True)
    return True


def trim(cache: Path, limit: int, keep: str) -> list[str]:
    """Remove what is too much; names of what has gone."""
    folders = sorted((path for path in cache.iterdir() if path.is_dir() and path.name != keep), key=used)
    left = [path for path in folders if any(mark in path.name for mark in LEFT)]
    whole = [path for path in folders if path not in left and not path.name.endswith(".d")]
    gone = [path.name for path in left if remove(path)]
    sizes = {path: size_of(path) for path in whole}
    total = sum(sizes.values()) + size_of(cache / keep)
    for path in whole:
        if total <= limit:
            break
        if remove(path):
            total -= sizes[path]
            gone.append(path.name)
    return gone


def main(arguments: list[str]) -> int:
    """Trim the cache that is named; exit code of the program."""
    if len(arguments) != 3:
        sys.stderr.write("usage: node_cache.py DIRECTORY LIMIT KEY\n")
        return 2
    try:
        for name in trim(Path(arguments[0]), int(arguments[1]), arguments[2]):
            sys.stderr.write(f"removed {name}\n")
    except OSError as error:
        sys.stderr.write(f"node_cache: {error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
