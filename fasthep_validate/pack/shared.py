"""Describes a prefix that workers use where it is, on a filesystem that they share."""

from __future__ import annotations

import hashlib
import time
from pathlib import Path
from typing import TYPE_CHECKING

from fasthep_validate.models.packed import PackedEnv, PackManifest

if TYPE_CHECKING:
    from fasthep_validate.pack.interpreter import Interpreter


def describe(prefix: Path, python: Interpreter) -> PackedEnv:
    """A prefix in place: no archive, and absolute paths in the manifest."""
    started = time.monotonic()
    manifest = PackManifest(
        type="shared-prefix",
        key=_key(python),
        python=python.executable,
        base_python=python.base_executable,
        site_packages=python.site_packages,
        python_version=python.version,
        prefix=python.prefix,
        base_prefix=python.base_prefix,
        machine=python.machine,
        files=0,
        size=0,
    )
    return PackedEnv(
        manifest=manifest,
        base=None,
        submit_python=python.executable,
        submit_prefix=str(prefix),
        cached=False,
        seconds=time.monotonic() - started,
    )


def _key(python: Interpreter) -> str:
    """Digest of the interpreter and of what is installed; versions are part of the names listed."""
    names = sorted(path.name for folder in python.site_packages for path in Path(folder).iterdir())
    return hashlib.sha256("\n".join([python.model_dump_json(), *names]).encode()).hexdigest()
