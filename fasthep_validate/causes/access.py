"""Why a storage could not be used.

Storage answers nearly every fault of a credential with the same words ("No protocols left to try", "permission
denied"), so what is known of the credential on the node goes first; then what the client said when asked for more;
then the clocks; and only what is left is the storage's own.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from fasthep_validate.causes.credentials import FAULTS
from fasthep_validate.causes.storage import ACTIONS, HINTS
from fasthep_validate.worker.storage_access import fault_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from fasthep_validate.causes.entry import Entry
    from fasthep_validate.models.access import Access, Action
    from fasthep_validate.models.credential import CredentialSeen, TokenClaims
    from fasthep_validate.models.storage import Endpoint

KERBEROS_SKEW = 300.0  # seconds; the default of MIT's clockskew (krb5.conf(5))
ANY_AUDIENCE = ("ANY", "https://wlcg.cern.ch/jwt/v1/any")  # SciTokens 2.0, WLCG profile 1.x
# Words of a refusal behind which any fault of a credential may be.
REFUSALS = ("not-authenticated", "tls", "denied")
# What a token has to allow for an action (WLCG profile 1.x; the second is a SciToken's word).
SCOPES: Mapping[str, tuple[str, ...]] = {
    "read": ("storage.read", "read"),
    "write": ("storage.create", "storage.modify", "write"),
    "check": ("storage.read", "read"),
    "rename": ("storage.modify", "write"),
    "remove": ("storage.modify", "write"),
}
Why = tuple["Entry", str]
"""An entry, and what shows it beyond the client's words."""


@dataclass(frozen=True)
class Case:
    """An access that failed, with all that is known around it.

    Attributes:
        access: what was tried.
        endpoint: what the profile says of it.
        seen: the credential on that node; ``None`` if nobody looked.
        clock: seconds that the node's clock is off; ``None`` if not known.
    """

    access: Access
    endpoint: Endpoint
    seen: CredentialSeen | None
    clock: float | None = None


def why(case: Case, action: Action) -> Why:
    """The cause of the action that failed."""
    fault = action.fault or "failed"
    if fault in REFUSALS:
        return next(_credential(case, action), (ACTIONS[fault], ""))
    return ACTIONS[fault], ""


def why_unread(words: str, credentials: Iterable[CredentialSeen]) -> Why:
    """The cause of a remote file that cannot be opened, where nobody said which credential is for it.

    Args:
        words: what the client said.
        credentials: those that the profile asks for, as they are on that node.
    """
    fault = fault_of(words)
    known = list(credentials)
    if fault == "not-authenticated" and not known:
        return FAULTS["not-found"], "the profile asks for no credential"
    bad = [(FAULTS[word], details) for seen in known for word, details in unsound(seen)]
    return bad[0] if bad and fault in REFUSALS else (ACTIONS[fault], "")


def _credential(case: Case, action: Action) -> Iterator[Why]:
    """Everything about the credential that explains a refusal, the surest first."""
    if case.seen:
        yield from ((FAULTS[fault], details) for fault, details in unsound(case.seen))
    for hint in case.access.hints:
        if hint in HINTS:
            yield HINTS[hint], f"the client says: {hint}"
    if case.access.credential == "kerberos" and abs(case.clock or 0.0) > KERBEROS_SKEW:
        yield FAULTS["clock-skew"], f"the node's clock is off by {case.clock:+.0f} s"
    if case.seen and case.seen.proxy and not case.seen.proxy.vo and action.fault != "tls":
        yield FAULTS["no-ac"], "the proxy has no VOMS attributes"
    if case.seen and case.seen.token and action.fault != "tls":
        yield from _token(case.seen.token, case, action)


def _token(token: TokenClaims, case: Case, action: Action) -> Iterator[Why]:
    """What a token does not allow at this endpoint."""
    wanted = SCOPES.get(action.name, ())
    scopes = [scope.partition(":") for scope in token.scopes]
    paths = [path or "/" for name, _, path in scopes if name in wanted]
    target = case.endpoint.read if action.name == "read" else case.endpoint.write or "/"
    if wanted and not paths:
        yield (
            FAULTS["missing-scope"],
            f"it has {' '.join(token.scopes) or 'no scope'}, and not {' or '.join(wanted)}",
        )
    elif wanted and not any(may_cover(path, target) for path in paths):
        yield FAULTS["wrong-path"], f"it allows {', '.join(paths)}, and {target} is wanted"
    host = urlsplit(case.endpoint.url).hostname or ""
    if token.audience and not any(host in name or name in ANY_AUDIENCE for name in token.audience):
        yield FAULTS["wrong-audience"], f"it is for {', '.join(token.audience)}, and not for {host}"


def may_cover(scope: str, target: str) -> bool:
    """Whether a scope's path can be one above ``target``, which may begin with the issuer's base path."""
    wanted = _parts(scope)
    parts = _parts(target)
    return any(parts[start : start + len(wanted)] == wanted for start in range(len(parts) + 1))


def _parts(path: str) -> list[str]:
    return [part for part in path.split("/") if part]


def unsound(seen: CredentialSeen) -> Iterator[tuple[str, str]]:
    """Faults with which no storage would take a credential, whatever the profile asks of it: word, details."""
    if seen.fault:
        yield seen.fault, seen.detail
    for moment, word, details in _moments(seen):
        if moment is not None and moment < 0:
            yield word, f"{details} {_span(-moment)} ago"
    for moment, word, details in _beginnings(seen):
        if moment is not None and moment > 0:
            yield word, f"{details} in {_span(moment)}"
    if seen.proxy and not seen.proxy.key_matches:
        yield "key-mismatch", f"in {seen.place}"
    if seen.proxy and seen.proxy.chain:
        yield "broken-chain", seen.proxy.chain
    if seen.trust and not seen.trust.found:
        yield "no-authority", f"{seen.trust.folder or 'no folder'} does not hold it"
    if seen.trust and seen.trust.revoked:
        yield "revoked", f"by the list in {seen.trust.folder}"
    if not seen.mine:
        yield "not-owner", f"{seen.place} belongs to user {seen.owner}"
    if seen.mode and int(seen.mode, 8) & 0o077:
        yield "open-mode", f"{seen.place} has mode {seen.mode}"
    if seen.trust and (seen.trust.crl_expires or seen.time) < seen.time:
        yield "crl-expired", f"in {seen.trust.folder}"


def _moments(seen: CredentialSeen) -> Iterator[tuple[float | None, str, str]]:
    """Seconds until each end, by the clock that looked."""
    ends = (
        (seen.proxy.expires if seen.proxy else None, "proxy-expired", "the proxy expired"),
        (seen.proxy.ac_expires if seen.proxy else None, "ac-expired", "its VOMS attributes expired"),
        (seen.ticket.expires if seen.ticket else None, "ticket-expired", "it expired"),
        (seen.token.expires if seen.token else None, "token-expired", "it expired"),
    )
    for moment, word, details in ends:
        yield None if moment is None else moment - seen.time, word, details


def _beginnings(seen: CredentialSeen) -> Iterator[tuple[float | None, str, str]]:
    """Seconds until each beginning, by the clock that looked."""
    begins = (
        (seen.proxy.starts if seen.proxy else None, "not-yet-valid", "it begins"),
        (seen.ticket.starts if seen.ticket else None, "not-yet-valid", "it begins"),
        (seen.token.starts if seen.token else None, "token-not-yet-valid", "it begins"),
    )
    for moment, word, details in begins:
        yield None if moment is None else moment - seen.time, word, details


def _span(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 600 else f"{seconds / 60:.0f} min"
