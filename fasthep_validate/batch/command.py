"""Runs a command of a batch system."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from fasthep_validate import process

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path


def ask(words: Sequence[str | Path], *, timeout: float) -> process.Completed:
    """What a command says, in plain English; it may be told by our environment who we are, so it gets all of it.

    Args:
        words: program and arguments.
        timeout: seconds after which it is killed.
    """
    return process.run(words, timeout=timeout, env={**os.environ, "LC_ALL": "C"})
