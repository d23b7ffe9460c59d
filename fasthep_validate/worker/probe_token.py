"""Finds and reads bearer tokens: WLCG's order of discovery, and claims without the signature."""

from __future__ import annotations

import base64
import binascii
import json
import math
from typing import TYPE_CHECKING

if TYPE_CHECKING or __package__:
    from fasthep_validate.worker.probe_file import LIMITS, Fault, read
else:
    from probe_file import LIMITS, Fault, read

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    Facts = dict[str, object]

VARIABLE = "BEARER_TOKEN"


def places(environ: Mapping[str, str], uid: int) -> Iterator[tuple[str, str]]:
    """Where a token is looked for, in the order of WLCG's Bearer Token Discovery: a source, and a path or ''."""
    if environ.get(VARIABLE, "").strip():
        yield VARIABLE, ""
    if environ.get("BEARER_TOKEN_FILE"):
        yield "BEARER_TOKEN_FILE", environ["BEARER_TOKEN_FILE"]
    if environ.get("XDG_RUNTIME_DIR"):
        yield "XDG_RUNTIME_DIR", f"{environ['XDG_RUNTIME_DIR']}/bt_u{uid}"
    yield "", f"/tmp/bt_u{uid}"


def value(environ: Mapping[str, str], source: str, path: str) -> tuple[bytes, Facts] | None:
    """The token at a place; ``None`` where the search goes on, as it does after an empty one.

    Raises:
        Fault: a file that is there cannot be used; the standard ends the search then.
    """
    if source == VARIABLE:
        content = environ[VARIABLE].strip().encode("utf-8", "surrogateescape")
        if len(content) > LIMITS["token"]:
            raise Fault("oversize", f"{VARIABLE} holds more than {LIMITS['token']} bytes")
        return content, {}
    try:
        content, seen = read(path, limit=LIMITS["token"])
    except Fault as fault:
        if fault.code == "empty" or (fault.code == "missing" and source != "BEARER_TOKEN_FILE"):
            return None
        raise
    return content.strip(), seen


def facts(content: bytes, place: str) -> Facts:
    """The fields of ``models.credential.TokenClaims``.

    Raises:
        Fault: these bytes are no JSON Web Token.
    """
    parts = content.split(b".")
    if len(parts) != 3 or not all(parts):
        raise Fault("garbage", f"{place} holds no JSON Web Token: {len(parts)} parts where three should be")
    header, claims = _decoded(parts[0], place), _decoded(parts[1], place)
    _bytes(parts[2], place)
    audience = claims.get("aud")
    return {
        "algorithm": _text(header.get("alg")),
        "issuer": _text(claims.get("iss")),
        "subject": _text(claims.get("sub")),
        "audience": [
            _text(each) for each in (audience if isinstance(audience, list) else [audience]) if each
        ],
        "starts": _moment(claims.get("nbf")),
        "issued": _moment(claims.get("iat")),
        "expires": _moment(claims.get("exp")),
        "profile": _profile(claims),
        "scopes": _scopes(claims.get("scope")),
    }


def _bytes(part: bytes, place: str) -> bytes:
    try:
        return base64.b64decode(part + b"=" * (-len(part) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError):
        raise Fault("garbage", f"{place} holds no JSON Web Token: not base64url") from None


def _decoded(part: bytes, place: str) -> dict[str, object]:
    data = _bytes(part, place)
    try:
        found = json.loads(data)
    except (ValueError, RecursionError):
        raise Fault("garbage", f"{place} holds no JSON Web Token: not JSON") from None
    if not isinstance(found, dict):
        raise Fault("garbage", f"{place} holds no JSON Web Token: no claims")
    return found


def _text(claim: object) -> str:
    return claim[:1000] if isinstance(claim, str) else ""


def _moment(claim: object) -> float | None:
    """Seconds since 1970 (RFC 7519, NumericDate); anything else is none."""
    if isinstance(claim, bool) or not isinstance(claim, (int, float)):
        return None
    try:
        seconds = float(claim)
    except OverflowError:
        return None
    return seconds if math.isfinite(seconds) and abs(seconds) < 1e12 else None


def _profile(claims: Mapping[str, object]) -> str:
    if _text(claims.get("wlcg.ver")):
        return f"wlcg {_text(claims['wlcg.ver'])}"
    return _text(claims.get("ver"))


def _scopes(claim: object) -> list[str]:
    """Scopes of a text with blanks (RFC 8693), or of a list, which some issuers write."""
    words = claim.split() if isinstance(claim, str) else claim if isinstance(claim, list) else []
    return [_text(word) for word in words if _text(word)]
