"""Packs as files: written where the user wants them, read again, compared, verified."""

from __future__ import annotations

import hashlib
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from pydantic import ValidationError

from fasthep_validate.errors import PackError
from fasthep_validate.models.packed import PackedEnv
from fasthep_validate.pack import trial
from fasthep_validate.pack.cache import unwritable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from fasthep_validate.models.packed import Archive

RECORD = "pack.json"
SUFFIX = ".json"  # of the description beside an archive
CODE = ".code.tar.gz"


class Difference(NamedTuple):
    """What is not the same in two packs; an empty side has it not at all."""

    what: str
    first: str
    second: str


def write(packed: PackedEnv, target: Path) -> PackedEnv:
    """Copy a pack to a file, with its description and its code layer beside it.

    Raises:
        PackError: it has no archive, or the files cannot be written.
    """
    if packed.base is None:
        raise PackError(f"{target}: a shared prefix has no archive that could be written.")
    code = packed.code
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        base = _copied(packed.base, target)
        layer = code and code.model_copy(
            update={"archive": _copied(code.archive, target.with_name(target.name + CODE))}
        )
        written = packed.model_copy(update={"base": base, "code": layer})
        target.with_name(target.name + SUFFIX).write_text(written.to_json(), encoding="utf-8")
    except OSError as error:
        raise unwritable(target.parent, error) from error
    return written


def _copied(archive: Archive, target: Path) -> Archive:
    partial = target.with_name(f"{target.name}.partial")
    try:
        shutil.copyfile(archive.path, partial)
        partial.replace(target)
    finally:
        partial.unlink(missing_ok=True)
    return archive.model_copy(update={"path": str(target.absolute())})


def read(path: Path) -> PackedEnv:
    """A pack by its archive, its description, or the folder of a run or of the cache.

    Raises:
        PackError: there is none.
    """
    choices = (path.with_name(path.name + SUFFIX), path / RECORD, path.with_name(RECORD), path)
    for file in choices:
        if file.is_file() and (file.suffix == SUFFIX):
            try:
                return _beside(file, PackedEnv.model_validate_json(file.read_bytes()))
            except ValidationError as error:
                words = error.errors()[0]["msg"]
                raise PackError(f"{file}: does not describe a pack ({words}). Pack again.") from None
    raise PackError(
        f"{path}: has no description {path.name}{SUFFIX} or {RECORD} beside it. Name an archive that "
        "`fasthep-validate pack --output` wrote, or the folder of a run."
    )


def _beside(description: Path, packed: PackedEnv) -> PackedEnv:
    """The pack with its archives where the description is, if they are there: both may have been moved."""

    def found(archive: Archive) -> Archive:
        near = description.with_name(Path(archive.path).name)
        return archive.model_copy(update={"path": str(near.absolute())}) if near.is_file() else archive

    code = packed.code
    layer = code and code.model_copy(update={"archive": found(code.archive)})
    return packed.model_copy(update={"base": packed.base and found(packed.base), "code": layer})


# ---- two packs ------------------------------------------------------------------------------------


def compare(first: PackedEnv, second: PackedEnv) -> list[Difference]:
    """Everything by which two packs differ: Python, packages, code, what they ask of a node, sizes."""
    sides = (dict(_facts(first)), dict(_facts(second)))
    names = list(dict.fromkeys((*sides[0], *sides[1])))
    rows = (Difference(name, sides[0].get(name, ""), sides[1].get(name, "")) for name in names)
    return [row for row in rows if row.first != row.second]


def _facts(packed: PackedEnv) -> Iterator[tuple[str, str]]:
    manifest = packed.manifest
    yield "type", manifest.type
    yield "python", manifest.python_version
    yield "machine", manifest.machine
    yield "glibc", manifest.glibc.version if manifest.glibc else ""
    yield from (("needs " + name, version) for name, version in manifest.floors.items())
    for package in manifest.packages:
        yield (
            f"{package.kind} {package.name}",
            f"{package.version} {package.build} {package.sha256[:12]}".strip(),
        )
    for source in packed.code.sources if packed.code else ():
        state = f"{source.git.commit[:12]}, {source.git.changed} changed" if source.git else "no git"
        yield f"{source.kind} {source.name}", state
    yield "activation", " ".join((*packed.activation.scripts, *packed.activation.variables))
    yield "files", str(manifest.files)
    yield "bytes", str(manifest.size)
    yield "code", packed.code.archive.sha256[:12] if packed.code else ""
    yield "key", manifest.key[:12]


# ---- is it whole, does it run ---------------------------------------------------------------------


def verify(packed: PackedEnv, modules: tuple[str, ...], say: Callable[[str], None]) -> None:
    """Compare digests, extract as a worker does, start its Python there and import modules.

    Raises:
        PackError: the pack is not whole, or does not run on this machine.
    """
    if packed.base is None:
        raise PackError("pack: a shared prefix has no archive that could be verified.")
    for archive in (packed.base, *([packed.code.archive] if packed.code else [])):
        say(f"digest of {archive.path}")
        _require_whole(archive)
    with tempfile.TemporaryDirectory(prefix="fasthep-validate-") as folder:
        say(f"extracting to {folder}, importing {', '.join(modules)}")
        trial.try_out(packed, Path(folder), modules)


def _require_whole(archive: Archive) -> None:
    try:
        with Path(archive.path).open("rb") as stream:
            found = hashlib.file_digest(stream, "sha256").hexdigest()
    except OSError as error:
        raise PackError(
            f"{archive.path}: {error.strerror}. Name the archive beside its description."
        ) from None
    if found != archive.sha256:
        raise PackError(f"{archive.path}: has sha256 {found}, and {archive.sha256} was packed. Pack again.")
