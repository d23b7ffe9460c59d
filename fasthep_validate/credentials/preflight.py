"""Looks at the credentials of the submit host before anything is packed or queued."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

from fasthep_validate.credentials.chain import verified
from fasthep_validate.credentials.fault import Fault, clock, moment
from fasthep_validate.credentials.files import content
from fasthep_validate.credentials.kinds import faults
from fasthep_validate.models.credential import CredentialSeen
from fasthep_validate.worker.probe_credentials import look
from fasthep_validate.worker.probe_file import Fault as Unreadable

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from fasthep_validate.models.credentials import Credentials, Kind
    from fasthep_validate.models.execution import ExecutionConfig

# Ways in which the submit host's own files play no part.
_ELSEWHERE = frozenset({"none", "oauth_services"})
# Of a cache that only its daemon can read, daemons of the batch system can still make use.
_THROUGH_DAEMONS = frozenset({"sendcredential", "auks"})


@dataclass(frozen=True)
class Finding:
    """A credential of the submit host, and what is wrong with it."""

    seen: CredentialSeen
    faults: tuple[Fault, ...]

    @property
    def grave(self) -> tuple[Fault, ...]:
        """The faults that work which requires the credential cannot do with."""
        return tuple(fault for fault in self.faults if fault.grave)

    @property
    def travels(self) -> bool:
        """Whether there is something that can be sent."""
        return not self.seen.fault


@dataclass(frozen=True)
class Preflight:
    """What was found on the submit host, by kind; kinds that are not looked for here are not in it."""

    needs: Credentials
    found: Mapping[Kind, Finding]

    @property
    def refusals(self) -> tuple[tuple[Kind, Fault], ...]:
        """What is wrong with credentials that are required."""
        return tuple(self._faults("required"))

    @property
    def warnings(self) -> tuple[tuple[Kind, Fault], ...]:
        """What is wrong with credentials that are optional, and what is wrong and not grave."""
        slight = (
            pair for pair in self._all() if not pair[1].grave and self.needs.of(pair[0]).need == "required"
        )
        return (*self._faults("optional"), *slight)

    def lines(self) -> Iterator[str]:
        """What was found, for people."""
        for kind, finding in self.found.items():
            if finding.travels:
                until = f", until {clock(finding.seen.expires)}" if finding.seen.expires is not None else ""
                yield f"credentials.{kind}: {finding.seen.identity} from {finding.seen.place}{until}"
        for kind, fault in self.warnings:
            yield f"credentials.{kind}: warning: {fault.words}"

    def _faults(self, need: str) -> Iterator[tuple[Kind, Fault]]:
        return (
            (kind, fault) for kind, fault in self._all() if fault.grave and self.needs.of(kind).need == need
        )

    def _all(self) -> Iterator[tuple[Kind, Fault]]:
        return ((kind, fault) for kind, finding in self.found.items() for fault in finding.faults)


def examine(execution: ExecutionConfig, environ: Mapping[str, str] | None = None) -> Preflight:
    """Find and judge the credentials that a run needs, as programs of this user find them.

    Args:
        execution: what is to be started.
        environ: variables that lead to credentials; ours by default.
    """
    needs, environ = execution.credentials, os.environ if environ is None else environ
    found = {
        kind: _finding(execution, kind, environ)
        for kind in needs.wanted
        if needs.of(kind).travel not in _ELSEWHERE
    }
    return Preflight(needs, found)


def environment(needs: Credentials, environ: Mapping[str, str]) -> dict[str, str]:
    """The variables that lead to credentials, with those that the profile names in their place."""
    named = {**environ}
    if needs.x509.path:
        named["X509_USER_PROXY"] = needs.x509.path
    if needs.token.path:
        named.pop("BEARER_TOKEN", None)
        named["BEARER_TOKEN_FILE"] = needs.token.path
    return named


def seen_here(needs: Credentials, kind: Kind, environ: Mapping[str, str]) -> CredentialSeen:
    """A credential of this machine; the signatures of a proxy's chain are verified."""
    named = environment(needs, environ)
    seen = CredentialSeen.model_validate(look(kind, named, os.geteuid()))
    if seen.proxy is None or seen.proxy.chain:
        return seen
    try:
        words = verified(content(seen, named), seen.trust.folder if seen.trust else "")
    except Unreadable as fault:  # it has gone in the meantime
        words = str(fault)
    return seen.model_copy(update={"proxy": seen.proxy.model_copy(update={"chain": words})})


def _finding(execution: ExecutionConfig, kind: Kind, environ: Mapping[str, str]) -> Finding:
    needs = execution.credentials
    seen = seen_here(needs, kind, environ)
    when = moment(needs, kind, now=seen.time, where="submit", pools=execution.pools)
    told = faults(seen, needs, when)
    if needs.of(kind).travel in _THROUGH_DAEMONS:
        told = [_lighter(fault) for fault in told]
    return Finding(seen, tuple(told))


def _lighter(fault: Fault) -> Fault:
    if fault.code != "not-transferable":
        return fault
    return Fault(fault.code, f"{fault.words}: nothing more can be said of it here", grave=False)
