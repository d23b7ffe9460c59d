"""A renewed credential on its way from the hub to a worker that runs; travels by value, as ``tasks`` does."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable


def carrying(copy: Path) -> Callable[[], str]:
    """A call that brings a file of the hub's to a worker.

    It has no arguments: Dask logs those of a call that fails.
    """
    name, content = copy.name, copy.read_bytes()

    def bring() -> str:
        return put(name, content)

    return bring


def put(name: str, content: bytes) -> str:
    """Put it in the place of the one that the job script put there; what goes wrong comes back in words."""
    place = Path(os.environ.get("FASTHEP_VALIDATE_JOB") or Path.cwd(), "credentials", name)
    fresh = place.with_name(f".{name}.new")
    try:
        if not place.is_file():
            return f"{place} is not there"
        fresh.unlink(missing_ok=True)
        descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "wb") as stream:
            stream.write(content)
        fresh.replace(place)
    except OSError as error:
        return f"{place}: {error.strerror}"
    return ""
