"""The ``credentials:`` of a profile: which ones a site's work needs, how they travel, what must be true of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal, Self

from pydantic import AfterValidator, Field, StrictBool, model_validator

from fasthep_validate.models.written import Duration, Text, Written, mistake, mistakes

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from fasthep_validate.models.execution import Strategy
    from fasthep_validate.models.written import Found

Kind = Literal["x509", "kerberos", "token"]
KINDS: tuple[Kind, ...] = Kind.__args__  # type: ignore[attr-defined]
Need = Literal["required", "optional", "none"]
X509Travel = Literal["transfer", "x509userproxy", "shared"]
KerberosTravel = Literal["transfer", "sendcredential", "auks", "none"]
TokenTravel = Literal["transfer", "oauth_services", "shared"]

# Ways that only one batch system offers.
OWN_WAYS: Mapping[str, Strategy] = {
    "x509userproxy": "htcondor",
    "sendcredential": "htcondor",
    "oauth_services": "htcondor",
    "auks": "slurm",
}
_HOUR = 3600.0


def _absolute(value: str) -> str:
    if value.startswith("/"):
        return value
    raise mistake(f"expected an absolute path, got {value!r}")


def _fqan(value: str) -> str:
    if value.startswith("/"):
        return value.removesuffix("/Capability=NULL").removesuffix("/Role=NULL")
    raise mistake(f"expected an FQAN like '/vo/Role=production', got {value!r}")


def _folder(value: str) -> str:
    return value if value == "ship" else _absolute(value)


AbsolutePath = Annotated[Text, AfterValidator(_absolute)]
Fqan = Annotated[Text, AfterValidator(_fqan)]
TrustFolder = Annotated[Text, AfterValidator(_folder)]


class X509(Written):
    """An X.509 proxy certificate, with or without VOMS attributes."""

    need: Need = "none"
    """``required``: without a good one nothing starts; ``optional``: its faults are warnings."""
    travel: X509Travel = "transfer"
    """``transfer``: as a file of the job; ``x509userproxy``: HTCondor's own way; ``shared``: by a path."""
    path: AbsolutePath | None = None
    """The proxy; without it ``X509_USER_PROXY``, then ``/tmp/x509up_u<uid>``."""
    vo: Text | None = None
    """The VO whose attribute certificate it must hold."""
    fqans: tuple[Fqan, ...] = ()
    """FQANs that it must hold, such as ``/cms/Role=production``."""
    limited: StrictBool = True
    """Whether a limited proxy will do; storage takes it, computing elements do not."""
    min_lifetime: Duration = _HOUR
    """Time that must be left, of proxy and attribute certificate each, when nothing is known of the walltime."""
    ca: TrustFolder | None = None
    """``X509_CERT_DIR`` on the workers: an absolute path there, or ``ship`` to send the submit host's."""


class Kerberos(Written):
    """A Kerberos ticket."""

    need: Need = "none"
    """``required``: without a good one nothing starts; ``optional``: its faults are warnings."""
    travel: KerberosTravel = "transfer"
    """``transfer``: the FILE cache as a file of the job; ``sendcredential``: HTCondor's credential daemons;
    ``auks``: Slurm's plugin; ``none``: nothing travels, and what the node has is used."""
    realm: Text | None = None
    """The realm that it must be for."""
    renewable: StrictBool = False
    """Whether it must be renewable until the work is over."""
    min_lifetime: Duration = _HOUR
    """Time that must be left when nothing is known of the walltime."""
    unset_ccname: StrictBool = False
    """Whether ``KRB5CCNAME`` is unset on the workers: it may name a cache of the submit host."""


class Token(Written):
    """A bearer token (WLCG or SciTokens)."""

    need: Need = "none"
    """``required``: without a good one nothing starts; ``optional``: its faults are warnings."""
    travel: TokenTravel = "transfer"
    """``transfer``: as a file of the job; ``oauth_services``: HTCondor's ``use_oauth_services``; ``shared``."""
    path: AbsolutePath | None = None
    """The token's file; without it WLCG's order: ``BEARER_TOKEN``, ``BEARER_TOKEN_FILE``, ``bt_u<uid>``."""
    service: Text | None = None
    """Name of the service for ``oauth_services``, such as ``cms``."""
    handle: Text | None = None
    """Handle of the service, where it has several tokens."""
    issuers: tuple[Text, ...] = ()
    """Issuers that are trusted; any if none is named."""
    audience: Text | None = None
    """What the token must be for, such as ``https://storage.example.org``."""
    scopes: tuple[Text, ...] = ()
    """What it must allow, such as ``storage.read:/store``."""
    min_lifetime: Duration = 600.0
    """Time that must be left when nothing is known of the walltime; tokens live for an hour or so."""

    @model_validator(mode="after")
    def _service_is_named(self) -> Self:
        mistakes("Token", self._mistakes())
        return self

    def _mistakes(self) -> Iterator[Found]:
        if self.travel == "oauth_services" and self.service is None:
            yield ("service",), mistake("is missing", "Name the service, as the site's HTCondor knows it.")
        if self.travel != "oauth_services" and self.service is not None:
            yield ("service",), mistake("has no meaning without 'travel: oauth_services'")


class Credentials(Written):
    """Credentials that the work needs on the workers."""

    x509: X509 = X509()
    """X.509 proxy, with VOMS attributes or without."""
    kerberos: Kerberos = Kerberos()
    """Kerberos ticket."""
    token: Token = Token()
    """Bearer token."""
    queue_time: Annotated[Duration, Field(ge=0)] = 0.0
    """How long jobs wait in the queue as a rule; lifetimes must last that much longer."""
    work_time: Duration | None = None
    """How long a job works; without it the pool's walltime, where it has one."""

    @property
    def wanted(self) -> tuple[Kind, ...]:
        """The kinds that are required or optional."""
        return tuple(kind for kind in KINDS if self.of(kind).need != "none")

    def of(self, kind: Kind) -> X509 | Kerberos | Token:
        """What is said of a kind."""
        table: Mapping[Kind, X509 | Kerberos | Token] = {
            "x509": self.x509,
            "kerberos": self.kerberos,
            "token": self.token,
        }
        return table[kind]

    def unfit(self, strategy: Strategy) -> Iterator[Found]:
        """Ways of travelling that this strategy does not have."""
        for kind in self.wanted:
            way = self.of(kind).travel
            owner = OWN_WAYS.get(way)
            if owner and owner != strategy:
                error = mistake(f"{way!r} is {owner}'s own, and the strategy is {strategy!r}")
                yield (kind, "travel"), error
