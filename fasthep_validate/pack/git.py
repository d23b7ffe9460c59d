"""Asks git what belongs to a folder, and where its checkout stands."""

from __future__ import annotations

import posixpath
from pathlib import Path

from fasthep_validate import process
from fasthep_validate.models.packed import GitState

# What stays where no git says it; environments below the folder are found by their own marks.
SKIP = {
    ".*": "hidden: history, caches, environments",
    "*/.*": "hidden: history, caches, environments",
    "*/node_modules": "not Python",
    "node_modules": "not Python",
    "*__pycache__/*.pyc": "compiled again",
}
MARKS = ("pyvenv.cfg", "conda-meta")  # of an environment
GIT_TIME = 60.0  # seconds


def files(folder: str, *, built: bool) -> set[str] | None:
    """What git does not ignore, by its path below the folder; ``None`` outside a checkout.

    Args:
        folder: in a checkout, or not.
        built: whether to add what git ignores but Python imports: generated ``_version.py`` files and
            extension modules that were built in place.
    """
    kept = _listed(folder, "-co")
    if not kept:
        return None
    found = {path for path in kept if not posixpath.isdir(posixpath.join(folder, path))}
    return found | _built(folder, found) if built else found


def _built(folder: str, found: set[str]) -> set[str]:
    ignored = _listed(folder, "-oi", "--directory") or []
    folders = {posixpath.dirname(path) for path in found}
    return {path for path in ignored if path.endswith((".py", ".so")) and posixpath.dirname(path) in folders}


def state(path: str) -> GitState | None:
    """Commit and changes of the checkout that a file or folder is in; ``None`` outside one."""
    folder = path if posixpath.isdir(path) else posixpath.dirname(path)
    changed = _git(folder, "status", "--porcelain", "-z", "--no-renames", "--", ".")
    if changed is None:
        return None
    commit = _git(folder, "rev-parse", "--verify", "-q", "HEAD")
    return GitState(commit=(commit or "").strip(), changed=changed.count("\0"))


def skip(folder: str) -> dict[str, str]:
    """What stays of a folder that is no checkout, as rules of a :class:`~fasthep_validate.pack.tree.Part`."""
    found = (
        mark
        for name in MARKS
        for mark in (*Path(folder).glob(f"*/{name}"), *Path(folder).glob(f"*/*/{name}"))
    )
    return {**SKIP, **{posixpath.relpath(mark.parent, folder): "an environment" for mark in found}}


def _listed(folder: str, *options: str) -> list[str] | None:
    out = _git(folder, "ls-files", "-z", "--exclude-standard", *options)
    return None if out is None else [path for path in out.split("\0") if path]


def _git(folder: str, *words: str) -> str | None:
    done = process.run(["git", "-C", folder, *words], timeout=GIT_TIME)
    return done.stdout if done.ok else None
