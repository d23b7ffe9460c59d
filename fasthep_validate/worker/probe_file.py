"""A credential's file, read with care: bounded, once, and without following what is no plain file.

Used on the submit host and, by path, on the worker: the same code looks at both ends.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    Facts = dict[str, object]

LIMITS = {"x509": 1_000_000, "kerberos": 4_000_000, "token": 16_384}  # bytes; servers read no longer tokens


class Fault(Exception):
    """A credential that cannot be read.

    Attributes:
        code: word for what is wrong, as in ``causes.credentials``.
        facts: what was seen of the file all the same.
    """

    def __init__(self, code: str, words: str, facts: Facts | None = None) -> None:
        self.code = code
        self.facts = facts or {}
        super().__init__(words)


def read(path: str, *, limit: int) -> tuple[bytes, Facts]:
    """Content and facts (``owner``, ``mine``, ``mode``) of a file.

    Raises:
        Fault: it is not there, cannot be read, is empty, or longer than ``limit`` bytes.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except FileNotFoundError:
        raise Fault("missing", f"{path} is not there") from None
    except (OSError, ValueError) as error:
        words = getattr(error, "strerror", None) or str(error)
        raise Fault("unreadable", f"{path}: {words}", _facts_of(path)) from None
    try:
        status = os.fstat(descriptor)
        facts = _facts(status)
        if not stat.S_ISREG(status.st_mode):
            raise Fault("unreadable", f"{path} is no plain file", facts)
        content = _up_to(descriptor, limit + 1)
    except OSError as error:
        raise Fault("unreadable", f"{path}: {error.strerror}") from None
    finally:
        os.close(descriptor)
    if not content.strip():
        raise Fault("empty", f"{path} is empty", facts)
    if len(content) > limit:
        raise Fault("oversize", f"{path} has more than {limit} bytes", facts)
    return content, facts


def _up_to(descriptor: int, count: int) -> bytes:
    content = b""
    while len(content) < count:
        more = os.read(descriptor, count - len(content))
        if not more:
            break
        content += more
    return content


def _facts_of(path: str) -> Facts:
    try:
        return _facts(Path(path).stat())
    except (OSError, ValueError):
        return {}


def _facts(status: os.stat_result) -> Facts:
    mode = f"{stat.S_IMODE(status.st_mode):04o}"
    return {"owner": status.st_uid, "mine": status.st_uid == os.geteuid(), "mode": mode}
