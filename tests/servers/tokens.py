"""A token issuer: signed bearer tokens as WLCG's profile describes them, and the keys over https."""

from __future__ import annotations

import json
import secrets
import ssl
import threading
from dataclasses import dataclass, field
from datetime import timedelta
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any, Self

import jwt
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from tests.servers.ca import now

if TYPE_CHECKING:
    from pathlib import Path

    from tests.servers.ca import Authority

ANY_AUDIENCE = "https://wlcg.cern.ch/jwt/v1/any"
KEY_ID = "test-key"
SCOPE = "storage.read:/ storage.modify:/"


@dataclass
class Issuer:
    """Who signs tokens, with a server that says which keys are its own.

    Attributes:
        address: where it listens.
        host: name in its URL.
        port: its TCP port.
        requests: paths that were asked for.
    """

    host: str = "localhost"
    address: str = "127.0.0.1"
    port: int = 0
    key: ec.EllipticCurvePrivateKey = field(default_factory=lambda: ec.generate_private_key(ec.SECP256R1()))
    requests: list[str] = field(default_factory=list)
    server: ThreadingHTTPServer | None = None

    @property
    def url(self) -> str:
        """The claim ``iss``."""
        return f"https://{self.host}:{self.port}"

    def start(self, authority: Authority, folder: Path) -> Self:
        """Serve the keys, with a certificate of an authority; it ends with this process."""
        folder.mkdir(parents=True, exist_ok=True)
        certificate, key = folder / "issuer.pem", folder / "issuer.key"
        authority.host(self.host, others=(self.address,)).write(certificate, key)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate, key)
        self.server = ThreadingHTTPServer((self.address, self.port), self._handler())
        self.server.socket = context.wrap_socket(self.server.socket, server_side=True)
        self.port = self.server.server_address[1]
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        return self

    def stop(self) -> None:
        """Serve no more."""
        if self.server is not None:
            self.server.shutdown()
            self.server.server_close()

    def claims(self, lifetime: timedelta = timedelta(hours=1)) -> dict[str, Any]:
        """The claims of a good access token (WLCG Common JWT Profiles 1.3)."""
        moment = int(now().timestamp())
        return {
            "wlcg.ver": "1.0",
            "sub": "alice",
            "iss": self.url,
            "aud": ANY_AUDIENCE,
            "iat": moment - 5,
            "nbf": moment - 5,
            "exp": moment + int(lifetime.total_seconds()),
            "jti": secrets.token_hex(8),
            "scope": SCOPE,
        }

    def token(self, *, lifetime: timedelta = timedelta(hours=1), **changed: object) -> str:
        """A signed token; claims that are given take the place of good ones, ``None`` leaves one out."""
        claims = {**self.claims(lifetime), **changed}
        kept = {claim: value for claim, value in claims.items() if value is not None}
        return jwt.encode(kept, self.key, algorithm="ES256", headers={"kid": KEY_ID})

    def signing_key(self) -> bytes:
        """The private key, in PEM as OpenSSL has always written those of elliptic curves."""
        return self.key.private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption())

    def refresh_token(self) -> str:
        """An opaque token with which new ones are got; never to leave the submit host."""
        return f"hvs.{secrets.token_urlsafe(48)}"

    def documents(self) -> dict[str, dict[str, Any]]:
        """What is served: path -> JSON."""
        public = json.loads(jwt.algorithms.ECAlgorithm.to_jwk(self.key.public_key()))
        keys = {"keys": [{**public, "kid": KEY_ID, "alg": "ES256", "use": "sig"}]}
        discovery = {"issuer": self.url, "jwks_uri": f"{self.url}/jwks"}
        return {
            "/jwks": keys,
            "/.well-known/openid-configuration": discovery,
            "/.well-known/oauth-authorization-server": discovery,
        }

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        issuer = self

        class Handler(BaseHTTPRequestHandler):
            """Answers GET."""

            def do_GET(self) -> None:
                """One of the documents."""
                issuer.requests.append(self.path)
                document = issuer.documents().get(self.path)
                self.send_response(HTTPStatus.OK if document else HTTPStatus.NOT_FOUND)
                body = json.dumps(document or {}).encode()
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *args: object) -> None:
                """Say nothing."""

        return Handler
