"""Where nodes and submit host share the home directories: packs, prefixes and the files of jobs by path."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from fasthep_validate import bundled
from fasthep_validate.models.evidence import WorkerEvidence
from tests.testbed import control
from tests.testbed.__main__ import default_prefix
from tests.testbed.fixtures import Site, require_enabled
from tests.testbed.places import Places
from tests.testbed.plan import Plan
from tests.testbed.sites import SYSTEMS

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = [pytest.mark.testbed, pytest.mark.slow]

PREFIX = "/home/alice/prefix"
ARCHIVE = "/home/alice/pack.tar.gz"
IN_PLACE = f"environment={{type: shared-prefix, prefix: {PREFIX}/venv}}"
CASES = {
    "htcondor pack": ["staging.mode=shared"],
    "htcondor prefix": ["staging.mode=shared", IN_PLACE],
    "slurm pack": ["staging.mode=shared"],
    "slurm prefix": ["staging={mode: shared, jobs: transfer}", IN_PLACE],
}


@pytest.fixture(scope="module")
def shared() -> Iterator[Site]:
    """A testbed of its own, with ``/home`` on all nodes."""
    require_enabled()
    places = Places.of_user()
    places = replace(places, run=places.run.with_name(f"{places.run.name}-shared"))
    control.up(places, Plan(shared_home=True, prefix=default_prefix()), print)
    yield Site(places, control.current(places))
    control.down(places)


@pytest.fixture(scope="module")
def prefix(shared: Site) -> str:
    """An environment on the shared filesystem: a pack, unpacked there."""
    home = ("env", "HOME=/home/alice")
    pack = ("fasthep-validate", "pack", "--format", "tar.gz", "--output", ARCHIVE)
    shared.output("submit", *home, *pack, timeout=200)
    relocate = bundled.worker_file("relocate.py")
    unpack = f"mkdir {PREFIX} && tar -xzf {ARCHIVE} -C {PREFIX} && python3 {relocate} {PREFIX}"
    shared.output("submit", "sh", "-c", unpack, timeout=100)
    return PREFIX


@pytest.mark.parametrize("case", CASES)
def test_shared(shared: Site, prefix: str, case: str) -> None:
    batch, _, what = case.partition(" ")
    system = next(system for system in SYSTEMS if system.name == batch)
    options = [word for setting in CASES[case] for word in ("--set", setting)]
    done, seen = system.validate(shared, what, *options)
    assert done.ok, done.stdout + done.stderr
    assert seen.verdict == "pass"
    folder = f"/home/alice/{what}-{system.name}/{system.site}/latest"
    text = shared.output("submit", "cat", f"{folder}/evidence/default-0.json")
    worker = WorkerEvidence.model_validate_json(text)
    assert worker.dask
    assert worker.dask.hostname.startswith("wn")
    assert {log.kind: bool(log.size) for log in worker.logs} == {"out": True, "err": True, "log": True}
    root = worker.dask.provenance.root if worker.dask.provenance else ""
    assert root.startswith(system.scratch if what == "pack" else prefix), root
    job = shared.output("submit", "cat", f"{folder}/jobs/default-0/job.json")
    assert "env.tar.gz" not in job, "the archive does not travel"
    assert shared.output("submit", "sh", "-c", f"ls -d {folder}/fasthep-validate-* 2>/dev/null || true") == ""
