"""Reads ``pixi.lock``: what an environment consists of, by its lock file alone."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fasthep_validate.errors import PackError
from fasthep_validate.models.written import nearest
from fasthep_validate.pack.packages import Contents, Wheel, local_path, require_rattler, wheel_name

if TYPE_CHECKING:
    from pathlib import Path

    from rattler import LockFile
    from rattler.lock import Environment, PypiLockedPackage


def read(path: Path, environment: str, platform: str) -> Contents:
    """The packages of an environment for a platform; the versions of the format are those that py-rattler reads.

    Raises:
        PackError: the file cannot be read, has no such environment, or holds what cannot be installed.
    """
    require_rattler()
    locked = _environment(_parsed(path), path, environment)
    entries = {str(entry.subdir): entry for entry in locked.platforms()}
    if platform not in entries:
        raise PackError(
            f"{path}: environment {environment!r} has no packages for {platform}. {nearest(platform, entries)} "
            "Add the platform to the workspace and lock again."
        )
    entry = entries[platform]
    _refuse_sources(locked, platform, path)
    wheels = [_wheel(package, path) for package in locked.pypi_packages_for_platform(entry) or []]
    return Contents(platform, locked.conda_repodata_records_for_platform(entry) or [], wheels)


def _parsed(path: Path) -> LockFile:
    from rattler import LockFile
    from rattler.exceptions import ParseCondaLockError

    if not path.is_file():
        raise PackError(
            f"{path}: is not there. Run `pixi lock`, or name the lock file with environment.lock."
        )
    try:
        return LockFile.from_path(path)
    except (ParseCondaLockError, OSError, ValueError) as error:
        words = " ".join(str(error).split())
        raise PackError(
            f"{path}: is no lock file that can be read ({words}). Run `pixi lock` again."
        ) from None


def _environment(lock: LockFile, path: Path, name: str) -> Environment:
    found = lock.environment(name)
    if found is None:
        names = [known for known, _ in lock.environments()]
        raise PackError(f"{path}: has no environment {name!r}. {nearest(name, names)}")
    return found


def _refuse_sources(locked: Environment, platform: str, path: Path) -> None:
    """Conda packages that have to be built have no archive to install."""
    from rattler import CondaLockedSourcePackage

    entry = next(item for item in locked.platforms() if str(item.subdir) == platform)
    sources = [
        item.name for item in locked.packages(entry) or [] if isinstance(item, CondaLockedSourcePackage)
    ]
    if sources:
        raise PackError(
            f"{path}: {', '.join(sources)} would have to be built from source. Install the environment with "
            "`pixi install` and write 'mode: prefix'."
        )


def _wheel(package: PypiLockedPackage, path: Path) -> Wheel:
    location = package.location.removeprefix("direct+")
    name = wheel_name(location)
    if not name.endswith(".whl"):
        local = local_path(location)
        kind = "a folder" if local is not None and (path.parent / local).is_dir() else "a source distribution"
        raise PackError(
            f"{path}: {package.name} is {kind} ({location}), which would have to be built. Install the environment "
            "with `pixi install` and write 'mode: prefix', or lock a wheel."
        )
    hashes = package.hashes
    digest = hashes.sha256.hex() if hashes and hashes.sha256 else ""
    local = local_path(location)
    return Wheel(name, location if local is None else str(path.parent / local), digest)
