"""Checks of credentials, on evidence with one thing wrong."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import pytest

from checks import test_credentials as checks
from fasthep_validate.causes import FAULTS
from fasthep_validate.models.credential import CredentialSeen, Proxy, Ticket, TokenClaims, Trust
from fasthep_validate.models.credentials import Credentials
from fasthep_validate.testing import broken, changed, compute, good_run, good_site, good_submit, good_worker

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from fasthep_validate.models.credentials import Kind
    from fasthep_validate.outcomes import Finding
    from fasthep_validate.view import Run

NOW = time.time()
LATER = NOW + 36_000
SEEN: Mapping[Kind, CredentialSeen] = {
    "x509": CredentialSeen(
        kind="x509",
        time=NOW,
        place="/job/credentials/x509.pem",
        owner=1000,
        mode="0600",
        proxy=Proxy(
            identity="/CN=alice",
            issuer="/CN=CA",
            form="rfc",
            limited=False,
            starts=NOW - 60,
            expires=LATER,
            key_matches=True,
        ),
        trust=Trust(folder="/certificates", authorities=3, found=True, crl_expires=LATER),
    ),
    "kerberos": CredentialSeen(
        kind="kerberos",
        time=NOW,
        place="FILE:/cc",
        ticket=Ticket(principal="alice@R", realm="R", expires=LATER),
    ),
    "token": CredentialSeen(
        kind="token",
        time=NOW,
        place="/token",
        token=TokenClaims(
            algorithm="ES256",
            issuer="https://i",
            subject="alice",
            audience=("ANY",),
            issued=NOW,
            expires=LATER,
            profile="wlcg 1.0",
        ),
    ),
}
OF_WORKER = {
    "proxy": checks.test_proxy,
    "ticket": checks.test_ticket,
    "token": checks.test_token,
    "authorities": checks.test_authorities,
    "same-as-submit-host": checks.test_same_as_submit_host,
    "clock": checks.test_clock,
}


def run(
    folder: Path,
    *,
    needs: Mapping[str, Any] | None = None,
    there: Mapping[Kind, CredentialSeen] | None = None,
    here: Mapping[Kind, CredentialSeen] | None = None,
) -> Run:
    said = {kind: {"need": "required", **(needs or {})} for kind in SEEN}
    site = good_site()
    execution = site.execution.model_copy(update={"credentials": Credentials.model_validate(said)})
    on_worker = tuple({**SEEN, **(there or {})}.values())
    on_submit = tuple({**SEEN, **(here or {})}.values())
    return good_run(
        folder,
        site=site.model_copy(update={"execution": execution}),
        submit=good_submit().model_copy(update={"credentials": on_submit}),
        workers=[changed(good_worker(), "probe.credentials", on_worker)],
    )


def found(which: Run) -> dict[str, Finding]:
    worker = which.workers["default-0"]
    of_worker = {name: compute(check, worker) for name, check in OF_WORKER.items()}
    return {**of_worker, "submit-host": compute(checks.test_submit_host, which)}


def bad(which: Run) -> dict[str, str]:
    return {
        name: result.cause for name, result in found(which).items() if result.outcome not in {"pass", "n/a"}
    }


def cause(code: str) -> str:
    return FAULTS[code].id


def test_all_good(tmp_path: Path) -> None:
    assert {result.outcome for result in found(run(tmp_path)).values()} == {"pass"}


def test_what_is_missing_on_the_worker_names_its_cause(tmp_path: Path) -> None:
    gone = CredentialSeen(kind="kerberos", time=NOW, fault="not-found", detail="nothing there")
    seen = run(tmp_path, there={"kerberos": gone})
    assert bad(seen) == {"ticket": cause("not-found")}
    assert found(seen)["ticket"].message == "kerberos: nothing there"


def test_optional_ones_warn(tmp_path: Path) -> None:
    open_mode = SEEN["x509"].model_copy(update={"mode": "0644"})
    seen = run(tmp_path, needs={"need": "optional"}, there={"x509": open_mode})
    result = found(seen)["proxy"]
    assert (result.outcome, result.cause) == ("warn", cause("open-mode"))


def test_somebody_else_s(tmp_path: Path) -> None:
    other = changed(SEEN["x509"], "proxy.identity", "/CN=bob")
    assert bad(run(tmp_path, there={"x509": other})) == {"same-as-submit-host": cause("other-identity")}


def test_an_older_copy(tmp_path: Path) -> None:
    older = changed(SEEN["token"], "token.expires", LATER - 1000)
    assert bad(run(tmp_path, there={"token": older})) == {"same-as-submit-host": cause("stale-copy")}


def test_htcondor_delegates_for_a_shorter_time(tmp_path: Path) -> None:
    shorter = changed(SEEN["x509"], "proxy.expires", LATER - 1000)
    site = run(tmp_path, there={"x509": shorter})
    needs = changed(site.execution, "credentials.x509.travel", "x509userproxy")
    object.__setattr__(site, "execution", needs)
    assert "same-as-submit-host" not in bad(site)


def test_authorities_have_a_check_of_their_own(tmp_path: Path) -> None:
    unknown = changed(SEEN["x509"], "trust.found", False)
    assert bad(run(tmp_path, there={"x509": unknown})) == {"authorities": cause("no-authority")}


def test_a_proxy_that_cannot_be_read_blocks_what_follows(tmp_path: Path) -> None:
    garbage = CredentialSeen(kind="x509", time=NOW, fault="garbage", detail="no certificate")
    results = found(run(tmp_path, there={"x509": garbage}))
    assert results["proxy"].outcome == "fail"
    assert (results["authorities"].outcome, results["authorities"].blocked_by) == (
        "blocked",
        "credentials.proxy[default-0]",
    )


def test_what_could_not_be_sent_is_told_once(tmp_path: Path) -> None:
    expired = CredentialSeen(kind="token", time=NOW, fault="not-found", detail="no token")
    seen = run(tmp_path, needs={"need": "optional"}, here={"token": expired}, there={"token": expired})
    assert bad(seen) == {"submit-host": cause("not-found")}


def test_clock(tmp_path: Path) -> None:
    seen = run(tmp_path)
    skewed = changed(seen.evidence["default-0"], "dask.clock.offset", 120.0)
    seen = good_run(tmp_path / "other", site=seen.site, workers=[skewed])
    result = compute(checks.test_clock, seen.workers["default-0"])
    assert (result.outcome, result.cause) == ("fail", cause("clock-skew"))


@pytest.mark.parametrize("name", OF_WORKER)
def test_a_start_that_failed_blocks(tmp_path: Path, name: str) -> None:
    site = run(tmp_path).site
    submit = good_submit().model_copy(update={"credentials": tuple(SEEN.values())})
    dead = broken(good_worker(), "credentials", code="missing")
    worker = good_run(tmp_path / "dead", site=site, submit=submit, workers=[dead]).workers["default-0"]
    assert compute(OF_WORKER[name], worker).outcome == "blocked"
