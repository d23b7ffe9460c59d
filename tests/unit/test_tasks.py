"""Questions to a worker, put to this process."""

from __future__ import annotations

import hashlib
import os
import platform
import socket
import sys
import types
from importlib.metadata import version
from pathlib import Path

import pytest

from fasthep_validate.models.probe import Provenance
from fasthep_validate.plan import NODE_LIBRARIES
from fasthep_validate.worker import tasks


def look(root: Path | str, monkeypatch: pytest.MonkeyPatch, libraries: tuple[str, ...] = ()) -> Provenance:
    monkeypatch.setenv("FASTHEP_VALIDATE_ROOT", str(root))
    return Provenance.model_validate(tasks.provenance(libraries))


def test_describe() -> None:
    seen = tasks.describe()
    assert (seen["pid"], seen["hostname"], seen["prefix"]) == (os.getpid(), socket.gethostname(), sys.prefix)


def test_versions() -> None:
    found = tasks.versions()
    assert found["python"] == platform.python_version()
    assert found["distributed"] == version("distributed")
    assert "no-such-package" not in found


def test_everything_below_the_root_is_inside(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = look("/", monkeypatch)
    assert seen.outside == ()
    assert seen.modules > 100
    assert seen.libraries > 3


def test_everything_elsewhere_is_outside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = look(tmp_path, monkeypatch)
    assert len(seen.outside) == seen.modules + seen.libraries
    assert {"module", "library"} == {file.kind for file in seen.outside}
    assert os.path.realpath(pytest.__file__) in {file.path for file in seen.outside}


def test_sibling_with_the_same_beginning_is_outside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    module = types.ModuleType("a_sibling")
    module.__file__ = str(tmp_path / "env-other" / "a_sibling.py")
    # Imported from a folder that is not on the path.
    monkeypatch.setitem(sys.modules, "a_sibling", module)
    outside = {file.path for file in look(tmp_path / "env", monkeypatch).outside}
    assert os.path.realpath(module.__file__) in outside


def test_libraries_of_the_node_are_no_finding(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    libraries = {
        file.path for file in look(tmp_path, monkeypatch, NODE_LIBRARIES).outside if file.kind == "library"
    }
    assert not any(Path(path).name == "libc.so.6" for path in libraries)


def test_scripts_of_the_job_are_no_finding(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FASTHEP_VALIDATE_JOB", str(Path(__file__).parent))
    assert os.path.realpath(__file__) not in {file.path for file in look(tmp_path, monkeypatch).outside}


def test_listeners() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = server.getsockname()
        assert address in tasks.listeners()
    assert address not in tasks.listeners()


def test_block() -> None:
    data = tasks.block(1000, "a seed")
    assert len(data) == 1000
    assert data == tasks.block(1000, "a seed")
    assert data != tasks.block(1000, "another")
    assert tasks.digest(data) == hashlib.sha256(data).hexdigest()


def test_add() -> None:
    assert tasks.add({"values": [1, 2, 3, 4]}, {}) == 10
