"""The batch systems of the testbed, as tests of the command see them."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

from fasthep_validate.models.report import Report

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fasthep_validate.process import Completed
    from tests.testbed.fixtures import Site


@dataclass(frozen=True)
class System:
    """A batch system of the testbed.

    Attributes:
        name: its strategy.
        queue: command that prints a line for every job of anybody.
        scratch: where jobs run on the nodes.
        never: what makes a job wait for ever.
        refused: what makes the batch system refuse a job, and its own words for it.
    """

    name: str
    queue: str
    scratch: str
    never: tuple[str, ...]
    refused: tuple[str, str]

    @property
    def site(self) -> str:
        return f"testbed-{self.name}"

    def command(self, outdir: str) -> tuple[str, ...]:
        return ("env", "HOME=/home/alice", "fasthep-validate", "--site", self.site, "--outdir", outdir)

    def validate(self, site: Site, name: str, *options: str) -> tuple[Completed, Report]:
        """Run the command as alice on the submit node and read its report there."""
        outdir = f"/home/alice/{name}-{self.name}"
        done = site.run("submit", *self.command(outdir), *options, timeout=200)
        return done, self.report(site, outdir)

    def report(self, site: Site, outdir: str) -> Report:
        latest = f"{outdir}/{self.site}/latest/debug/distributed/results/report.json"
        return Report.model_validate_json(site.output("submit", "cat", latest))


SYSTEMS = (
    System(
        name="htcondor",
        queue="condor_q -allusers -af ClusterId",
        scratch="/var/lib/condor/execute/",
        never=("resources.default.memory=999 GB",),
        refused=("config.job_extra_directives={requirements: '((('}", "condor_submit refused the job"),
    ),
    System(
        name="slurm",
        queue="squeue --noheader",
        scratch="/tmp/fasthep-validate-",
        never=("config.job_extra_directives=['--hold']",),
        refused=("config.queue=nosuch", "invalid partition specified: nosuch"),
    ),
)


@pytest.fixture(params=SYSTEMS, ids=lambda system: system.name)
def system(request: pytest.FixtureRequest) -> System:
    found: System = request.param
    return found


@pytest.fixture
def nothing_left(testbed: Site, system: System) -> Iterator[None]:
    """After a run no job is queued, and no directory of one is on any node."""
    yield
    wait(testbed, f'test -z "$({system.queue})"')
    for node in testbed.state.nodes:
        wait(testbed, f'test -z "$(ls -d {system.scratch}* /tmp/fasthep-validate-* 2>/dev/null)"', node=node)


def wait(site: Site, condition: str, *, node: str = "submit", timeout: float = 90) -> None:
    deadline = time.monotonic() + timeout
    while not site.run(node, "sh", "-c", condition).ok:
        assert time.monotonic() < deadline, f"never true: {condition}"
        time.sleep(0.5)
