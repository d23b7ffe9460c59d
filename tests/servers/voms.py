"""VOMS: attribute certificates (RFC 5755) signed by a server's certificate, and the files that vouch for it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding
from cryptography.hazmat.primitives.serialization import Encoding

from tests.servers import der
from tests.servers.ca import BACKDATED, now, slashed, written
from tests.servers.proxies import HOUR

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime, timedelta
    from pathlib import Path

    from tests.servers.ca import Pair

# "VOMS Attribute Certificate Format" of the OGSA-Authz working group.
_FQANS = "1.3.6.1.4.1.8005.100.100.4"
_SIGNERS = "1.3.6.1.4.1.8005.100.100.10"
_NO_REVOCATION = "2.5.29.56"
_AUTHORITY_KEY = "2.5.29.35"
_SHA256_RSA = der.sequence(der.oid("1.2.840.113549.1.1.11"), der.NULL)


@dataclass(frozen=True)
class Vo:
    """A virtual organisation with the server that speaks for it.

    Attributes:
        name: such as ``testvo``.
        server: certificate and key of its VOMS server.
        host: name of the server.
    """

    name: str
    server: Pair
    host: str = "voms.test"

    def attributes(
        self,
        user: Pair,
        *,
        roles: Sequence[str] = (),
        groups: Sequence[str] = (),
        lifetime: timedelta = 12 * HOUR,
        begin: datetime | None = None,
    ) -> bytes:
        """An attribute certificate for a user, in DER.

        Args:
            user: whose certificate it goes with.
            roles: of the VO; the first one becomes the primary FQAN.
            groups: below the VO.
            lifetime: until it expires; negative for one that has.
            begin: when it becomes valid; a few minutes ago if not given.
        """
        fqans = [f"/{self.name}/Role={role}/Capability=NULL" for role in roles]
        fqans += [f"/{self.name}{group}/Role=NULL/Capability=NULL" for group in ("", *groups)]
        info = self._info(user.cert, fqans, lifetime, begin)
        signature = self.server.key.sign(info, padding.PKCS1v15(), hashes.SHA256())
        return der.sequence(info, _SHA256_RSA, der.bits(signature))

    def install(self, folder: Path) -> Path:
        """Let clients and servers believe this VO, as ``X509_VOMS_DIR`` wants it; returns the folder."""
        place = folder / self.name
        place.mkdir(parents=True, exist_ok=True)
        lines = f"{self.server.dn}\n{slashed(self.server.cert.issuer)}\n"
        written(place / f"{self.host}.lsc", lines.encode(), 0o644)
        return folder

    def _info(
        self, user: x509.Certificate, fqans: Sequence[str], lifetime: timedelta, begin: datetime | None
    ) -> bytes:
        """``AttributeCertificateInfo``."""
        end = now() + lifetime
        begin = begin or min(now() - BACKDATED, end - HOUR)
        holder = der.context(0, der.sequence(_directory(user.issuer)), der.integer(user.serial_number))
        signer = self.server.cert
        return der.sequence(
            der.integer(1),  # version 2
            der.sequence(holder),
            der.context(0, der.sequence(_directory(signer.subject))),
            _SHA256_RSA,
            der.integer(x509.random_serial_number() >> 96),
            der.sequence(der.time(begin), der.time(end)),
            der.sequence(self._names(fqans)),
            der.sequence(
                _extension(_NO_REVOCATION, der.NULL),
                _extension(_AUTHORITY_KEY, _key_identifier(signer)),
                _extension(_SIGNERS, der.sequence(der.sequence(signer.public_bytes(Encoding.DER)))),
            ),
        )

    def _names(self, fqans: Sequence[str]) -> bytes:
        """The attribute with the FQANs: ``IetfAttrSyntax``, whose authority is ``vo://host:port``."""
        authority = der.tlv(0x86, f"{self.name}://{self.host}:15000".encode())
        values = der.sequence(*(der.octets(fqan.encode()) for fqan in fqans))
        return der.sequence(der.oid(_FQANS), der.set_of(der.sequence(der.context(0, authority), values)))


def _directory(subject: x509.Name) -> bytes:
    """``GeneralName`` with a directory name."""
    return der.context(4, subject.public_bytes())


def _extension(oid: str, value: bytes) -> bytes:
    return der.sequence(der.oid(oid), der.octets(value))


def _key_identifier(signer: x509.Certificate) -> bytes:
    identifier = x509.SubjectKeyIdentifier.from_public_key(signer.public_key()).digest
    return der.sequence(der.tlv(0x80, identifier))
