"""Secrets in text: private keys, JSON Web Tokens, EOS, Vault and Anaconda tokens, passwords in addresses."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    Path = tuple[str | int, ...]

SECRETS = re.compile(
    r"-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(?:-----END [A-Z ]*PRIVATE KEY-----|\Z)"
    r"|eyJ[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]*|zteos64:\S+|hvs\.\S+"
    r"|(?<=/t/)[a-z]{2}-[0-9a-f-]{36}(?=/)"
    r"|(?<=://)[^/\s:@]*:[^/\s@]+(?=@)",
    re.DOTALL,
)
# A password that a shell puts in when the address is used: nothing is told by it.
_NAMED = re.compile(r"[^:]*:\$\{?\w+\}?")

# Names of variables whose values are secrets themselves.
_VARIABLE = re.compile(r"(TOKEN|SECRET|PASSWORD|PASSWD)$", re.IGNORECASE)


def scrub(text: str) -> str:
    """Text with every secret in it replaced by ``[removed]``."""
    return SECRETS.sub("[removed]", text)


def holds_secret(text: str) -> bool:
    """Whether there is a secret in a text; the name of a variable in place of a password is none."""
    return any(not _NAMED.fullmatch(found[0]) for found in SECRETS.finditer(text))


def places(value: object, path: Path = ()) -> Iterator[Path]:
    """Where in plain data there is a text with a secret in it, be it a key or a value."""
    match value:
        case str() if holds_secret(value):
            yield path
        case dict():
            for key, inner in value.items():
                if holds_secret(str(key)):
                    yield path
                yield from places(inner, (*path, key))
        case list():
            for number, inner in enumerate(value):
                yield from places(inner, (*path, number))


def without_secrets(environ: Mapping[str, str]) -> dict[str, str]:
    """The variables of an environment but tokens, passwords, and addresses with a password in them."""
    return {
        name: value
        for name, value in environ.items()
        if not _VARIABLE.search(name) and not holds_secret(value)
    }
