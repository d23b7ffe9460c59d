"""Section of the probe on credentials: what the work would find on this machine; never a secret.

The submit host uses the same functions, so that both ends are seen with the same eyes.
"""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING or __package__:
    from fasthep_validate.worker import probe_kerberos, probe_token, probe_trust, probe_x509
    from fasthep_validate.worker.probe_file import LIMITS, Fault, read
else:
    import probe_kerberos
    import probe_token
    import probe_trust
    import probe_x509
    from probe_file import LIMITS, Fault, read

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from fasthep_validate.worker.probe_config import Config

    Facts = dict[str, object]


def credentials(config: Config) -> object:
    """``CredentialSeen`` of every kind that the profile asks for."""
    return [look(kind, os.environ, os.geteuid()) for kind in config.credentials]


def look(kind: str, environ: Mapping[str, str], uid: int) -> Facts:
    """``CredentialSeen`` of a kind, as a program with this environment would find it."""
    seen: Facts = {"kind": kind, "time": time.time(), "looked": [], "place": ""}
    try:
        _LOOKS[kind](seen, environ, uid)
    except Fault as fault:
        seen.update(fault.facts, fault=fault.code, detail=str(fault))
    return seen


def _x509(seen: Facts, environ: Mapping[str, str], uid: int) -> None:
    ((source, path),) = probe_x509.places(environ, uid)
    seen.update(looked=[_said(source, path)], place=path)
    content = _read_named("x509", seen, source, path)
    proxy = probe_x509.facts(content, path)
    issuer, serial = proxy["issuer"], proxy.pop("serial")
    seen.update(proxy=proxy, trust=probe_trust.facts(environ, str(issuer), (serial,)))  # type: ignore[arg-type]


def _kerberos(seen: Facts, environ: Mapping[str, str], uid: int) -> None:
    cache = probe_kerberos.cache(environ, uid)
    seen.update(looked=[_said(cache.source, cache.name)], place=cache.name)
    path = probe_kerberos.file_of(cache)
    content = _read_named("kerberos", seen, cache.source, path)
    seen.update(ticket=probe_kerberos.facts(content, path))


def _token(seen: Facts, environ: Mapping[str, str], uid: int) -> None:
    looked: list[str] = []
    seen.update(looked=looked)
    for source, path in probe_token.places(environ, uid):
        looked.append(_said(source, path))
        seen.update(place=path or source)
        found = probe_token.value(environ, source, path)
        if found:
            content, facts = found
            seen.update(facts, token=probe_token.facts(content, path or source))
            return
    seen.update(place="")
    raise Fault("not-found", f"no token: looked at {', '.join(looked)}")


def _read_named(kind: str, seen: Facts, source: str, path: str) -> bytes:
    """The file at a place; one that nothing names and that is not there is a credential that is not found."""
    try:
        content, facts = read(path, limit=LIMITS[kind])
    except Fault as fault:
        if fault.code == "missing" and not source:
            raise Fault("not-found", f"no variable names one, and {path} is not there") from None
        raise
    seen.update(facts)
    return content


def _said(source: str, path: str) -> str:
    """A place in words, such as ``X509_USER_PROXY=/tmp/x509up_u1000``; a value that is a secret is not told."""
    return f"{source}={path}" if source and path else source or path


_LOOKS: Mapping[str, Callable[[Facts, Mapping[str, str], int], None]] = {
    "x509": _x509,
    "kerberos": _kerberos,
    "token": _token,
}
