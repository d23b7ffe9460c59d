"""What is special about each node, as a folder that the node reads at its start."""

from __future__ import annotations

import secrets
import shutil
from typing import TYPE_CHECKING

from tests.testbed.places import FILES
from tests.testbed.plan import hosts, slurm_nodes
from tests.testbed.software import Software

if TYPE_CHECKING:
    from pathlib import Path

    from tests.testbed.places import Places
    from tests.testbed.plan import Node, Plan

MUNGE_KEY_BYTES = 128


def write(places: Places, plan: Plan, software: Software) -> None:
    """Write the folders of all nodes; ``software`` is the submit node's."""
    texts = {"etc/hosts": hosts(plan), "etc/slurm/nodes.conf": slurm_nodes(plan)}
    munge_key = secrets.token_bytes(MUNGE_KEY_BYTES)
    for node in plan.nodes:
        root = places.spec(node.name) / "root"
        for tree in trees(plan, node):
            shutil.copytree(tree, root, dirs_exist_ok=True)
        for name, text in {**texts, "etc/hostname": f"{node.host}\n"}.items():
            _file(root / name, text.encode())
        _file(root / "etc/munge/munge.key", munge_key)
        (root / "etc/munge/munge.key").chmod(0o400)
        _add(places.spec(node.name), software if node.role == "submit" else Software())


def trees(plan: Plan, node: Node) -> list[Path]:
    """The folders with a node's files, the general ones first."""
    flavours = ["all", node.role]
    if node.gpus:
        flavours.append("gpu")
    if plan.shared_home:
        flavours.append("shared-home")
    found = [FILES / system / flavour for system in plan.systems for flavour in flavours]
    return [tree for tree in found if tree.is_dir()]


def _add(spec: Path, software: Software) -> None:
    (spec / "binds").write_text("".join(f"{path}\n" for path in software.binds))
    for path, target in software.links:
        link = spec / "root" / path.relative_to("/")
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(target)


def _file(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
