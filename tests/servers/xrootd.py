"""An XRootD server that takes gsi with VOMS, krb5 and tokens, over ``root://`` and over https (WebDAV)."""

from __future__ import annotations

import os
import pwd
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Self

from tests.servers.ca import DAY, written
from tests.servers.daemon import Daemon, ServerError, free_port, missing

if TYPE_CHECKING:
    from datetime import timedelta

    from tests.servers.ca import Authority
    from tests.servers.kdc import Kdc
    from tests.servers.tokens import Issuer
    from tests.servers.voms import Vo

RUN = Path(__file__).with_name("files") / "run-xrootd"
USER = "nobody"
PROGRAMS = ("xrootd",)
HELLO = "hello from the storage\n"
_COMMON = """\
all.export /store
oss.localroot {data}
xrd.port {port}
xrd.network nodnr
all.adminpath {folder}/admin
all.pidpath {folder}/admin
xrd.allow host *
xrootd.async off
xrd.tls {folder}/host.pem {folder}/host.key
xrd.tlsca certdir {certificates}
xrootd.tls capable all
xrootd.seclib libXrdSec.so
"""
_GSI = (
    "sec.protocol gsi -certdir:{certificates} -cert:{folder}/host.pem -key:{folder}/host.key -crl:{crl}"
    " -gmapopt:10 -vomsat:{vomsat} -vomsfun:libXrdVoms-5.so -vomsfunparms:certfmt=pem|grpopt=useall|vos={vo}\n"
)
_KRB5 = "sec.protocol krb5 {keytab} xrootd/{host}@{realm}\n"
_ZTN = "sec.protocol ztn\n"
_AUTHORISATION = """\
ofs.authorize 1
ofs.authlib ++ libXrdAccSciTokens.so config={folder}/scitokens.cfg
acc.authdb {folder}/authdb
acc.audit deny
"""
_HTTPS = """\
xrd.protocol http:{https_port} libXrdHttp.so
http.cadir {certificates}
http.cert {folder}/host.pem
http.key {folder}/host.key
http.header2cgi Authorization authz
http.listingdeny yes
http.selfhttps2http no
"""
_SCITOKENS = """\
[Global]
audience = {audiences}
onmissing = passthrough
[Issuer test]
issuer = {issuer}
base_path = {base_path}
map_subject = False
"""
# Whoever comes without rights of a VO or a token: one user of the realm, and the VO.
_AUTHDB = "o {vo} /store/gsi a\nu alice /store/krb5 a\nu * /store/public rl\n"


@dataclass
class XRootD:
    """A storage server.

    Attributes:
        folder: an empty folder that user ``nobody`` can reach.
        authority: who signs its certificate, and whom it trusts.
        vo: the VO that it serves; proxies without its attributes are refused.
        kdc: its realm.
        issuer: whose tokens it takes.
        host: the name that clients know it by.
        address: where that name leads to.
    """

    folder: Path
    authority: Authority
    vo: Vo
    kdc: Kdc | None = None
    issuer: Issuer | None = None
    host: str = "localhost"
    address: str = "127.0.0.1"
    vo_name: str = ""
    base_path: str = "/store/token"
    crl_lifetime: timedelta = DAY
    certificate_lifetime: timedelta = DAY
    faketime: str = ""
    port: int = 0
    https_port: int = 0
    daemon: Daemon | None = None
    bundle: Path | None = field(default=None)

    @property
    def url(self) -> str:
        """Such as ``root://localhost:1094``."""
        return f"root://{self.host}:{self.port}"

    @property
    def https(self) -> str:
        """Such as ``https://localhost:1095``."""
        return f"https://{self.host}:{self.https_port}"

    @property
    def data(self) -> Path:
        """What it stores: ``/store/...`` is below."""
        return self.folder / "data"

    @property
    def log(self) -> Path:
        """What it says."""
        return self.folder / "test" / "xrootd.log"

    def start(self) -> Self:
        """Write its configuration and start it.

        Raises:
            ServerError: a package is missing, or it does not come up.
        """
        if packages := missing(*PROGRAMS):
            raise ServerError(f"XRootD: missing: {' '.join(packages)}")
        self.port = self.port or free_port(self.address)
        self.https_port = self.https_port or free_port(self.address)
        for place in ("public", "gsi", "krb5", "token"):
            folder = self.data / "store" / place
            folder.mkdir(parents=True, exist_ok=True)
            (folder / "hello.txt").write_text(HELLO)
        (self.folder / "admin").mkdir(exist_ok=True)
        self._write()
        self._give_away()
        self.daemon = Daemon.start(
            self._argv(), log=self.folder / "run.log", env=self._env(), faketime=self.faketime
        )
        self.daemon.wait_for_port(self.address, self.port)
        return self

    def stop(self) -> None:
        """End it."""
        if self.daemon is not None:
            self.daemon.stop()

    def restart(self) -> None:
        """Start it again at the same ports, with whatever was changed."""
        self.stop()
        self.start()

    def last_words(self) -> str:
        """The end of its log."""
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-60:])

    def _argv(self) -> list[str | Path]:
        if os.geteuid() != 0:
            return [
                "xrootd",
                "-c",
                self.folder / "xrootd.cfg",
                "-l",
                self.folder / "xrootd.log",
                "-n",
                "test",
            ]
        bundle = str(self.bundle or "")
        return [
            *("unshare", "--mount", "--propagation", "private", RUN),
            *(bundle, USER, self.folder / "xrootd.cfg", self.folder / "xrootd.log"),
        ]

    def _env(self) -> dict[str, str]:
        realm = {"KRB5_CONFIG": str(self.kdc.config)} if self.kdc else {}
        return {
            **realm,
            "HOME": str(self.folder),
            "XDG_CACHE_HOME": str(self.folder / "cache"),
            "KRB5RCACHEDIR": str(self.folder),
            "X509_CERT_DIR": str(self.folder / "certificates"),
            "X509_VOMS_DIR": str(self.folder / "vomsdir"),
        }

    def _write(self) -> None:
        """Its configuration, its certificate, its keytab."""
        words: dict[str, object] = {
            "folder": self.folder,
            "data": self.data,
            "port": self.port,
            "https_port": self.https_port,
            "certificates": self.folder / "certificates",
            "vo": self.vo_name or self.vo.name,
            "crl": 1,
            "vomsat": 2,
            "host": self.host,
            "keytab": self.folder / "krb5.keytab",
            "realm": self.kdc.realm if self.kdc else "",
        }
        text = _COMMON + _GSI
        (self.folder / "authdb").write_text(_AUTHDB.format(**words))
        authorisation = _AUTHORISATION
        if self.kdc is not None:
            text += _KRB5
            if not (self.folder / "krb5.keytab").exists():
                self.kdc.add_service(f"xrootd/{self.host}", self.folder / "krb5.keytab")
        if self.issuer is not None:
            text += _ZTN
            audiences = f"https://{self.host}:{self.https_port}, {self.url}"
            tokens = {"issuer": self.issuer.url, "audiences": audiences, "base_path": self.base_path}
            (self.folder / "scitokens.cfg").write_text(_SCITOKENS.format(**tokens))
        text += authorisation + _HTTPS
        (self.folder / "xrootd.cfg").write_text(text.format(**words))
        self.authority.install(self.folder / "certificates", crl_lifetime=self.crl_lifetime)
        self.vo.install(self.folder / "vomsdir")
        host = self.authority.host(self.host, others=(self.address,), lifetime=self.certificate_lifetime)
        for name in ("host.pem", "host.key"):
            (self.folder / name).unlink(missing_ok=True)
        host.write(self.folder / "host.pem", self.folder / "host.key")
        self.bundle = written(self.folder / "bundle.pem", self.authority.own.cert_pem(), 0o644)

    def _give_away(self) -> None:
        """Let the server's user own what it serves; one that is not root is that user."""
        if os.geteuid() == 0:
            uid = pwd.getpwnam(USER).pw_uid
            for path in (self.folder, *self.folder.rglob("*")):
                os.lchown(path, uid, -1)
