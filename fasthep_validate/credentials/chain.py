"""Verifies the signatures of a proxy's chain (RFC 3820, 4): each link by the next, the last one by its authority.

No library verifies chains with proxies in them as they are: to a web browser a user's certificate signs
nothing. The dates, names and policies are judged elsewhere.
"""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

from cryptography import x509
from cryptography.exceptions import InvalidSignature

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

MAX_AUTHORITIES = 2000


def verified(content: bytes, folder: str) -> str:
    """What is wrong with the chain of a proxy's file, in words; empty if nothing is.

    Args:
        content: the file.
        folder: trusted authorities; without the issuer's own there, the last link is not tried.
    """
    try:
        chain = x509.load_pem_x509_certificates(content)
    except ValueError:
        return "a certificate cannot be read"
    for link, signer in pairwise(chain):
        if words := _wrong(link, signer):
            return words
    authorities = list(_named(folder, chain[-1].issuer)) if folder else []
    if authorities and chain[-1].subject != chain[-1].issuer:
        return _by_any(chain[-1], authorities)
    return ""


def _by_any(link: x509.Certificate, authorities: Sequence[x509.Certificate]) -> str:
    found = [_wrong(link, authority) for authority in authorities]
    return "" if "" in found else found[0]


def _wrong(link: x509.Certificate, signer: x509.Certificate) -> str:
    try:
        link.verify_directly_issued_by(signer)
    except InvalidSignature:
        return f"{_said(link)} was not signed by {_said(signer)}"
    except (ValueError, TypeError) as error:
        return f"{_said(link)} was not issued by {_said(signer)}: {error}"
    return ""


def _said(certificate: x509.Certificate) -> str:
    return certificate.subject.rfc4514_string()


def _named(folder: str, issuer: x509.Name) -> Iterator[x509.Certificate]:
    """Authorities of this name."""
    for path in sorted(Path(folder).glob("*.[0-9]"))[:MAX_AUTHORITIES]:
        try:
            authority = x509.load_pem_x509_certificate(path.read_bytes())
            same = authority.subject == issuer
        except (OSError, ValueError):
            continue
        if same:
            yield authority
