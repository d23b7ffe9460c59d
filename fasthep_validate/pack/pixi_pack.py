"""Runs the program pixi-pack, where it is installed."""

from __future__ import annotations

import os
import shutil
from typing import TYPE_CHECKING

from fasthep_validate import process
from fasthep_validate.errors import PackError
from fasthep_validate.scrubbing import scrub

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from fasthep_validate.models.execution import EnvironmentSpec, PixiPackOptions
    from fasthep_validate.pack.pixi import Manifest

PROGRAM = "pixi-pack"
HOW = "Install it with: pixi global install pixi-pack"
TIME = 3600.0  # seconds: it may download gigabytes
# Field of the options -> option of the program (pixi-pack 0.7).
OPTIONS = {
    "unpack_source": "--pixi-unpack-source",
    "config": "--config",
    "cache": "--use-cache",
    "auth_file": "--auth-file",
}


def find() -> str | None:
    """The program, if it is installed."""
    return shutil.which(PROGRAM)


def command(
    program: str, spec: EnvironmentSpec, manifest: Manifest, platform: str, target: Path
) -> list[str]:
    """The command line that makes a self-extracting archive."""
    words = [program, "--environment", spec.environment, "--platform", platform]
    words += ["--create-executable", "--output-file", str(target)]
    return [*words, *_options(spec.pixi_pack), str(manifest.path)]


def _options(options: PixiPackOptions) -> Iterator[str]:
    for field, option in OPTIONS.items():
        if value := getattr(options, field):
            yield from (option, value)
    for package in options.inject:  # once each: the option takes all the words that follow it
        yield f"--inject={package}"
    if options.ignore_pypi_non_wheel:
        yield "--ignore-pypi-non-wheel"


def make(
    spec: EnvironmentSpec, manifest: Manifest, platform: str, target: Path, say: Callable[[str], None]
) -> None:
    """Make the archive, unless one is there that is newer than the lock file.

    Raises:
        PackError: the program is not installed, or fails.
    """
    if _is_newer(target, manifest.lock) and _is_newer(target, manifest.path):
        return
    program = find()
    if program is None:
        raise PackError(f"{PROGRAM}: is not installed. {HOW}")
    say(f"{PROGRAM} packs environment {spec.environment} of {manifest.path}")
    target.parent.mkdir(parents=True, exist_ok=True)
    partial = target.with_name(f"{target.name}.{os.getpid()}.partial.sh")  # two runs may be at it
    try:
        words = command(program, spec, manifest, platform, partial)
        done = process.run(words, timeout=TIME, env=os.environ)  # channels may ask who we are
        if not done.ok or not partial.exists():
            said = (done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[-1]
            raise PackError(f"{PROGRAM}: {scrub(said)}. Run it by hand to see all that it says.")
        partial.replace(target)
    finally:
        partial.unlink(missing_ok=True)


def _is_newer(target: Path, source: Path) -> bool:
    return target.exists() and (not source.exists() or target.stat().st_mtime_ns >= source.stat().st_mtime_ns)
