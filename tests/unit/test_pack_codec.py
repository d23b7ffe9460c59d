"""How chunks are compressed, and in which order they are extracted."""

from __future__ import annotations

import random
import sys

import pytest

from fasthep_validate.pack.codec import CODECS
from fasthep_validate.worker import extract

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd


@pytest.fixture
def chunks() -> list[bytes]:
    words = random.Random(7)
    return [b"".join(words.choices((b"import ", b"\0\0", b"self.", b"\x7fELF"), k=50_000)) for _ in range(4)]


def test_a_frame_does_not_depend_on_what_was_compressed_before(chunks: list[bytes]) -> None:
    """A compressor is used again, by any thread for any chunk: the same contents must give the same bytes."""
    compress = CODECS["tar.zst"].compress
    forward = [compress(chunk) for chunk in chunks]
    backward = [compress(memoryview(chunk)) for chunk in reversed(chunks)]
    assert forward == backward[::-1]
    assert [zstd.decompress(frame) for frame in forward] == chunks
    assert [zstd.get_frame_info(frame).decompressed_size for frame in forward] == [*map(len, chunks)]


@pytest.mark.parametrize(("length", "count", "order"), [
    (0, 2, []),
    (1, 4, [5]),
    (3, 1, [5, 6, 7]),
    (7, 2, [5, 9, 6, 10, 7, 11, 8]),
    (4, 8, [5, 6, 7, 8]),
])  # fmt: skip
def test_processes_write_in_places_far_from_each_other(length: int, count: int, order: list[int]) -> None:
    assert extract.in_turn(range(5, 5 + length), count) == order
