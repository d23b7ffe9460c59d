"""The little DER (X.690) that certificates need, read with the standard library alone."""

from __future__ import annotations

import calendar
import re
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

INTEGER, BIT_STRING, OCTET_STRING, OID, SEQUENCE, SET = 0x02, 0x03, 0x04, 0x06, 0x30, 0x31
UTC_TIME, GENERALIZED_TIME = 0x17, 0x18
_TEXT = {0x0C: "utf-8", 0x13: "ascii", 0x14: "latin-1", 0x16: "ascii", 0x1E: "utf-16-be", 0x1C: "utf-32-be"}
_MOMENT = re.compile(rb"(\d{10,14})(?:\.\d+)?Z")


class Malformed(ValueError):
    """Bytes that are not what they should be."""


@dataclass(frozen=True)
class Node:
    """A value; ``start`` is where its tag is in ``data``, ``body`` and ``end`` bound its content."""

    data: bytes
    tag: int
    start: int
    body: int
    end: int

    @property
    def content(self) -> bytes:
        """The content's bytes."""
        return self.data[self.body : self.end]

    @property
    def encoded(self) -> bytes:
        """The whole value, tag and length included."""
        return self.data[self.start : self.end]

    def children(self) -> Iterator[Node]:
        """The values inside, one after the other."""
        at = self.body
        while at < self.end:
            node = node_at(self.data, at, self.end)
            yield node
            at = node.end

    def child(self, tag: int) -> Node:
        """The first value inside with this tag."""
        found = next((node for node in self.children() if node.tag == tag), None)
        if found is None:
            raise Malformed(f"no value with tag 0x{tag:02x}")
        return found

    def need(self, tag: int) -> Node:
        """Itself, if it has this tag."""
        if self.tag != tag:
            raise Malformed(f"tag 0x{self.tag:02x} where 0x{tag:02x} should be")
        return self


def parse(data: bytes) -> Node:
    """The first value of these bytes; what follows it is left alone."""
    return node_at(data, 0, len(data))


def node_at(data: bytes, at: int, end: int) -> Node:
    """The value at an offset, which must lie before ``end``."""
    if at + 2 > end:
        raise Malformed("cut short")
    tag, length, body = data[at], data[at + 1], at + 2
    if tag & 0x1F == 0x1F:
        raise Malformed("a tag of more than one byte")
    if length & 0x80:
        count = length & 0x7F
        if not 0 < count <= 4 or body + count > end:
            raise Malformed("a length that cannot be")
        length = int.from_bytes(data[body : body + count], "big")
        body += count
    if body + length > end:
        raise Malformed("cut short")
    return Node(data, tag, at, body, body + length)


def integer(node: Node) -> int:
    """INTEGER; no more than 32 bytes, which is more than serial numbers have."""
    content = node.need(INTEGER).content
    if not 0 < len(content) <= 32:
        raise Malformed("a number that is too long")
    return int.from_bytes(content, "big", signed=True)


def oid(node: Node) -> str:
    """OBJECT IDENTIFIER with dots."""
    content = node.need(OID).content
    if not 0 < len(content) <= 64 or content[-1] & 0x80:
        raise Malformed("an object identifier that cannot be")
    parts, number = [], 0
    for byte in content:
        number = number << 7 | byte & 0x7F
        if not byte & 0x80:
            parts.append(number)
            number = 0
    first = min(parts[0] // 40, 2)
    return ".".join(map(str, (first, parts[0] - 40 * first, *parts[1:])))


def moment(node: Node) -> float:
    """UTCTime or GeneralizedTime, in seconds since 1970 (RFC 5280, 4.1.2.5: always with a Z)."""
    match = _MOMENT.fullmatch(node.content)
    if match is None or node.tag not in (UTC_TIME, GENERALIZED_TIME):
        raise Malformed("a time that cannot be read")
    digits = match[1].decode()
    if node.tag == UTC_TIME:
        digits = ("19" if digits[:2] >= "50" else "20") + digits
    try:
        return float(calendar.timegm(time.strptime(digits.ljust(14, "0")[:14], "%Y%m%d%H%M%S")))
    except ValueError:
        raise Malformed("a time that cannot be") from None


def text(node: Node) -> str:
    """A string of any of the kinds that names have; what cannot be decoded is replaced."""
    return node.content.decode(_TEXT.get(node.tag, "latin-1"), "replace")


def bits(node: Node) -> bytes:
    """BIT STRING of whole bytes."""
    return node.need(BIT_STRING).content[1:]
