"""Ticket caches: those of a real KDC where there is one, and written by the format where there is none."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest

from fasthep_validate.causes import FAULTS
from fasthep_validate.worker import probe_kerberos
from fasthep_validate.worker.probe_file import Fault
from tests.ccache import FORWARDABLE, RENEWABLE, Cache, Entry
from tests.credentials import codes, judged, put, seen

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from tests.servers.kdc import Kdc

NOW = int(time.time())
TGT = "krbtgt/TEST.REALM@TEST.REALM"
GOOD = Entry(TGT, NOW - 60, NOW + 36_000, NOW + 600_000, FORWARDABLE | RENEWABLE)


def cached(path: Path, *entries: Entry, version: int = 4) -> dict[str, str]:
    content = Cache("alice@TEST.REALM", entries, version).dump()
    return {"KRB5CCNAME": f"FILE:{put(path / 'cc', content)}"}


@pytest.mark.parametrize("version", [3, 4])
def test_a_good_ticket(tmp_path: Path, version: int) -> None:
    service = Entry("xrootd/se.example.org@TEST.REALM", NOW, NOW + 1000)
    config = Entry("krb5_ccache_conf_data/fast_avail/krbtgt@X-CACHECONF:", 0, 0)
    found = seen("kerberos", cached(tmp_path, config, GOOD, service, version=version))
    assert judged(found, {"realm": "TEST.REALM", "renewable": True}) == []
    ticket = found.ticket
    assert ticket
    assert (ticket.principal, ticket.realm, ticket.services) == (
        "alice@TEST.REALM",
        "TEST.REALM",
        ("xrootd/se.example.org@TEST.REALM",),
    )
    assert (ticket.expires, ticket.renewable_until) == (NOW + 36_000, NOW + 600_000)
    assert ticket.forwardable
    assert ticket.addressless


SPOILED: Mapping[str, tuple[Entry, ...]] = {
    "ticket-expired": (Entry(TGT, NOW - 5000, NOW - 10, NOW + 600_000, RENEWABLE),),
    "ticket-too-short": (Entry(TGT, NOW, NOW + 1000, NOW + 600_000, RENEWABLE),),
    "not-renewable": (Entry(TGT, NOW, NOW + 36_000),),
    "no-ticket": (Entry("xrootd/se@TEST.REALM", NOW, NOW + 36_000),),
    "wrong-realm": (Entry("krbtgt/OTHER@OTHER", NOW, NOW + 36_000, NOW + 600_000, RENEWABLE),),
    "not-yet-valid": (Entry(TGT, NOW + 4000, NOW + 36_000, NOW + 600_000, RENEWABLE),),
    "not-transferable": (
        Entry(TGT, NOW, NOW + 36_000, NOW + 600_000, RENEWABLE, addresses=(b"\x7f\0\0\1",)),
    ),
}


@pytest.mark.parametrize("code", SPOILED)
def test_every_fault_has_its_own_word(tmp_path: Path, code: str) -> None:
    found = seen("kerberos", cached(tmp_path, *SPOILED[code]))
    assert codes(judged(found, {"realm": "TEST.REALM", "renewable": True})) == [code]
    assert code in FAULTS


def test_what_daemons_renew_may_be_short(tmp_path: Path) -> None:
    found = seen("kerberos", cached(tmp_path, *SPOILED["ticket-too-short"]))
    assert codes(judged(found, {"travel": "sendcredential"})) == []


@pytest.mark.parametrize("name", ["KEYRING:persistent:0:0", "KCM:0", "MEMORY:x", "API:1"])
def test_caches_of_one_machine_cannot_travel(name: str) -> None:
    found = seen("kerberos", {"KRB5CCNAME": name})
    (fault,) = judged(found)
    assert (fault.code, found.place) == ("not-transferable", name)
    assert "FILE:" in FAULTS[fault.code].remedy


def test_of_a_collection_the_primary_cache_travels(tmp_path: Path) -> None:
    (tmp_path / "primary").write_text("tktABC\n")
    put(tmp_path / "tktABC", Cache("alice@TEST.REALM", (GOOD,)).dump())
    assert seen("kerberos", {"KRB5CCNAME": f"DIR:{tmp_path}"}).identity == "alice@TEST.REALM"
    assert seen("kerberos", {"KRB5CCNAME": f"DIR::{tmp_path}/tktABC"}).identity == "alice@TEST.REALM"
    (tmp_path / "primary").write_text("../../etc/passwd\n")
    assert probe_kerberos.file_of(probe_kerberos.Cache("", "DIR", str(tmp_path))) == f"{tmp_path}/tkt"


def test_default_names(tmp_path: Path) -> None:
    included = tmp_path / "conf.d"
    included.mkdir()
    (included / "ccache").write_text("[libdefaults]\n default_ccache_name = KEYRING:persistent:%{uid}\n")
    (included / ".hidden").write_text("[libdefaults]\n default_ccache_name = FILE:/wrong\n")
    config = tmp_path / "krb5.conf"
    config.write_text(f"includedir {included}\n[libdefaults]\n  default_realm = X\n")
    found = probe_kerberos.cache({"KRB5_CONFIG": str(config)}, 77)
    assert (found.source, found.name) == (str(config), "KEYRING:persistent:77")
    assert probe_kerberos.cache({"KRB5_CONFIG": "/nosuch"}, 77).name == "FILE:/tmp/krb5cc_77"
    assert probe_kerberos.cache({"KRB5CCNAME": "/plain/path"}, 77).name == "FILE:/plain/path"
    with pytest.raises(Fault, match="KEYRING:persistent:77 lives on this machine alone"):
        probe_kerberos.file_of(found)


def test_a_configuration_that_includes_itself_ends(tmp_path: Path) -> None:
    config = tmp_path / "krb5.conf"
    config.write_text(f"include {config}\n")
    assert probe_kerberos.cache({"KRB5_CONFIG": str(config)}, 1).name == "FILE:/tmp/krb5cc_1"


@pytest.mark.parametrize(
    "content", [b"\x05\x02old and in the byte order of its machine", b"\x05\x04\0", b"no cache"]
)
def test_garbage(tmp_path: Path, content: bytes) -> None:
    found = seen("kerberos", {"KRB5CCNAME": str(put(tmp_path / "cc", content))})
    assert codes(judged(found)) == ["garbage"]


def test_tickets_of_a_real_kdc(realm: Kdc, tmp_path: Path) -> None:
    found = seen("kerberos", {"KRB5CCNAME": realm.ticket("alice", tmp_path / "cc")})
    assert judged(found, {"realm": realm.realm, "renewable": True}) == []
    plain = seen("kerberos", {"KRB5CCNAME": realm.ticket("alice", tmp_path / "plain", renewable="")})
    assert codes(judged(plain, {"renewable": True})) == ["not-renewable"]
    collection = tmp_path / "collection"
    collection.mkdir(mode=0o700)
    found = seen("kerberos", {"KRB5CCNAME": realm.ticket("alice", f"DIR:{collection}")})
    assert found.identity == f"alice@{realm.realm}"
