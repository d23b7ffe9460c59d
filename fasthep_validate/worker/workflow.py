"""Whether a worker has what a FAST-HEP workflow needs; travels by value, and returns plain values.

The answer fits ``models.workflow.WorkflowSeen``.
"""

from __future__ import annotations

import importlib
import os
import socket
import subprocess
import sys
import time
from importlib import metadata
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

# Opens a file as fasthep-carpenter does; in a process of its own, for a storage that hangs must not hang us.
OPEN = """\
import sys
try:
    import uproot
    uproot.open(sys.argv[1]).close()
except Exception as error:
    sys.exit(f"{type(error).__name__}: {error}")
"""
XROOTD = ("root", "roots", "xroot", "xroots")
XROOTD_PORT = 1094
CONNECT_LIMIT = 5.0  # seconds
LAST = 500  # characters of an error that are kept


def look(needs: Mapping[str, Any], timeout: float) -> dict[str, Any]:
    """Answer to the needs of a workflow.

    Args:
        needs: fields of ``models.workflow.WorkflowNeeds``.
        timeout: seconds for opening one remote file.
    """
    return {
        "inputs": [_input(item["name"], item["path"], timeout) for item in needs["inputs"]],
        "implementations": {
            **{spec: _importable(spec) for spec in needs["implementations"]},
            **{f"{item['stage']}: {item['impl']}": _made(item) for item in needs["modifiers"]},
        },
        "versions": _versions(needs["versions"]),
    }


def _input(name: str, path: str, timeout: float) -> dict[str, Any]:
    if "://" in path:
        started = time.monotonic()
        error = _opened(path, timeout)
        return {"name": name, "error": error, "seconds": time.monotonic() - started}
    try:
        with open(path, "rb") as stream:  # noqa: PTH123 - travels alone
            stream.read(1)
        return {"name": name, "size": os.path.getsize(path)}  # noqa: PTH202
    except OSError as error:
        return {"name": name, "error": f"{path}: {error.strerror}"}


def _opened(url: str, timeout: float) -> str:
    error = _connected(url)
    if error:
        return error
    try:
        done = subprocess.run(
            [sys.executable, "-c", OPEN, url], capture_output=True, text=True, timeout=timeout, check=False
        )
    except subprocess.TimeoutExpired:
        return f"no answer within {timeout:g} s"
    words = " ".join(done.stderr.split())[-LAST:] or f"exit code {done.returncode}"
    return "" if done.returncode == 0 else words


def _connected(url: str) -> str:
    """Why nobody answers at a storage of XRootD's protocol: its client tries for minutes, and then says less."""
    parts = urlsplit(url)
    if parts.scheme not in XROOTD:
        return ""
    try:
        socket.create_connection((parts.hostname or "", parts.port or XROOTD_PORT), CONNECT_LIMIT).close()
    except (OSError, ValueError) as error:
        return f"{parts.netloc}: {error}"
    return ""


def _importable(spec: str) -> str:
    module, _, attribute = spec.partition(":")
    try:
        getattr(importlib.import_module(module), attribute)
    except Exception as error:
        return f"{type(error).__name__}: {error}".splitlines()[0]
    return ""


def _made(modifier: Mapping[str, Any]) -> str:
    module, _, attribute = modifier["impl"].partition(":")
    try:
        found = getattr(importlib.import_module(module), attribute)
        if isinstance(found, type):
            found(**modifier["params"])
    except Exception as error:
        return f"{type(error).__name__}: {error}".splitlines()[0]
    return ""


def _versions(names: Iterable[str]) -> dict[str, str]:
    found = {}
    for name in names:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found
