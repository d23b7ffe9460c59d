"""How a run tells what it is doing; who shows it, and where, is not its business."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from fasthep_validate.models.event import Event


class Progress(Protocol):
    """Listens to a run."""

    def step(self, text: str) -> None:
        """Tell of a step of the whole run, such as ``packing 312 MB``."""

    def event(self, event: Event) -> None:
        """Tell of a phase of one worker's start."""


class Silent:
    """Listens and says nothing."""

    def step(self, text: str) -> None:
        """Say nothing."""

    def event(self, event: Event) -> None:
        """Say nothing."""
