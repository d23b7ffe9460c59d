"""Tells what is installed in an environment: packages, where they came from, what they ask of a node."""

from __future__ import annotations

import posixpath
import re
from email.parser import BytesHeaderParser
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import BaseModel, ValidationError

from fasthep_validate.models.packed import Package
from fasthep_validate.scrubbing import scrub

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from fasthep_validate.pack.tree import Entry

RECORDS = re.compile(r"conda-meta/[^/]+\.json")
METADATA = ".dist-info/METADATA"
FLOOR = re.compile(r"(__\w+)\s*>=\s*([0-9][0-9.]*)")


class _Record(BaseModel):
    """A record of an installed conda package, as far as it is told."""

    name: str = ""
    version: str = ""
    build: str = ""
    channel: str = ""
    url: str = ""
    sha256: str | None = None
    depends: tuple[str, ...] = ()
    files: tuple[str, ...] = ()


def packages(entries: Mapping[str, Entry]) -> tuple[Package, ...]:
    """All packages of a tree, by name."""
    records = list(_records(entries))
    conda = (
        Package(
            kind="conda",
            name=record.name,
            version=record.version,
            build=record.build,
            source=scrub(record.url or record.channel),
            sha256=record.sha256 or "",
        )
        for record in records
    )
    of_conda = {file for record in records for file in record.files}
    return tuple(
        sorted((*conda, *_distributions(entries, of_conda)), key=lambda item: (item.name.lower(), item.kind))
    )


def floors(entries: Mapping[str, Entry]) -> dict[str, str]:
    """The newest versions of virtual packages that conda packages ask for, such as ``__cuda`` -> ``12.0``."""
    found: dict[str, str] = {}
    for record in _records(entries):
        for name, version in (match.groups() for word in record.depends if (match := FLOOR.match(word))):
            found[name] = max(found.get(name, "0"), version.rstrip("."), key=_numbers)
    return dict(sorted(found.items()))


def _numbers(version: str) -> list[int]:
    return [int(part) for part in version.split(".") if part]


def _records(entries: Mapping[str, Entry]) -> Iterator[_Record]:
    for name, entry in entries.items():
        if RECORDS.fullmatch(name):
            try:
                record = _Record.model_validate_json(Path(entry.source).read_bytes())
            except ValidationError:
                continue
            if record.name:
                yield record


def _distributions(entries: Mapping[str, Entry], of_conda: Iterable[str]) -> Iterator[Package]:
    for name, entry in entries.items():
        if name.endswith(METADATA) and name not in of_conda:
            headers = BytesHeaderParser().parsebytes(Path(entry.source).read_bytes())
            installer = entries.get(posixpath.join(posixpath.dirname(name), "INSTALLER"))
            source = Path(installer.source).read_text(encoding="utf-8").strip() if installer else ""
            yield Package(
                kind="pypi", name=str(headers["Name"]), version=str(headers["Version"]), source=source
            )
