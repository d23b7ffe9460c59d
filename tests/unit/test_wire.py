"""``worker/wire.py`` against real servers on loopback."""

from __future__ import annotations

import socket
import ssl
import threading
from contextlib import closing, contextmanager, suppress
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import TYPE_CHECKING

import pytest

from fasthep_validate.credentials.run_tls import RunTls, make_run_tls
from fasthep_validate.models.evidence import TlsEndpoint
from fasthep_validate.models.probe import Lookup
from fasthep_validate.worker import wire

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path


@pytest.fixture
def tls(tmp_path: Path) -> RunTls:
    return make_run_tls(tmp_path)


def client(tls: RunTls) -> dict[str, str]:
    return {"ca": str(tls.ca), "cert": str(tls.client.cert), "key": str(tls.client.key)}


def server_context(tls: RunTls, *, asks: bool, newest: ssl.TLSVersion) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.maximum_version = newest
    context.load_cert_chain(tls.scheduler.cert, tls.scheduler.key)
    context.load_verify_locations(tls.ca)
    context.verify_mode = ssl.CERT_REQUIRED if asks else ssl.CERT_NONE
    return context


@contextmanager
def serving(answer: Callable[[socket.socket], None]) -> Iterator[str]:
    """A server that gives every connection to ``answer``; its address."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            while True:
                try:
                    connection, _ = listener.accept()
                except OSError:
                    return
                with closing(connection), suppress(OSError):
                    connection.settimeout(5)
                    answer(connection)

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield f"tls://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            thread.join(5)


def greeting(context: ssl.SSLContext, words: bytes = b"hello") -> Callable[[socket.socket], None]:
    """A server that speaks first, as Dask's do."""

    def answer(connection: socket.socket) -> None:
        with context.wrap_socket(connection, server_side=True) as secure:
            secure.sendall(words)
            secure.recv(1)

    return answer


def look(address: str, tls: RunTls) -> TlsEndpoint:
    return TlsEndpoint.model_validate(wire.endpoint("worker", address, client(tls)))


@pytest.mark.parametrize("newest", [ssl.TLSVersion.TLSv1_3, ssl.TLSVersion.TLSv1_2])
def test_server_that_asks_for_a_certificate_refuses(tls: RunTls, newest: ssl.TLSVersion) -> None:
    with serving(greeting(server_context(tls, asks=True, newest=newest))) as address:
        seen = look(address, tls)
    assert seen.error == ""
    assert seen.version == newest.name.replace("_", ".")
    assert seen.cipher
    assert seen.refused_without_certificate
    assert seen.how


def test_server_that_does_not_ask_is_found(tls: RunTls) -> None:
    context = server_context(tls, asks=False, newest=ssl.TLSVersion.TLSv1_3)
    with serving(greeting(context)) as address:
        seen = look(address, tls)
    assert seen.error == ""
    assert not seen.refused_without_certificate
    assert seen.how == "5 bytes of an answer"


def test_silence_is_no_refusal(tls: RunTls, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wire, "PATIENCE", 0.2)  # seconds are too long to wait here
    context = server_context(tls, asks=False, newest=ssl.TLSVersion.TLSv1_3)
    with serving(greeting(context, b"")) as address:
        seen = look(address, tls)
    assert not seen.refused_without_certificate
    assert seen.how == "nothing within 0.2 s"


def test_port_that_goes_away_in_between_is_no_refusal(tls: RunTls) -> None:
    """A worker that dies between the two questions has not turned anybody away."""
    context = server_context(tls, asks=True, newest=ssl.TLSVersion.TLSv1_3)
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def once() -> None:
            connection, _ = listener.accept()
            listener.close()
            with suppress(OSError), closing(connection):
                greeting(context)(connection)

        thread = threading.Thread(target=once)
        thread.start()
        seen = look(f"tls://127.0.0.1:{listener.getsockname()[1]}", tls)
        thread.join()
    assert not seen.refused_without_certificate
    assert "ConnectionRefusedError" in seen.error


def test_certificate_of_another_run_is_an_error(tls: RunTls, tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    other = make_run_tls(tmp_path / "other")
    context = server_context(other, asks=True, newest=ssl.TLSVersion.TLSv1_3)
    with serving(greeting(context)) as address:
        seen = look(address, tls)
    assert "CERTIFICATE_VERIFY_FAILED" in seen.error
    assert not seen.refused_without_certificate


def test_nobody_listens(tls: RunTls) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    assert "ConnectionRefusedError" in look(f"tls://127.0.0.1:{port}", tls).error


class Handler(BaseHTTPRequestHandler):
    status = 200

    def do_GET(self) -> None:
        self.send_response(self.status)
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:
        """Keep quiet."""


@pytest.mark.parametrize(("status", "answers"), [(200, True), (404, False), (403, True), (500, True)])
def test_plain_http(status: int, answers: bool) -> None:
    handler = type("Answering", (Handler,), {"status": status})
    with HTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.handle_request)
        thread.start()
        assert wire.answers_plain_http("127.0.0.1", "0.0.0.0", server.server_port) is answers
        thread.join()


def test_tls_port_does_not_answer_plain_http(tls: RunTls) -> None:
    context = server_context(tls, asks=True, newest=ssl.TLSVersion.TLSv1_3)
    with serving(greeting(context)) as address:
        host, port = wire.split(address)
        assert wire.answers_plain_http(host, "127.0.0.1", port) is False


def test_loopback_of_another_node_is_not_asked() -> None:
    assert wire.answers_plain_http("192.0.2.1", "127.0.0.1", 1) is None


@pytest.mark.parametrize(
    ("ip", "loopback"),
    [
        ("127.0.0.1", True),
        ("127.8.0.1", True),
        ("::1", True),
        ("fe80::1%eth0", False),
        ("0.0.0.0", False),
        ("localhost", True),
        ("a.name", False),
    ],
)
def test_is_loopback(ip: str, loopback: bool) -> None:
    assert wire.is_loopback(ip) is loopback


@pytest.mark.parametrize(
    ("address", "parts"),
    [
        ("tls://10.0.0.1:8786", ("10.0.0.1", 8786)),
        ("tls://[::1]:8786", ("::1", 8786)),
        ("host:1", ("host", 1)),
    ],
)
def test_split(address: str, parts: tuple[str, int]) -> None:
    assert wire.split(address) == parts


def test_lookup() -> None:
    found = Lookup.model_validate(wire.lookup("localhost"))
    assert {"127.0.0.1", "::1"} & set(found.addresses)
    assert found.error == ""


@pytest.mark.parametrize("name", ["a..b", "fe80::1%nosuchlink"])
def test_lookup_of_a_name_that_is_none(name: str) -> None:
    found = Lookup.model_validate(wire.lookup(name))
    assert found.addresses == ()
    assert found.error
