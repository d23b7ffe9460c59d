"""The batch systems: how each is started, and what it answers when it is ready."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from fasthep_validate import process
from tests.testbed.errors import Failure
from tests.testbed.nodes import TIMEOUT, argv_on
from tests.testbed.plan import SUBMIT

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from tests.testbed.plan import Plan, System
    from tests.testbed.state import Process

READY_TIMEOUT = 120  # seconds; 5 are usual, but the machine may be busy


@dataclass(frozen=True)
class BatchSystem:
    """What differs between batch systems.

    Attributes:
        query: command on the submit node that lists what has reported there.
        answers: lines that the query has to give, among others.
        logs: files and patterns on any node that tell why it does not.
    """

    query: tuple[str, ...]
    answers: Callable[[Plan], set[str]]
    logs: str


def _htcondor_answers(plan: Plan) -> set[str]:
    return {f"Scheduler {plan.nodes[0].host}", *(f"Machine {node.host}" for node in plan.worker_nodes)}


def _slurm_answers(plan: Plan) -> set[str]:
    return {f"{node.name} idle" for node in plan.worker_nodes}


SYSTEMS: Mapping[System, BatchSystem] = {
    "htcondor": BatchSystem(
        ("condor_status", "-any", "-af", "MyType", "Machine"), _htcondor_answers, "/var/log/condor/*Log"
    ),
    "slurm": BatchSystem(("sinfo", "-h", "-N", "-o", "%n %T"), _slurm_answers, "/var/log/slurm/*.log"),
}


def start(name: System, plan: Plan, nodes: Mapping[str, Process]) -> None:
    """Start a batch system's daemons on all nodes.

    Raises:
        Failure: one did not start.
    """
    for node in plan.nodes:
        argv = argv_on(nodes[node.name], [f"/usr/local/lib/testbed/start-{name}", node.role])
        done = process.run(argv, timeout=TIMEOUT)
        if not done.ok:
            said = last_lines(nodes[node.name], f"/var/log/testbed-{name}.log {SYSTEMS[name].logs}")
            raise Failure(f"{name} on {node.name}: exit code {done.returncode}. {done.stderr}\n{said}")


def wait(name: System, plan: Plan, nodes: Mapping[str, Process]) -> None:
    """Wait until every node has reported to the submit node.

    Raises:
        Failure: one did not in time.
    """
    system, submit = SYSTEMS[name], nodes[SUBMIT]
    expected = system.answers(plan)
    deadline = time.monotonic() + READY_TIMEOUT
    while True:
        done = process.run(argv_on(submit, system.query), timeout=TIMEOUT)
        missing = expected.difference(done.stdout.splitlines())
        if not missing:
            return
        if time.monotonic() > deadline:
            break
        time.sleep(0.2)
    said = "\n".join(f"{node}:\n{last_lines(nodes[node], system.logs)}" for node in nodes)
    raise Failure(
        f"{name}: after {READY_TIMEOUT} s no word of {', '.join(sorted(missing))}. "
        f"{' '.join(system.query)} says: {done.stdout}{done.stderr}\n{said}"
    )


def last_lines(node: Process, logs: str) -> str:
    """The ends of a node's log files; ``logs`` are shell patterns."""
    return process.run(argv_on(node, ["sh", "-c", f"tail -n 8 {logs}"]), timeout=TIMEOUT).stdout
