"""What can be wrong with a bearer token; the rules are those of the WLCG Common JWT Profiles, 1.3."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fasthep_validate.credentials.fault import SKEW, Fault, clock

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from fasthep_validate.credentials.fault import Moment
    from fasthep_validate.models.credential import CredentialSeen, TokenClaims
    from fasthep_validate.models.credentials import Credentials, Token

ALGORITHMS = ("RS256", "ES256")
# Audiences that stand for any: WLCG's and that of SciTokens.
ANY = ("https://wlcg.cern.ch/jwt/v1/any", "ANY")
# Scopes that allow what another one does.
_INCLUDED_IN: Mapping[str, tuple[str, ...]] = {
    "storage.create": ("storage.modify",),
    "storage.read": ("storage.stage",),
}


def directives(needs: Credentials, seen: CredentialSeen) -> dict[str, str]:  # noqa: ARG001 - as for all kinds
    """HTCondor's own token daemons get the token, bring it and keep it fresh."""
    need = needs.token
    if need.travel != "oauth_services" or need.service is None:
        return {}
    handle = f"_{need.handle}" if need.handle else ""
    wanted = {
        "use_oauth_services": need.service,
        f"{need.service}_oauth_permissions{handle}": " ".join(need.scopes),
        f"{need.service}_oauth_resource{handle}": need.audience or "",
    }
    return {key: value for key, value in wanted.items() if value}


def faults(seen: CredentialSeen, needs: Credentials, moment: Moment) -> Iterator[Fault]:
    """Faults of a token that could be read; its signature is for the server to verify."""
    claims, need = seen.token, needs.token
    if claims is None:
        return
    yield from _of_form(claims)
    yield from _of_time(claims, moment)
    yield from _of_use(claims, need)


def _of_form(claims: TokenClaims) -> Iterator[Fault]:
    if claims.algorithm not in ALGORITHMS:
        words = (
            f"it is signed by {claims.algorithm or 'no algorithm'}, allowed are {' and '.join(ALGORITHMS)}"
        )
        yield Fault("bad-algorithm", words)
    present = {
        "sub": claims.subject,
        "exp": claims.expires,
        "iss": claims.issuer,
        "aud": claims.audience,
        "iat": claims.issued,
        "wlcg.ver": claims.profile,
    }
    if missing := [name for name, value in present.items() if not value]:
        yield Fault("missing-claims", f"the token has no {', '.join(missing)}")


def _of_time(claims: TokenClaims, moment: Moment) -> Iterator[Fault]:
    if claims.expires is not None and claims.expires <= moment.now:
        yield Fault("token-expired", f"the token of {claims.issuer} expired at {clock(claims.expires)}")
    elif claims.expires is not None and not moment.lasts(claims.expires):
        yield Fault("token-too-short", f"the token has {moment.left(claims.expires)}, and {moment.why}")
    begins = max(claims.starts or 0.0, claims.issued or 0.0)
    if begins > moment.now + SKEW:
        yield Fault("token-not-yet-valid", f"it begins at {clock(begins)}, now it is {clock(moment.now)}")


def _of_use(claims: TokenClaims, need: Token) -> Iterator[Fault]:
    if need.issuers and claims.issuer not in need.issuers:
        words = f"it is from {claims.issuer or 'nobody'}, trusted is {', '.join(need.issuers)}"
        yield Fault("wrong-issuer", words)
    if need.audience and not {need.audience, *ANY} & set(claims.audience):
        words = f"it is for {', '.join(claims.audience) or 'nobody'}, needed is {need.audience}"
        yield Fault("wrong-audience", words)
    for wanted in need.scopes:
        if not any(covers(scope, wanted) for scope in claims.scopes):
            yield _missing(wanted, claims.scopes)


def _missing(wanted: str, scopes: tuple[str, ...]) -> Fault:
    action = wanted.partition(":")[0]
    elsewhere = [scope for scope in scopes if scope.partition(":")[0] in _allowing(action)]
    if elsewhere:
        return Fault("wrong-path", f"needed is {wanted}, it has {', '.join(elsewhere)}")
    return Fault("missing-scope", f"needed is {wanted}, it has {', '.join(scopes) or 'no scopes'}")


def covers(scope: str, wanted: str) -> bool:
    """Whether a scope allows what is wanted: the same action, or one that includes it, at this path or above."""
    action, _, path = scope.partition(":")
    wanted_action, _, wanted_path = wanted.partition(":")
    if action not in _allowing(wanted_action):
        return False
    above, below = _parts(path), _parts(wanted_path)
    return ".." not in (*above, *below) and below[: len(above)] == above


def _allowing(action: str) -> tuple[str, ...]:
    return (action, *_INCLUDED_IN.get(action, ()))


def _parts(path: str) -> list[str]:
    return [part for part in path.split("/") if part not in {"", "."}]
