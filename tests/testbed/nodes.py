"""Nodes: how they are started, and how a command runs on one.

The hub is a set of namespaces that the nodes share: processes, mounts, a network with one bridge. A node has namespaces
of its own inside the hub's. The kernel ends whatever is in a namespace of processes with its first process, and the
hub's first process has asked to end with the supervisor: so nothing can outlive the supervisor, however it ends.
"""

from __future__ import annotations

import os
import subprocess
import time
from pathlib import Path
from typing import TYPE_CHECKING

from fasthep_validate import process
from tests.testbed import host, state
from tests.testbed.errors import Failure
from tests.testbed.places import FILES
from tests.testbed.state import Process

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tests.testbed.places import Places
    from tests.testbed.plan import Node

TIMEOUT = 30  # seconds for a step that takes a fraction of one
END_WITH_PARENT = ("setpriv", "--pdeathsig", "KILL")
NAMESPACES = ("--fork", "--kill-child=KILL", "--propagation", "private")


def start_hub(places: Places, image: Path) -> Process:
    """Start what the nodes share.

    Raises:
        Failure: it did not start.
    """
    places.filesystems.mkdir()
    argv = [*END_WITH_PARENT, "unshare", "--mount", "--net", "--pid", *NAMESPACES]
    argv += ["sh", str(FILES / "hub.sh"), str(image), str(places.filesystems)]
    return _start(places, "hub", argv, generation=1, becomes="sleep")


def start_node(places: Places, hub: Process, node: Node, *, shared_home: bool) -> Process:
    """Start a node and connect it to the others.

    Raises:
        Failure: it did not start.
    """
    argv = [*END_WITH_PARENT, *_enter(hub, "--mount", "--net", "--pid"), "unshare"]
    argv += ["--mount", "--uts", "--ipc", "--pid", "--net", *NAMESPACES, "sh", str(FILES / "node.sh")]
    argv += [node.host, node.role, str(node.gpus), "shared" if shared_home else "own"]
    argv += [str(places.filesystems), str(places.spec(node.name))]
    first = _start(places, node.name, argv, generation=2, becomes="tini")
    _connect(hub, node, first)
    return first


def argv_on(node: Process, command: Sequence[str], *, user: str = "root") -> list[str]:
    """The command line that runs a command on a node, as a user who has just logged in."""
    home = "/root" if user == "root" else f"/home/{user}"
    login = ["setpriv", "--reuid", user, "--regid", user, "--init-groups", "--reset-env"]
    inside = _enter(node, "--mount", "--uts", "--ipc", "--net", "--pid", "--root", "--wd")
    return [*inside, *login, "env", f"--chdir={home}", "LANG=C.UTF-8", *command]


def _enter(first: Process, *namespaces: str) -> list[str]:
    return ["nsenter", "--target", str(first.pid), *namespaces, "--"]


def _start(places: Places, name: str, argv: Sequence[str], *, generation: int, becomes: str) -> Process:
    """Start the first process of a namespace, a descendant of the one that we start, and wait until it is set up."""
    with places.log(name).open("w") as log:
        child = process.spawn(
            argv,
            env={**os.environ, "PATH": host.search_path()},
            cwd=Path("/"),
            stdin=subprocess.DEVNULL,
            stdout=log.fileno(),
            stderr=subprocess.STDOUT,
        )
    deadline = time.monotonic() + TIMEOUT
    while child.poll() is None and time.monotonic() < deadline:
        first = _descendant(child.pid, generation)
        if first is not None and _name(first) == becomes:
            return Process.of(first)
        time.sleep(0.01)
    said = places.log(name).read_text().strip() or "it said nothing"
    raise Failure(f"{name}: did not start within {TIMEOUT} s; the last lines are:\n{said}")


def _descendant(pid: int | None, generation: int) -> int | None:
    for _ in range(generation):
        pid = state.child(pid) if pid is not None else None
    return pid


def _name(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/comm").read_text().strip()
    except OSError:
        return ""


def _connect(hub: Process, node: Node, first: Process) -> None:
    """Give a node its interface, by a cable to the hub's bridge; no route leads further."""
    at_hub, at_node = _enter(hub, "--net"), _enter(first, "--net")
    ends = ["type", "veth", "peer", "name", "eth0", "netns", str(first.pid)]
    for argv in (
        [*at_hub, "ip", "link", "add", node.name, *ends],
        [*at_hub, "ip", "link", "set", node.name, "master", "br0", "up"],
        [*at_node, "ip", "address", "add", f"{node.address}/24", "dev", "eth0"],
        [*at_node, "ip", "link", "set", "eth0", "up"],
        [*at_node, "ip", "link", "set", "lo", "up"],
    ):
        done = process.run(argv, timeout=TIMEOUT, env={**os.environ, "PATH": host.search_path()})
        if not done.ok:
            raise Failure(f"{node.name}: {' '.join(argv)}: {done.stderr.strip()}")
