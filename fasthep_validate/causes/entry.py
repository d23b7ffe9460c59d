"""An entry of the catalogue."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from fasthep_validate.models.report import Cause


@dataclass(frozen=True, kw_only=True)
class Entry:
    """A cause.

    Attributes:
        id: stable id, ``FHV-<class>-<nnn>``.
        title: what it is, in one line.
        meaning: what happened, for somebody who has not met it before.
        remedy: what to do.
        who: who can do it.
    """

    id: str
    title: str
    meaning: str
    remedy: str
    who: Literal["user", "admin"] = "user"

    def shown_by(self, *lines: str) -> Cause:
        """The entry as the cause of what these lines show."""
        return Cause(id=self.id, title=self.title, evidence=lines, remedy=self.remedy, who=self.who)
