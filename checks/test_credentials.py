"""Whether the credentials that the work needs are on the workers, and will do until it is over."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fasthep_validate.causes import FAULTS
from fasthep_validate.credentials.fault import RENEWED, Fault, clock, moment
from fasthep_validate.credentials.kinds import faults
from fasthep_validate.outcomes import Blocked, fail, not_applicable, warn

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fasthep_validate.models.credential import CredentialSeen
    from fasthep_validate.models.credentials import Credentials, Kind
    from fasthep_validate.view import Run, Worker

# Faults of the folder of authorities, which have a check of their own.
_TRUST = frozenset({"no-authority", "crl-expired", "revoked"})
# Seconds that clocks may differ: krb5.conf(5), clockskew; for the others what servers commonly allow.
_SKEW = {"kerberos": 300.0, "x509": 300.0, "token": 60.0}
_SLACK = 60.0


def test_submit_host(run: Run) -> None:
    """The credentials of the submit host are good, and last as long as queue and work.

    Remedy: get the credential anew, as the message says, before the run.
    """
    needs = _needs(run)
    judged = [seen for seen in run.submit.credentials if needs.of(seen.kind).need != "none"]
    if not judged:
        not_applicable("no credential of the submit host is used")
    found = [
        (seen.kind, fault)
        for seen in judged
        for fault in faults(
            seen, needs, moment(needs, seen.kind, now=seen.time, where="submit", pools=run.execution.pools)
        )
        if fault.grave or fault.code != "not-transferable"
    ]
    _tell([pair for pair in found if needs.of(pair[0]).need == "required" and pair[1].grave], "required")
    _tell(found, "optional")


def test_proxy(worker: Worker) -> None:
    """The work finds a proxy on the worker that is its owner's alone, whole, and valid until the work is over.

    Remedy: see the named fault; the proxy of the submit host and the way it travels decide what comes.
    """
    _usable(worker, "x509")


def test_ticket(worker: Worker) -> None:
    """The work finds a Kerberos ticket on the worker that is its owner's alone and valid until the work is over.

    Remedy: see the named fault; the ticket of the submit host and the way it travels decide what comes.
    """
    _usable(worker, "kerberos")


def test_token(worker: Worker) -> None:
    """The work finds a bearer token on the worker that is its owner's alone and allows what the profile needs.

    Remedy: see the named fault; the token of the submit host and the way it travels decide what comes.
    """
    _usable(worker, "token")


def test_authorities(worker: Worker) -> None:
    """The worker trusts the authority of the proxy, with a revocation list that is not out of date.

    Remedy: name a folder that the workers see as credentials.x509.ca, or 'ship' to send the submit host's.
    """
    seen = _seen(worker, "x509")
    if seen.proxy is None:
        raise Blocked(by=f"credentials.proxy[{worker.id}]")
    need = _needs(worker.run).x509.need
    _tell([("x509", fault) for fault in _faults(worker, seen) if fault.code in _TRUST], need)


def test_same_as_submit_host(worker: Worker) -> None:
    """The worker's credentials are those of the submit host: the same identity, the same expiry or a later one.

    Remedy: see which variable or file of the node goes before the credential that was sent.
    """
    needs = _needs(worker.run)
    sent = [
        seen for seen in worker.run.submit.credentials if seen.identity and needs.of(seen.kind).need != "none"
    ]
    if not sent:
        not_applicable("no credential of the submit host travels")
    there = {seen.kind: seen for seen in worker.credentials}
    for here in sent:
        if here.kind in there and there[here.kind].identity:
            _compare(here, there[here.kind], needs)


def test_clock(worker: Worker) -> None:
    """The worker's clock is near enough to the submit host's for the credentials that the work needs.

    Remedy: synchronise the node's clock.
    """
    needs = _needs(worker.run)
    limit = min(_SKEW[kind] for kind in needs.wanted)
    offset = worker.dask.clock.offset
    if abs(offset) > limit:
        words = f"the worker's clock differs by {offset:+.0f} s, {limit:g} s are allowed"
        fail(words, cause=FAULTS["clock-skew"].id)


def _needs(run: Run) -> Credentials:
    needs = run.execution.credentials
    if not needs.wanted:
        not_applicable("the profile asks for no credentials")
    return needs


def _seen(worker: Worker, kind: Kind) -> CredentialSeen:
    needs = _needs(worker.run)
    if needs.of(kind).need == "none":
        not_applicable("the profile asks for none")
    here = next((seen for seen in worker.run.submit.credentials if seen.kind == kind), None)
    if here and here.fault:
        not_applicable("it was not sent: see credentials.submit-host")
    found = next((seen for seen in worker.credentials if seen.kind == kind), None)
    assert found, f"promised evidence credentials of kind {kind} is missing"
    return found


def _faults(worker: Worker, seen: CredentialSeen) -> list[Fault]:
    needs = _needs(worker.run)
    when = moment(needs, seen.kind, now=seen.time, where="worker", pools=(worker.pool,))
    return faults(seen, needs, when)


def _usable(worker: Worker, kind: Kind) -> None:
    seen = _seen(worker, kind)
    found = [(kind, fault) for fault in _faults(worker, seen) if fault.code not in _TRUST]
    _tell(found, _needs(worker.run).of(kind).need)


def _tell(found: Sequence[tuple[Kind, Fault]], need: str) -> None:
    """All faults in one message, the first one as the cause; nothing if there are none."""
    if not found:
        return
    words = "; ".join(f"{kind}: {fault.words}" for kind, fault in found)
    cause = FAULTS[found[0][1].code].id
    if need == "required":
        fail(words, cause=cause)
    warn(words, cause=cause)


def _compare(here: CredentialSeen, there: CredentialSeen, needs: Credentials) -> None:
    if there.identity != here.identity:
        words = f"{here.kind}: the worker has that of {there.identity}, from {there.place}"
        fail(f"{words}; the submit host sent that of {here.identity}", cause=FAULTS["other-identity"].id)
    shortened = needs.of(here.kind).travel in {*RENEWED, "x509userproxy"}
    ends, sent = there.expires, here.expires
    if not shortened and ends is not None and sent is not None and ends < sent - _SLACK:
        words = (
            f"{here.kind}: it expires at {clock(ends)} on the worker, and at {clock(sent)} on the submit host"
        )
        fail(words, cause=FAULTS["stale-copy"].id)
