"""What a run loses when the session that started it is closed: told before it starts."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import TYPE_CHECKING

from fasthep_validate import process

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

PATIENCE = 10.0  # seconds for one question
# A line of klist(1) of MIT or Heimdal with the ticket for tickets: its end stands before the principal.
TICKET = re.compile(r"^(?P<times>\S.*?)\s+krbtgt/", re.MULTILINE)
TOKEN = re.compile(r"tokens for (?P<cell>\S+) \[Expires (?P<end>[^\]]+)\]")
SESSION_CACHES = ("KEYRING:session", "KEYRING:process", "KEYRING:thread")


def losses() -> tuple[str, ...]:
    """One sentence for everything that is known to go with the session, or to end by itself."""
    return tuple(sentence for look in LOOKS for sentence in look())


def _kerberos() -> Iterator[str]:
    """klist(1); a ticket that nobody renews ends while jobs wait."""
    done = _ask("klist")
    ticket = TICKET.search(done)
    if ticket is None:
        return
    end = re.split(r"\s{2,}", ticket["times"].strip())[-1]
    cache = os.environ.get("KRB5CCNAME", "")
    yield (
        f"Your Kerberos ticket ends at {end}, and the run does not renew it: jobs that need one must begin by then. "
        "'kinit -R' renews it; 'krenew' or 'k5start' keeps on doing so."
    )
    if cache.startswith(SESSION_CACHES) or _run_user() in cache:
        yield f"Its cache {cache} goes with your last session here: point KRB5CCNAME at a file, and 'kinit'."


def _afs() -> Iterator[str]:
    """tokens(1) of AFS; a token belongs to the session's group of processes (PAG) and is not renewed."""
    for token in TOKEN.finditer(_ask("tokens")):
        yield (
            f"Your AFS token for {token['cell']} ends at {token['end']}: after that the run cannot write to AFS. "
            "Let --outdir be elsewhere, or start it under 'k5reauth' or 'krenew -t'."
        )


def _logind() -> Iterator[str]:
    """logind.conf(5): KillUserProcesses ends what is left of a session; linger(1) keeps it."""
    if "KillUserProcesses=yes" not in _ask("loginctl", "show-session", "--property=KillUserProcesses"):
        return
    user = str(os.getuid())
    if "Linger=yes" in _ask("loginctl", "show-user", user, "--property=Linger"):
        return
    yield (
        "This machine ends all processes of a session that is closed (KillUserProcesses=yes), this run too. "
        "'loginctl enable-linger' before it starts keeps it, where you may do so."
    )


def _temporary() -> Iterator[str]:
    """The directory of pam_systemd(8) for the user goes with the last session."""
    folder = os.environ.get("TMPDIR", "")
    if Path(folder).is_relative_to(_run_user()):
        yield f"TMPDIR={folder} is removed with your last session here. Unset it, or point it elsewhere."


LOOKS: tuple[Callable[[], Iterator[str]], ...] = (_kerberos, _afs, _logind, _temporary)


def _run_user() -> str:
    return f"/run/user/{os.getuid()}"


def _ask(*argv: str) -> str:
    """What a program says; nothing where there is no such program, or it has nothing to say."""
    done = process.run(argv, timeout=PATIENCE, env={**os.environ, "LC_ALL": "C"})
    return done.stdout if done.ok else ""
