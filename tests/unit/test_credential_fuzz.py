"""Bytes of anybody's: a clear fault or a reading, never a traceback, in little time."""

from __future__ import annotations

import base64
import json
import re
import time
import tracemalloc
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fasthep_validate import process
from fasthep_validate.models.credential import CredentialSeen, Proxy, Ticket, TokenClaims
from fasthep_validate.worker import probe_der, probe_kerberos, probe_token, probe_trust, probe_x509
from fasthep_validate.worker.probe_file import LIMITS, Fault
from tests.ccache import Cache, Entry
from tests.credentials import judged
from tests.job_script import SCRIPT
from tests.servers.ca import Authority
from tests.servers.proxies import proxy
from tests.servers.voms import Vo

if TYPE_CHECKING:
    from pathlib import Path

QUICK = settings(
    max_examples=100,
    deadline=2000,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
    derandomize=True,
)
AUTHORITY = Authority()
USER = AUTHORITY.user()
PROXY = proxy(USER, acs=[Vo("testvo", AUTHORITY.host("voms")).attributes(USER, roles=["production"])])
DER = next(probe_x509.blocks(PROXY.cert_pem(), b"CERTIFICATE"))
CRL = next(probe_x509.blocks(AUTHORITY.crl(), b"X509 CRL"))
CCACHE = Cache("alice@R", (Entry("krbtgt/R@R", 1, 2), Entry("host/x@R", 1, 2, addresses=(b"1234",)))).dump()


@st.composite
def damaged(draw: st.DrawFn, good: bytes) -> bytes:
    """Something good with bytes changed, cut out or put in."""
    data = bytearray(good)
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, len(data) - 1)) if data else 0
        cut = draw(st.integers(0, 8))
        data[at : at + cut] = draw(st.binary(max_size=8))
    return bytes(data)


def is_clear(fault: Fault) -> None:
    assert fault.code == "garbage"


@QUICK
@given(data=st.one_of(st.binary(max_size=300), damaged(DER)))
def test_certificates(data: bytes) -> None:
    try:
        found = probe_x509.certificate(data)
    except probe_der.Malformed:
        return
    assert isinstance(found.expires, float)


@QUICK
@given(data=st.one_of(st.binary(max_size=300), damaged(PROXY.proxy_pem())))
def test_proxies(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "proxy"
    path.write_bytes(data)
    try:
        facts = probe_x509.facts(data, str(path))
    except Fault as fault:
        is_clear(fault)
        return
    facts.pop("serial")
    found = CredentialSeen(kind="x509", time=0, proxy=Proxy.model_validate(facts))
    judged(found, {"vo": "testvo"}, now=time.time())


@QUICK
@given(data=st.one_of(st.binary(max_size=300), damaged(CRL)))
def test_revocation_lists(data: bytes) -> None:
    try:
        probe_trust.revocations(data)
    except probe_der.Malformed:
        return


@QUICK
@given(
    data=st.one_of(
        st.binary(max_size=300), st.binary(max_size=300).map(lambda b: b"\5\4" + b), damaged(CCACHE)
    )
)
def test_caches(data: bytes) -> None:
    try:
        facts = probe_kerberos.facts(data, "cc")
    except Fault as fault:
        is_clear(fault)
        return
    judged(CredentialSeen(kind="kerberos", time=0, ticket=Ticket.model_validate(facts)), now=time.time())


JSON = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=20)),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=5), inner, max_size=3)
    ),
    max_leaves=8,
)
CLAIMS = ("exp", "nbf", "iat", "aud", "iss", "sub", "scope", "wlcg.ver", "ver", "alg")


def jwt_of(claims: object) -> bytes:
    part = base64.urlsafe_b64encode(json.dumps(claims).encode()).rstrip(b"=")
    return part + b"." + part + b".c2ln"


@QUICK
@given(
    data=st.one_of(
        st.binary(max_size=200), st.dictionaries(st.sampled_from(CLAIMS), JSON).map(jwt_of), JSON.map(jwt_of)
    )
)
def test_tokens(data: bytes) -> None:
    try:
        facts = probe_token.facts(data, "token")
    except Fault as fault:
        is_clear(fault)
        return
    found = CredentialSeen(kind="token", time=0, token=TokenClaims.model_validate(facts))
    judged(found, {"audience": "a", "scopes": ["storage.read:/"]}, now=time.time())


@pytest.mark.parametrize(
    "data",
    [
        b"\x30\x80" * 100_000,
        b"\x30\x84\x7f\xff\xff\xff" * 1000,
        b"\x06\x40" + b"\xff" * 64,
        b"\x30\x00" * 300_000,
    ],
)
def test_bombs_are_refused_at_once(data: bytes) -> None:
    begun = time.monotonic()
    for read in (probe_x509.certificate, probe_trust.revocations):
        with pytest.raises(probe_der.Malformed):
            read(data)
    assert time.monotonic() - begun < 2


def test_a_cache_that_promises_four_billion_of_everything() -> None:
    begun = time.monotonic()
    read = 0
    for at in range(2, len(CCACHE) - 4):
        try:
            probe_kerberos.facts(CCACHE[:at] + b"\xff" * 4, "cc")
            read += 1
        except Fault as fault:
            is_clear(fault)
    assert read == 1  # where the four bytes are the end of a name
    assert time.monotonic() - begun < 2


def test_deeply_nested_json_is_garbage() -> None:
    deep = base64.urlsafe_b64encode(b"[" * 11_000).rstrip(b"=")
    with pytest.raises(Fault, match="not JSON"):
        probe_token.facts(deep + b"." + deep + b".c2ln", "token")


def test_memory_is_bounded_too() -> None:
    """The largest files that are read, as bad as they can be, take no more than a few times their size."""
    bombs = (
        (probe_kerberos.facts, (b"\5\4\0\0" + b"\0" * LIMITS["kerberos"])[: LIMITS["kerberos"]]),
        (probe_token.facts, jwt_of({"scope": "a " * 5000})[: LIMITS["token"]]),
        (probe_token.facts, b"a.b." * (LIMITS["token"] // 4)),
    )
    for read, data in bombs:
        tracemalloc.start()
        try:
            read(data, "somewhere")
        except Fault as fault:
            is_clear(fault)
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert peak < 10 * len(data) + 1_000_000


# What a credmon may have written: ``bootstrap.sh`` takes the access token out of it with the tools of any node.
RAW_TOKEN = "\n".join(
    re.findall(r"^raw_token\(\) \{.*?^\}$", SCRIPT.read_text(), flags=re.MULTILINE | re.DOTALL)
)


def taken(folder: Path, content: bytes) -> bytes | None:
    """What the job script makes of a credmon's file; ``None`` if it refuses it."""
    raw = folder / "credentials" / "bearer_token"
    raw.unlink(missing_ok=True)
    (folder / "cms.use").write_bytes(content)
    words = ["sh", "-c", f"umask 077\n{RAW_TOKEN}\nraw_token cms.use"]
    done = process.run(words, timeout=5, cwd=folder)
    assert done.returncode in {0, 1}
    assert (done.returncode == 0) is raw.exists()
    return raw.read_bytes().strip() if raw.exists() else None


@settings(QUICK, max_examples=30)
@given(
    content=st.one_of(
        st.binary(max_size=200),
        damaged(b'{"access_token": "abc.def.ghi", "refresh_token": "never", "expires_in": 3600}'),
        JSON.map(lambda value: json.dumps({"access_token": value, "refresh_token": "never"}).encode()),
    )
)
def test_files_of_a_credmon(tmp_path: Path, content: bytes) -> None:
    found = taken(tmp_path, content)
    assert found is None or re.fullmatch(rb"[A-Za-z0-9._~+/=-]+", found)
    assert found != b"never"


def test_a_credmon_s_file_that_is_too_long(tmp_path: Path) -> None:
    good = b'{"access_token": "abc.def.ghi"}'
    assert taken(tmp_path, good) == b"abc.def.ghi"
    begun = time.monotonic()
    assert taken(tmp_path, b"x" * 50_000_000 + good) is None
    assert time.monotonic() - begun < 2
