"""Looks for pieces of secrets in whatever was written: raw, in hex, in base64, and digests of whole files."""

from __future__ import annotations

import base64
import hashlib
import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

PIECE = 16  # bytes of a secret in a row
# Where the parts of a FILE ccache begin that nobody may see: a key of AES-256, and a ticket's encrypted part.
_SESSION_KEY = re.compile(rb"\x00\x12\x00\x00\x00\x20(.{32})", re.DOTALL)
_TICKET = re.compile(rb"\x61\x82(..)", re.DOTALL)
_NAMES = 120  # bytes at the beginning of a ticket: realm and service, which are no secrets


def of_proxy(content: bytes) -> dict[str, bytes]:
    """The private key of a proxy's file, as it is written and as it is."""
    body = b"".join(content.split(b"PRIVATE KEY-----")[1].split(b"-----END")[0].split())
    return {"key as PEM": body, "key": base64.b64decode(body)}


def of_token(content: bytes) -> dict[str, bytes]:
    """The signature of a token."""
    return {"signature": content.strip().rpartition(b".")[2]}


def of_ccache(content: bytes) -> dict[str, bytes]:
    """The session keys and tickets of a cache."""
    found = {f"session key {match.start()}": match[1] for match in _SESSION_KEY.finditer(content)}
    for match in _TICKET.finditer(content):
        end = match.end() + int.from_bytes(match[1], "big")
        found[f"ticket {match.start()}"] = content[match.end() + _NAMES : end]
    return found


def pieces(secrets: Mapping[str, bytes], files: Iterable[bytes] = ()) -> dict[bytes, str]:
    """Every piece that must not be found anywhere, with what it is a piece of.

    Args:
        secrets: their names and values.
        files: contents of which the digests must not be told either.
    """
    wanted: dict[bytes, str] = {}
    for name, secret in secrets.items():
        for form in (secret, secret.hex().encode(), *(base64.b64encode(secret[at:]) for at in range(3))):
            wanted |= dict.fromkeys(_windows(form), name)
    for content in files:
        for digest in ("md5", "sha1", "sha256", "sha512"):
            wanted[hashlib.new(digest, content).hexdigest().encode()[:PIECE]] = f"{digest} of a file"
    return wanted


def leaks(wanted: Mapping[bytes, str], texts: Mapping[str, bytes]) -> list[str]:
    """Where a piece is; what may be broken into lines is also read without them."""
    whole = {**texts, **{f"{name} joined": re.sub(rb"\s|\\n", b"", text) for name, text in texts.items()}}
    return [
        f"{where}: {wanted[piece]}"
        for where, text in whole.items()
        for piece in _windows(text)
        if piece in wanted
    ]


def _windows(text: bytes) -> Iterator[bytes]:
    return (text[at : at + PIECE] for at in range(len(text) - PIECE + 1))
