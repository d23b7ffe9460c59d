"""Files of credentials: whatever is wrong with one has its own word."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from fasthep_validate.worker.probe_file import Fault, read

if TYPE_CHECKING:
    from pathlib import Path


def fault(path: Path, limit: int = 100) -> Fault:
    with pytest.raises(Fault) as caught:
        read(str(path), limit=limit)
    return caught.value


def test_content_owner_and_mode(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"something")
    path.chmod(0o640)
    assert read(str(path), limit=9) == (
        b"something",
        {"owner": os.geteuid(), "mine": True, "mode": "0640"},
    )


def test_missing(tmp_path: Path) -> None:
    assert fault(tmp_path / "nothing").code == "missing"


@pytest.mark.parametrize("content", [b"", b" \n"])
def test_empty(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "file").write_bytes(content)
    assert fault(tmp_path / "file").code == "empty"


def test_oversize_is_not_read_whole(tmp_path: Path) -> None:
    with (tmp_path / "file").open("wb") as stream:
        stream.write(b"x")
        stream.truncate(10**12)
    found = fault(tmp_path / "file")
    assert found.code == "oversize"
    assert found.facts["mine"]


def test_a_folder_and_a_pipe_are_no_plain_files(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    assert fault(tmp_path / "pipe").code == "unreadable"
    assert fault(tmp_path).code == "unreadable"


def test_a_path_that_cannot_be(tmp_path: Path) -> None:
    assert fault(tmp_path / ("x" * 5000)).code == "unreadable"
    with pytest.raises(Fault, match="null"):
        read("a\0b", limit=1)


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads every file")
def test_unreadable(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"x")
    (tmp_path / "file").chmod(0)
    found = fault(tmp_path / "file")
    assert (found.code, found.facts["mode"]) == ("unreadable", "0000")
