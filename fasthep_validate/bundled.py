"""Finds the files that come with the package: checks, site profiles, the worker's side.

In a wheel they are folders of the package. In a checkout, and in an editable install of one, ``checks/``
and ``site_profiles/`` lie beside the package.
"""

from __future__ import annotations

from pathlib import Path

PACKAGE = Path(__file__).parent


def checks_dir() -> Path:
    """Folder of the bundled checks."""
    return _folder("checks")


def profiles_dir() -> Path:
    """Folder of the bundled site profiles."""
    return _folder("site_profiles")


def worker_file(name: str) -> Path:
    """A file that runs on the worker, such as ``bootstrap.sh``."""
    return PACKAGE / "worker" / name


def _folder(name: str) -> Path:
    inside = PACKAGE / name
    return inside if inside.is_dir() else PACKAGE.parent / name
