"""How the credentials of a run come to its workers: directives, settings of the job script, files."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from fasthep_validate.credentials.files import AUTHORITIES, authorities, content, write_secret
from fasthep_validate.credentials.kinds import KINDS
from fasthep_validate.credentials.preflight import Preflight, environment
from fasthep_validate.errors import ConfigError, Problem
from fasthep_validate.models.credential import CredentialSeen
from fasthep_validate.models.credentials import Credentials
from fasthep_validate.worker.probe_file import Fault as Unreadable

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from fasthep_validate.models.credentials import Kind

FOLDER = "credentials"
# Keys of job.params, in their order; an empty value asks for nothing.
SETTINGS = ("x509_proxy", "x509_ca", "krb5_ccache", "bearer_token", "credentials_required")


@dataclass(frozen=True)
class Delivery:
    """The credentials of a run and their ways to the workers.

    Attributes:
        needs: what the profile says.
        seen: what was found on the submit host and can travel.
    """

    needs: Credentials = Credentials()  # noqa: RUF009 - frozen
    seen: tuple[CredentialSeen, ...] = ()

    @classmethod
    def of(cls, checked: Preflight) -> Delivery:
        """What can travel of what was found."""
        return cls(checked.needs, tuple(each.seen for each in checked.found.values() if each.travels))

    @property
    def sent(self) -> tuple[CredentialSeen, ...]:
        """Credentials that travel as files of the job."""
        return tuple(seen for seen in self.seen if self.needs.of(seen.kind).travel == "transfer")

    def directives(self) -> dict[str, str]:
        """What the batch system is told."""
        found = {seen.kind: seen for seen in self.seen}
        told: dict[str, str] = {}
        for kind in self.needs.wanted:
            told |= KINDS[kind].directives(self.needs, found.get(kind, CredentialSeen(kind=kind, time=0.0)))
        return {key: value for key, value in told.items() if value}

    def settings(self) -> dict[str, str]:
        """Lines of ``job.params``: what ``bootstrap.sh`` puts in place; never a secret."""
        wanted = self.needs.wanted
        told = {
            "x509_proxy": self._way("x509"),
            "x509_ca": self._trust() if "x509" in wanted else "",
            "krb5_ccache": self._way("kerberos") or ("unset" if self.needs.kerberos.unset_ccname else ""),
            "bearer_token": self._way("token"),
            "credentials_required": " ".join(
                kind for kind in wanted if self.needs.of(kind).need == "required"
            ),
        }
        return {key: told[key] for key in SETTINGS}

    def files(self, folder: Path) -> dict[Path, str]:
        """Files that go with every job, path -> name there; :meth:`stage` writes them."""
        files = {folder / KINDS[seen.kind].name: KINDS[seen.kind].name for seen in self.sent}
        return {**files, folder / AUTHORITIES: AUTHORITIES} if self._trust() == AUTHORITIES else files

    def stage(self, folder: Path, environ: Mapping[str, str] | None = None) -> dict[Path, str]:
        """Write the files of :meth:`files` (mode 0600) to a folder that is the owner's alone.

        Raises:
            ConfigError: a credential has gone since it was looked at.
        """
        folder.mkdir(mode=0o700, exist_ok=True)
        for seen in self.sent:
            self.stage_one(seen, folder, environ)
        if self._trust() == AUTHORITIES:
            write_secret(folder / AUTHORITIES, authorities(Path(self._trust_folder())))
        return self.files(folder)

    def stage_one(self, seen: CredentialSeen, folder: Path, environ: Mapping[str, str] | None = None) -> Path:
        """Write the copy of one credential; returns its path."""
        named = environment(self.needs, os.environ if environ is None else environ)
        path = folder / KINDS[seen.kind].name
        try:
            write_secret(path, content(seen, named))
        except Unreadable as fault:
            hint = "Get it anew, and start again."
            raise ConfigError(Problem(f"credentials.{seen.kind}", str(fault), hint)) from None
        return path

    def _way(self, kind: Kind) -> str:
        """Where the job script finds a credential of this kind."""
        if self.needs.of(kind).need == "none":
            return ""
        seen = next((seen for seen in self.seen if seen.kind == kind), None)
        return _WAYS[self.needs.of(kind).travel](self.needs, kind, seen)

    def _trust(self) -> str:
        ca = self.needs.x509.ca or ""
        if ca != "ship":
            return ca
        return AUTHORITIES if self._trust_folder() else ""

    def _trust_folder(self) -> str:
        return next((seen.trust.folder for seen in self.seen if seen.trust), "")


def _file(needs: Credentials, kind: Kind, seen: CredentialSeen | None) -> str:  # noqa: ARG001 - as for all ways
    return KINDS[kind].name if seen else ""


def _shared(needs: Credentials, kind: Kind, seen: CredentialSeen | None) -> str:  # noqa: ARG001
    return seen.place if seen and seen.place.startswith("/") else ""


def _variable(needs: Credentials, kind: Kind, seen: CredentialSeen | None) -> str:  # noqa: ARG001
    return "env"


def _service(needs: Credentials, kind: Kind, seen: CredentialSeen | None) -> str:  # noqa: ARG001
    handle = f"_{needs.token.handle}" if needs.token.handle else ""
    return f"service:{needs.token.service}{handle}"


def _nothing(needs: Credentials, kind: Kind, seen: CredentialSeen | None) -> str:  # noqa: ARG001
    return ""


_WAYS: Mapping[str, Callable[[Credentials, Kind, CredentialSeen | None], str]] = {
    "transfer": _file,
    "shared": _shared,
    "x509userproxy": _variable,
    "sendcredential": _variable,
    "auks": _variable,
    "oauth_services": _service,
    "none": _nothing,
}
