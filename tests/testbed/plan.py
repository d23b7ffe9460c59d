"""What a testbed consists of, from its options alone."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field

from fasthep_validate.models.base import Model

NETWORK = "10.77.0"
DOMAIN = "testbed"
SUBMIT = "submit"

System = Literal["htcondor", "slurm"]


class Node(Model):
    """One machine of the site.

    Attributes:
        name: short name; the host name is :attr:`host`.
        address: of its only interface, ``eth0``.
        role: ``submit`` or ``worker``.
        gpus: how many it pretends to have.
    """

    name: str
    address: str
    role: Literal["submit", "worker"]
    gpus: int = 0

    @property
    def host(self) -> str:
        """Its host name, with the domain."""
        return f"{self.name}.{DOMAIN}"


class Plan(Model):
    """The options of ``up``.

    Attributes:
        systems: batch systems that run.
        workers: number of worker nodes; up to 99, for addresses end in two digits more than ten.
        shared_home: whether all nodes see the same ``/home``.
        prefix: virtualenv of the host with ``fasthep-validate``, seen by the submit node; ``None`` for none.
    """

    systems: tuple[System, ...] = ("htcondor", "slurm")
    workers: int = Field(default=2, ge=2, le=99)
    shared_home: bool = False
    prefix: Path | None = None

    @property
    def nodes(self) -> tuple[Node, ...]:
        """The submit node, then the workers; the first worker has a GPU."""
        submit = Node(name=SUBMIT, address=f"{NETWORK}.10", role="submit")
        return (submit, *map(_worker, range(1, self.workers + 1)))

    @property
    def worker_nodes(self) -> tuple[Node, ...]:
        """The workers alone."""
        return self.nodes[1:]


def _worker(number: int) -> Node:
    return Node(
        name=f"wn{number}", address=f"{NETWORK}.{10 + number}", role="worker", gpus=1 if number == 1 else 0
    )


def hosts(plan: Plan) -> str:
    """``/etc/hosts`` of every node; there is no other name service."""
    lines = ["127.0.0.1 localhost", "::1 localhost", *(f"{n.address} {n.host} {n.name}" for n in plan.nodes)]
    return "\n".join(lines) + "\n"


def slurm_nodes(plan: Plan) -> str:
    """``nodes.conf``, which ``slurm.conf`` includes: 4 cores and 8000 MB are said, not measured."""
    return "".join(
        f"NodeName={node.name} NodeAddr={node.address} CPUs=4 RealMemory=8000"
        f"{f' Gres=gpu:{node.gpus}' if node.gpus else ''} State=UNKNOWN\n"
        for node in plan.worker_nodes
    )
