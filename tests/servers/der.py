"""The little DER (X.690) that attribute certificates and proxies need."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from datetime import datetime

NULL = b"\x05\x00"


def tlv(tag: int, body: bytes) -> bytes:
    """Tag, length, value."""
    if len(body) < 0x80:
        return bytes([tag, len(body)]) + body
    length = len(body).to_bytes((len(body).bit_length() + 7) // 8)
    return bytes([tag, 0x80 | len(length)]) + length + body


def sequence(*parts: bytes) -> bytes:
    """SEQUENCE, also SEQUENCE OF."""
    return tlv(0x30, b"".join(parts))


def set_of(*parts: bytes) -> bytes:
    """SET OF, with the parts in the order that DER wants."""
    return tlv(0x31, b"".join(sorted(parts)))


def context(number: int, *parts: bytes) -> bytes:
    """A constructed value with a context-specific tag."""
    return tlv(0xA0 | number, b"".join(parts))


def integer(value: int) -> bytes:
    """INTEGER, not negative."""
    return tlv(0x02, value.to_bytes(value.bit_length() // 8 + 1))


def octets(value: bytes) -> bytes:
    """OCTET STRING."""
    return tlv(0x04, value)


def bits(value: bytes) -> bytes:
    """BIT STRING of whole bytes."""
    return tlv(0x03, b"\x00" + value)


def utf8(value: str) -> bytes:
    """UTF8String."""
    return tlv(0x0C, value.encode())


def time(value: datetime) -> bytes:
    """GeneralizedTime; the moment is in UTC."""
    return tlv(0x18, value.strftime("%Y%m%d%H%M%SZ").encode())


def oid(dotted: str) -> bytes:
    """OBJECT IDENTIFIER."""
    first, second, *rest = map(int, dotted.split("."))
    return tlv(0x06, b"".join(_base128(number) for number in (first * 40 + second, *rest)))


def _base128(number: int) -> bytes:
    groups = [number & 0x7F]
    while number := number >> 7:
        groups.append(0x80 | number & 0x7F)
    return bytes(reversed(groups))
