"""TLS certificates made for one run: a certificate authority that is forgotten, and one key a role.

On a shared node an open Dask port lets anybody run code as the user, so scheduler, workers and client
only talk to peers with a certificate of this run.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

if TYPE_CHECKING:
    from pathlib import Path

ROLES = ("scheduler", "worker", "client")
# Clocks of worker nodes are behind now and then; a certificate must be valid there all the same.
BACKDATED = timedelta(days=1)
LIFETIME = timedelta(days=30)


@dataclass(frozen=True)
class KeyPair:
    """Paths of a certificate and its key (PEM, mode 0600)."""

    cert: Path
    key: Path


@dataclass(frozen=True)
class RunTls:
    """Certificates of a run.

    Attributes:
        ca: the authority's certificate; its key was never written.
        scheduler: for the Dask scheduler.
        worker: for workers and nannies; these files travel with the jobs.
        client: for the gathering client and the user's own.
    """

    ca: Path
    scheduler: KeyPair
    worker: KeyPair
    client: KeyPair

    def of_workers(self) -> dict[Path, str]:
        """What travels with the jobs: file -> name in a job's directory."""
        return {self.ca: "ca.pem", self.worker.cert: "worker.pem", self.worker.key: "worker.key"}


def make_run_tls(folder: Path) -> RunTls:
    """Make the certificates of a run in ``folder``, which must be the owner's alone.

    The keys are ECDSA on P-256 (RFC 5480); certificates are valid from a day ago for 30 days.
    """
    now = datetime.now(UTC)
    ca_key = ec.generate_private_key(ec.SECP256R1())
    ca_name = _name("certificate authority")
    ca = _certificate(ca_name, ca_name, ca_key.public_key(), now, is_ca=True).sign(ca_key, hashes.SHA256())
    _write(folder / "ca.pem", ca.public_bytes(serialization.Encoding.PEM))
    pairs = {role: _pair(folder, role, (ca_name, ca_key), now) for role in ROLES}
    return RunTls(ca=folder / "ca.pem", **pairs)


def _pair(
    folder: Path, role: str, issuer: tuple[x509.Name, ec.EllipticCurvePrivateKey], now: datetime
) -> KeyPair:
    issuer_name, issuer_key = issuer
    key = ec.generate_private_key(ec.SECP256R1())
    certificate = _certificate(_name(role), issuer_name, key.public_key(), now, is_ca=False)
    pair = KeyPair(folder / f"{role}.pem", folder / f"{role}.key")
    _write(pair.cert, certificate.sign(issuer_key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM))
    _write(
        pair.key,
        key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        ),
    )
    return pair


def _name(role: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"fasthep-validate {role}")])


def _certificate(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey, now: datetime, *, is_ca: bool
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - BACKDATED)
        .not_valid_after(now + LIFETIME)
        .add_extension(x509.BasicConstraints(ca=is_ca, path_length=0 if is_ca else None), critical=True)
    )


def _write(path: Path, data: bytes) -> None:
    path.touch(mode=0o600, exist_ok=False)
    path.write_bytes(data)
