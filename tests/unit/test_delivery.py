"""Each way in which a credential travels, down to what the batch system and the job script are told."""

from __future__ import annotations

import json
import os
import time
from typing import TYPE_CHECKING

import pytest

from fasthep_validate import dry_run
from fasthep_validate.campaign import load_profile
from fasthep_validate.profiles import parse_overrides
from fasthep_validate.store import new_run
from fasthep_validate.testing import good_pack
from tests.ccache import FORWARDABLE, RENEWABLE, Cache, Entry
from tests.credentials import put
from tests.servers.ca import Authority
from tests.servers.proxies import proxy
from tests.servers.tokens import Issuer

if TYPE_CHECKING:
    from pathlib import Path

NOW = int(time.time())
TGT = Entry("krbtgt/R@R", NOW - 60, NOW + 80_000, NOW + 600_000, FORWARDABLE | RENEWABLE)
SITE = """\
extends: {system}
credentials: {{{kind}: {{need: required, {travel}}}}}
"""
OAUTH = "travel: oauth_services, service: cms, handle: rw, audience: https://se, scopes: ['storage.read:/']"


@pytest.fixture
def purse(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Good credentials of every kind, and the variables that lead to them."""
    monkeypatch.setenv("X509_USER_PROXY", str(put(tmp_path / "proxy", proxy(Authority().user()).proxy_pem())))
    monkeypatch.setenv("KRB5CCNAME", f"FILE:{put(tmp_path / 'cc', Cache('alice@R', (TGT,)).dump())}")
    monkeypatch.setenv("BEARER_TOKEN_FILE", str(put(tmp_path / "token", Issuer(port=1).token())))
    monkeypatch.delenv("BEARER_TOKEN", raising=False)
    return tmp_path


@pytest.mark.parametrize(
    ("system", "kind", "travel", "told", "settings"),
    [
        ("testbed-slurm", "kerberos", "travel: auks", [" --auks=yes "], ["krb5_ccache=env"]),
        ("testbed-slurm", "kerberos", "travel: transfer", [], ["krb5_ccache=krb5cc"]),
        ("testbed-slurm", "kerberos", "travel: none, unset_ccname: true", [], ["krb5_ccache=unset"]),
        ("testbed-slurm", "x509", "travel: shared", [], ["x509_proxy={purse}/proxy"]),
        ("testbed-slurm", "token", "travel: shared", [], ["bearer_token={purse}/token"]),
        (
            "testbed-htcondor",
            "x509",
            "travel: x509userproxy",
            ["x509userproxy = {purse}/proxy"],
            ["x509_proxy=env"],
        ),
        (
            "testbed-htcondor",
            "kerberos",
            "travel: sendcredential",
            ["SendCredential = True"],
            ["krb5_ccache=env"],
        ),
        (
            "testbed-htcondor",
            "token",
            OAUTH,
            [
                "use_oauth_services = cms",
                "cms_oauth_permissions_rw = storage.read:/",
                "cms_oauth_resource_rw = https://se",
            ],
            ["bearer_token=service:cms_rw"],
        ),
    ],
)
def test_what_is_told(
    purse: Path, system: str, kind: str, travel: str, told: list[str], settings: list[str]
) -> None:
    path = purse / "here.yaml"
    path.write_text(SITE.format(system=system, kind=kind, travel=travel))
    site = load_profile(str(path), parse_overrides((), ("config.scheduler_options={interface: lo}",)))
    specs = dry_run.planned(site, good_pack(), new_run(purse / "out", "here"))
    text = dry_run.as_json(specs, site.execution)
    job = json.loads(text)[0]
    told_text = "\n".join(job["submit"].values())
    params = job["texts"]["job.params"].splitlines()
    for line in told:
        assert line.format(purse=purse) in told_text
    for line in [*settings, f"credentials_required={kind}"]:
        assert line.format(purse=purse) in params
    names = {"x509.pem", "krb5cc", "bearer_token"} & set(job["transfer"].values())
    assert names == ({"krb5cc"} if "transfer" in travel else set())
    assert os.environ["KRB5CCNAME"] not in told_text  # a path of this machine
