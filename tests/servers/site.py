"""A whole site's servers, and the credentials of a user there."""

from __future__ import annotations

import shutil
import tempfile
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Self

from tests.servers.ca import Authority, Pair, written
from tests.servers.kdc import Kdc
from tests.servers.proxies import proxy
from tests.servers.tokens import Issuer
from tests.servers.voms import Vo
from tests.servers.xrootd import XRootD

if TYPE_CHECKING:
    from collections.abc import Iterator

USER = "alice"
VO = "testvo"


@dataclass(frozen=True)
class Site:
    """Everything, running.

    Attributes:
        folder: where it all is; a user may read ``trust``.
        authority: signs whatever is signed.
        user: the user's certificate.
        vo: the VO that the user is in.
        kdc: the realm.
        issuer: the token issuer.
        storage: the storage server.
    """

    folder: Path
    authority: Authority
    user: Pair
    vo: Vo
    kdc: Kdc
    issuer: Issuer
    storage: XRootD

    @classmethod
    def start(cls, folder: Path, *, host: str = "localhost", address: str = "127.0.0.1") -> Self:
        """Start all servers; half a second.

        Args:
            folder: an empty one, which user ``nobody`` can enter.
            host: the name that clients know the machine by.
            address: where that name leads to, and where servers listen.

        Raises:
            ServerError: a package is missing, or one does not come up.
        """
        authority = Authority()
        vo = Vo(VO, authority.host("voms.test"))
        authority.install(folder / "trust" / "certificates")
        vo.install(folder / "trust" / "vomsdir")
        kdc = Kdc(folder / "kdc", address=address).start()
        issuer = Issuer(host, address).start(authority, folder / "issuer")
        (folder / "storage").mkdir()
        storage = XRootD(folder / "storage", authority, vo, kdc, issuer, host=host, address=address)
        site = cls(folder, authority, authority.user(f"/DC=test/CN={USER}"), vo, kdc, issuer, storage)
        try:
            kdc.add_user(USER)
            storage.start()
        except BaseException:
            site.stop()
            raise
        return site

    def stop(self) -> None:
        """End all servers."""
        self.storage.stop()
        self.issuer.stop()
        self.kdc.stop()

    def trust(self) -> dict[str, str]:
        """What a client's environment says of whom to trust."""
        return {
            "X509_CERT_DIR": str(self.folder / "trust" / "certificates"),
            "X509_VOMS_DIR": str(self.folder / "trust" / "vomsdir"),
            "KRB5_CONFIG": str(self.kdc.config),
        }

    def credentials(self, folder: Path) -> dict[str, str]:
        """Make a good proxy, ticket and token of the user; returns the environment that names them."""
        folder.mkdir(parents=True, exist_ok=True)
        attributes = self.vo.attributes(self.user, roles=["production"])
        pem = proxy(self.user, acs=[attributes]).write_proxy(folder / "proxy.pem")
        token = written(folder / "token", f"{self.issuer.token()}\n".encode(), 0o600)
        ccache = self.kdc.ticket(USER, folder / "ccache")
        named = {"X509_USER_PROXY": str(pem), "KRB5CCNAME": ccache, "BEARER_TOKEN_FILE": str(token)}
        return {**self.trust(), **named}


@contextmanager
def running(**where: str) -> Iterator[Site]:
    """A site in a folder of its own below the system's temporary one, which is removed.

    pytest's own folders are closed to others, and the storage server is another user.
    """
    folder = Path(tempfile.mkdtemp(prefix="fasthep-servers-", dir="/tmp"))
    folder.chmod(0o755)
    try:
        site = Site.start(folder, **where)
        try:
            yield site
        finally:
            site.stop()
    finally:
        shutil.rmtree(folder, ignore_errors=True)
