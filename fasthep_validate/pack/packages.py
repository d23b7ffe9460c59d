"""Conda packages and wheels, installed into a prefix of the cache without conda, Pixi or pip."""

from __future__ import annotations

import asyncio
import hashlib
import os
import posixpath
import shutil
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

from fasthep_validate.errors import PackError
from fasthep_validate.pack import bounded
from fasthep_validate.pack.prefixes import kept_prefix
from fasthep_validate.scrubbing import scrub

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from rattler import RepoDataRecord

TIME = 60.0  # seconds without a byte
BLOCK = 1 << 20
WHEELS = 3_000_000_000  # bytes of wheels that are kept
HOW = "Install it with: pip install 'fasthep-validate[lock]'"


@dataclass(frozen=True)
class Wheel:
    """A wheel.

    Attributes:
        name: file name.
        url: where it is; a path for a file of this machine.
        sha256: hexadecimal digest; empty where nobody knows it.
    """

    name: str
    url: str
    sha256: str


@dataclass(frozen=True)
class Contents:
    """What an environment consists of.

    Attributes:
        platform: such as ``linux-64``.
        records: conda packages.
        wheels: Python packages that are not from conda.
    """

    platform: str
    records: Sequence[RepoDataRecord]
    wheels: Sequence[Wheel]

    def key(self) -> str:
        """Digest of the digests of all packages; of the address where nobody knows the digest."""
        conda = [
            f"{item.file_name} {item.sha256.hex() if item.sha256 else item.url}" for item in self.records
        ]
        pypi = [f"{item.name} {item.sha256 or item.url}" for item in self.wheels]
        return hashlib.sha256("\n".join([self.platform, *sorted(conda), *sorted(pypi)]).encode()).hexdigest()


def this_platform() -> str:
    """The platform of this machine, such as ``linux-64``.

    Raises:
        PackError: py-rattler is not installed.
    """
    require_rattler()
    from rattler import Subdir

    return str(Subdir.current())


def require_rattler() -> None:
    """Make sure that conda packages can be read.

    Raises:
        PackError: py-rattler or installer is not there.
    """
    try:
        import installer
        import rattler
    except ImportError as error:
        raise PackError(f"{error.name}: is not installed, and packages are read with it. {HOW}") from None
    del installer, rattler


def install(contents: Contents, cache: Path, say: Callable[[str], None]) -> Path:
    """The prefix that these packages make, installed or found installed.

    Args:
        contents: the packages.
        cache: directory of the packs; prefixes are kept below its ``prefixes``.
        say: gets a short line about what is being done.

    Raises:
        PackError: a package cannot be had, is not what was locked, or the disk is full.
    """

    def make(work: Path, final: Path) -> None:
        say(f"installing {len(contents.records) + len(contents.wheels)} packages for {contents.platform}")
        install_into(work, final, contents, cache)

    return kept_prefix(cache, contents.key(), make)


def install_into(prefix: Path, final: Path, contents: Contents, cache: Path) -> None:
    """Install packages into an empty prefix.

    Args:
        prefix: where it is made.
        final: where it will be.
        contents: the packages.
        cache: directory of the packs; wheels are kept below its ``wheels``.

    Raises:
        PackError: a package cannot be had, or is not what was locked.
    """
    from rattler import Subdir
    from rattler import install as link
    from rattler.exceptions import InstallerError

    for record in contents.records:
        _verify_local(record)
    wheels = [fetch(wheel, cache) for wheel in contents.wheels]
    try:
        asyncio.run(
            link(
                list(contents.records),
                prefix,
                platform=Subdir(contents.platform),
                show_progress=False,
                alternative_target_prefix=final,
            )
        )
    except InstallerError as error:
        raise PackError(
            f"packages: {_chain(error)}. Look whether the channels answer, and run again."
        ) from error
    for wheel in wheels:
        add_wheel(wheel, prefix, final)


def _chain(error: BaseException) -> str:
    return " ".join(str(error).split())


# ---- wheels ---------------------------------------------------------------------------------------


def fetch(wheel: Wheel, cache: Path) -> Path:
    """The file of a wheel, downloaded once.

    Raises:
        PackError: it cannot be had, or its digest is another.
    """
    local = local_path(wheel.url)
    if local is None:
        wheels = cache.absolute() / "wheels"
        folder = wheels / hashlib.sha256(f"{wheel.url} {wheel.sha256}".encode()).hexdigest()[:32]
        local = folder / wheel.name
        if not local.exists():
            folder.mkdir(parents=True, exist_ok=True)
            _download(wheel.url, local)
        bounded.trim(wheels, WHEELS, folder)
    if not local.is_file():
        raise PackError(f"{scrub(wheel.url)}: is not there. Make the lock file anew, or bring the file.")
    _verify(wheel, local)
    return local


def local_path(url: str) -> Path | None:
    """The file that a path or a ``file:`` address names; ``None`` for other addresses."""
    parts = urlsplit(url)
    if parts.scheme == "file":
        return Path(unquote(parts.path))
    return None if parts.scheme else Path(url)


def _download(url: str, target: Path) -> None:
    partial = target.with_name(f"{os.getpid()}.partial")
    try:
        with urllib.request.urlopen(url, timeout=TIME) as answer, partial.open("wb") as file:
            shutil.copyfileobj(answer, file, BLOCK)
        partial.rename(target)
    except (OSError, ValueError) as error:
        raise PackError(
            f"{scrub(url)}: cannot be had ({error}). Look whether the network is there, and run again."
        ) from error
    finally:
        partial.unlink(missing_ok=True)


def _verify(wheel: Wheel, file: Path) -> None:
    try:
        _require_digest(file, wheel.sha256)
    except PackError:
        if local_path(wheel.url) is None:
            file.unlink()
        raise


def _verify_local(record: RepoDataRecord) -> None:
    """Rattler compares digests of what it downloads, and not those of files of this machine."""
    file = local_path(record.url)
    if file is None:
        return
    if not file.is_file():
        raise PackError(f"{file}: is not there. Make the lock file anew, or bring the file.")
    _require_digest(file, record.sha256.hex() if record.sha256 else "")


def _require_digest(file: Path, expected: str) -> None:
    with file.open("rb") as stream:
        found = hashlib.file_digest(stream, "sha256").hexdigest()
    if expected and found != expected:
        raise PackError(f"{file}: has sha256 {found}, and {expected} was locked. Make the lock file anew.")


def add_wheel(wheel: Path, prefix: Path, final: Path) -> None:
    """Install a wheel into a prefix.

    Args:
        wheel: its file.
        prefix: where it is now.
        final: where it will be, for the first line of scripts.

    Raises:
        PackError: it is no wheel, or the prefix has no Python.
    """
    import installer
    from installer.destinations import SchemeDictionaryDestination
    from installer.exceptions import InstallerError
    from installer.sources import WheelFile

    scheme = {name: str(prefix / path) for name, path in _scheme(prefix).items()}
    target = SchemeDictionaryDestination(
        scheme, interpreter=str(final / "bin/python"), script_kind="posix", overwrite_existing=True
    )
    try:
        with WheelFile.open(wheel) as source:
            installer.install(source, target, {"INSTALLER": b"fasthep-validate\n"})
    except (InstallerError, ValueError, KeyError, OSError) as error:
        raise PackError(f"{wheel}: cannot be installed ({error}). Make the lock file anew.") from error


def _scheme(prefix: Path) -> dict[str, str]:
    found = sorted(path.parent.name for path in prefix.glob("lib/python3*/os.py"))
    if not found:
        raise PackError(
            "packages: there is no Python among them, and wheels need one. Add python to the environment."
        )
    site = f"lib/{found[0]}/site-packages"
    return {"purelib": site, "platlib": site, "scripts": "bin", "data": "", "headers": f"include/{found[0]}"}


def wheel_name(url: str) -> str:
    """File name in an address."""
    return posixpath.basename(unquote(urlsplit(url).path))
