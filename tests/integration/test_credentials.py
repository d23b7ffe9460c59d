"""Credentials through a whole run, as a user runs it: refused, brought, renewed, removed, and never told."""

from __future__ import annotations

import base64
import hashlib
import os
import re
import signal
import stat
import subprocess
import sys
import time
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from fasthep_validate import process
from tests import canaries
from tests.ccache import FORWARDABLE, RENEWABLE, Cache, Entry
from tests.credentials import put
from tests.integration.conftest import arguments
from tests.servers.ca import Authority, Pair
from tests.servers.proxies import proxy
from tests.servers.tokens import Issuer
from tests.servers.voms import Vo

if TYPE_CHECKING:
    from tests.integration.conftest import User

HOUR = timedelta(hours=1)
SITE = """\
site: fast
execution:
  pools: {default: {resources: {cpus: 1, memory: 1 GB}, workers: 1}}
  environment: {type: shared-prefix, prefix: current}
timeouts: {worker_start: 60, worker_shutdown: 20, death: 20}
credentials:
  x509: {need: required, vo: testvo, ca: ship}
  kerberos: {need: required, realm: TEST.REALM}
  token: {need: required, scopes: ["storage.read:/"]}
"""
FAKETIME = sorted(Path("/usr/lib").glob("*/faketime/libfaketime.so.1"))


@dataclass
class Purse:
    """A user's credentials, with what of them must never be seen."""

    folder: Path
    authority: Authority
    identity: Pair
    vo: Vo
    issuer: Issuer

    @classmethod
    def make(cls, folder: Path) -> Purse:
        folder.mkdir()
        authority = Authority()
        purse = cls(
            folder, authority, authority.user(), Vo("testvo", authority.host("voms.test")), Issuer(port=1)
        )
        authority.install(folder / "certificates")
        purse.proxy()
        now = int(time.time())
        entry = Entry(
            "krbtgt/TEST.REALM@TEST.REALM",
            now,
            now + 36_000,
            now + 600_000,
            FORWARDABLE | RENEWABLE,
            os.urandom(32),
            os.urandom(200),
        )
        put(folder / "krb5cc", Cache("alice@TEST.REALM", (entry,)).dump())
        put(folder / "token", purse.issuer.token())
        purse.secrets = [entry.key, entry.ticket]
        purse.texts = {"refresh token": purse.issuer.refresh_token(), "password": os.urandom(20).hex()}
        put(folder / f"vt_u{os.geteuid()}", purse.texts["refresh token"])
        return purse

    def __post_init__(self) -> None:
        self.secrets: list[bytes] = []
        self.texts: dict[str, str] = {}

    def proxy(self, lifetime: timedelta = 12 * HOUR) -> None:
        pair = proxy(
            self.identity, lifetime=lifetime, acs=[self.vo.attributes(self.identity, lifetime=lifetime)]
        )
        new = put(self.folder / "new", pair.proxy_pem())
        new.replace(self.folder / "proxy.pem")

    def environ(self) -> dict[str, str]:
        return {
            "X509_USER_PROXY": str(self.folder / "proxy.pem"),
            "X509_CERT_DIR": str(self.folder / "certificates"),
            "KRB5CCNAME": f"FILE:{self.folder / 'krb5cc'}",
            "BEARER_TOKEN_FILE": str(self.folder / "token"),
            "XDG_RUNTIME_DIR": str(self.folder),  # htgettoken's refresh token lies beside the others
            "VAULT_TOKEN": self.texts["refresh token"],
            "https_proxy": f"http://alice:{self.texts['password']}@127.0.0.1:9",
        }

    def canaries(self) -> dict[bytes, str]:
        """Pieces that cover every secret, in each form in which one could be written."""
        proxy, token, cache = ((self.folder / name).read_bytes() for name in ("proxy.pem", "token", "krb5cc"))
        secrets = {**canaries.of_proxy(proxy), **canaries.of_token(token)}
        secrets |= {f"secret {number}": secret for number, secret in enumerate(self.secrets)}
        secrets |= {name: text.encode() for name, text in self.texts.items()}
        return canaries.pieces(secrets, (proxy, token, cache))


@pytest.fixture
def purse(user: User, tmp_path: Path) -> Purse:
    made = Purse.make(tmp_path / "purse")
    user.env |= made.environ()
    return made


def leaks(purse: Purse, texts: dict[str, bytes]) -> list[str]:
    """Where a piece of a secret is."""
    return canaries.leaks(purse.canaries(), texts)


def written(user: User) -> dict[str, bytes]:
    """Everything that a run left in its folder and said."""
    files = [path for path in (user.home / "fasthep-validate-results").rglob("*") if path.is_file()]
    return {str(path): path.read_bytes() for path in [*files, user.home / "out.txt", user.home / "err.txt"]}


def processes(user: User) -> dict[str, bytes]:
    """Arguments and environments of the processes of a run, but for the command that the user started."""
    found = {}
    own = {f"/proc/{child.pid}" for child in user.children}
    for place in Path("/proc").glob("[0-9]*"):
        if str(place) in own:
            continue
        try:
            about = {name: (place / name).read_bytes() for name in ("cmdline", "environ")}
        except OSError:
            continue
        if str(user.tmp).encode() in b"".join(about.values()):
            found.update({f"{place}/{name}": text for name, text in about.items()})
    return found


def test_the_canaries_sing(purse: Purse) -> None:
    """The search finds what it is for, or it would prove nothing."""
    key = (purse.folder / "proxy.pem").read_bytes()
    assert leaks(purse, {"pem": key})
    assert leaks(purse, {"hex": purse.secrets[0].hex().encode()})
    assert leaks(purse, {"base64": base64.b64encode(b"x" + purse.secrets[1])})
    assert leaks(purse, {"token": (purse.folder / "token").read_bytes()[-20:]})
    assert leaks(purse, {"proxy": purse.environ()["https_proxy"].encode()})
    assert leaks(purse, {"refresh token": purse.environ()["VAULT_TOKEN"].encode()[4:24]})
    assert not leaks(purse, {"claims": b"/DC=test/CN=alice expires"})


def test_a_whole_run(user: User, purse: Purse) -> None:
    started = user.start("--site", user.site(SITE), "-v")
    seen: dict[str, bytes] = {}
    modes: dict[str, int] = {}
    while started.poll() is None:
        seen |= processes(user)
        for path in user.tmp.glob("fasthep-validate-*/**/credentials/*"):
            try:
                modes[path.name] = stat.S_IMODE(path.stat().st_mode)
            except OSError:
                continue
        time.sleep(0.1)
    done = user.done(started)
    assert done.code == 0, done.everything
    report = user.report()
    outcomes = {check.id: check.outcome for check in report.checks if check.family == "credentials"}
    assert set(outcomes.values()) == {"pass"}, outcomes
    assert set(modes.values()) == {0o600}
    assert {"x509.pem", "krb5cc", "bearer_token"} <= set(modes)
    assert len(seen) > 4
    assert leaks(purse, written(user) | seen) == []
    folder = user.run_folder()
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert "/DC=test/CN=alice" in (folder / "evidence" / "default-0.json").read_text()


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (
            lambda purse: purse.proxy(-HOUR),
            r"credentials\.x509:theproxyof/DC=test/CN=aliceexpiredat.*Getanewone",
        ),
        (
            lambda purse: (purse.folder / "krb5cc").chmod(0o644),
            r"credentials\.kerberos:\S+hasmode0644\.chmod600",
        ),
        (
            lambda purse: (purse.folder / "token").write_text("x.y"),
            r"credentials\.token:\S+holdsnoJSONWebToken",
        ),
    ],
    ids=["expired", "mode", "garbage"],
)
def test_what_is_required_and_bad_ends_the_run_before_it_begins(
    user: User, purse: Purse, spoil: object, words: str
) -> None:
    assert callable(spoil)
    spoil(purse)
    done = user.run("--site", user.site(SITE))
    assert done.code == 2, done.everything
    assert re.search(words, "".join(done.out.split())), done.out
    assert "Traceback" not in done.everything
    assert "looking for changes" not in done.err  # nothing is packed
    assert leaks(purse, written(user)) == []


def test_a_crash_tells_nothing(user: User, purse: Purse) -> None:
    """A worker that dies at once, and a command that is killed."""
    broken = SITE.replace("timeouts:", "config: {worker_extra_args: [--no-such-option]}\ntimeouts:").replace(
        "config:", "  config:"
    )
    done = user.run("--site", user.site(broken), "-v")
    assert done.code != 0
    started = user.start("--site", user.site(SITE), "-v")
    user.wait_for("submitting")
    os.kill(started.pid, signal.SIGKILL)
    started.wait()
    deadline = time.monotonic() + 60
    while user.left() and time.monotonic() < deadline:  # the hub goes last, and takes the copies with it
        time.sleep(0.2)
    assert user.left() == []
    assert leaks(purse, written(user)) == []


def hub_of(user: User) -> int:
    """Process id of the scheduler's process."""
    words = {path: arguments(path) for path in Path("/proc").glob("[0-9]*/cmdline")}
    (found,) = (
        int(path.parent.name)
        for path, line in words.items()
        if b"worker/hub.py" in line and str(user.tmp).encode() in line
    )
    return found


def test_a_scheduler_that_crashes_tells_nothing(user: User, purse: Purse) -> None:
    """The hub dies of a signal that leaves a trace, while a worker runs."""
    started = user.start("--site", user.site(SITE), "-v")
    user.wait_for("default-0 registered ok")
    os.kill(hub_of(user), signal.SIGABRT)
    started.wait(90)
    done = user.done(started)
    assert done.code not in {0, -signal.SIGABRT}, done.everything
    assert "scheduler" in done.everything
    assert leaks(purse, written(user)) == []


def test_copies_that_a_killed_run_left_go_at_the_next_start(user: User, purse: Purse) -> None:
    """Nobody of the run is left to remove them: the command and the hub died at once."""
    started = user.start("--site", user.site(SITE), "-v")
    user.wait_for("submitting")
    hub = hub_of(user)
    os.kill(hub, signal.SIGSTOP)
    started.kill()
    started.wait()
    os.kill(hub, signal.SIGKILL)
    assert list(user.tmp.glob("fasthep-validate-*/credentials/x509.pem"))
    purse.proxy(-HOUR)
    done = user.run("--site", user.site(SITE))
    assert done.code == 2, done.everything
    assert list(user.tmp.glob("fasthep-validate-*")) == []
    assert leaks(purse, written(user)) == []


def test_a_password_in_the_profile_is_refused_and_not_repeated(user: User, purse: Purse) -> None:
    line = f"  config: {{job_extra_directives: ['--comment={purse.environ()['https_proxy']}']}}\n"
    done = user.run("--site", user.site(SITE.replace("timeouts:", f"{line}timeouts:")), "-v")
    assert done.code == 2, done.everything
    assert "a password, key or token is written here" in " ".join(done.everything.split())
    assert leaks(purse, written(user)) == []


@pytest.mark.skipif(not FAKETIME, reason="needs Debian's package faketime")
def test_a_worker_whose_clock_is_late(user: User, purse: Purse) -> None:
    """Fifteen minutes: the token has not begun there, and Kerberos would be refused."""
    script = user.home / "late.py"
    script.write_text(LATE.format(library=FAKETIME[0]))
    words: list[str | Path] = [sys.executable, script, "--site", user.site(SITE)]
    done = process.run(words, env=user.environment(), cwd=user.home, timeout=120)
    assert done.returncode == 1, done
    causes = {check.id: check.cause.id for check in user.report().checks if check.cause}
    assert causes["credentials.clock"] == "FHV-credential-050"
    assert causes["credentials.token"] == "FHV-credential-040"


def test_a_renewed_proxy_reaches_the_worker(user: User, purse: Purse) -> None:
    purse.proxy(2 * HOUR)
    script = user.home / "own.py"
    script.write_text(
        RENEWING.format(site=str(user.site(SITE)), outdir=str(user.home / "fasthep-validate-results"))
    )
    with subprocess.Popen(
        [sys.executable, script], env=user.environment(), cwd=user.home, stdout=subprocess.PIPE, text=True
    ) as child:
        assert child.stdout
        assert child.stdout.readline() == "open\n"
        purse.proxy(10 * HOUR)
        fresh = (purse.folder / "proxy.pem").read_bytes()
        answer = child.stdout.readline()
        child.wait(60)
    assert answer == f"{hashlib.sha256(fresh).hexdigest()} 600\n"


LATE = """\
from types import SimpleNamespace
from fasthep_validate import process
from fasthep_validate.batch import local

LATE = dict(LD_PRELOAD="{library}", FAKETIME="-15m", FAKETIME_DISABLE_SHM="1")

def spawn(argv, *, env, **rest):
    return process.spawn(argv, env=dict(env, **LATE), **rest)

local.process = SimpleNamespace(spawn=spawn, kill_group=process.kill_group)
if __name__ == "__main__":
    from fasthep_validate.cli import main
    main()
"""
RENEWING = """\
import hashlib, os, time
from fasthep_validate import load_site, open_pools
from fasthep_validate.credentials import renewal

renewal.Renewal.__init__.__kwdefaults__["interval"] = 0.2

def digest():
    path = os.environ["X509_USER_PROXY"]
    mode = oct(os.stat(path).st_mode & 0o777)[2:]
    return hashlib.sha256(open(path, "rb").read()).hexdigest() + " " + mode

if __name__ == "__main__":
    with open_pools(load_site("{site}"), outdir="{outdir}") as pools:
        before = pools.client.submit(digest, pure=False).result()
        print("open", flush=True)
        for _ in range(150):
            now = pools.client.submit(digest, pure=False).result()
            if now != before:
                break
            time.sleep(0.2)
        print(now, flush=True)
"""
