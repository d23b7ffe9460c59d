"""Servers that take credentials, on the testbed's submit node, and what the tests ask of a run that uses them."""

from __future__ import annotations

import base64
import io
import subprocess
import tarfile
import tempfile
import threading
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Self

import pytest

from fasthep_validate import process
from tests import canaries
from tests.testbed.places import CHECKOUT

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import TracebackType

    from tests.testbed.fixtures import Site

NODES = ("submit", "wn1", "wn2")
HOME = "/home/alice/credentials"
OAUTH = "/var/lib/condor/credentials-oauth"
PRODUCER = "_condor_SEC_CREDENTIAL_PRODUCER=/usr/local/lib/testbed/produce-ccache"
ENVIRONMENT = (
    PRODUCER,
    f"X509_USER_PROXY={HOME}/proxy.pem",
    f"KRB5CCNAME=FILE:{HOME}/ccache",
    f"BEARER_TOKEN_FILE={HOME}/token",
)
# What nobody asks for, and a user may have all the same: htgettoken's refresh token, a proxy with a password.
REFRESH_TOKEN, PASSWORD = "hvs.Y2FuYXJ5LW9mLXRoZS1yZWZyZXNoLXRva2Vu", "c2FuYXJ5LW9mLXRoZS1wYXNzd29yZA"
MORE = (f"VAULT_TOKEN={REFRESH_TOKEN}", f"https_proxy=http://alice:{PASSWORD}@10.77.0.10:9")
# Every node knows whom to trust, and nothing of servers that were there before; the submit node alone has alice's
# credentials.
TRUST = """
set -e
rm -rf /var/lib/condor/credentials-*/alice*
mkdir -p /etc/grid-security && cd /etc/grid-security && base64 -d | tar -xf -
cp kdc/krb5.conf /etc/krb5.conf && cp -r trust/* .
"""
OWN = f"rm -rf {HOME} && cp -r /srv/site/credentials {HOME} && chown -R alice: {HOME} && chmod 700 {HOME}"
# How the credentials come to the jobs.
TRAVEL = {
    "htcondor": {"x509": "x509userproxy", "kerberos": "sendcredential", "token": "transfer"},
    "slurm": {"x509": "transfer", "kerberos": "transfer", "token": "transfer"},
}
ENDPOINT = "{name}: {{url: '{url}', credential: {credential}, read: /store/{folder}/hello.txt, write: /store/{folder}}}"
# Arguments of all processes; environments of those that a run has started: on the submit node the hub alone, for the
# commands of the batch systems are given the user's own.
LOOK = r"""
cat /proc/[0-9]*/cmdline
for pid in $(pgrep -u alice $1); do cat /proc/$pid/environ; done
if command -v scontrol condor_q && [ -n "$1" ]; then
    condor_q -allusers -l; condor_history -l -limit 4; scontrol show job -dd
fi
true
"""
# Where jobs, batch systems and runs write; the batch systems' own stores of credentials are not readable for users.
KEPT = """
cd / && find home/alice/"$1" tmp var/log var/spool var/lib/condor/execute var/lib/condor/spool var/lib/slurm \
    -xdev -type f -size -4M -print0 2>/dev/null | tar --null -T - --ignore-failed-read -cf - 2>/dev/null | base64 -w0
"""


@dataclass(frozen=True)
class Servers:
    """The servers of ``tests.servers`` on the submit node, known to all nodes."""

    site: Site
    storage: str
    https: str
    issuer: str

    def make_known(self) -> None:
        """Let every node trust the servers, and give alice her credentials where she submits."""
        tar = "tar -C /srv/site -cf - trust kdc/krb5.conf | base64"
        packed = self.site.output("submit", "sh", "-c", tar, user="root")
        for node in NODES:
            done = self.site.run(node, "sh", "-c", TRUST, user="root", input=packed)
            assert done.ok, done
        self.site.output("submit", "sh", "-c", OWN, user="root")

    def profile(self, system: str, *, read: str = "hello.txt") -> str:
        """A profile that needs all three credentials and tries them one by one."""
        endpoints = (
            ("x509", "gsi", self.storage),
            ("kerberos", "krb5", self.storage),
            ("token", "token", self.https),
        )
        lines = [
            ENDPOINT.format(name=credential, url=url, credential=credential, folder=folder)
            for credential, folder, url in endpoints
        ]
        needs = [f"{kind}: {{need: required, travel: {way}}}" for kind, way in TRAVEL[system].items()]
        return (
            f"extends: testbed-{system}\ncredentials: {{{', '.join(needs)}}}\n"
            f"storage: {{endpoints: {{{', '.join(lines)}}}}}\n".replace("hello.txt", read)
        )

    def canaries(self) -> dict[bytes, str]:
        """Pieces of alice's secrets."""
        names = ("proxy.pem", "token", "ccache")
        told = [self.site.output("submit", "base64", "-w0", f"{HOME}/{name}") for name in names]
        proxy, token, cache = map(base64.b64decode, told)
        secrets = {**canaries.of_proxy(proxy), **canaries.of_token(token), **canaries.of_ccache(cache)}
        secrets |= {"refresh token": REFRESH_TOKEN.encode(), "password": PASSWORD.encode()}
        assert {"key", "signature"} < set(secrets)
        assert len([name for name in secrets if name.startswith(("session key", "ticket"))]) > 1
        return canaries.pieces(secrets, (proxy, token, cache))

    def command(self, name: str, profile: str) -> list[str]:
        """The command, as alice, with a profile of this name; it writes below her home."""
        self.site.write("submit", f"/home/alice/{name}.yaml", profile)
        words = ["env", "HOME=/home/alice", *ENVIRONMENT, *MORE, "fasthep-validate", "-v"]
        return [*words, "--site", f"/home/alice/{name}.yaml", "--outdir", f"/home/alice/{name}"]

    def kept(self, name: str) -> dict[str, bytes]:
        """What was written on all nodes, with the folder of a run."""
        found: dict[str, bytes] = {}
        for node in NODES:
            text = self.site.output(node, "sh", "-c", KEPT, "sh", name, user="root", timeout=120)
            with tarfile.open(fileobj=io.BytesIO(base64.b64decode(text)), mode="r:") as archive:
                for member in archive:
                    if stream := archive.extractfile(member):
                        found[f"{node}:/{member.name}"] = stream.read()
        return found


@dataclass
class Watch:
    """Looks at processes and jobs of the testbed while it is open.

    Attributes:
        site: the testbed.
        seen: what was seen, without what was seen before.
    """

    site: Site
    seen: set[str] = field(default_factory=set)

    def __enter__(self) -> Self:
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True)
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over.set()
        self._thread.join()

    def texts(self) -> dict[str, bytes]:
        """All that was seen."""
        return {f"process or job {number}": text.encode() for number, text in enumerate(sorted(self.seen))}

    def _look(self) -> None:
        while not self._over.wait(0.7):
            for node in NODES:
                words = ("-f", "worker/hub.py") if node == "submit" else ()
                done = self.site.run(node, "sh", "-c", LOOK, "sh", " ".join(words), user="root")
                self.seen.update(done.stdout.replace("\0", "\n").splitlines())


@pytest.fixture(scope="module")
def servers(testbed: Site) -> Iterator[Servers]:
    """Started on the submit node, ended by the end of their standard input."""
    command = testbed.output("submit", "readlink", "/usr/local/bin/fasthep-validate")
    python = str(Path(command).with_name("python"))
    words = (
        f"--chdir={CHECKOUT}",
        python,
        "-m",
        "tests.servers",
        "/srv/site",
        "submit.testbed",
        "10.77.0.10",
    )
    testbed.output("submit", "rm", "-rf", "/srv/site", user="root")
    child = process.spawn(
        testbed.argv("submit", "env", *words, user="root"),
        env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin"},
        cwd=Path("/"),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    assert child.stdin
    assert child.stdout
    try:
        said = child.stdout.readline().decode().strip()
        assert said == "/srv/site/env", said
        lines = testbed.output("submit", "cat", said).splitlines()
        told = dict(line.removeprefix("export ").replace("'", "").split("=", 1) for line in lines)
        made = Servers(testbed, told["STORAGE"], told["STORAGE_HTTPS"], told["ISSUER"])
        made.make_known()
        yield made
    finally:
        child.communicate(timeout=30)  # closes its standard input


MODULES = """
set -e
place=$(python3 -c 'import site; print(site.getsitepackages()[0])')
mkdir -p "$place" && tar -C "$place" -xf -
"""
# Where it is configured, condor_submit asks for a local token whenever a job wants any credential, so it is not
# there for other tests.
CONFIG = "/etc/condor/config.d/90-issuer.config"
SIGNING = """\
SEC_CREDENTIAL_DIRECTORY_OAUTH = {folder}
LOCAL_CREDMON_PROVIDER_NAME = testbed
LOCAL_CREDMON_KEY_ID = test-key
LOCAL_CREDMON_TOKEN_AUDIENCE = ANY
LOCAL_CREDMON_AUTHZ_TEMPLATE = read:/ write:/
LOCAL_CREDMON_TOKEN_LIFETIME = 3600
LOCAL_CREDMON_PRIVATE_KEY = /srv/site/issuer/signing.key
LOCAL_CREDMON_ISSUER = {issuer}
"""


@pytest.fixture(scope="module")
def token_daemon(servers: Servers) -> Iterator[Servers]:
    """HTCondor's own credmon for OAuth, which signs tokens in the place of the issuer that storage trusts."""
    pytest.importorskip("scitokens", reason="HTCondor's credmon needs it: pip install scitokens six")
    site = servers.site
    with tempfile.TemporaryFile() as packed:
        with tarfile.open(fileobj=packed, mode="w") as archive:
            for name in ("scitokens", "jwt", "six"):
                file = Path(str(import_module(name).__file__))
                path = file.parent if file.name == "__init__.py" else file
                archive.add(path, path.name, filter=lambda info: None if "__pycache__" in info.name else info)
        packed.seek(0)
        subprocess.run(
            site.argv("submit", "sh", "-c", MODULES, user="root"), stdin=packed, check=True, timeout=60
        )
    site.write("submit", CONFIG, SIGNING.format(folder=OAUTH, issuer=servers.issuer), user="root")
    site.output("submit", "sh", "-c", f"install -d -m 2770 -g condor {OAUTH} && condor_reconfig", user="root")
    child = process.spawn(
        site.argv("submit", "/usr/sbin/condor_credmon_oauth", user="root"),
        env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin"},
        cwd=Path("/"),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        ready = f"{OAUTH}/CREDMON_COMPLETE"
        site.output(
            "submit", "timeout", "20", "sh", "-c", f"until [ -e {ready} ]; do sleep 0.2; done", user="root"
        )
        yield servers
    finally:
        undo = f"kill $(cat {OAUTH}/pid); rm -rf {OAUTH} {CONFIG}; condor_reconfig"
        site.run("submit", "sh", "-c", undo, user="root")
        process.kill_group(child)
        child.wait()
