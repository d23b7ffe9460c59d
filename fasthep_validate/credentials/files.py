"""The content of a credential, from where it was found to a copy that only the owner can read."""

from __future__ import annotations

import io
import os
import tarfile
from pathlib import Path
from typing import TYPE_CHECKING

from fasthep_validate.worker import probe_kerberos
from fasthep_validate.worker.probe_file import LIMITS, read

if TYPE_CHECKING:
    from collections.abc import Mapping

    from fasthep_validate.models.credential import CredentialSeen

AUTHORITIES = "authorities.tar.gz"
# What clients read in a folder of trusted authorities.
_TRUST = ("*.[0-9]", "*.r[0-9]", "*.signing_policy", "*.namespaces", "*.pem", "*.info")


def source(seen: CredentialSeen) -> Path | None:
    """The file that a credential is in; ``None`` for one that is a variable's value."""
    if seen.kind == "kerberos":
        kind, _, residual = seen.place.partition(":")
        return Path(probe_kerberos.file_of(probe_kerberos.Cache("", kind, residual)))
    return Path(seen.place) if seen.place.startswith("/") else None


def content(seen: CredentialSeen, environ: Mapping[str, str]) -> bytes:
    """Its bytes.

    Raises:
        worker.probe_file.Fault: it cannot be read any more.
    """
    path = source(seen)
    if path is None:
        return environ[seen.place].strip().encode("utf-8", "surrogateescape")
    return read(str(path), limit=LIMITS[seen.kind])[0]


def write_secret(path: Path, data: bytes) -> None:
    """Write a file that only the owner can ever read (mode 0600), in one step."""
    fresh = path.with_name(f".{path.name}.new")
    fresh.unlink(missing_ok=True)
    descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as stream:
        stream.write(data)
    fresh.replace(path)


def authorities(folder: Path) -> bytes:
    """The folder of trusted authorities as an archive; links become the files that they name."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz", dereference=True, compresslevel=1) as archive:
        for path in sorted({path for pattern in _TRUST for path in folder.glob(pattern)}):
            if path.is_file():
                archive.add(path, path.name, recursive=False)
    return buffer.getvalue()
