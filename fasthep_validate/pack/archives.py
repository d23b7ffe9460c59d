"""Opens archives that others made, whatever they are called: what is in them says what they are.

==================  =================================================================================
kind                how it is known
==================  =================================================================================
pixi-pack           ``pixi-pack.json`` and ``channel/``; as a script, the same between the lines
                    ``@@END_HEADER@@`` and ``@@END_ARCHIVE@@`` in base64
conda-pack          ``conda-meta/`` and ``bin/conda-unpack``
==================  =================================================================================
"""

from __future__ import annotations

import base64
import hashlib
import json
import mmap
import shutil
from typing import TYPE_CHECKING

from pydantic import BaseModel, Field, JsonValue, ValidationError

from fasthep_validate import process
from fasthep_validate.errors import PackError
from fasthep_validate.pack.packages import Contents, Wheel, install_into, require_rattler
from fasthep_validate.pack.prefixes import kept_prefix

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from rattler import RepoDataRecord

TIME = 900.0  # seconds
HEADER, ARCHIVE = b"\n@@END_HEADER@@\n", b"\n@@END_ARCHIVE@@\n"
METADATA, CHANNEL, PYPI = "pixi-pack.json", "channel", "pypi"
FORMAT = "1"  # of pixi-pack.json
UNPACK = "bin/conda-unpack"
CHUNK = 3 << 20  # of base64: a multiple of 4


class _Metadata(BaseModel):
    version: str
    platform: str


class _Packages(BaseModel):
    """``repodata.json`` of a channel."""

    packages: dict[str, dict[str, JsonValue]] = {}
    conda: dict[str, dict[str, JsonValue]] = Field(default={}, alias="packages.conda")


def open_archive(archive: Path, cache: Path, say: Callable[[str], None]) -> Path:
    """The prefix that is in an archive, installed or found installed.

    Args:
        archive: file that pixi-pack or conda-pack made.
        cache: directory of the packs.
        say: gets a short line about what is being done.

    Raises:
        PackError: it is not there, is damaged, or is something else.
    """
    try:
        status = archive.stat()
    except OSError as error:
        raise PackError(f"{archive}: {error.strerror}. Name an archive with environment.archive.") from None
    stamp = f"{archive} {status.st_size} {status.st_mtime_ns} {status.st_ino}"

    def make(work: Path, final: Path) -> None:
        say(f"opening {archive}")
        raw = work.with_name("raw")
        raw.mkdir()
        _extract(archive, raw)
        if (raw / METADATA).is_file():
            install_into(work, final, _of_pixi_pack(archive, raw), cache)
        elif (raw / UNPACK).is_file() and (raw / "conda-meta").is_dir():
            raw.rename(work)
            _conda_unpack(archive, work, final)
        else:
            raise PackError(
                f"{archive}: is neither an archive of pixi-pack nor one of conda-pack: it has neither "
                f"{METADATA} nor {UNPACK}. Name an archive that one of them made."
            )
        shutil.rmtree(raw, ignore_errors=True)

    return kept_prefix(cache, hashlib.sha256(stamp.encode()).hexdigest(), make)


def _extract(archive: Path, raw: Path) -> None:
    tar = archive
    with archive.open("rb") as stream:
        if stream.read(2) == b"#!":
            tar = raw.with_name("archive.tar")
            _decode(archive, tar)
    done = process.run(["tar", "--no-same-owner", "-xf", tar, "-C", raw], timeout=TIME)
    if tar != archive:
        tar.unlink()
    if not done.ok:
        words = (done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[-1]
        raise PackError(f"{archive}: cannot be opened ({words}). Make the archive anew.")


def _decode(script: Path, target: Path) -> None:
    """The archive out of a self-extracting script."""
    with script.open("rb") as stream, mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) as data:
        begin = data.find(HEADER)
        end = data.find(ARCHIVE, begin)
        if begin < 0 or end < 0:
            raise PackError(f"{script}: is a script, but none that pixi-pack made. Name an archive.")
        begin += len(HEADER)
        while data[begin : begin + 1] == b"\n":
            begin += 1
        with target.open("wb") as out:
            for at in range(begin, end, CHUNK):
                out.write(base64.b64decode(data[at : min(at + CHUNK, end)]))


def _conda_unpack(archive: Path, work: Path, final: Path) -> None:
    """Let the archive's own program put the right prefix into its files."""
    # It takes the prefix from where it lies itself, so it runs where the prefix will be.
    final.parent.mkdir()
    work.rename(final)
    try:
        done = process.run([final / "bin/python", final / UNPACK], timeout=TIME)
    finally:
        final.rename(work)
        final.parent.rmdir()
    if not done.ok:
        words = (done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[-1]
        raise PackError(f"{archive}: its conda-unpack fails ({words}). Make the archive anew.")


def _of_pixi_pack(archive: Path, raw: Path) -> Contents:
    require_rattler()
    try:
        metadata = _Metadata.model_validate_json((raw / METADATA).read_bytes())
        records = list(_records(raw / CHANNEL))
    except (ValidationError, OSError) as error:
        words = error.errors()[0]["msg"] if isinstance(error, ValidationError) else error
        raise PackError(f"{archive}: is damaged ({words}). Make the archive anew.") from None
    if metadata.version != FORMAT:
        raise PackError(
            f"{archive}: has version {metadata.version} of pixi-pack's format, and {FORMAT} is known."
        )
    wheels = [Wheel(file.name, str(file), _sha256(file)) for file in sorted((raw / PYPI).glob("*.whl"))]
    return Contents(metadata.platform, records, wheels)


def _records(channel: Path) -> Iterator[RepoDataRecord]:
    from rattler import PackageRecord, RepoDataRecord

    for index in sorted(channel.glob("*/repodata.json")):
        listed = _Packages.model_validate_json(index.read_bytes())
        for name, entry in {**listed.packages, **listed.conda}.items():
            file = index.with_name(name)
            description = index.with_name("entry.json")
            description.write_text(json.dumps(entry), encoding="utf-8")
            record = PackageRecord.from_index_json(description, sha256=_sha256(file))
            yield RepoDataRecord(record, name, file.as_uri(), channel.as_uri())


def _sha256(file: Path) -> str:
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
