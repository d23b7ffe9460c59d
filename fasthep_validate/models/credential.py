"""What was seen of credentials on a machine: never a secret, not a part of one, not a hash.

Times are seconds since 1970 by the clock that the credential's issuer had.
"""

from __future__ import annotations

from fasthep_validate.models.base import Model
from fasthep_validate.models.credentials import Kind


class Trust(Model):
    """The folder of trusted authorities (``X509_CERT_DIR``), with an eye to one identity.

    Attributes:
        folder: its path; empty if there is none.
        looked: where it was looked for.
        authorities: number of certificates in it.
        found: whether the authority of the identity is among them.
        crl_expires: when the authority's revocation list is out of date; ``None`` if there is no list.
        revoked: whether the list holds the identity's certificate.
    """

    folder: str = ""
    looked: tuple[str, ...] = ()
    authorities: int = 0
    found: bool = False
    crl_expires: float | None = None
    revoked: bool = False


class Proxy(Model):
    """A proxy certificate and its chain.

    Attributes:
        identity: subject of the user's own certificate, with slashes.
        issuer: who issued that.
        form: ``rfc``, ``draft``, ``legacy``, or ``none`` for a certificate that is no proxy.
        limited: whether any link of the chain is limited.
        starts: when the last link of the chain becomes valid.
        expires: when the first link of the chain expires.
        key_matches: whether the key in the file is that of the first certificate.
        chain: what is wrong with the chain; empty when each link follows from the next.
        vo: VO of the attribute certificate; empty without one.
        fqans: its FQANs, the primary one first, without empty roles and capabilities.
        ac_starts: when the attribute certificate becomes valid.
        ac_expires: when it expires.
    """

    identity: str
    issuer: str
    form: str
    limited: bool
    starts: float
    expires: float
    key_matches: bool
    chain: str = ""
    vo: str = ""
    fqans: tuple[str, ...] = ()
    ac_starts: float | None = None
    ac_expires: float | None = None


class Ticket(Model):
    """A Kerberos credential cache.

    Attributes:
        principal: whose it is.
        realm: realm of the ticket-granting ticket; empty if there is none.
        starts: when that becomes valid.
        expires: when it expires.
        renewable_until: until when it can be renewed; ``None`` if it cannot.
        forwardable: whether it can be forwarded.
        addressless: whether it can be used from any address.
        services: principals of the other tickets.
    """

    principal: str
    realm: str = ""
    starts: float = 0.0
    expires: float = 0.0
    renewable_until: float | None = None
    forwardable: bool = False
    addressless: bool = True
    services: tuple[str, ...] = ()


class TokenClaims(Model):
    """The claims of a bearer token that say what it is good for.

    Attributes:
        algorithm: of its signature.
        issuer: ``iss``.
        subject: ``sub``.
        audience: ``aud``.
        starts: ``nbf``; ``None`` without one.
        issued: ``iat``.
        expires: ``exp``.
        profile: ``wlcg.ver`` or ``ver``, such as ``wlcg 1.0`` or ``scitoken:2.0``.
        scopes: ``scope``, split.
    """

    algorithm: str = ""
    issuer: str = ""
    subject: str = ""
    audience: tuple[str, ...] = ()
    starts: float | None = None
    issued: float | None = None
    expires: float | None = None
    profile: str = ""
    scopes: tuple[str, ...] = ()


class CredentialSeen(Model):
    """One kind of credential on one machine.

    Attributes:
        kind: ``x509``, ``kerberos`` or ``token``.
        time: the machine's clock when it looked.
        looked: places, in the order in which they were looked at.
        place: what was found: a path, the name of a variable, or the name of a cache.
        fault: code of what kept it from being read, such as ``missing``; empty if it was read.
        detail: the same in words.
        owner: user id of the file's owner; ``None`` where it is no file.
        mine: whether that is the user who looked.
        mode: permission bits of the file, such as ``0600``; empty where it is no file.
        proxy: for ``x509``.
        trust: for ``x509``.
        ticket: for ``kerberos``.
        token: for ``token``.
    """

    kind: Kind
    time: float
    looked: tuple[str, ...] = ()
    place: str = ""
    fault: str = ""
    detail: str = ""
    owner: int | None = None
    mine: bool = True
    mode: str = ""
    proxy: Proxy | None = None
    trust: Trust | None = None
    ticket: Ticket | None = None
    token: TokenClaims | None = None

    @property
    def identity(self) -> str:
        """Whose it is, in its own words; empty when it could not be read."""
        if self.proxy:
            return self.proxy.identity
        if self.ticket:
            return self.ticket.principal
        return f"{self.token.subject} of {self.token.issuer}" if self.token else ""

    @property
    def expires(self) -> float | None:
        """When it is of no more use: of a proxy with attributes, when the first of both expires."""
        if self.proxy:
            return min(self.proxy.expires, self.proxy.ac_expires or self.proxy.expires)
        if self.ticket:
            return self.ticket.expires
        return self.token.expires if self.token else None
