"""Storage is tried as a worker tries it, against real servers; every fault is provoked for real and named."""

from __future__ import annotations

import os
import signal
import socket
import sys
import threading
import time
from dataclasses import dataclass
from datetime import timedelta
from importlib.util import find_spec
from typing import TYPE_CHECKING

import pytest

from fasthep_validate.causes import CATALOGUE, Case, why
from fasthep_validate.models.access import Access
from fasthep_validate.models.credential import CredentialSeen
from fasthep_validate.models.storage import Endpoint
from fasthep_validate.worker import probe_credentials, probe_storage
from fasthep_validate.worker.probe_config import Config
from tests.servers.ca import Authority, written
from tests.servers.daemon import SYSTEM_PATH
from tests.servers.kdc import Kdc
from tests.servers.proxies import mismatched, proxy
from tests.servers.voms import Vo

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.servers.site import Site

pytestmark = pytest.mark.servers
BASE: str = getattr(sys, "_base_executable", sys.executable)
VENV = sys.executable
FOLDERS = {"x509": "gsi", "kerberos": "krb5", "token": "token"}


@dataclass
class Place:
    """A worker's view: servers, and the environment of a job."""

    site: Site
    env: dict[str, str]
    folder: Path
    clock: float | None = None

    def endpoint(self, credential: str, *, https: bool = False, **changed: object) -> Endpoint:
        path = f"/store/{FOLDERS[credential]}"
        storage = self.site.storage
        given: dict[str, object] = {"url": storage.https if https else storage.url, "credential": credential}
        given |= {"read": f"{path}/hello.txt", "write": path, "rename": True}
        return Endpoint.model_validate({**given, **changed})

    def access(self, endpoint: Endpoint, *, timeout: float = 20.0) -> Access:
        wanted = {"name": "disk", **endpoint.model_dump(mode="json")}
        config = Config(root="/", storage=[wanted], storage_timeout=timeout)
        (seen,) = probe_storage.storage(config)
        return Access.model_validate(seen)

    def cause(self, endpoint: Endpoint, *, timeout: float = 20.0) -> tuple[str, str]:
        """Action that failed, title of its cause."""
        access = self.access(endpoint, timeout=timeout)
        assert access.failure, f"nothing failed: {access}"
        look = probe_credentials.look(endpoint.credential, os.environ, os.geteuid())
        seen = CredentialSeen.model_validate(look)
        entry, _ = why(Case(access, endpoint, seen, self.clock), access.failure)
        assert entry is CATALOGUE[entry.id]
        return access.failure.name, entry.id


def set_environment(monkeypatch: pytest.MonkeyPatch, env: dict[str, str]) -> None:
    for name in ("BEARER_TOKEN", "XDG_RUNTIME_DIR", "KRB5CCNAME"):
        monkeypatch.delenv(name, raising=False)
    for name, value in {"PATH": SYSTEM_PATH, **env}.items():
        monkeypatch.setenv(name, value)
    # The interpreter below the virtualenv: it has no bindings of XRootD, so that its commands are used.
    monkeypatch.setattr(sys, "executable", BASE)


@pytest.fixture
def place(
    servers: Site, credentials: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Place:
    set_environment(monkeypatch, credentials)
    monkeypatch.chdir(tmp_path)
    return Place(servers, credentials, tmp_path)


@pytest.fixture
def broken_place(own_servers: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Place:
    credentials = own_servers.credentials(tmp_path / "own")
    set_environment(monkeypatch, credentials)
    monkeypatch.chdir(tmp_path)
    return Place(own_servers, credentials, tmp_path)


@pytest.mark.parametrize(
    ("credential", "https"), [("x509", False), ("kerberos", False), ("token", False), ("token", True)]
)
def test_every_credential_reads_and_writes(place: Place, credential: str, https: bool) -> None:
    seen = place.access(place.endpoint(credential, https=https))
    assert seen.failure is None, f"{seen}\n{place.site.storage.last_words()}"
    names = [action.name for action in seen.actions]
    assert names == ["resolve", "connect", "read", "write", "check", "rename", "remove"]
    folder = place.site.storage.data / "store" / FOLDERS[credential]
    assert [path.name for path in folder.iterdir()] == ["hello.txt"], "nothing is left"


@pytest.mark.skipif(find_spec("XRootD") is None, reason="needs XRootD's Python bindings: pip install xrootd")
@pytest.mark.parametrize("credential", FOLDERS)
def test_bindings_of_the_environment(place: Place, credential: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", VENV)  # the place fixture has set the one without bindings
    seen = place.access(place.endpoint(credential))
    assert seen.failure is None, f"{seen}\n{place.site.storage.last_words()}"
    assert seen.client.startswith("XRootD's Python bindings")
    assert len(seen.actions) == 7
    _file(
        place, {"x509": "X509_USER_PROXY", "kerberos": "KRB5CCNAME", "token": "BEARER_TOKEN_FILE"}[credential]
    ).unlink()
    assert place.cause(place.endpoint(credential)) == ("read", "FHV-credential-011")


def test_what_is_not_to_be_removed_stays(place: Place) -> None:
    seen = place.access(place.endpoint("kerberos", remove=False, rename=False))
    assert [action.name for action in seen.actions][-1] == "check"
    folder = place.site.storage.data / "store" / "krb5"
    (left,) = [path for path in folder.iterdir() if path.name != "hello.txt"]
    assert left.stat().st_size == 4096
    left.unlink()


# What is wrong with a credential: how it is provoked, and the cause.
def _expired_proxy(place: Place) -> None:
    _proxy(place, lifetime=timedelta(minutes=-1))


def _proxy(place: Place, **options: object) -> None:
    pair = proxy(place.site.user, **{"acs": [place.site.vo.attributes(place.site.user)], **options})  # type: ignore[arg-type]
    pair.write_proxy(_file(place, "X509_USER_PROXY"))


def _file(place: Place, variable: str) -> Path:
    from pathlib import Path as Real

    return Real(place.env[variable].removeprefix("FILE:"))


def _token(place: Place, **claims: object) -> None:
    written(_file(place, "BEARER_TOKEN_FILE"), place.site.issuer.token(**claims).encode(), 0o600)  # type: ignore[arg-type]


def _expired_ac(place: Place) -> None:
    _proxy(place, acs=[place.site.vo.attributes(place.site.user, lifetime=timedelta(minutes=-10))])


def _other_vo(place: Place) -> None:
    vo = Vo("othervo", place.site.authority.host("voms.other"))
    _proxy(place, acs=[vo.attributes(place.site.user)])


def _other_authority(place: Place) -> None:
    user = Authority("/DC=test/CN=Other CA").user()
    proxy(user).write_proxy(_file(place, "X509_USER_PROXY"))


def _mismatched(place: Place) -> None:
    mismatched(proxy(place.site.user)).write_proxy(_file(place, "X509_USER_PROXY"))


def _expired_ticket(place: Place) -> None:
    place.site.kdc.ticket("alice", _file(place, "KRB5CCNAME"), lifetime="1s", renewable="")
    time.sleep(2.5)  # times of tickets are whole seconds, and the last one is still good


def _past(seconds: int) -> int:
    return int(time.time()) - seconds


CREDENTIAL_FAULTS: dict[str, tuple[str, Callable[[Place], object], str]] = {
    "proxy missing": ("x509", lambda place: _file(place, "X509_USER_PROXY").unlink(), "credential-011"),
    "proxy empty": ("x509", lambda place: _file(place, "X509_USER_PROXY").write_text(""), "credential-012"),
    "proxy expired": ("x509", _expired_proxy, "credential-020"),
    "attributes expired": ("x509", _expired_ac, "credential-021"),
    "no attributes": ("x509", lambda place: _proxy(place, acs=()), "credential-022"),
    "key of another": ("x509", _mismatched, "credential-025"),
    "other authority": ("x509", _other_authority, "credential-027"),
    "other VO": ("x509", _other_vo, "storage-006"),
    "no ticket": ("kerberos", lambda place: _file(place, "KRB5CCNAME").unlink(), "credential-011"),
    "ticket expired": ("kerberos", _expired_ticket, "credential-035"),
    "token missing": ("token", lambda place: _file(place, "BEARER_TOKEN_FILE").unlink(), "credential-011"),
    "token garbage": (
        "token",
        lambda place: _file(place, "BEARER_TOKEN_FILE").write_text("garbage"),
        "credential-017",
    ),
    "token mode": ("token", lambda place: _file(place, "BEARER_TOKEN_FILE").chmod(0o644), "credential-015"),
    "token expired": ("token", lambda place: _token(place, exp=_past(60)), "credential-039"),
    "token too early": ("token", lambda place: _token(place, nbf=_past(-600)), "credential-040"),
    "token for another": ("token", lambda place: _token(place, aud="https://other.test"), "credential-042"),
    "no scope": ("token", lambda place: _token(place, scope="openid"), "credential-044"),
    "another path": ("token", lambda place: _token(place, scope="storage.read:/other"), "credential-045"),
    "another issuer": ("token", lambda place: _token(place, iss="https://other.test"), "storage-006"),
}


@pytest.mark.parametrize("fault", CREDENTIAL_FAULTS)
def test_fault_of_a_credential(place: Place, fault: str) -> None:
    credential, provoke, expected = CREDENTIAL_FAULTS[fault]
    provoke(place)
    assert place.cause(place.endpoint(credential)) == ("read", f"FHV-{expected}")


@pytest.mark.parametrize("fault", ["token expired", "token for another", "no scope", "another path"])
def test_fault_of_a_token_over_https(place: Place, fault: str) -> None:
    _, provoke, expected = CREDENTIAL_FAULTS[fault]
    provoke(place)
    assert place.cause(place.endpoint("token", https=True)) == ("read", f"FHV-{expected}")


def test_scope_for_reading_alone(place: Place) -> None:
    _token(place, scope="storage.read:/")
    assert place.cause(place.endpoint("token")) == ("write", "FHV-credential-044")


@pytest.mark.parametrize("credential", FOLDERS)
def test_authority_of_the_storage_missing(
    place: Place, credential: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    (place.folder / "empty").mkdir()
    monkeypatch.setenv("X509_CERT_DIR", str(place.folder / "empty"))
    expected = "FHV-credential-027" if credential == "x509" else "FHV-storage-007"
    assert place.cause(place.endpoint(credential)) == ("read", expected)


@pytest.mark.parametrize("https", [False, True])
def test_path_that_is_not_there(place: Place, https: bool) -> None:
    endpoint = place.endpoint("token", https=https, read="/store/token/nosuch")
    assert place.cause(endpoint) == ("read", "FHV-storage-009")


def test_folder_of_somebody_else(place: Place) -> None:
    assert place.cause(place.endpoint("kerberos", write="/store/gsi")) == ("write", "FHV-storage-008")


def test_name_unknown(place: Place) -> None:
    endpoint = place.endpoint("kerberos", url="root://nosuch.invalid:1094")
    assert place.cause(endpoint) == ("resolve", "FHV-storage-001")


def test_storage_down(place: Place) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        endpoint = place.endpoint("kerberos", url=f"root://localhost:{unused.getsockname()[1]}")
        assert place.cause(endpoint) == ("connect", "FHV-storage-002")


@pytest.mark.parametrize("scheme", ["root", "https"])
def test_port_behind_which_nobody_speaks(place: Place, scheme: str) -> None:
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        port = silent.getsockname()[1]
        begun = time.monotonic()
        endpoint = place.endpoint("token", url=f"{scheme}://localhost:{port}")
        assert place.cause(endpoint, timeout=2) == ("read", "FHV-storage-005")
        assert time.monotonic() - begun < 5


def test_storage_that_hangs(broken_place: Place) -> None:
    daemon = broken_place.site.storage.daemon
    assert daemon is not None
    daemon.pause(signal.SIGSTOP)
    assert broken_place.cause(broken_place.endpoint("kerberos"), timeout=2) == ("read", "FHV-storage-005")


def test_storage_that_is_slow(broken_place: Place) -> None:
    """It answers in the end, and how long that took is known: the check ``storage.fast`` goes by it."""
    daemon = broken_place.site.storage.daemon
    assert daemon is not None
    daemon.pause(signal.SIGSTOP)
    threading.Timer(1.5, daemon.pause, (signal.SIGCONT,)).start()
    seen = broken_place.access(broken_place.endpoint("kerberos"))
    assert seen.failure is None, seen
    assert max(action.seconds for action in seen.actions) > 1


def test_kdc_unreachable(broken_place: Place) -> None:
    broken_place.site.kdc.stop()
    assert broken_place.cause(broken_place.endpoint("kerberos")) == ("read", "FHV-storage-014")


@pytest.mark.parametrize(("known", "expected"), [(False, "FHV-storage-015"), (True, "FHV-storage-016")])
def test_ticket_of_another_realm(
    place: Place, monkeypatch: pytest.MonkeyPatch, known: bool, expected: str
) -> None:
    other = Kdc(place.folder / "other", realm="OTHER.REALM").start()
    try:
        other.add_user("alice")
        other.ticket("alice", _file(place, "KRB5CCNAME"))
        if known:
            monkeypatch.setenv("KRB5_CONFIG", str(other.config))
        assert place.cause(place.endpoint("kerberos")) == ("read", expected)
    finally:
        other.stop()


def test_identity_refused(broken_place: Place) -> None:
    """The storage serves another VO; nothing is wrong with the proxy."""
    broken_place.site.storage.vo_name = "othervo"
    broken_place.site.storage.restart()
    assert broken_place.cause(broken_place.endpoint("x509")) == ("read", "FHV-storage-006")


def test_clocks_apart(broken_place: Place) -> None:
    broken_place.site.storage.faketime = "+15m"
    broken_place.site.storage.restart()
    broken_place.clock = -900.0
    assert broken_place.cause(broken_place.endpoint("kerberos")) == ("read", "FHV-credential-050")


def test_no_client(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    assert place.cause(place.endpoint("kerberos")) == ("read", "FHV-storage-012")


def test_nothing_of_a_token_is_told(place: Place) -> None:
    """Whatever servers and clients say, a token and its parts are not in the evidence."""
    _token(place, exp=_past(60))
    token = _file(place, "BEARER_TOKEN_FILE").read_text()
    for https in (False, True):
        text = place.access(place.endpoint("token", https=https)).to_json()
        assert not [part for part in token.split(".") if part[:16] in text]
