"""Good credentials of every kind as files, and how they are judged; a test spoils one thing."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING, Literal

from fasthep_validate.credentials.fault import Fault, Moment
from fasthep_validate.credentials.kinds import faults
from fasthep_validate.models.credential import CredentialSeen
from fasthep_validate.models.credentials import Credentials
from fasthep_validate.worker.probe_credentials import look

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

HOUR = 3600.0


def seen(kind: str, environ: Mapping[str, str]) -> CredentialSeen:
    """What is seen of a credential with this environment alone."""
    return CredentialSeen.model_validate(look(kind, environ, os.geteuid()))


def judged(
    found: CredentialSeen,
    needs: Mapping[str, object] | None = None,
    *,
    hours: float = 1.0,
    where: Literal["submit", "worker"] = "worker",
    now: float | None = None,
) -> list[Fault]:
    """The faults of a credential; ``needs`` is what the profile says of its kind, ``hours`` how long it must last."""
    said = Credentials.model_validate({found.kind: {"need": "required", **(needs or {})}})
    begun = time.time() if now is None else now
    return faults(found, said, Moment(begun, begun + hours * HOUR, f"{hours:g} h are to come", where))


def codes(found: list[Fault]) -> list[str]:
    """The words of faults, the grave ones."""
    return [fault.code for fault in found if fault.grave]


def put(path: Path, content: bytes | str, mode: int = 0o600) -> Path:
    """A file of a credential."""
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    path.chmod(mode)
    return path
