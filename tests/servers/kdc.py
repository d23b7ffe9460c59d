"""An MIT Kerberos KDC: a realm with its principals, keytabs and tickets."""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Self

from tests.servers.daemon import Daemon, ServerError, command, free_port, missing

if TYPE_CHECKING:
    from pathlib import Path

PROGRAMS = ("krb5kdc", "kadmin.local", "kinit")
_CLIENT = """\
[libdefaults]
    default_realm = {realm}
    dns_lookup_realm = false
    dns_lookup_kdc = false
    dns_canonicalize_hostname = false
    rdns = false
    udp_preference_limit = 1
    ticket_lifetime = 10h
    renew_lifetime = 7d
    forwardable = true
    kdc_timeout = 2000
    max_retries = 1
[realms]
    {realm} = {{
        kdc = {address}:{port}
    }}
[domain_realm]
    localhost = {realm}
    .testbed = {realm}
"""
_SERVER = """\
[kdcdefaults]
    kdc_listen = ""
    kdc_tcp_listen = {address}:{port}
[realms]
    {realm} = {{
        database_name = {folder}/principal
        key_stash_file = {folder}/stash
        acl_file = {folder}/acl
        max_life = 1d
        max_renewable_life = 7d
        supported_enctypes = aes256-cts-hmac-sha1-96:normal
    }}
[logging]
    kdc = FILE:{folder}/kdc.log
"""


@dataclass
class Kdc:
    """A realm and the process that serves it.

    Attributes:
        folder: an empty folder for its database.
        realm: its name.
        address: where it listens.
        port: its TCP port.
    """

    folder: Path
    realm: str = "TEST.REALM"
    address: str = "127.0.0.1"
    port: int = 0
    daemon: Daemon | None = None
    passwords: dict[str, str] = field(default_factory=dict)

    @property
    def config(self) -> Path:
        """``krb5.conf`` for clients and servers: the value of ``KRB5_CONFIG``."""
        return self.folder / "krb5.conf"

    @property
    def env(self) -> dict[str, str]:
        """What commands of Kerberos need to find this realm."""
        return {"KRB5_CONFIG": str(self.config), "KRB5_KDC_PROFILE": str(self.folder / "kdc.conf")}

    def start(self) -> Self:
        """Make the realm, if it has not been made, and serve it.

        Raises:
            ServerError: a package is missing, or a step failed.
        """
        if packages := missing(*PROGRAMS):
            raise ServerError(f"KDC: missing: {' '.join(packages)}")
        self.folder.mkdir(parents=True, exist_ok=True)
        self.port = self.port or free_port(self.address)
        words = {"realm": self.realm, "address": self.address, "port": self.port, "folder": self.folder}
        self.config.write_text(_CLIENT.format(**words))
        (self.folder / "kdc.conf").write_text(_SERVER.format(**words))
        if not (self.folder / "principal").exists():
            master = secrets.token_hex(16)
            command(["kdb5_util", "create", "-s", "-r", self.realm, "-P", master], env=self.env)
        self.daemon = Daemon.start(["krb5kdc", "-n"], log=self.folder / "krb5kdc.log", env=self.env)
        self.daemon.wait_for_port(self.address, self.port)
        return self

    def stop(self) -> None:
        """End the process; what it handed out stays valid."""
        if self.daemon is not None:
            self.daemon.stop()

    def add_user(self, user: str) -> None:
        """Add a principal with a password."""
        password = self.passwords[user] = secrets.token_hex(8)
        self._admin("addprinc", "-pw", password, user)

    def add_service(self, service: str, keytab: Path) -> Path:
        """Add a principal with a random key, which is written to a keytab."""
        self._admin("addprinc", "-randkey", service)
        self._admin("ktadd", "-k", str(keytab), service)
        return keytab

    def ticket(self, user: str, ccache: str | Path, *, lifetime: str = "10h", renewable: str = "7d") -> str:
        """Get a ticket; returns the name of its cache, the value of ``KRB5CCNAME``.

        Args:
            user: a principal that was added.
            ccache: a path, or a name with its type (``DIR:...``, ``KEYRING:...``).
            lifetime: such as ``10h`` or ``3s``.
            renewable: until when it can be renewed; empty for a ticket that cannot.
        """
        name = str(ccache) if ":" in str(ccache) else f"FILE:{ccache}"
        options = ["-l", lifetime, *(["-r", renewable] if renewable else [])]
        env = self.env
        if not renewable:  # the configuration asks for renewable ones
            plain = self.folder / "krb5-plain.conf"
            lines = self.config.read_text().splitlines(keepends=True)
            plain.write_text("".join(line for line in lines if "renew_lifetime" not in line))
            env |= {"KRB5_CONFIG": str(plain)}
        command(["kinit", "-c", name, *options, user], env=env, input=self.passwords[user] + "\n")
        return name

    def _admin(self, *words: str) -> None:
        command(["kadmin.local", "-r", self.realm, *words], env=self.env)
