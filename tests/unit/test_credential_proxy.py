"""Proxies as they are, made by a test's own authority; every fault is provoked and has its own word."""

from __future__ import annotations

import os
import sys
import tempfile
import time
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from cryptography import x509

from fasthep_validate import process
from fasthep_validate.causes import FAULTS
from fasthep_validate.credentials.chain import verified
from fasthep_validate.models.credential import CredentialSeen
from fasthep_validate.worker import probe_x509
from tests.credentials import codes, judged, put, seen
from tests.servers.ca import Authority, Pair, now
from tests.servers.proxies import mismatched, proxy
from tests.servers.voms import Vo

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from tests.servers.proxies import Kind

HOUR = timedelta(hours=1)
NEEDS = {"vo": "testvo", "fqans": ["/testvo/Role=production"]}


class Grid:
    """An authority, a user, a VO, and a folder for files."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.authority = Authority()
        self.user = self.authority.user()
        self.vo = Vo("testvo", self.authority.host("voms.test"))
        self.trust = self.authority.install(folder / "certificates")

    def proxy(
        self, *, lifetime: timedelta = 12 * HOUR, ac: timedelta = 12 * HOUR, kind: Kind = "rfc"
    ) -> Pair:
        attributes = self.vo.attributes(self.user, roles=["production"], lifetime=ac)
        return proxy(self.user, lifetime=lifetime, kind=kind, acs=[attributes])

    def look(self, pair: Pair | bytes) -> CredentialSeen:
        path = put(self.folder / "proxy.pem", pair if isinstance(pair, bytes) else pair.proxy_pem())
        return seen("x509", self.environ(path))

    def environ(self, path: Path) -> dict[str, str]:
        return {"X509_USER_PROXY": str(path), "X509_CERT_DIR": str(self.trust)}


@pytest.fixture(scope="module")
def grid(tmp_path_factory: pytest.TempPathFactory) -> Grid:
    return Grid(tmp_path_factory.mktemp("grid"))


def test_a_good_proxy(grid: Grid) -> None:
    found = grid.look(grid.proxy())
    assert judged(found, NEEDS) == []
    assert found.proxy
    assert (found.identity, found.proxy.issuer) == ("/DC=test/CN=alice", "/DC=test/CN=Test CA")
    assert (found.proxy.form, found.proxy.vo) == ("rfc", "testvo")
    assert found.proxy.fqans == ("/testvo/Role=production", "/testvo")
    assert (found.mode, found.mine) == ("0600", True)
    assert found.expires
    assert abs(found.expires - time.time() - 12 * 3600) < 60


@pytest.mark.parametrize(("kind", "form", "limited"), [
    ("rfc", "rfc", False), ("limited", "rfc", True), ("legacy", "legacy", False), ("legacy-limited", "legacy", True),
])  # fmt: skip
def test_forms_of_proxies(grid: Grid, kind: Kind, form: str, limited: bool) -> None:
    found = grid.look(grid.proxy(kind=kind))
    assert found.proxy
    assert (found.proxy.form, found.proxy.limited, found.identity) == (form, limited, "/DC=test/CN=alice")
    assert codes(judged(found, NEEDS)) == []
    assert codes(judged(found, {"limited": False})) == (["limited"] if limited else [])


def test_attributes_are_found_below_a_proxy_of_a_proxy(grid: Grid) -> None:
    found = grid.look(proxy(grid.proxy()))
    assert found.proxy
    assert (found.proxy.vo, found.identity) == ("testvo", "/DC=test/CN=alice")
    assert judged(found, NEEDS) == []


SPOILED: Mapping[str, Callable[[Grid], Pair | bytes]] = {
    "proxy-expired": lambda grid: grid.proxy(lifetime=-HOUR),
    "ac-expired": lambda grid: grid.proxy(ac=-HOUR),
    "no-ac": lambda grid: proxy(grid.user),
    "proxy-too-short": lambda grid: grid.proxy(lifetime=HOUR / 2),
    "ac-too-short": lambda grid: grid.proxy(ac=HOUR / 2),
    "key-mismatch": lambda grid: mismatched(grid.proxy()),
    "broken-chain": lambda grid: replace(grid.proxy(), chain=()),
    "empty": lambda grid: b"",
    "garbage": lambda grid: b"-----BEGIN CERTIFICATE-----\nnot base64!\n-----END CERTIFICATE-----\n",
    "oversize": lambda grid: b"x" * 1_000_001,
    "missing-fqan": lambda grid: proxy(grid.user, acs=[grid.vo.attributes(grid.user)]),
    "wrong-vo": lambda grid: proxy(grid.user, acs=[replace(grid.vo, name="othervo").attributes(grid.user)]),
    "not-yet-valid": lambda grid: proxy(
        grid.user,
        begin=now() + HOUR,
        lifetime=5 * HOUR,
        acs=[grid.vo.attributes(grid.user, roles=["production"])],
    ),
}


@pytest.mark.parametrize("code", SPOILED)
def test_every_fault_has_its_own_word(grid: Grid, code: str) -> None:
    assert codes(judged(grid.look(SPOILED[code](grid)), NEEDS)) == [code]
    assert code in FAULTS


def test_an_expired_proxy_with_valid_attributes_is_not_told_twice(grid: Grid) -> None:
    found = judged(grid.look(grid.proxy(lifetime=-HOUR)), NEEDS)
    assert [fault.code for fault in found] == ["proxy-expired"]


@pytest.mark.parametrize(("mode", "expected"), [(0o644, ["open-mode"]), (0o640, ["open-mode"]), (0o400, [])])
def test_others_must_not_read_it(grid: Grid, mode: int, expected: list[str]) -> None:
    path = put(grid.folder / "open.pem", grid.proxy().proxy_pem(), mode)
    assert codes(judged(seen("x509", grid.environ(path)), NEEDS)) == expected


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to give a file to somebody else")
def test_a_file_of_somebody_else(grid: Grid) -> None:
    path = put(grid.folder / "theirs.pem", grid.proxy().proxy_pem())
    os.chown(path, 12345, -1)
    (fault,) = judged(seen("x509", grid.environ(path)), NEEDS)
    assert fault.code == "not-owner"
    assert "user id 12345" in fault.words


UNPRIVILEGED = """\
import json, os, sys
from fasthep_validate.worker.probe_credentials import look
path = sys.argv[1]
os.chmod(path, 0)
os.chown(path, 65534, 65534)
os.setgroups([])
os.setgid(65534)
os.setuid(65534)
print(json.dumps(look("x509", {"X509_USER_PROXY": path}, os.geteuid())))
"""


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to become somebody who is not")
def test_a_file_that_cannot_be_read(grid: Grid) -> None:
    """Root reads every file, so another process looks, as somebody else."""
    with tempfile.TemporaryDirectory(dir="/tmp") as folder:
        Path(folder).chmod(0o755)
        path = put(Path(folder) / "proxy.pem", grid.proxy().proxy_pem())
        words = [sys.executable, "-c", UNPRIVILEGED, str(path)]
        done = process.run(words, timeout=60)
    found = CredentialSeen.model_validate_json(done.stdout)
    (fault,) = judged(found, NEEDS)
    assert (fault.code, found.mode, found.mine) == ("unreadable", "0000", True)
    assert "Permission denied" in fault.words


def test_nothing_there_says_where_it_looked() -> None:
    found = seen("x509", {"X509_USER_PROXY": "/nosuch/proxy"})
    assert (found.fault, found.looked) == ("missing", ("X509_USER_PROXY=/nosuch/proxy",))
    (place,) = probe_x509.places({}, 4242)
    assert place == ("", "/tmp/x509up_u4242")


def test_authority_that_is_not_trusted(grid: Grid, tmp_path: Path) -> None:
    stranger = Authority(dn="/DC=test/CN=Another CA")
    pair = proxy(stranger.user("/DC=test/CN=mallory"))
    path = put(tmp_path / "proxy.pem", pair.proxy_pem())
    found = seen("x509", grid.environ(path))
    assert codes(judged(found)) == ["no-authority"]
    assert codes(judged(found, where="submit")) == []  # there it only matters if it is sent
    assert codes(judged(found, {"ca": "ship"}, where="submit")) == ["no-authority"]
    gone = seen("x509", {**grid.environ(path), "X509_CERT_DIR": "/nosuch"})
    (fault,) = judged(gone)
    assert (fault.code, "X509_CERT_DIR=/nosuch is no folder" in fault.words) == ("no-authority", True)


def test_revocation_lists(tmp_path: Path) -> None:
    grid = Grid(tmp_path)
    grid.authority.install(grid.trust, crl_lifetime=-HOUR)
    assert codes(judged(grid.look(grid.proxy()), NEEDS)) == ["crl-expired"]
    grid.authority.revoked.append(grid.user.cert.serial_number)
    grid.authority.install(grid.trust)
    assert codes(judged(grid.look(grid.proxy()), NEEDS)) == ["revoked"]


def test_signatures_of_the_chain(grid: Grid) -> None:
    good = grid.proxy()
    assert verified(good.proxy_pem(), str(grid.trust)) == ""
    for kind in ("limited", "legacy"):
        assert verified(grid.proxy(kind=kind).proxy_pem(), str(grid.trust)) == ""
    twin = Authority()  # the same name, another key
    forged = proxy(twin.user())
    assert verified(forged.proxy_pem(), "") == ""
    assert "was not signed by" in verified(forged.proxy_pem(), str(grid.trust))
    other = replace(good, chain=(twin.user().cert,))
    assert "was not signed by CN=alice" in verified(other.proxy_pem(), "")


def test_our_reading_is_that_of_the_library(grid: Grid) -> None:
    for pair in (grid.proxy(), grid.authority.own, grid.user, grid.authority.host("some.host")):
        ours = probe_x509.certificate(next(probe_x509.blocks(pair.cert_pem(), b"CERTIFICATE")))
        theirs = x509.load_pem_x509_certificate(pair.cert_pem())
        assert ours.serial == theirs.serial_number
        assert ours.starts == theirs.not_valid_before_utc.timestamp()
        assert ours.expires == theirs.not_valid_after_utc.timestamp()
        assert ours.subject == pair.dn or ours.subject.startswith("/DC=test/CN=alice/CN=")
