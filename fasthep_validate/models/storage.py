"""The ``storage:`` of a profile: what every worker is to reach, with which credential, and what to try there."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal, Self
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, StrictBool, model_validator

from fasthep_validate.models.written import Name, PositiveDuration, Text, Written, mistake, mistakes

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from fasthep_validate.models.written import Found

StorageCredential = Literal["x509", "kerberos", "token"]

_ROOT = ("root", "roots", "xroot", "xroots")
SCHEMES: Mapping[str, str] = {**dict.fromkeys(_ROOT, "root"), "https": "https", "davs": "https"}
"""Scheme of an address -> the protocol that it is spoken in."""


def _address(value: str) -> str:
    try:
        url = urlsplit(value)
        port, host = url.port, url.hostname
    except ValueError as error:
        raise mistake(f"expected an address like 'root://host:1094': {error}") from None
    if url.username is not None or url.password is not None or url.query or url.fragment:
        # The value itself is not told: it may hold a password or a token.
        what = "an address with a user, a password or a query in it"
        raise mistake(what, "Write 'root://host:1094'; credentials are found on the worker.")
    if url.scheme not in SCHEMES or not host or port == 0 or url.path.strip("/"):
        known = ", ".join(f"{scheme}://" for scheme in SCHEMES)
        raise mistake(f"expected an address like 'root://host:1094', got {value!r}", f"Known: {known}.")
    return value.rstrip("/")


def _path(value: str) -> str:
    if value.startswith("/") and not {"..", "."} & set(value.split("/")) and "?" not in value:
        return value
    raise mistake(f"expected an absolute path at the storage, got {value!r}")


Address = Annotated[Text, AfterValidator(_address)]
StoragePath = Annotated[Text, AfterValidator(_path)]


class Endpoint(Written):
    """A storage that workers use, with one credential."""

    url: Address
    """Where it is: ``root://``, ``roots://``, ``https://`` or ``davs://``, with host and port, without a path."""
    credential: StorageCredential
    """The one credential that is used there: ``x509``, ``kerberos`` or ``token``; others are taken away."""
    read: StoragePath
    """A file that is read; its first bytes are enough."""
    write: StoragePath | None = None
    """A folder in which a small file of a name of its own is written and read back."""
    rename: StrictBool = False
    """Whether that file is renamed, in the same folder."""
    remove: StrictBool = True
    """Whether that file is removed in the end. Otherwise one is left for every worker of every run."""

    @model_validator(mode="after")
    def _possible(self) -> Self:
        mistakes("Endpoint", self._impossible())
        return self

    def _impossible(self) -> Iterator[Found]:
        if SCHEMES[urlsplit(self.url).scheme] == "https" and self.credential != "token":
            what = f"{self.credential!r} over https is not supported"
            yield ("credential",), mistake(what, "Use 'token', or the storage's root:// address.")
        if self.rename and self.write is None:
            yield ("rename",), mistake("there is nothing to rename", "Name a folder under 'write'.")


class Storage(Written):
    """Storage that the work reads and writes."""

    endpoints: dict[Name, Endpoint] = Field(default_factory=dict)
    """What is tried from every worker, by name."""
    timeout: PositiveDuration = 60.0
    """Time for all that is done at one endpoint from one worker; then it counts as hanging."""
    slow: PositiveDuration = 10.0
    """Time for one action (a read, a write, ...) after which the storage is called slow: a warning."""
