"""The phase in which the job script puts credentials in place, under three shells."""

from __future__ import annotations

import json
import stat
import tarfile
import time
from typing import TYPE_CHECKING

import pytest

from tests.job_script import SCRIPT
from tests.unit.test_bootstrap import job, port

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.job_script import Ended, Job

__all__ = ["job", "port"]

SHOW = """\
echo "$X509_USER_PROXY|$X509_CERT_DIR|$KRB5CCNAME|$BEARER_TOKEN_FILE|$BEARER_TOKEN" >seen
for file in credentials/*; do echo "$(stat -c %a "$file") $(cat "$file")"; done >files
stat -c %a credentials >folder
"""


def phase(ended: Ended) -> list[tuple[str, str]]:
    return [(event.state, event.code) for event in ended.events if event.phase == "credentials"]


def put(job: Job, name: str, content: str, mode: int = 0o644) -> None:
    (job.directory / name).write_text(content)
    (job.directory / name).chmod(mode)


def seen(job: Job) -> list[str]:
    return (job.directory / "seen").read_text().strip("\n").split("|")


def test_files_are_the_owner_s_alone_and_gone_afterwards(job: Job) -> None:
    put(job, "worker.sh", SHOW)
    for name in ("x509.pem", "krb5cc", "bearer_token"):
        put(job, name, f"secret of {name}")
    job.params |= {
        "x509_proxy": "x509.pem",
        "x509_ca": "/some/folder",
        "krb5_ccache": "krb5cc",
        "bearer_token": "bearer_token",
        "credentials_required": "x509 kerberos token",
    }
    job.env["BEARER_TOKEN"] = "another"
    ended = job.run()
    assert ended.code == 0
    assert phase(ended) == [("start", ""), ("end", "")]
    here = f"{job.directory}/credentials"
    expected = [f"{here}/x509.pem", "/some/folder", f"FILE:{here}/krb5cc", f"{here}/bearer_token", ""]
    assert seen(job) == expected
    assert sorted((job.directory / "files").read_text().splitlines()) == sorted(
        f"600 secret of {name}" for name in ("x509.pem", "krb5cc", "bearer_token")
    )
    assert (job.directory / "folder").read_text() == "700\n"
    assert "secret of" not in ended.out + ended.err
    left = [path.name for path in job.directory.iterdir()]
    assert not {"credentials", "x509.pem", "krb5cc", "bearer_token"} & set(left)


@pytest.mark.parametrize(
    ("settings", "kind", "code"),
    [
        ({"x509_proxy": "x509.pem"}, "x509", "missing"),
        ({"x509_proxy": "/nosuch/proxy"}, "x509", "unreadable"),
        ({"x509_proxy": "env"}, "x509", "not-delivered"),
        ({"krb5_ccache": "krb5cc"}, "kerberos", "missing"),
        ({"krb5_ccache": "env"}, "kerberos", "not-delivered"),
        ({"bearer_token": "bearer_token"}, "token", "missing"),
        ({"bearer_token": "/nosuch/token"}, "token", "unreadable"),
        ({"bearer_token": "service:cms"}, "token", "not-delivered"),
    ],
)
def test_what_is_required_and_missing_is_exit_68(
    job: Job, settings: dict[str, str], kind: str, code: str
) -> None:
    job.params |= settings
    optional = job.run()
    assert optional.code == 7
    assert phase(optional) == [("start", ""), ("end", "")]
    assert f"{kind}: none, " in next(
        event.detail for event in optional.events if event.phase == "credentials" and event.detail
    )
    job.params["credentials_required"] = kind
    (job.directory / "events.jsonl").unlink()
    again = job.run()
    assert again.code == 68
    assert phase(again) == [("start", ""), ("fail", code)]


def test_credentials_of_the_batch_system(job: Job) -> None:
    put(job, "worker.sh", SHOW)
    put(job, "delegated", "proxy")
    put(job, "cms.use", "raw.token", 0o600)
    job.env |= {
        "X509_USER_PROXY": "delegated",
        "KRB5CCNAME": "FILE:/somewhere",
        "_CONDOR_CREDS": str(job.directory),
    }
    job.params |= {"x509_proxy": "env", "krb5_ccache": "env", "bearer_token": "service:cms"}
    assert job.run().code in {0, 1}
    assert seen(job) == [f"{job.directory}/delegated", "", "FILE:/somewhere", f"{job.directory}/cms.use", ""]


def test_the_token_in_a_credmon_s_json_is_taken_out_and_kept_fresh(job: Job) -> None:
    put(job, "worker.sh", SHOW + "exec sleep 30\n")
    put(
        job,
        "cms.use",
        json.dumps({"refresh_token": "r", "access_token": "first.a-b_c.x", "expires_in": 1}, indent=1),
    )
    job.env["_CONDOR_CREDS"] = str(job.directory)
    job.params["bearer_token"] = "service:cms"
    script = job.directory / "quick.sh"
    script.write_text(SCRIPT.read_text().replace("\nKEEP=20 ", "\nKEEP=1 "))
    started = job.start(script)
    raw = job.directory / "credentials" / "bearer_token"
    wait_for(lambda: raw.exists() and raw.read_text().strip() == "first.a-b_c.x")
    assert stat.S_IMODE(raw.stat().st_mode) == 0o600
    put(job, "cms.use", '{"access_token":"second"}')
    wait_for(lambda: raw.read_text().strip() == "second")
    started.terminate()
    ended = job.end(started)
    assert ended.code == 143
    assert not raw.parent.exists()
    assert "first.a" not in ended.err


def wait_for(done: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 10
    while not done():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_a_cache_of_the_submit_host_is_unset(job: Job) -> None:
    put(job, "worker.sh", SHOW)
    job.env["KRB5CCNAME"] = "KCM:1000"
    job.params["krb5_ccache"] = "unset"
    job.run()
    assert seen(job)[2] == ""


def test_shipped_authorities(job: Job) -> None:
    with tarfile.open(job.directory / "authorities.tar.gz", "w:gz") as archive:
        archive.add(__file__, "1234abcd.0")
    put(job, "worker.sh", SHOW + "ls authorities >listed\n")
    job.params |= {"x509_ca": "authorities.tar.gz"}
    job.run()
    assert seen(job)[1] == f"{job.directory}/authorities"
    assert (job.directory / "listed").read_text() == "1234abcd.0\n"
