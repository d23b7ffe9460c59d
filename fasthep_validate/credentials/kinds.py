"""The kinds of credentials: a look-up in :data:`KINDS`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from fasthep_validate.credentials import kerberos, token, x509
from fasthep_validate.credentials.fault import of_file

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from fasthep_validate.credentials.fault import Fault, Moment
    from fasthep_validate.models.credential import CredentialSeen
    from fasthep_validate.models.credentials import Credentials, Kind


class Judge(Protocol):
    """What can be wrong with one kind of credential that could be read."""

    def __call__(self, seen: CredentialSeen, needs: Credentials, moment: Moment) -> Iterator[Fault]:
        """The faults, the gravest first."""


@dataclass(frozen=True)
class Rules:
    """What differs from kind to kind.

    Attributes:
        name: of its file in a job's directory.
        judge: what can be wrong with it.
        directives: what the batch system is told where the credential travels in its own way.
    """

    name: str
    judge: Judge
    directives: Callable[[Credentials, CredentialSeen], dict[str, str]]


KINDS: Mapping[Kind, Rules] = {
    "x509": Rules("x509.pem", x509.faults, x509.directives),
    "kerberos": Rules("krb5cc", kerberos.faults, kerberos.directives),
    "token": Rules("bearer_token", token.faults, token.directives),
}


def faults(seen: CredentialSeen, needs: Credentials, moment: Moment) -> list[Fault]:
    """All that is wrong with a credential, as it was seen on one machine.

    Args:
        seen: the credential.
        needs: the profile's ``credentials``.
        moment: when and where it was seen, and how long it has to last.
    """
    return [*of_file(seen), *KINDS[seen.kind].judge(seen, needs, moment)]
