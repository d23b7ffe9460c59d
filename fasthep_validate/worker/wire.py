"""What the submit host sees of a Dask port from outside: TLS and plain HTTP, without Dask."""

from __future__ import annotations

import ipaddress
import socket
import ssl
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    Facts = dict[str, object]

PATIENCE = 5.0  # seconds for one connection, and for each answer on it


def lookup(name: str) -> Facts:
    """Resolve a name; the fields of ``models.probe.Lookup``."""
    started = time.monotonic()
    try:
        found = socket.getaddrinfo(name, None, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        return {"name": name, "error": str(error), "seconds": time.monotonic() - started}
    addresses = sorted({str(entry[4][0]) for entry in found})
    return {"name": name, "addresses": addresses, "seconds": time.monotonic() - started}


def split(address: str) -> tuple[str, int]:
    """``tls://host:port`` as ``(host, port)``."""
    host, _, port = address.rpartition("://")[2].rpartition(":")
    return host.strip("[]"), int(port)


def endpoint(process: str, address: str, tls: Mapping[str, str]) -> Facts:
    """What a Dask port does with a peer that has the run's certificate, and with one that has none.

    Args:
        process: ``scheduler``, ``worker`` or ``nanny``.
        address: ``tls://host:port``.
        tls: paths of ``ca``, ``cert`` and ``key``.
    """
    seen: Facts = {"process": process, "address": address}
    try:
        version, cipher = _greet(address, _context(tls))
        refused, how = _refused(address, _context({"ca": tls["ca"]}))
    except (OSError, ValueError) as error:
        return {**seen, "error": f"{type(error).__name__}: {error}"}
    return {**seen, "version": version, "cipher": cipher, "refused_without_certificate": refused, "how": how}


def _context(tls: Mapping[str, str]) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False  # Dask's certificates name roles, not hosts
    context.load_verify_locations(tls["ca"])
    if "cert" in tls:
        context.load_cert_chain(tls["cert"], tls["key"])
    return context


def _greet(address: str, context: ssl.SSLContext) -> tuple[str, str]:
    with _connect(address) as raw, context.wrap_socket(raw) as secure:
        name, _protocol, _bits = secure.cipher() or ("", "", 0)
        return secure.version() or "", name


def _refused(address: str, context: ssl.SSLContext) -> tuple[bool, str]:
    """Whether a peer is turned away, and how.

    In TLS 1.3 a client's handshake ends before the server has judged it: read, to hear the verdict.
    A port that cannot be connected to has not judged anybody; that is an ``OSError``.
    """
    with _connect(address) as raw:
        try:
            with context.wrap_socket(raw) as secure:
                data = secure.recv(64)
        except socket.timeout:  # not yet TimeoutError in Python 3.9
            return False, f"nothing within {PATIENCE:g} s"
        except (ssl.SSLError, ConnectionError) as error:
            return True, getattr(error, "reason", None) or str(error)
    return (False, f"{len(data)} bytes of an answer") if data else (True, "connection closed")


def _connect(address: str) -> socket.socket:
    return socket.create_connection(split(address), timeout=PATIENCE)


def answers_plain_http(host: str, ip: str, port: int) -> bool | None:
    """Whether a port answers HTTP without TLS with anything but ``404``.

    Args:
        host: host of the process's own address.
        ip: address that the port is bound to; any of the node's when it is bound to all.
        port: the port.

    Returns:
        ``None`` when it is on another node's loopback, which cannot be reached from here.
    """
    target = host if ip in {"0.0.0.0", "::"} else ip
    if is_loopback(target) and not is_loopback(host):
        return None
    try:
        with socket.create_connection((target, port), timeout=PATIENCE) as connection:
            connection.sendall(b"GET /info/main/workers.html HTTP/1.0\r\nHost: x\r\n\r\n")
            reply = connection.recv(64)
    except OSError:
        return False
    return reply.startswith(b"HTTP/") and b" 404 " not in reply


def is_loopback(ip: str) -> bool:
    """Whether only the same machine can reach this address."""
    try:
        return ipaddress.ip_address(ip.partition("%")[0]).is_loopback
    except ValueError:
        return ip == "localhost"
