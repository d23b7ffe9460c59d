"""Certificates of a run, used in real handshakes."""

from __future__ import annotations

import socket
import ssl
import threading
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest
from cryptography import x509

from fasthep_validate.credentials.run_tls import RunTls, make_run_tls

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def tls(tmp_path: Path) -> RunTls:
    return make_run_tls(tmp_path)


def test_files_are_the_owners_alone(tls: RunTls, tmp_path: Path) -> None:
    files = {path.name: path.stat().st_mode & 0o777 for path in tmp_path.iterdir()}
    names = {f"{role}.{kind}" for role in ("scheduler", "worker", "client") for kind in ("pem", "key")}
    assert files == dict.fromkeys(names | {"ca.pem"}, 0o600)


def test_every_role_has_a_key_of_its_own_and_the_authoritys_is_forgotten(tls: RunTls, tmp_path: Path) -> None:
    pairs = (tls.scheduler, tls.worker, tls.client)
    assert len({pair.key.read_bytes() for pair in pairs}) == 3
    ca = x509.load_pem_x509_certificate(tls.ca.read_bytes()).public_key()
    assert all(x509.load_pem_x509_certificate(pair.cert.read_bytes()).public_key() != ca for pair in pairs)
    assert len(list(tmp_path.glob("*.key"))) == 3


def test_clocks_may_be_wrong_by_hours(tls: RunTls) -> None:
    for path in (tls.ca, tls.scheduler.cert, tls.worker.cert, tls.client.cert):
        certificate = x509.load_pem_x509_certificate(path.read_bytes())
        now = datetime.now(UTC)
        assert certificate.not_valid_before_utc < now - timedelta(hours=23)
        assert certificate.not_valid_after_utc > now + timedelta(days=7)


def test_only_the_authority_is_one(tls: RunTls) -> None:
    def is_ca(path: Path) -> bool:
        certificate = x509.load_pem_x509_certificate(path.read_bytes())
        return certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.ca

    assert is_ca(tls.ca)
    assert not any(is_ca(pair.cert) for pair in (tls.scheduler, tls.worker, tls.client))


def test_existing_files_are_never_taken(tls: RunTls, tmp_path: Path) -> None:
    with pytest.raises(FileExistsError):
        make_run_tls(tmp_path)


def shake(server: RunTls, client: RunTls) -> str:
    """Both sides of a handshake, as Dask makes it; the version, or an ``SSLError``."""
    listening = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    listening.verify_mode = ssl.CERT_REQUIRED
    listening.load_verify_locations(server.ca)
    listening.load_cert_chain(server.scheduler.cert, server.scheduler.key)
    calling = ssl.create_default_context(cafile=str(client.ca))
    calling.check_hostname = False
    calling.verify_flags &= ~ssl.VERIFY_X509_STRICT
    calling.load_cert_chain(client.worker.cert, client.worker.key)
    here, there = socket.socketpair()

    def answer() -> None:
        with there:
            try:
                listening.wrap_socket(there, server_side=True).close()
            except OSError:
                return

    thread = threading.Thread(target=answer)
    thread.start()
    try:
        with here, calling.wrap_socket(here) as secure:
            version = secure.version() or ""
            secure.recv(1)  # with TLS 1.3 the server's verdict comes after the handshake
            return version
    finally:
        thread.join()


def test_peers_of_one_run_agree(tls: RunTls) -> None:
    assert shake(tls, tls) == "TLSv1.3"


def test_peers_of_two_runs_do_not(tls: RunTls, tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    other = make_run_tls(tmp_path / "other")
    with pytest.raises(ssl.SSLError, match="CERTIFICATE_VERIFY_FAILED"):
        shake(tls, other)
