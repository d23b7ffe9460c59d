"""Proxy certificates (RFC 3820), and the older kinds that are still about."""

from __future__ import annotations

import os
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Literal

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.x509.oid import NameOID

from tests.servers import der
from tests.servers.ca import BACKDATED, Pair, new_key, now

if TYPE_CHECKING:
    from collections.abc import Sequence

Kind = Literal["rfc", "limited", "legacy", "legacy-limited"]
HOUR = timedelta(hours=1)

_PROXY_CERT_INFO = x509.ObjectIdentifier("1.3.6.1.5.5.7.1.14")  # RFC 3820, 3.8
_VOMS_ACS = x509.ObjectIdentifier(
    "1.3.6.1.4.1.8005.100.100.5"
)  # VOMS Attribute Certificate Format, OGSA-Authz
_POLICIES = {
    "rfc": "1.3.6.1.5.5.7.21.1",  # id-ppl-inheritAll
    "limited": "1.3.6.1.4.1.3536.1.1.1.9",  # Globus: no job may be submitted with it
}
_LEGACY_NAMES = {"legacy": "proxy", "legacy-limited": "limited proxy"}


def proxy(
    user: Pair,
    *,
    lifetime: timedelta = 12 * HOUR,
    begin: datetime | None = None,
    kind: Kind = "rfc",
    acs: Sequence[bytes] = (),
) -> Pair:
    """A proxy of a user (or of a proxy), with VOMS attribute certificates.

    Args:
        user: who signs it.
        lifetime: until it expires; a negative one makes a proxy that expired that long ago.
        begin: when it becomes valid; a few minutes ago if not given.
        kind: which form it has.
        acs: attribute certificates, from :mod:`tests.servers.voms`.
    """
    key = new_key()
    serial = int.from_bytes(os.urandom(4)) >> 1
    end = now() + lifetime
    common_name = _LEGACY_NAMES.get(kind, str(serial))
    subject = x509.Name([*user.cert.subject, x509.NameAttribute(NameOID.COMMON_NAME, common_name)])
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(user.cert.subject)
        .public_key(key.public_key())
        .serial_number(user.cert.serial_number if kind in _LEGACY_NAMES else serial or 1)
        .not_valid_before(begin or min(now() - BACKDATED, end - HOUR))
        .not_valid_after(end)
    )
    usage = x509.KeyUsage(True, False, True, False, False, False, False, False, False)
    builder = builder.add_extension(usage, critical=True)
    if kind in _POLICIES:
        info = der.sequence(der.sequence(der.oid(_POLICIES[kind])))
        builder = builder.add_extension(x509.UnrecognizedExtension(_PROXY_CERT_INFO, info), critical=True)
    if acs:
        value = der.sequence(der.sequence(*acs))
        builder = builder.add_extension(x509.UnrecognizedExtension(_VOMS_ACS, value), critical=False)
    return Pair(builder.sign(user.key, hashes.SHA256()), key, (user.cert, *user.chain))


def mismatched(pair: Pair) -> Pair:
    """The same certificates with a key that is not theirs."""
    return Pair(pair.cert, new_key(), pair.chain)
