"""Describes the Python of a conda prefix for another platform, which cannot be started here."""

from __future__ import annotations

import posixpath
from typing import TYPE_CHECKING

from fasthep_validate.errors import PackError

if TYPE_CHECKING:
    from pathlib import Path

    from fasthep_validate.pack.interpreter import Interpreter

# Platform of conda -> `uname -m`.
MACHINES = {
    "linux-64": "x86_64",
    "linux-aarch64": "aarch64",
    "linux-ppc64le": "ppc64le",
    "linux-s390x": "s390x",
    "linux-riscv64": "riscv64",
}


def platform_of(machine: str) -> str:
    """The platform of conda for what ``uname -m`` says; empty if there is none."""
    return next((platform for platform, name in MACHINES.items() if name == machine), "")


def describe(prefix: Path, platform: str, modules: tuple[str, ...], here: Interpreter) -> Interpreter:
    """What the Python of the prefix would say of itself.

    Args:
        prefix: the environment.
        platform: what it is for, such as ``linux-aarch64``.
        modules: what must be installed there.
        here: Python of the same environment for this machine; it compiles modules.

    Raises:
        PackError: workers cannot be that, or the Pythons differ.
    """
    if platform not in MACHINES:
        raise PackError(
            f"environment.platform: workers run Linux, not {platform}. Known: {', '.join(MACHINES)}."
        )
    library = prefix / "lib" / here.name
    if not (library / "os.py").is_file():
        raise PackError(
            f"{prefix}: has no {here.name}, which the same environment has on this machine. Lock the same Python "
            "for both platforms."
        )
    site = library / "site-packages"
    return here.model_copy(
        update={
            "base_executable": posixpath.realpath(prefix / "bin/python"),
            "prefix": str(prefix),
            "base_prefix": str(prefix),
            "machine": MACHINES[platform],
            "stdlib": str(library),
            "site_packages": (str(site),),
            "absent": tuple(name for name in modules if not _is_there(site, library, name)),
        }
    )


def _is_there(site: Path, library: Path, module: str) -> bool:
    path = module.replace(".", "/")
    return any((folder / path).is_dir() or (folder / f"{path}.py").is_file() for folder in (site, library))
