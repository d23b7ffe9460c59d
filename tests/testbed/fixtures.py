"""The testbed for tests: the fixture ``testbed``, and the class of what it gives.

Without ``FASTHEP_TESTBED=1`` its tests skip; with it, a testbed that does not come up fails them.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

from fasthep_validate import process
from tests.testbed import control, nodes, state
from tests.testbed.__main__ import default_prefix
from tests.testbed.places import Places
from tests.testbed.plan import Plan

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fasthep_validate.process import Completed

ENABLE = "run as root on Debian: FASTHEP_TESTBED=1 pytest -m testbed"


@dataclass(frozen=True)
class Site:
    """A testbed that is up.

    Attributes:
        places: its directories.
        state: what was up when the test session began.
    """

    places: Places
    state: state.State

    def argv(self, node: str, *command: str, user: str = "alice") -> list[str]:
        """The command line on the host for a command on a node."""
        return nodes.argv_on(self.state.nodes[node], command, user=user)

    def run(
        self, node: str, *command: str, user: str = "alice", timeout: float = 60, input: str | None = None
    ) -> Completed:
        """Run a command on a node, and never raise for what it does."""
        return process.run(self.argv(node, *command, user=user), timeout=timeout, input=input)

    def output(self, node: str, *command: str, user: str = "alice", timeout: float = 60) -> str:
        """What a command that must succeed says, without the last newline."""
        done = self.run(node, *command, user=user, timeout=timeout)
        assert done.ok, f"{' '.join(command)} on {node}: {done}"
        return done.stdout.rstrip("\n")

    def write(self, node: str, path: str, text: str, *, user: str = "alice") -> None:
        """Write a file on a node, as a user; a relative path is in the user's home."""
        done = self.run(node, "tee", path, user=user, input=text)
        assert done.ok, f"{path} on {node}: {done}"


def require_enabled() -> None:
    """Skip unless asked for: it needs root, a minute for the first image, and memory."""
    if os.environ.get("FASTHEP_TESTBED") != "1":
        pytest.skip(f"needs the testbed; {ENABLE}")


@pytest.fixture(scope="session")
def testbed() -> Iterator[Site]:
    """A site with both batch systems and two workers; one that is up already is used, and left."""
    require_enabled()
    places = Places.of_user()
    known = state.read(places)
    ours = known is None or not known.supervisor.alive
    if ours and os.environ.get("PYTEST_XDIST_WORKER"):
        pytest.fail("under pytest-xdist the testbed has to be up before: python -m tests.testbed up")
    if ours:
        control.up(places, Plan(prefix=default_prefix()), print)
    yield Site(places, control.current(places))
    if ours:
        control.down(places)
