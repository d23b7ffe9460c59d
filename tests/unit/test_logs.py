"""Logs as they came back, without secrets."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from fasthep_validate.logs import READ, TAIL, collect
from fasthep_validate.store import RunFolder, new_run

if TYPE_CHECKING:
    from pathlib import Path

    from fasthep_validate.models.evidence import LogFile

KEY = "-----BEGIN EC PRIVATE KEY-----\nMHcCAQEEI\n-----END EC PRIVATE KEY-----"
TOKEN = "eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJtZSJ9.c2lnbmF0dXJl"


@pytest.fixture
def folder(tmp_path: Path) -> RunFolder:
    return new_run(tmp_path, "here")


def err(folder: RunFolder) -> LogFile:
    return next(log for log in collect(folder, "default-0") if log.kind == "err")


def test_logs_that_did_not_come_back(folder: RunFolder) -> None:
    seen = collect(folder, "default-0")
    assert [log.kind for log in seen] == ["out", "err", "log"]
    assert {(log.size, log.readable) for log in seen} == {(None, False)}


def test_tail_is_for_people(folder: RunFolder) -> None:
    lines = [f"line {number}" for number in range(30)]
    folder.log("err", "default-0").write_text("\n".join([*lines, 'FHV-EVENT {"phase": "exited"}', ""]))
    seen = err(folder)
    assert seen.tail == tuple(lines[-TAIL:])
    assert seen.readable
    assert seen.path == "debug/distributed/err/default-0.err"


def test_only_the_end_of_a_large_log_is_read(folder: RunFolder) -> None:
    path = folder.log("err", "default-0")
    path.write_bytes(b"\0" * READ + b"x" * (READ - 5) + b"\nend\n")
    seen = err(folder)
    assert seen.size == 2 * READ
    assert seen.readable
    assert seen.tail[-1] == "end"


def test_holes_are_not_readable(folder: RunFolder) -> None:
    """What a node that went down leaves in a file: zeros."""
    folder.log("err", "default-0").write_bytes(b"line\n\0\0\0")
    assert not err(folder).readable


@pytest.mark.parametrize("secret", [KEY, TOKEN, "zteos64:MDAwMDAxMjR4nON", "hvs.CAESIJ"])
def test_secrets_do_not_come_along(folder: RunFolder, secret: str) -> None:
    folder.log("err", "default-0").write_text(f"before {secret} after\n")
    assert err(folder).tail == ("before [removed] after",)
