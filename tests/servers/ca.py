"""A certificate authority for tests: host and user certificates, a revocation list, the folder that clients trust."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from typing import TYPE_CHECKING

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from tests.servers import der

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

DAY = timedelta(days=1)
BACKDATED = timedelta(minutes=5)
_OIDS = {"DC": NameOID.DOMAIN_COMPONENT, "O": NameOID.ORGANIZATION_NAME, "CN": NameOID.COMMON_NAME}
_LETTERS = {oid: letters for letters, oid in _OIDS.items()}


def now() -> datetime:
    """This moment, to the second, as certificates have it."""
    return datetime.now(UTC).replace(microsecond=0)


def new_key() -> rsa.RSAPrivateKey:
    """A key; RSA, for XRootD's gsi takes nothing else everywhere."""
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


def name(dn: str) -> x509.Name:
    """``/DC=test/CN=somebody`` as a name."""
    parts = (part.partition("=") for part in dn.strip("/").split("/"))
    return x509.Name([x509.NameAttribute(_OIDS[key], value) for key, _, value in parts])


def slashed(subject: x509.Name) -> str:
    """A name as grid software writes it: ``/DC=test/CN=somebody``."""
    return "".join(f"/{_LETTERS[part.oid]}={part.value!s}" for part in subject)


def name_hash(subject: x509.Name) -> str:
    """OpenSSL's ``X509_NAME_hash``, which names the files of a trust folder.

    SHA-1 of the name in its canonical form (lower case, UTF8String, without the outer SEQUENCE).
    """
    parts = (
        der.set_of(der.sequence(der.oid(part.oid.dotted_string), der.utf8(str(part.value).lower())))
        for part in subject
    )
    digest = hashlib.sha1(b"".join(parts), usedforsecurity=False).digest()
    return f"{int.from_bytes(digest[:4], 'little'):08x}"


def key_pem(key: rsa.RSAPrivateKey) -> bytes:
    """A key without a passphrase, in the older form that all grid software reads."""
    form = serialization.PrivateFormat.TraditionalOpenSSL
    return key.private_bytes(serialization.Encoding.PEM, form, serialization.NoEncryption())


@dataclass(frozen=True)
class Pair:
    """A certificate with its key, and the certificates between it and its authority.

    Attributes:
        cert: the certificate.
        key: its key.
        chain: the certificates that signed it, nearest first, without the authority's own.
    """

    cert: x509.Certificate
    key: rsa.RSAPrivateKey
    chain: tuple[x509.Certificate, ...] = ()

    @property
    def dn(self) -> str:
        """Its subject, with slashes."""
        return slashed(self.cert.subject)

    def cert_pem(self) -> bytes:
        """The certificate alone."""
        return self.cert.public_bytes(serialization.Encoding.PEM)

    def proxy_pem(self) -> bytes:
        """Certificate, key, chain: the file that ``X509_USER_PROXY`` names."""
        chain = b"".join(cert.public_bytes(serialization.Encoding.PEM) for cert in self.chain)
        return self.cert_pem() + key_pem(self.key) + chain

    def write_proxy(self, path: Path, *, mode: int = 0o600) -> Path:
        """Write :meth:`proxy_pem` to a file."""
        return written(path, self.proxy_pem(), mode)

    def write(self, cert: Path, key: Path) -> None:
        """Write certificate and key to two files."""
        written(cert, self.cert_pem(), 0o644)
        written(key, key_pem(self.key), 0o400)


def written(path: Path, content: bytes, mode: int) -> Path:
    """Write a file anew, with a mode; returns its path."""
    path.unlink(missing_ok=True)
    path.touch(mode=0o600)
    path.write_bytes(content)
    path.chmod(mode)
    return path


@dataclass
class Authority:
    """A certificate authority.

    Attributes:
        dn: its name.
        lifetime: how long its own certificate is valid.
    """

    dn: str = "/DC=test/CN=Test CA"
    lifetime: timedelta = 30 * DAY
    own: Pair = field(init=False)
    revoked: list[int] = field(default_factory=list)

    def __post_init__(self) -> None:
        key, subject = new_key(), name(self.dn)
        usage = _usage(digital_signature=True, key_cert_sign=True, crl_sign=True)
        builder = _builder(subject, subject, key, lifetime=self.lifetime, begin=now() - DAY)
        builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        builder = builder.add_extension(usage, critical=True)
        builder = builder.add_extension(
            x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False
        )
        self.own = Pair(builder.sign(key, hashes.SHA256()), key)

    def user(
        self, dn: str = "/DC=test/CN=alice", *, lifetime: timedelta = DAY, begin: datetime | None = None
    ) -> Pair:
        """A user's certificate."""
        return self._issue(dn, [ExtendedKeyUsageOID.CLIENT_AUTH], (), lifetime, begin)

    def host(
        self,
        host: str,
        *,
        others: Iterable[str] = (),
        lifetime: timedelta = DAY,
        begin: datetime | None = None,
    ) -> Pair:
        """A host's certificate, for its name and for other names and addresses."""
        uses = [ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]
        return self._issue(f"/DC=test/CN={host}", uses, (host, *others), lifetime, begin)

    def crl(self, *, lifetime: timedelta = DAY, begin: datetime | None = None) -> bytes:
        """The revocation list in PEM; a negative lifetime makes one that has expired."""
        begin = begin or now() - 2 * DAY
        builder = x509.CertificateRevocationListBuilder(
            issuer_name=self.own.cert.subject, last_update=begin, next_update=now() + lifetime
        )
        for serial in self.revoked:
            entry = x509.RevokedCertificateBuilder(serial_number=serial, revocation_date=begin).build()
            builder = builder.add_revoked_certificate(entry)
        builder = builder.add_extension(x509.CRLNumber(1), critical=False)
        return builder.sign(self.own.key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)

    def install(self, folder: Path, *, crl_lifetime: timedelta = DAY) -> Path:
        """Make a folder trust this authority, as ``X509_CERT_DIR`` wants it; returns the folder."""
        folder.mkdir(parents=True, exist_ok=True)
        stem = name_hash(self.own.cert.subject)
        policy = (
            f" access_id_CA  X509  '{self.dn}'\n pos_rights  globus  CA:sign\n"
            f" cond_subjects  globus  '\"/DC=test/*\"'\n"
        )
        written(folder / f"{stem}.0", self.own.cert_pem(), 0o644)
        written(folder / f"{stem}.signing_policy", policy.encode(), 0o644)
        written(folder / f"{stem}.r0", self.crl(lifetime=crl_lifetime), 0o644)
        return folder

    def _issue(
        self,
        dn: str,
        uses: list[x509.ObjectIdentifier],
        hosts: Iterable[str],
        lifetime: timedelta,
        begin: datetime | None,
    ) -> Pair:
        key = new_key()
        builder = _builder(name(dn), self.own.cert.subject, key, lifetime=lifetime, begin=begin)
        builder = builder.add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        builder = builder.add_extension(_usage(digital_signature=True, key_encipherment=True), critical=True)
        builder = builder.add_extension(x509.ExtendedKeyUsage(uses), critical=False)
        identifier = x509.AuthorityKeyIdentifier.from_issuer_public_key(self.own.key.public_key())
        builder = builder.add_extension(identifier, critical=False)
        if names := [_general_name(host) for host in hosts]:
            builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
        return Pair(builder.sign(self.own.key, hashes.SHA256()), key)


def _builder(
    subject: x509.Name,
    issuer: x509.Name,
    key: rsa.RSAPrivateKey,
    *,
    lifetime: timedelta,
    begin: datetime | None = None,
) -> x509.CertificateBuilder:
    """What all certificates have. A negative lifetime makes one that expired that long ago."""
    end = (begin or now()) + lifetime
    begin = begin or min(now() - BACKDATED, end - timedelta(hours=1))
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number() >> 96)  # of 64 bits: gsi of old reads no more
        .not_valid_before(begin)
        .not_valid_after(end)
    )


def _usage(**used: bool) -> x509.KeyUsage:
    names = (
        "digital_signature", "content_commitment", "key_encipherment", "data_encipherment", "key_agreement",
        "key_cert_sign", "crl_sign", "encipher_only", "decipher_only",
    )  # fmt: skip
    return x509.KeyUsage(**{name: used.get(name, False) for name in names})


def _general_name(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ip_address(host))
    except ValueError:
        return x509.DNSName(host)
