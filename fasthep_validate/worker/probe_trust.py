"""The folder of trusted authorities: whether an issuer is in it, and its revocation list fresh."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING or __package__:
    from fasthep_validate.worker import probe_der as der
    from fasthep_validate.worker import probe_x509 as x509
    from fasthep_validate.worker.probe_file import Fault, read
else:
    import probe_der as der
    import probe_x509 as x509
    from probe_file import Fault, read

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    Facts = dict[str, object]

DEFAULT = "/etc/grid-security/certificates"
LIMIT = 64_000_000  # bytes; revocation lists of large authorities have several million


def facts(environ: Mapping[str, str], issuer: str, serials: tuple[int, ...] = ()) -> Facts:
    """The fields of ``models.credential.Trust`` for certificates of an issuer with these serial numbers."""
    named = environ.get("X509_CERT_DIR")
    looked = [f"X509_CERT_DIR={named}" if named else DEFAULT]
    folder = Path(named or DEFAULT)
    if not folder.is_dir():
        return {"looked": looked}
    subjects = {path.stem: subject for path, subject in _authorities(folder)}
    found: Facts = {
        "folder": str(folder),
        "looked": looked,
        "authorities": len(subjects),
        "found": issuer in subjects.values(),
    }
    for stem, subject in subjects.items():
        lists = sorted(folder.glob(f"{stem}.r[0-9]")) if subject == issuer else []
        for path in lists:
            found.update(_list_facts(path, serials))
    return found


def _authorities(folder: Path) -> Iterator[tuple[Path, str]]:
    """The certificates of the folder, named by a hash of their subject (``c_rehash``), with that subject."""
    for path in sorted(folder.glob("*.[0-9]")):
        try:
            content, _ = read(str(path), limit=1_000_000)
            data = next(x509.blocks(content, b"CERTIFICATE"), None)
            if data is not None:
                yield path, x509.certificate(data).subject
        except (Fault, der.Malformed):
            continue  # one of many, and perhaps nobody's


def _list_facts(path: Path, serials: tuple[int, ...]) -> Facts:
    try:
        content, _ = read(str(path), limit=LIMIT)
        data = next(x509.blocks(content, b"X509 CRL"), content)
        expires, revoked = revocations(data)
    except (Fault, der.Malformed):
        return {}
    return {"crl_expires": expires, "revoked": any(serial in revoked for serial in serials)}


def revocations(data: bytes) -> tuple[float | None, frozenset[int]]:
    """When a revocation list in DER is out of date, and the serial numbers in it (RFC 5280, 5.1)."""
    parts = list(der.parse(data).need(der.SEQUENCE).child(der.SEQUENCE).children())
    if parts and parts[0].tag == der.INTEGER:  # the version
        parts.pop(0)
    if len(parts) < 3:
        raise der.Malformed("too few fields")
    times = [part for part in parts[2:4] if part.tag in (der.UTC_TIME, der.GENERALIZED_TIME)]
    listed = next((part for part in parts[3:] if part.tag == der.SEQUENCE), None)
    serials = (
        frozenset(der.integer(entry.child(der.INTEGER)) for entry in listed.children())
        if listed
        else frozenset()
    )
    return (der.moment(times[1]) if len(times) > 1 else None), serials
