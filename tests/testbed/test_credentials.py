"""Real credentials on real batch systems: HTCondor's own ways for them, storage from every worker, and no leaks."""

from __future__ import annotations

import hashlib
import signal
import subprocess
import time
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import pytest

from fasthep_validate import process
from fasthep_validate.models.evidence import WorkerEvidence
from fasthep_validate.models.report import Report
from tests.canaries import leaks
from tests.servers.tokens import Issuer
from tests.servers.xrootd import HELLO
from tests.testbed.credential_site import ENVIRONMENT, HOME, PRODUCER, Watch, servers, token_daemon

if TYPE_CHECKING:
    from tests.testbed.credential_site import Servers

__all__ = ["servers", "token_daemon"]

pytestmark = [pytest.mark.testbed, pytest.mark.slow]
SCRIPTS = Path(__file__).parent / "scripts"
JOB = """\
#!/bin/sh
env | grep -E '^(X509_USER_PROXY|KRB5CCNAME)='
stat -c %a "${X509_USER_PROXY:-${KRB5CCNAME#FILE:}}"
XrdSecPROTOCOL=$1 xrdfs "$2" cat "$3"
"""


@pytest.mark.parametrize(
    ("method", "folder", "line"),
    [
        ("gsi", "gsi", f"x509userproxy = {HOME}/proxy.pem"),
        ("krb5", "krb5", "MY.SendCredential = True"),
    ],
)
def test_htcondor_brings_the_credential(servers: Servers, method: str, folder: str, line: str) -> None:
    """By its own ways: the job finds it, for itself alone, and storage takes it."""
    site, place = servers.site, f"/home/alice/brought-{method}"
    site.output("submit", "mkdir", "-p", place)
    site.write("submit", f"{place}/job.sh", JOB)
    arguments = f"{method} {servers.storage} /store/{folder}/hello.txt"
    site.write(
        "submit",
        f"{place}/job.sub",
        f"executable = job.sh\narguments = {arguments}\nshould_transfer_files = YES\n{line}\n"
        "log = job.log\noutput = job.out\nerror = job.err\nqueue\n",
    )
    at = ("env", f"--chdir={place}", f"KRB5CCNAME=FILE:{HOME}/ccache", PRODUCER)
    site.output("submit", *at, "condor_submit", "job.sub")
    site.output("submit", "condor_wait", "-wait", "60", f"{place}/job.log", timeout=70)
    *variables, mode, words = site.output("submit", "cat", f"{place}/job.out").splitlines()
    assert variables
    assert all("/var/lib/condor/execute/" in variable for variable in variables)
    assert mode == "600"
    assert f"{words}\n" == HELLO


def validate(servers: Servers, name: str, profile: str) -> tuple[Report, dict[str, WorkerEvidence]]:
    """Run the command as alice, and look for her secrets in all that it does; its report and the workers' evidence."""
    site = servers.site
    with Watch(site) as watch:
        done = site.run("submit", *servers.command(name, profile), timeout=200)
    assert "Traceback" not in done.stdout + done.stderr
    latest = f"/home/alice/{name}/{name}/latest"
    assert site.run("submit", "test", "-d", latest).ok, done.stdout + done.stderr
    seen = site.output("submit", "cat", f"{latest}/debug/distributed/results/report.json")
    workers = {
        Path(worker).stem: site.output("submit", "cat", f"{latest}/evidence/{worker}")
        for worker in site.output("submit", "ls", f"{latest}/evidence").split()
        if worker.startswith("default-")
    }
    no_leak(servers, name, {**watch.texts(), "said": (done.stdout + done.stderr).encode()})
    return Report.model_validate_json(seen), {
        worker: WorkerEvidence.model_validate_json(text) for worker, text in workers.items()
    }


def no_leak(servers: Servers, name: str, texts: dict[str, bytes]) -> None:
    """Nothing that was seen, and nothing that is on the nodes now, has a piece of a secret in it."""
    kept = servers.kept(name)
    assert any("/evidence/" in path for path in kept) or any(path.endswith(".log") for path in kept)
    told = b"".join(texts.values())
    assert b"ClusterId =" in told or b"JobId=" in told
    assert b"launch.py" in told
    assert leaks(servers.canaries(), {**kept, **texts}) == []


@pytest.mark.parametrize("system", ["htcondor", "slurm"])
def test_storage_from_every_worker(servers: Servers, system: str) -> None:
    report, workers = validate(servers, f"storage-{system}", servers.profile(system))
    storage = {(result.worker, result.id): result for result in report.checks if result.family == "storage"}
    wrong = {
        where: result.message for where, result in storage.items() if result.outcome not in {"pass", "warn"}
    }
    assert not wrong
    assert len(storage) == 8
    assert report.verdict == "pass", report.sentence
    for evidence in workers.values():
        assert evidence.probe
        assert {access.credential for access in evidence.probe.storage or ()} == {"x509", "kerberos", "token"}
        assert all(len(access.actions) == 6 for access in evidence.probe.storage or ())


def test_storage_that_fails_has_a_cause(servers: Servers) -> None:
    """The file of no endpoint is there: the check fails with one cause, the others are blocked or pass."""
    report, _ = validate(servers, "absent-slurm", servers.profile("slurm", read="absent.txt"))
    assert report.verdict == "fail"
    failed = {result.id: result.cause for result in report.checks if result.outcome == "fail"}
    assert set(failed) == {"storage.read"}
    assert failed["storage.read"]
    assert failed["storage.read"].id == "FHV-storage-009"


def test_a_renewed_token_reaches_the_worker(servers: Servers) -> None:
    """It goes through the scheduler, so that the batch system does not matter."""
    site, name = servers.site, "renewed"
    issuer = urlsplit(servers.issuer)
    fresh = Issuer(str(issuer.hostname), port=int(issuer.port or 0)).token(lifetime=timedelta(hours=5))
    profile = (
        "extends: testbed-slurm\nexecution: {pools: {default: {workers: 1}, gpu: null}, modifiers: null}\n"
    )
    site.write("submit", f"/home/alice/{name}.yaml", f"{profile}credentials: {{token: {{need: required}}}}\n")
    site.write("submit", f"{HOME}/token.new", fresh)
    site.output("submit", "chmod", "600", f"{HOME}/token.new")
    site.output("submit", "cp", "-p", f"{HOME}/token", f"{HOME}/token.old")
    site.write("submit", f"/home/alice/{name}.py", (SCRIPTS / "renew.py").read_text())
    python = site.output("submit", "sh", "-c", "head -n 1 $(command -v fasthep-validate)").removeprefix("#!")
    words = (python, f"/home/alice/{name}.py", f"/home/alice/{name}.yaml", f"/home/alice/{name}")
    try:
        told = site.output("submit", "env", "HOME=/home/alice", *ENVIRONMENT, *words, timeout=150)
    finally:
        site.output("submit", "mv", f"{HOME}/token.old", f"{HOME}/token")
    assert told.splitlines()[-1] == f"{hashlib.sha256(fresh.encode()).hexdigest()} 600"


# A job that is told to end has its folder, with its credentials, until it has ended.
JOBS_GONE = """
timeout 60 sh -c 'while ls -d /var/lib/condor/execute/dir_* /tmp/fasthep-validate-* 2>/dev/null | grep -q .
do sleep 0.5; done'
"""


@pytest.mark.parametrize("system", ["htcondor", "slurm"])
def test_a_crash_tells_nothing(servers: Servers, system: str, tmp_path: Path) -> None:
    """The scheduler dies of a signal that leaves a trace while the workers run; no copy is left on any node."""
    site, name = servers.site, f"crash-{system}"
    command = servers.command(name, servers.profile(system))
    said = tmp_path / "said"
    with Watch(site) as watch, said.open("wb") as stream:
        child = process.spawn(
            site.argv("submit", *command),
            env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin"},
            cwd=Path("/"),
            stdin=subprocess.DEVNULL,
            stdout=stream.fileno(),
            stderr=stream.fileno(),
        )
        deadline = time.monotonic() + 90
        while b"default-0 registered ok" not in said.read_bytes():
            assert time.monotonic() < deadline, said.read_text()
            time.sleep(0.2)
        site.output(
            "submit", "pkill", f"-{signal.SIGABRT.name}", "-u", "alice", "-f", "worker/hub.py", user="root"
        )
        assert child.wait(120) not in {0, -signal.SIGABRT}
    for node in site.state.nodes:
        site.output(node, "sh", "-c", JOBS_GONE, user="root", timeout=90)
    no_leak(servers, name, {**watch.texts(), "said": said.read_bytes()})
    for node in site.state.nodes:
        left = "find /tmp /var/lib/condor/execute -name x509.pem -o -name krb5cc -o -name bearer_token"
        assert site.output(node, "sh", "-c", left, user="root") == ""


SCOPES = "read:/ write:/"  # of SciTokens, which is what this credmon signs
OAUTH = """\
extends: testbed-htcondor
execution: {{pools: {{default: {{workers: 1}}}}}}
credentials:
  token:
    {{need: required, travel: oauth_services, service: testbed, issuers: ['{issuer}'], scopes: [{scopes}], audience: {audience}}}
storage:
  endpoints:
    disk: {{url: '{url}', credential: token, read: /store/token/hello.txt, write: /store/token}}
"""


def test_htcondor_gets_the_token(token_daemon: Servers) -> None:
    """A request is stored with credd, HTCondor's credmon signs a token, and the worker reads it out of its JSON."""
    servers, name = token_daemon, "oauth"
    site, audience = servers.site, "ANY"
    scopes = ", ".join(SCOPES.split())
    profile = OAUTH.format(issuer=servers.issuer, url=servers.https, scopes=scopes, audience=audience)
    store = (
        f"echo '{{}}' | /usr/sbin/condor_store_cred add-oauth -s testbed -S '{SCOPES}' -A '{audience}' -i -"
    )
    site.output("submit", "sh", "-c", store)
    report, workers = validate(servers, name, profile)
    assert report.verdict == "pass", report.sentence
    probe = workers["default-0"].probe
    assert probe
    (seen,) = probe.credentials or ()
    assert seen.token
    assert seen.token.issuer == servers.issuer
    assert (seen.mode, Path(seen.place).name) == ("0600", "bearer_token")
    assert "/var/lib/condor/execute/" in seen.place
    assert {access.credential for access in probe.storage or ()} == {"token"}
