"""A FAST-HEP workflow whose input is on a real XRootD server, read by workers with the credential of the profile."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from checks import test_workflow
from fasthep_validate.models.workflow import WorkflowInput, WorkflowNeeds, WorkflowSeen
from fasthep_validate.testing import changed, compute, good_run, good_site, good_worker
from fasthep_validate.worker import workflow
from tests import workflows
from tests.integration.conftest import cache, user

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.integration.conftest import User
    from tests.servers.site import Site

__all__ = ["cache", "user"]
pytestmark = pytest.mark.servers

PROFILE = """\
site: near
extends: local
credentials:
  x509: {need: required, vo: testvo, ca: ship}
"""
EXECUTION = """\
execution:
  backend: dask
  strategy: local
  config: {site: ./site.yaml}
  environment: {type: shared-prefix, prefix: current}
  resources: {default: {cpus: 1, memory: 1 GB}}
  pools: {default: {resources: default, workers: 1}}
"""
RUN = """\
import sys
from hepflow.api import run_workflow_file
where = {"backend": "local", "strategy": "default"} if sys.argv[1] == "local" else {}
print(run_workflow_file("workflow.yaml", outdir=sys.argv[1], chunk_size=1000, **where).backend)
"""


def stored(servers: Site, file: Path) -> str:
    """Put a file on the server; returns its address there."""
    place = servers.storage.data / "store" / "gsi" / file.name
    place.write_bytes(file.read_bytes())
    place.chmod(0o644)
    return f"{servers.storage.url}//store/gsi/{file.name}"


def run(user: User, outdir: str) -> str:
    argv = [sys.executable, "-c", RUN, outdir]
    done = subprocess.run(
        argv, cwd=user.home, env=user.environment(), capture_output=True, text=True, timeout=200, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@pytest.mark.pools
@pytest.mark.slow
def test_remote_files_make_the_same_products(servers: Site, credentials: dict[str, str], user: User) -> None:
    user.env |= credentials
    (user.home / "site.yaml").write_text(PROFILE)
    path = workflows.make(user.home, execution=EXECUTION)
    urls = {name: stored(servers, user.home / f"{name}.root") for name in ("first", "second")}
    for name, url in urls.items():
        path.write_text(path.read_text().replace(f"[{name}.root]", f'["{url}"]'))
        (user.home / f"{name}.root").unlink()
    assert (run(user, "local"), run(user, "ours")) == ("local", "dask")
    expected = workflows.products(user.home / "local")
    assert set(expected) > {"histograms/Spectrum.pkl", "cutflows/Select.json"}
    assert sum(name.endswith(".root") for name in expected) == 2
    assert workflows.products(user.home / "ours") == expected
    done = user.run("--workflow", path, "--check", "workflow")
    assert done.code == 0, done.everything
    seen = {check.id: check.outcome for check in user.report("near").checks}
    assert seen["workflow.inputs-reachable"] == "pass"
    evidence = user.run_folder("near") / "evidence" / "default-0.json"
    assert all(url in evidence.read_text() for url in urls.values())


@pytest.fixture
def deaf() -> Iterator[int]:
    """A port at which nobody listens, nor can begin to."""
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        yield held.getsockname()[1]


@pytest.mark.parametrize(
    ("file", "up", "kept", "cause"),
    [
        ("/store/gsi/gone.root", True, True, "FHV-storage-009"),
        ("/store/krb5/hello.txt", True, True, "FHV-storage-008"),
        ("/store/gsi/hello.txt", True, False, "FHV-credential-010"),
        ("/store/gsi/hello.txt", True, True, "FHV-storage-013"),
        ("/store/gsi/hello.txt", False, True, "FHV-storage-002"),
    ],
    ids=["gone", "not ours", "no credential", "no ROOT file", "server down"],
)
def test_remote_file_that_cannot_be_read_has_its_cause(
    servers: Site,
    credentials: dict[str, str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    deaf: int,
    file: str,
    up: bool,
    kept: bool,
    cause: str,
) -> None:
    nobody = dict.fromkeys(("X509_USER_PROXY", "KRB5CCNAME", "BEARER_TOKEN_FILE"), "FILE:/nowhere")
    for name, value in {**credentials, **({"KRB5CCNAME": "FILE:/nowhere"} if kept else nobody)}.items():
        monkeypatch.setenv(name, value)
    url = f"root://localhost:{servers.storage.port if up else deaf}/{file}"
    needs = WorkflowNeeds(path="w.yaml", partitions=1, inputs=(WorkflowInput(name=url, path=url),))
    seen = WorkflowSeen.model_validate(workflow.look(needs.model_dump(), 60))
    site = good_site().model_copy(update={"workflow": needs})
    made = good_run(tmp_path, site=site, workers=[changed(good_worker(), "dask.workflow", seen)])
    result = compute(test_workflow.test_inputs_reachable, made.workers["default-0"])
    assert (result.outcome, result.cause) == ("fail", cause), result.message
    assert url in result.message
    assert os.linesep not in result.message
