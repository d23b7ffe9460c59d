"""The root filesystem that all nodes share: made once, kept in the cache."""

from __future__ import annotations

import hashlib
import os
import platform
import shutil
import tempfile
import time
from typing import TYPE_CHECKING

from fasthep_validate import process
from tests.testbed import host
from tests.testbed.errors import Failure
from tests.testbed.places import FILES

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

SUITE = "trixie"  # bookworm has no HTCondor
RECIPE = FILES / "image"
TIMEOUT = 1200  # seconds; one minute is usual


def key() -> str:
    """Changes with everything that goes into an image."""
    digest = hashlib.sha256(f"{SUITE} {platform.machine()}".encode())
    for path in sorted(RECIPE.iterdir()):
        digest.update(path.read_bytes())
    return digest.hexdigest()[:12]


def ensure(cache: Path, say: Callable[[str], None]) -> Path:
    """The image, made if it is not in the cache; who calls holds the cache's lock.

    Raises:
        Failure: it cannot be made.
    """
    path = cache / f"image-{key()}.squashfs"
    if path.exists():
        return path
    remove_unfinished(cache)
    say(f"image: making {path}; this is done once and takes about a minute")
    start = time.monotonic()
    _make(path)
    for old in cache.glob("image-*.squashfs"):
        if old != path:
            old.unlink()
    say(f"image: {path.stat().st_size / 1e6:.0f} MB after {time.monotonic() - start:.0f} s")
    return path


def remove_unfinished(cache: Path) -> None:
    """Remove what was left by making an image and not coming to the end of it."""
    for path in cache.glob("making-*"):
        shutil.rmtree(path)
    for path in cache.glob("*.squashfs.tmp"):
        path.unlink()


def _make(path: Path) -> None:
    """Run the recipe in namespaces of its own, so that its mounts and processes end with it."""
    mirror = host.mirror()
    with tempfile.TemporaryDirectory(prefix="making-", dir=path.parent) as scratch:
        done = process.run(
            [
                *("setpriv", "--pdeathsig", "KILL"),
                *("unshare", "--mount", "--pid", "--fork", "--kill-child=KILL", "--mount-proc"),
                *(RECIPE / "build.sh", mirror, SUITE, path),
            ],
            timeout=TIMEOUT,
            env={**os.environ, "PATH": host.search_path(), "TMPDIR": scratch},
        )
    if not done.ok:
        last = "\n".join(done.stderr.splitlines()[-20:])
        raise Failure(f"image: making it ended with exit code {done.returncode}; the last lines are:\n{last}")
