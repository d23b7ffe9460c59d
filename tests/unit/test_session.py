"""What a closed session loses, from what the tools of a machine say.

The output of klist is MIT's 1.20 and Heimdal's; that of tokens is OpenAFS's.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from fasthep_validate import session

if TYPE_CHECKING:
    from pathlib import Path

MIT = """\
Ticket cache: FILE:/tmp/krb5cc_1000
Default principal: alice@CERN.CH

Valid starting       Expires              Service principal
11/22/2026 10:00:00  11/23/2026 11:00:00  krbtgt/CERN.CH@CERN.CH
	renew until 11/27/2026 10:00:00
"""
HEIMDAL = """\
Credentials cache: FILE:/tmp/krb5cc_1000
        Principal: alice@CERN.CH

  Issued                Expires               Principal
Nov 22 10:00:00 2026  Nov 23 11:00:00 2026  krbtgt/CERN.CH@CERN.CH
"""
TOKENS = (
    "Tokens held by the Cache Manager:\n\nUser's (AFS ID 42) tokens for afs@cern.ch [Expires Nov 23 11:00]\n"
)


@pytest.fixture(autouse=True)
def tools(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    for name in ("klist", "tokens", "loginctl"):
        say(tmp_path, name, "", code=1)
    for name in ("KRB5CCNAME", "TMPDIR"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path


def say(folder: Path, name: str, text: str, *, code: int = 0) -> None:
    (folder / f"{name}.txt").write_text(text)
    (folder / name).write_text(f"#!/bin/sh\ncat {folder}/{name}.txt\nexit {code}\n")
    (folder / name).chmod(0o755)


def test_nothing_to_lose() -> None:
    assert session.losses() == ()


@pytest.mark.parametrize(("said", "end"), [(MIT, "11/23/2026 11:00:00"), (HEIMDAL, "Nov 23 11:00:00 2026")])
def test_kerberos_ticket(tools: Path, said: str, end: str) -> None:
    say(tools, "klist", said)
    (told,) = session.losses()
    assert f"ticket ends at {end}, and" in told


@pytest.mark.parametrize("cache", ["KEYRING:session:alice", f"FILE:/run/user/{os.getuid()}/krb5cc"])
def test_cache_that_goes_with_the_session(tools: Path, monkeypatch: pytest.MonkeyPatch, cache: str) -> None:
    say(tools, "klist", MIT)
    monkeypatch.setenv("KRB5CCNAME", cache)
    assert f"{cache} goes with your last session" in session.losses()[1]


def test_afs_token(tools: Path) -> None:
    say(tools, "tokens", TOKENS)
    (told,) = session.losses()
    assert "AFS token for afs@cern.ch ends at Nov 23 11:00" in told


def test_logind_that_kills(tools: Path) -> None:
    say(tools, "loginctl", "KillUserProcesses=yes\n")
    assert "enable-linger" in session.losses()[0]
    say(tools, "loginctl", "KillUserProcesses=yes\nLinger=yes\n")
    assert session.losses() == ()
    say(tools, "loginctl", "KillUserProcesses=no\n")
    assert session.losses() == ()


def test_temporary_folder_of_the_session(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TMPDIR", f"/run/user/{os.getuid()}/tmp")
    assert "is removed with your last session" in session.losses()[0]
