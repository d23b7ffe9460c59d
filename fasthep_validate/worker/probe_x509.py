"""Reads a proxy's file: certificates, proxy information (RFC 3820) and VOMS attributes, without their signatures.

With the standard library alone, for the worker has nothing else for sure. Signatures are verified on the
submit host by ``credentials.chain``.
"""

from __future__ import annotations

import base64
import binascii
import re
import ssl
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING or __package__:
    from fasthep_validate.worker import probe_der as der
    from fasthep_validate.worker.probe_file import Fault
else:
    import probe_der as der
    from probe_file import Fault

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    Facts = dict[str, object]

_BLOCK = re.compile(rb"-----BEGIN ([A-Z0-9 ]{1,40})-----([^-]*)-----END \1-----")
MAX_CHAIN = 20
# RFC 3820, 3.8, and the draft before it, which Globus 3 used.
_PROXY_INFO = {"1.3.6.1.5.5.7.1.14": "rfc", "1.3.6.1.4.1.3536.1.222": "draft"}
_LIMITED = "1.3.6.1.4.1.3536.1.1.1.9"  # Globus: a policy of its own
# "VOMS Attribute Certificate Format", OGSA-Authz.
_VOMS_ACS = "1.3.6.1.4.1.8005.100.100.5"
_FQANS = "1.3.6.1.4.1.8005.100.100.4"
_MISMATCH = ("KEY_VALUES_MISMATCH", "KEY_TYPE_MISMATCH")  # OpenSSL's x509err.h
# What OpenSSL calls the parts of a name.
_SHORT = {
    "2.5.4.3": "CN", "2.5.4.4": "SN", "2.5.4.5": "serialNumber", "2.5.4.6": "C", "2.5.4.7": "L",
    "2.5.4.8": "ST", "2.5.4.10": "O", "2.5.4.11": "OU", "2.5.4.12": "title", "2.5.4.42": "GN",
    "0.9.2342.19200300.100.1.25": "DC", "0.9.2342.19200300.100.1.1": "UID",
    "1.2.840.113549.1.9.1": "emailAddress",
}  # fmt: skip


@dataclass(frozen=True)
class Certificate:
    """What is asked of a certificate; ``fqans`` and ``ac`` (start, end) are those of its VOMS attributes."""

    subject: str
    issuer: str
    serial: int
    starts: float
    expires: float
    form: str
    limited: bool
    fqans: tuple[str, ...] = ()
    ac: tuple[float, float] | None = None


def places(environ: Mapping[str, str], uid: int) -> Iterator[tuple[str, str]]:
    """Where a proxy is looked for: what the place is called, and the path (Globus, VOMS, HTCondor)."""
    if environ.get("X509_USER_PROXY"):
        yield "X509_USER_PROXY", environ["X509_USER_PROXY"]
        return
    yield "", f"/tmp/x509up_u{uid}"


def facts(content: bytes, path: str) -> Facts:
    """The fields of ``models.credential.Proxy``, and ``serial`` of the user's own certificate.

    Raises:
        Fault: the file holds no certificate, no key, or something that is neither.
    """
    try:
        chain = [certificate(block) for block in blocks(content, b"CERTIFICATE")]
    except der.Malformed as error:
        raise Fault("garbage", f"{path}: a certificate cannot be read: {error}") from None
    if not chain:
        raise Fault("garbage", f"{path} holds no certificate")
    if len(chain) > MAX_CHAIN:
        raise Fault("garbage", f"{path} holds {len(chain)} certificates, and no chain is that long")
    if b"PRIVATE KEY-----" not in content:
        raise Fault("garbage", f"{path} holds no private key")
    return {**_of_chain(chain), "key_matches": key_matches(path)}


def blocks(content: bytes, name: bytes) -> Iterator[bytes]:
    """The DER in the PEM blocks of a name."""
    for found, body in _BLOCK.findall(content):
        if found == name:
            try:
                yield base64.b64decode(b"".join(body.split()), validate=True)
            except binascii.Error:
                raise der.Malformed("base64 that is none") from None


def key_matches(path: str) -> bool:
    """Whether the first key of the file is that of the first certificate: OpenSSL loads no other pair.

    Raises:
        Fault: the key is damaged or has a passphrase.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.set_ciphers("ALL:@SECLEVEL=0")  # short keys are another matter
    try:
        context.load_cert_chain(path, password=lambda: b"")
    except ssl.SSLError as error:
        if error.reason in _MISMATCH:
            return False
        raise Fault(
            "garbage", f"{path}: its private key cannot be loaded: {error.reason or 'damaged'}"
        ) from None
    except (OSError, ValueError):
        raise Fault("garbage", f"{path}: its private key cannot be loaded") from None
    return True


def certificate(data: bytes) -> Certificate:
    """A certificate in DER (RFC 5280, 4.1)."""
    parts = list(der.parse(data).need(der.SEQUENCE).child(der.SEQUENCE).children())
    if parts and parts[0].tag == 0xA0:  # the version
        parts.pop(0)
    if len(parts) < 6:
        raise der.Malformed("too few fields")
    serial, _, issuer, validity, subject = parts[:5]
    starts, expires = _pair(validity)
    extensions = dict(_extensions(parts[6:]))
    form, limited = _proxy_form(extensions, name(subject), name(issuer))
    fqans, ac = _voms(extensions[_VOMS_ACS]) if _VOMS_ACS in extensions else ((), None)
    return Certificate(
        name(subject), name(issuer), der.integer(serial), starts, expires, form, limited, fqans, ac
    )


def name(node: der.Node) -> str:
    """A distinguished name as grid software writes it: ``/DC=ch/DC=cern/CN=Somebody``."""
    words = []
    for part in node.need(der.SEQUENCE).children():
        for pair in part.need(der.SET).children():
            kind, value = _two(pair)
            dotted = der.oid(kind)
            words.append(f"/{_SHORT.get(dotted, dotted)}={der.text(value)}")
    return "".join(words)


def _of_chain(chain: Sequence[Certificate]) -> Facts:
    user = next((link for link in chain if link.form == "none"), chain[-1])
    proxies = chain[: chain.index(user) + 1]
    attributes = next((link for link in chain if link.ac), None)
    found: Facts = {
        "serial": user.serial,
        "identity": user.subject,
        "issuer": user.issuer,
        "form": chain[0].form,
        "limited": any(link.limited for link in proxies),
        "starts": max(link.starts for link in chain),
        "expires": min(link.expires for link in chain),
        "chain": _broken(chain),
    }
    if attributes and attributes.ac:
        fqans = attributes.fqans
        vo = fqans[0].strip("/").partition("/")[0] if fqans else ""
        found.update(vo=vo, fqans=fqans, ac_starts=attributes.ac[0], ac_expires=attributes.ac[1])
    return found


def _broken(chain: Sequence[Certificate]) -> str:
    """The first link that does not name the next one as its issuer."""
    for link, signer in zip(chain, chain[1:]):
        if link.issuer != signer.subject:
            return f"{link.subject} was issued by {link.issuer}, and the next certificate is {signer.subject}"
    if chain[-1].form != "none":
        return f"the user's own certificate, {chain[-1].issuer}, is not in the file"
    return ""


def _extensions(parts: Sequence[der.Node]) -> Iterator[tuple[str, bytes]]:
    for part in parts:
        if part.tag == 0xA3:
            for extension in part.child(der.SEQUENCE).children():
                yield der.oid(extension.child(der.OID)), extension.child(der.OCTET_STRING).content


def _proxy_form(extensions: Mapping[str, bytes], subject: str, issuer: str) -> tuple[str, bool]:
    """Which kind of proxy a certificate is (``none`` if it is none), and whether it is a limited one."""
    for dotted, form in _PROXY_INFO.items():
        if dotted in extensions:
            policy = der.parse(extensions[dotted]).need(der.SEQUENCE).child(der.SEQUENCE)
            return form, der.oid(policy.child(der.OID)) == _LIMITED
    if subject in (f"{issuer}/CN=proxy", f"{issuer}/CN=limited proxy"):
        return "legacy", subject.endswith("/CN=limited proxy")
    return "none", False


def _voms(extension: bytes) -> tuple[tuple[str, ...], tuple[float, float]]:
    """FQANs and validity of the first attribute certificate (RFC 5755, 4.1)."""
    certificates = der.parse(extension).need(der.SEQUENCE).child(der.SEQUENCE)
    info = certificates.child(der.SEQUENCE).child(der.SEQUENCE)
    times = [node for node in info.children() if node.tag == der.SEQUENCE and _is_validity(node)]
    if not times:
        raise der.Malformed("an attribute certificate without a validity")
    attributes = list(info.children())[list(info.children()).index(times[0]) + 1]
    fqans = tuple(_short(fqan) for fqan in _fqans(attributes))
    return fqans, _pair(times[0])


def _fqans(attributes: der.Node) -> Iterator[str]:
    for attribute in attributes.need(der.SEQUENCE).children():
        if der.oid(attribute.child(der.OID)) == _FQANS:
            syntax = attribute.child(der.SET).child(der.SEQUENCE)
            for value in syntax.child(der.SEQUENCE).children():
                yield der.text(value)


def _short(fqan: str) -> str:
    return fqan.removesuffix("/Capability=NULL").removesuffix("/Role=NULL")


def _is_validity(node: der.Node) -> bool:
    return [part.tag for part in node.children()] == [der.GENERALIZED_TIME] * 2


def _pair(validity: der.Node) -> tuple[float, float]:
    starts, expires = _two(validity)
    return der.moment(starts), der.moment(expires)


def _two(node: der.Node) -> tuple[der.Node, der.Node]:
    parts = list(node.need(der.SEQUENCE).children())
    if len(parts) != 2:
        raise der.Malformed(f"{len(parts)} values where two should be")
    return parts[0], parts[1]
