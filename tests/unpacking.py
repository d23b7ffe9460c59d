"""Extracts a pack as the job script does."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fasthep_validate.pack import trial

if TYPE_CHECKING:
    from pathlib import Path

    from fasthep_validate.models.packed import PackedEnv


def unpack(packed: PackedEnv, root: Path) -> None:
    """Extract and relocate in a new directory, with nothing but what a node has and the pack itself."""
    trial.extract(packed, root)
