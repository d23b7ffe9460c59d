"""The probe's section on storage, with clients that misbehave."""

from __future__ import annotations

import json
import os
import sys
from typing import TYPE_CHECKING

import pytest

from fasthep_validate.models.access import Access
from fasthep_validate.worker import probe_storage, storage_access, storage_clients
from fasthep_validate.worker.probe_config import Config
from fasthep_validate.worker.storage_clients import ClientError, Https, find_token
from tests.processes import ends

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

WANTED = {"name": "disk", "url": "root://localhost:1", "credential": "kerberos", "read": "/a"}
ALL = {
    "X509_USER_PROXY": "/p",
    "KRB5CCNAME": "FILE:/c",
    "BEARER_TOKEN_FILE": "/t",
    "XRD_LOGLEVEL": "Debug",
    "X509_CERT_DIR": "/ca",
}


@pytest.mark.parametrize(
    ("credential", "own", "method"),
    [("x509", "X509_USER_PROXY", "gsi"), ("kerberos", "KRB5CCNAME", "krb5"), ("token", "BEARER_TOKEN_FILE", "ztn")],
)  # fmt: skip
def test_each_credential_is_alone(credential: str, own: str, method: str) -> None:
    kept = probe_storage.alone(ALL, credential, limit=30)
    assert {name for name in ALL if name in kept} == {own, "X509_CERT_DIR"}
    assert kept["XrdSecPROTOCOL"] == method
    assert kept["XRD_REQUESTTIMEOUT"] == "30"
    assert "XRD_LOGLEVEL" not in kept


def misbehaving(folder: Path, monkeypatch: pytest.MonkeyPatch, text: str) -> Access:
    """What comes of a client's process that is this program."""
    script = folder / "client.py"
    script.write_text(text)
    monkeypatch.setattr(probe_storage, "ACCESS", script)  # a client that does what no real one does on demand
    config = Config(root="/", storage=[WANTED], storage_timeout=1.0)
    (seen,) = probe_storage.storage(config)
    return Access.model_validate(seen)


def test_a_client_that_crashes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = 'import os\nprint(\'{"name": "read"}\', flush=True)\nos.write(2, b"terminate called\\n")\nos.abort()\n'
    failure = misbehaving(tmp_path, monkeypatch, text).failure
    assert failure
    assert (failure.name, failure.fault) == ("read", "failed")
    assert "terminate called" in failure.words


def test_a_client_that_says_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    failure = misbehaving(tmp_path, monkeypatch, "import sys\nsys.exit(3)\n").failure
    assert failure
    assert (failure.name, failure.fault) == ("resolve", "failed")


def test_a_client_that_hangs_is_ended_with_its_children(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    child = tmp_path / "child"
    text = (
        'import subprocess, time\nprint(\'{"name": "write"}\', flush=True)\n'
        f"started = subprocess.Popen(['sleep', '60'])\nopen({str(child)!r}, 'w').write(str(started.pid))\ntime.sleep(60)\n"
    )
    failure = misbehaving(tmp_path, monkeypatch, text).failure
    assert failure
    assert (failure.name, failure.fault) == ("write", "timed-out")
    assert ends(int(child.read_text()))


@pytest.mark.parametrize(
    ("words", "fault"),
    [
        ("[FATAL] Auth failed: No protocols left to try", "not-authenticated"),
        ("[FATAL] Invalid address", "name-unknown"),
        ("[FATAL] TLS error: resource temporarily unavailable", "tls"),
        ("[FATAL] Connection error", "unreachable"),
        ("[FATAL] Socket timeout", "timed-out"),
        ("[ERROR] Operation expired", "timed-out"),
        ("[ERROR] Server responded with an error: [3010] Unable to open /x; permission denied", "denied"),
        ("[ERROR] Server responded with an error: [3011] Unable to locate /p; no such file or directory", "no-such-path"),
        ("[ERROR] Server responded with an error: [3009] Unable to write; no space left on device", "no-space"),
        ("HTTP 401 Unauthorized", "not-authenticated"),
        ("HTTP 404 Not Found", "no-such-path"),
        ("HTTP 507 Insufficient Storage", "no-space"),
        ("something new", "failed"),
    ],
)  # fmt: skip
def test_fault_of_words(words: str, fault: str) -> None:
    assert storage_access.fault_of(words) == fault


def test_words_are_short_and_hold_no_token() -> None:
    token = "eyJhbGciOiJFUzI1NiJ9.eyJzdWIiOiJhbGljZSJ9.c2lnbmF0dXJl"
    said = storage_access.scrubbed(
        f"cannot open root://disk//f?authz=Bearer%20{token}&x=y\n with {token} {'x' * 999}"
    )
    assert "eyJ" not in said
    assert "Bearer" not in said
    assert len(said) <= 300


class Redirecting(Https):
    """Answers from a table: address -> status, where to, body. What was sent with the token is kept."""

    def __init__(self, answers: Mapping[str, tuple[int, str, bytes]]) -> None:
        super().__init__("https://disk.test:1095", {"BEARER_TOKEN": "secret-token"})
        self.answers = answers
        self.with_token: list[str] = []

    def once(
        self, method: str, url: str, headers: dict[str, str], body: bytes | None
    ) -> tuple[int, str, bytes]:
        if "Authorization" in headers:
            self.with_token.append(url)
        return self.answers[url]


def test_the_token_goes_to_no_other_host() -> None:
    here, there = "https://disk.test:1095", "https://pool.test"
    client = Redirecting(
        {
            f"{here}/a": (307, f"{here}/b", b""),
            f"{here}/b": (302, f"{there}/c", b""),
            f"{there}/c": (200, "", b"x"),
        }
    )
    assert client.read("/a") == b"x"
    assert client.with_token == [f"{here}/a", f"{here}/b"]


def test_redirects_end() -> None:
    with pytest.raises(ClientError, match="redirects"):
        Redirecting({"https://disk.test:1095/a": (302, "/a", b"")}).read("/a")
    with pytest.raises(ClientError, match="without TLS"):
        Redirecting({"https://disk.test:1095/a": (302, "http://disk.test/a", b"")}).read("/a")


def test_order_in_which_a_token_is_looked_for(tmp_path: Path) -> None:
    named, runtime = tmp_path / "named", tmp_path / f"bt_u{os.geteuid()}"
    named.write_text("from-file\n")
    runtime.write_text("from-runtime")
    everything = {"BEARER_TOKEN": "value", "BEARER_TOKEN_FILE": str(named), "XDG_RUNTIME_DIR": str(tmp_path)}
    assert find_token(everything) == "value"
    assert find_token({**everything, "BEARER_TOKEN": " "}) == "from-file"
    assert find_token({"XDG_RUNTIME_DIR": str(tmp_path)}) == "from-runtime"
    named.write_text("not\r\na token")
    with pytest.raises(ClientError, match="no token"):
        find_token({"BEARER_TOKEN_FILE": str(named)})


def test_clients_of_the_environment_go_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("xrdfs", "xrdcp"):
        (tmp_path / name).write_text("#!/bin/sh\n")
        (tmp_path / name).chmod(0o755)
    monkeypatch.setitem(sys.modules, "XRootD", None)  # as if it were not installed
    monkeypatch.setenv("PATH", str(tmp_path))
    node = storage_clients.find_client("root://disk")
    assert node
    assert node.name == "xrdfs of the node"
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python"))  # an environment with its own clients
    ours = storage_clients.find_client("root://disk")
    assert ours
    assert ours.name == "xrdfs of the environment"
    monkeypatch.setenv("PATH", "/nowhere")
    monkeypatch.setattr(sys, "executable", "/nowhere/python")  # and one without
    assert storage_clients.find_client("root://disk") is None


def test_the_process_speaks_json_alone() -> None:
    out, _, ended = probe_storage.run("try", {**WANTED, "url": "root://localhost:1"}, os.environ, 20.0)
    assert ended
    lines = [json.loads(line) for line in out.splitlines()]
    assert lines[-1]["fault"] == "refused"
