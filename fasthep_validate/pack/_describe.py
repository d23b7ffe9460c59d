"""Tells what a Python is: run by path with the interpreter of an environment, prints one JSON object.

Standard library only and any Python >= 3.9, because that interpreter is not ours. Arguments: modules
that must be there.
"""

from __future__ import annotations

import importlib.util
import json
import os
import platform
import posixpath
import sys
import sysconfig

# What the worker's start, TLS and Dask's own imports need of the interpreter.
NEEDED = ("ssl", "zlib", "ctypes", "hashlib", "socket", "select", "multiprocessing", "sysconfig")


def absent(module: str) -> bool:
    """Whether a module cannot be found; parents of a dotted name are imported for that."""
    try:
        return importlib.util.find_spec(module) is None
    except Exception:  # noqa: BLE001 - whatever a broken package raises, it is not usable
        return True


def unusable(module: str) -> bool:
    """Whether a module of the standard library cannot be imported."""
    try:
        __import__(module)
    except ImportError:
        return True
    return False


def base_executable() -> str:
    """The interpreter itself, behind all links and virtualenvs."""
    named = getattr(sys, "_base_executable", None) or sys.executable
    tail = f"python{sys.version_info[0]}.{sys.version_info[1]}"
    choices = (named, posixpath.join(sys.base_prefix, "bin", tail), sys.executable)
    return next(posixpath.realpath(path) for path in choices if posixpath.exists(path))


def describe(modules: list[str]) -> dict[str, object]:
    """Everything that packing wants to know of this interpreter."""
    paths = sysconfig.get_paths()
    return {
        "executable": sys.executable,
        "base_executable": base_executable(),
        "prefix": sys.prefix,
        "base_prefix": sys.base_prefix,
        "version": platform.python_version(),
        "implementation": sys.implementation.name,
        "cache_tag": sys.implementation.cache_tag or "",
        "machine": platform.machine(),
        "libc": platform.libc_ver(sys.executable)[0],
        "stdlib": posixpath.dirname(posixpath.realpath(os.__file__)),
        "site_packages": sorted({paths["purelib"], paths["platlib"]}),
        "unusable": [module for module in NEEDED if unusable(module)],
        "absent": [module for module in modules if absent(module)],
    }


if __name__ == "__main__":
    sys.stdout.write("\n" + json.dumps(describe(sys.argv[1:])))  # after whatever .pth files print
