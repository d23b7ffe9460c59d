"""Checks of storage on good evidence and on bad, with the cause of each failure."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from checks import test_storage as storage
from fasthep_validate.causes.access import may_cover, unsound
from fasthep_validate.models.access import Access, Action
from fasthep_validate.models.credential import CredentialSeen, Proxy, Ticket, TokenClaims, Trust
from fasthep_validate.models.storage import Endpoint, Storage
from fasthep_validate.testing import changed, compute, good_run, good_site, good_worker

if TYPE_CHECKING:
    from pathlib import Path

    from fasthep_validate.models.access import ActionName, Fault
    from fasthep_validate.models.storage import StorageCredential
    from fasthep_validate.outcomes import Finding
    from fasthep_validate.view import Worker

CHECKS = {"reached": storage.test_reached, "read": storage.test_read, "written": storage.test_written}
ORDER: tuple[ActionName, ...] = ("resolve", "connect", "read", "write", "check", "rename", "remove")
NOW = 1_790_000_000.0
PROXY = Proxy(
    identity="/CN=alice",
    issuer="/CN=CA",
    form="rfc",
    limited=False,
    starts=NOW - 60,
    expires=NOW + 3600,
    key_matches=True,
    vo="testvo",
    ac_expires=NOW + 3600,
)
TRUST = Trust(folder="/certificates", authorities=1, found=True, crl_expires=NOW + 60)
SEEN = CredentialSeen(kind="x509", time=NOW, place="/proxy", mode="0600", proxy=PROXY, trust=TRUST)
TICKET = CredentialSeen(
    kind="kerberos", time=NOW, ticket=Ticket(principal="alice@R", realm="R", expires=NOW + 60)
)
TOKEN = CredentialSeen(
    kind="token",
    time=NOW,
    token=TokenClaims(
        audience=("https://disk.example.org",),
        scopes=("storage.read:/", "storage.modify:/user"),
        expires=NOW + 60,
    ),
)


def failed(
    action: ActionName,
    fault: Fault,
    words: str = "no",
    *,
    credential: StorageCredential = "x509",
    hints: tuple[str, ...] = (),
) -> Access:
    before = ORDER[: ORDER.index(action)]
    actions = (
        *(Action(name=name, ok=True) for name in before),
        Action(name=action, ok=False, fault=fault, words=words),
    )
    return Access(
        endpoint="disk", url="root://disk.example.org", credential=credential, actions=actions, hints=hints
    )


def worker(
    folder: Path, access: Access, *seen: CredentialSeen, clock: float = 0.0, read: str = "/store/hello"
) -> Worker:
    evidence = changed(good_worker(), "probe.storage", (access,))
    evidence = changed(changed(evidence, "probe.credentials", seen), "dask.clock.offset", clock)
    endpoint = Endpoint(
        url=access.url, credential=access.credential, read=read, write="/store/user", rename=True
    )
    site = changed(good_site(), "execution.storage", Storage(endpoints={"disk": endpoint}))
    return good_run(folder, site=site, workers=(evidence,)).workers["default-0"]


def judged(subject: Worker) -> dict[str, Finding]:
    return {name: compute(check, subject) for name, check in CHECKS.items()}


@pytest.mark.parametrize(
    ("action", "outcomes"),
    [
        ("resolve", ("fail", "blocked", "blocked")),
        ("connect", ("fail", "blocked", "blocked")),
        ("read", ("pass", "fail", "blocked")),
        ("write", ("pass", "pass", "fail")),
        ("check", ("pass", "pass", "fail")),
        ("remove", ("pass", "pass", "fail")),
    ],
)
def test_one_failure_fails_one_check(tmp_path: Path, action: ActionName, outcomes: tuple[str, ...]) -> None:
    found = judged(worker(tmp_path, failed(action, "failed", "the client's words")))
    assert tuple(result.outcome for result in found.values()) == outcomes
    (failure,) = (result for result in found.values() if result.outcome == "fail")
    assert failure.cause == "FHV-storage-013"
    assert f"disk: {action} with x509: the client's words" in failure.message


REFUSED: Fault = "not-authenticated"


@pytest.mark.parametrize(
    ("access", "seen", "expected"),
    [
        (failed("resolve", "name-unknown"), SEEN, "storage-001"),
        (failed("connect", "refused"), SEEN, "storage-002"),
        (failed("connect", "no-route"), SEEN, "storage-003"),
        (failed("read", "timed-out"), SEEN, "storage-005"),
        (failed("read", REFUSED), SEEN, "storage-006"),
        (failed("read", "tls"), SEEN, "storage-007"),
        (failed("write", "no-space"), SEEN, "storage-010"),
        (failed("read", REFUSED), changed(SEEN, "proxy.expires", NOW - 1), "credential-020"),
        (failed("read", REFUSED), changed(SEEN, "proxy.ac_expires", NOW - 1), "credential-021"),
        (failed("read", REFUSED), changed(SEEN, "proxy.vo", ""), "credential-022"),
        (failed("read", "tls"), changed(SEEN, "proxy.key_matches", False), "credential-025"),
        (failed("read", "tls"), changed(SEEN, "trust.found", False), "credential-027"),
        (failed("read", REFUSED), changed(SEEN, "trust.crl_expires", NOW - 1), "credential-028"),
        (failed("read", REFUSED), changed(SEEN, "trust.revoked", True), "credential-029"),
        (failed("read", REFUSED), changed(SEEN, "proxy.starts", NOW + 60), "credential-033"),
        (failed("read", REFUSED), changed(SEEN, "mode", "0644"), "credential-015"),
        (failed("read", REFUSED, credential="kerberos"), TICKET, "storage-006"),
        (
            failed("read", REFUSED, credential="kerberos", hints=("Cannot contact any KDC",)),
            TICKET,
            "storage-014",
        ),
        (failed("write", "denied", credential="token"), TOKEN, "storage-008"),
        (failed("write", "denied", credential="token"), changed(TOKEN, "token.scopes", ("storage.read:/",)), "credential-044"),
        (failed("write", "denied", credential="token"), changed(TOKEN, "token.scopes", ("storage.modify:/bob",)), "credential-045"),
        (failed("read", "denied", credential="token"), changed(TOKEN, "token.audience", ("https://b",)), "credential-042"),
        (failed("read", "no-such-path", credential="token"), changed(TOKEN, "token.expires", NOW - 1), "storage-009"),
    ],
)  # fmt: skip
def test_cause(tmp_path: Path, access: Access, seen: CredentialSeen, expected: str) -> None:
    (failure,) = (
        found for found in judged(worker(tmp_path, access, seen)).values() if found.outcome == "fail"
    )
    assert failure.cause == f"FHV-{expected}"


def test_clocks_that_differ_too_much_for_kerberos(tmp_path: Path) -> None:
    subject = worker(tmp_path, failed("read", REFUSED, credential="kerberos"), TICKET, clock=-400.0)
    found = compute(storage.test_read, subject)
    assert found.cause == "FHV-credential-050"
    assert "off by -400 s" in found.message


def test_slow_storage_is_a_warning(tmp_path: Path) -> None:
    access = Access(
        endpoint="disk",
        url="root://disk",
        credential="x509",
        actions=(Action(name="read", ok=True, seconds=11),),
    )
    found = compute(storage.test_fast, worker(tmp_path, access))
    assert (found.outcome, found.cause) == ("warn", "FHV-storage-017")
    assert "read took 11.0 s; 10 s are expected" in found.message


def test_without_storage_there_is_nothing_to_judge(tmp_path: Path) -> None:
    site = changed(good_site(), "execution.storage", Storage())
    subject = good_run(tmp_path, site=site).workers["default-0"]
    checks = (*CHECKS.values(), storage.test_fast)
    assert {compute(check, subject).outcome for check in checks} == {"n/a"}


def test_an_endpoint_that_nobody_tried(tmp_path: Path) -> None:
    subject = good_run(tmp_path, workers=(changed(good_worker(), "probe.storage", ()),)).workers["default-0"]
    found = compute(storage.test_read, subject)
    assert found.outcome == "fail"
    assert "nobody tried disk" in found.message


@pytest.mark.parametrize(
    ("scope", "target", "covered"),
    [
        ("/", "/store/x", True),
        ("", "/store/x", True),
        ("/store", "/store/x", True),
        ("/x", "/store/x", True),  # below a base path /store
        ("/store/x/y", "/store/x", False),
        ("/sto", "/store/x", False),
        ("/other", "/store/x", False),
    ],
)
def test_scope_paths(scope: str, target: str, covered: bool) -> None:
    assert may_cover(scope, target) is covered


def test_a_sound_credential_has_no_fault() -> None:
    assert [list(unsound(seen)) for seen in (SEEN, TICKET, TOKEN)] == [[], [], []]
