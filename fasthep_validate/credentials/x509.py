"""What can be wrong with an X.509 proxy and its VOMS attributes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fasthep_validate.credentials.fault import SKEW, Fault, clock

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fasthep_validate.credentials.fault import Moment
    from fasthep_validate.models.credential import CredentialSeen, Proxy, Trust
    from fasthep_validate.models.credentials import X509, Credentials


def directives(needs: Credentials, seen: CredentialSeen) -> dict[str, str]:
    """HTCondor delegates the proxy at this path, and does so again before the delegated one expires."""
    return {"x509userproxy": seen.place} if needs.x509.travel == "x509userproxy" else {}


def faults(seen: CredentialSeen, needs: Credentials, moment: Moment) -> Iterator[Fault]:
    """Faults of a proxy that could be read; proxy and attributes each have a lifetime of their own."""
    proxy, need = seen.proxy, needs.x509
    if proxy is None:
        return
    yield from _of_chain(proxy, need)
    yield from _of_time(proxy, moment)
    yield from _of_attributes(proxy, need, moment)
    if seen.trust is not None:
        yield from _of_trust(seen.trust, proxy, need, moment)


def _of_chain(proxy: Proxy, need: X509) -> Iterator[Fault]:
    if not proxy.key_matches:
        yield Fault("key-mismatch", f"the key in the file is not that of the proxy of {proxy.identity}")
    if proxy.chain:
        yield Fault("broken-chain", proxy.chain)
    if proxy.limited and not need.limited:
        yield Fault("limited", f"the proxy of {proxy.identity} is a limited one")


def _of_time(proxy: Proxy, moment: Moment) -> Iterator[Fault]:
    if proxy.expires <= moment.now:
        yield Fault("proxy-expired", f"the proxy of {proxy.identity} expired at {clock(proxy.expires)}")
    elif not moment.lasts(proxy.expires):
        yield Fault("proxy-too-short", f"the proxy has {moment.left(proxy.expires)}, and {moment.why}")
    if proxy.starts > moment.now + SKEW:
        yield Fault(
            "not-yet-valid", f"the proxy begins at {clock(proxy.starts)}, now it is {clock(moment.now)}"
        )


def _of_attributes(proxy: Proxy, need: X509, moment: Moment) -> Iterator[Fault]:
    """Attributes that nobody needs may be missing, but not out of date: servers turn them down with the proxy."""
    if proxy.ac_expires is None or proxy.ac_starts is None:
        if need.vo or need.fqans:
            yield Fault("no-ac", f"the proxy has no VOMS attributes, needed are those of {_wanted(need)}")
        return
    if proxy.ac_expires <= moment.now:
        words = f"the VOMS attributes of {proxy.vo} expired at {clock(proxy.ac_expires)}"
        yield Fault("ac-expired", f"{words}, the proxy itself is valid until {clock(proxy.expires)}")
    elif not moment.lasts(proxy.ac_expires):
        words = f"the VOMS attributes of {proxy.vo} have {moment.left(proxy.ac_expires)}"
        yield Fault("ac-too-short", f"{words}, and {moment.why}")
    if proxy.ac_starts > moment.now + SKEW:
        yield Fault("not-yet-valid", f"the VOMS attributes begin at {clock(proxy.ac_starts)}")
    if need.vo and proxy.vo != need.vo:
        yield Fault("wrong-vo", f"the proxy is of VO {proxy.vo or 'none'}, needed is {need.vo}")
    elif missing := [fqan for fqan in need.fqans if fqan not in proxy.fqans]:
        yield Fault("missing-fqan", f"no {', '.join(missing)} among {', '.join(proxy.fqans) or 'no FQANs'}")


def _wanted(need: X509) -> str:
    return need.vo or ", ".join(need.fqans)


def _of_trust(trust: Trust, proxy: Proxy, need: X509, moment: Moment) -> Iterator[Fault]:
    """The submit host's folder only matters where it is sent; the one of a worker always does."""
    grave = moment.where == "worker" or need.ca == "ship"
    place = trust.folder or " or ".join(trust.looked)
    if not trust.found and not proxy.chain:  # of a broken chain the issuer is not known
        words = f"{place} holds {trust.authorities} authorities" if trust.folder else f"{place} is no folder"
        yield Fault("no-authority", f"{words}, and not {proxy.issuer}", grave)
    if trust.crl_expires is not None and trust.crl_expires <= moment.now:
        words = f"the revocation list of {proxy.issuer} in {place} is out of date"
        yield Fault("crl-expired", f"{words} since {clock(trust.crl_expires)}", grave)
    if trust.revoked:
        yield Fault("revoked", f"the certificate of {proxy.identity} is on the revocation list in {place}")
