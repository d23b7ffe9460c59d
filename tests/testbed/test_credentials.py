"""Real credentials on real batch systems: HTCondor's own ways for them, and storage from every worker."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from fasthep_validate import process
from fasthep_validate.models.evidence import WorkerEvidence
from fasthep_validate.models.report import Report
from tests.servers.xrootd import HELLO
from tests.testbed.places import CHECKOUT

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.testbed.fixtures import Site

pytestmark = [pytest.mark.testbed, pytest.mark.slow]
NODES = ("submit", "wn1", "wn2")
HOME = "/home/alice/credentials"
PRODUCER = "_condor_SEC_CREDENTIAL_PRODUCER=/usr/local/lib/testbed/produce-ccache"
ENVIRONMENT = (
    PRODUCER,
    f"X509_USER_PROXY={HOME}/proxy.pem",
    f"KRB5CCNAME=FILE:{HOME}/ccache",
    f"BEARER_TOKEN_FILE={HOME}/token",
)
# Every node knows whom to trust; the submit node alone has alice's credentials.
TRUST = """
set -e
mkdir -p /etc/grid-security && cd /etc/grid-security && base64 -d | tar -xf -
cp kdc/krb5.conf /etc/krb5.conf && cp -r trust/* .
"""
OWN = f"rm -rf {HOME} && cp -r /srv/site/credentials {HOME} && chown -R alice: {HOME} && chmod 700 {HOME}"
# How the credentials come to the jobs.
TRAVEL = {
    "htcondor": {"x509": "x509userproxy", "kerberos": "sendcredential", "token": "transfer"},
    "slurm": {"x509": "transfer", "kerberos": "transfer", "token": "transfer"},
}
JOB = """\
#!/bin/sh
env | grep -E '^(X509_USER_PROXY|KRB5CCNAME)='
stat -c %a "${X509_USER_PROXY:-${KRB5CCNAME#FILE:}}"
XrdSecPROTOCOL=$1 xrdfs "$2" cat "$3"
"""
ENDPOINT = "{name}: {{url: '{url}', credential: {credential}, read: /store/{folder}/hello.txt, write: /store/{folder}}}"


@dataclass(frozen=True)
class Servers:
    """The servers of ``tests.servers`` on the submit node, known to all nodes."""

    site: Site
    storage: str
    https: str

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
        made = Servers(testbed, told["STORAGE"], told["STORAGE_HTTPS"])
        made.make_known()
        yield made
    finally:
        child.communicate(timeout=30)  # closes its standard input


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


def validate(
    servers: Servers, system: str, name: str, profile: str
) -> tuple[Report, dict[str, WorkerEvidence]]:
    """Run the command as alice; its report and the evidence of the workers."""
    site, outdir = servers.site, f"/home/alice/{name}-{system}"
    site.write("submit", f"{outdir}.yaml", profile)
    command = (
        "env",
        "HOME=/home/alice",
        *ENVIRONMENT,
        "fasthep-validate",
        "--site",
        f"{outdir}.yaml",
        "--outdir",
        outdir,
    )
    done = site.run("submit", *command, timeout=200)
    assert "Traceback" not in done.stdout + done.stderr
    latest = f"{outdir}/{name}-{system}/latest"
    assert site.run("submit", "test", "-d", latest).ok, done.stdout + done.stderr
    seen = site.output("submit", "cat", f"{latest}/debug/distributed/results/report.json")
    workers = {
        worker: site.output("submit", "cat", f"{latest}/evidence/{worker}.json")
        for worker in ("default-0", "default-1")
    }
    return Report.model_validate_json(seen), {
        worker: WorkerEvidence.model_validate_json(text) for worker, text in workers.items()
    }


@pytest.mark.parametrize("system", ["htcondor", "slurm"])
def test_storage_from_every_worker(servers: Servers, system: str) -> None:
    report, workers = validate(servers, system, "storage", servers.profile(system))
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
    report, _ = validate(servers, "slurm", "absent", servers.profile("slurm", read="absent.txt"))
    assert report.verdict == "fail"
    failed = {result.id: result.cause for result in report.checks if result.outcome == "fail"}
    assert set(failed) == {"storage.read"}
    assert failed["storage.read"]
    assert failed["storage.read"].id == "FHV-storage-009"
