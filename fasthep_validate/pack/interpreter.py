"""Finds the environment that is meant, and asks its interpreter what it is."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from pydantic import ValidationError

from fasthep_validate import process
from fasthep_validate.errors import PackError
from fasthep_validate.models.base import Model

DESCRIBE = Path(__file__).with_name("_describe.py")
STARTING_TIME = 60.0  # seconds: a cold network filesystem takes its time


class Interpreter(Model):
    """The Python of an environment, in its own words.

    Attributes:
        executable: as it was started.
        base_executable: the interpreter behind all links and virtualenvs.
        prefix: ``sys.prefix``.
        base_prefix: ``sys.base_prefix``.
        version: such as ``3.11.7``.
        implementation: such as ``cpython``.
        cache_tag: part of the names of its ``.pyc`` files, such as ``cpython-311``.
        machine: ``uname -m``.
        libc: ``glibc``, or empty if it is linked to anything else.
        stdlib: directory of the standard library.
        site_packages: its directories of installed packages.
        unusable: modules of the standard library that are needed and cannot be imported.
        absent: required modules that are not installed.
    """

    executable: str
    base_executable: str
    prefix: str
    base_prefix: str
    version: str
    implementation: str
    cache_tag: str
    machine: str
    libc: str
    stdlib: str
    site_packages: tuple[str, ...]
    unusable: tuple[str, ...]
    absent: tuple[str, ...]

    @property
    def is_virtual(self) -> bool:
        """Whether it is a virtualenv on another interpreter."""
        return self.prefix != self.base_prefix

    @property
    def name(self) -> str:
        """File name of the interpreter, such as ``python3.11``."""
        major, minor, *_ = self.version.split(".")
        return f"python{major}.{minor}"


def resolve_prefix(prefix: str) -> Path:
    """The environment that ``prefix`` means on this machine.

    ``current`` is the active Pixi or conda environment where there is one, else the environment that
    runs this command.

    Raises:
        PackError: a prefix was named that is not a directory.
    """
    if prefix == "current":
        return _active_conda() or Path(sys.prefix)
    path = Path(prefix).expanduser().absolute()
    if not path.is_dir():
        raise PackError(f"environment.prefix: {prefix} is not a directory. Name an installed environment.")
    return path


def is_conda(prefix: Path) -> bool:
    """Whether a prefix was installed by conda, Pixi or their like."""
    return (prefix / "conda-meta").is_dir()


def examine(prefix: Path, modules: tuple[str, ...]) -> Interpreter:
    """Start the interpreter of an environment and let it describe itself.

    Args:
        prefix: the environment.
        modules: what must be installed there.

    Raises:
        PackError: there is no interpreter, it does not start, or it cannot serve a Dask worker.
    """
    python = _executable(prefix)
    done = process.run([python, "-I", "-B", DESCRIBE, *modules], timeout=STARTING_TIME)
    try:
        found = Interpreter.model_validate_json(done.stdout.rpartition("\n")[2])
    except ValidationError:
        last = (done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[-1]
        raise PackError(
            f"{python}: does not start ({last}). Repair the environment or name another."
        ) from None
    _require_usable(found)
    return found


def _active_conda() -> Path | None:
    named = os.environ.get("CONDA_PREFIX", "")
    project = os.environ.get("PIXI_PROJECT_ROOT", "")
    pixi = (
        Path(project, ".pixi", "envs", os.environ.get("PIXI_ENVIRONMENT_NAME", "default"))
        if project
        else None
    )
    choices = (Path(named) if named else None, pixi)
    usable = (path for path in choices if path and is_conda(path) and (path / "bin/python").exists())
    return next(usable, None)


def _executable(prefix: Path) -> Path:
    for name in ("python", "python3"):
        python = prefix / "bin" / name
        if python.exists():
            return python
        if python.is_symlink():
            gone = python.readlink()
            raise PackError(
                f"{python}: the base interpreter {gone} that it was made from is gone. "
                "Make the virtualenv again with a Python that is installed."
            )
    raise PackError(f"{prefix}: has no bin/python. Name a virtualenv, a conda or Pixi prefix, or a Python.")


def _require_usable(python: Interpreter) -> None:
    prefix = python.prefix
    if sys.platform != "linux":
        raise PackError(f"{prefix}: is for {sys.platform}, and workers run Linux. Pack on a Linux machine.")
    if python.implementation != "cpython":
        raise PackError(f"{prefix}: is a {python.implementation}. Use CPython: nothing else is packed.")
    if python.libc != "glibc":
        raise PackError(
            f"{prefix}: its Python is not linked to glibc. Use a glibc build: workers have glibc."
        )
    if python.unusable:
        names = ", ".join(python.unusable)
        set_here = "LD_LIBRARY_PATH" in os.environ
        hint = ", or unset LD_LIBRARY_PATH, which gives it other libraries" if set_here else ""
        raise PackError(f"{prefix}: its Python cannot import {names}. Use one that was built with it{hint}.")


def require_modules(python: Interpreter) -> None:
    """Make sure that everything a worker imports is installed.

    Raises:
        PackError: something is not.
    """
    prefix = python.prefix
    if python.absent:
        names = " ".join(name.partition(".")[0] for name in python.absent)
        pip = f"{python.executable} -m pip install {names}"
        raise PackError(
            f"{prefix}: {', '.join(python.absent)} cannot be found there, and workers need it. "
            f"Add it with: {f'pixi add {names}, or ' if is_conda(Path(prefix)) else ''}{pip}"
        )
