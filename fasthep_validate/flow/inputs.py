"""Input files of a workflow: which of them the workers see, and which have to travel.

A file that every worker sees under the same path, with the same size, is read where it lies. A small one that
they do not see goes with the tasks. Names with a scheme, such as ``root://``, are left to the workers.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fasthep_validate.errors import ConfigError, Problem

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from hepflow.model.plan import ExecutionPlan

LIMIT = 200_000_000  # bytes of one file that travels: it is held in the memory of scheduler and workers


@dataclass(frozen=True)
class Inputs:
    """The local files of a plan.

    Attributes:
        seen: path in the plan -> absolute path, for files that all workers see.
        travel: path in the plan -> the file on the submit host, for those that go with the tasks.
    """

    seen: Mapping[str, str]
    travel: Mapping[str, Path]


def local_files(plan: ExecutionPlan) -> dict[str, Path]:
    """Files of this machine that a plan reads: path in the plan -> absolute path.

    These are the files of its partitions, and those that its stages and resources name.
    """
    root = Path(plan.context.get("project_root") or Path.cwd())
    rows = list(plan.provenance.get("inputs") or [])
    declared = {str(row["resolved"]) for row in rows if row.get("resolved")}
    parameters: list[Any] = [node.params for node in plan.nodes]
    named = declared & set(_texts([*parameters, plan.execution.get("resources")]))
    names = {partition.file for partition in plan.partitions} | named
    local = {name: name.removeprefix("file://") for name in names if _is_local(name)}
    return {name: root / path for name, path in sorted(local.items())}


def remote_files(plan: ExecutionPlan) -> list[str]:
    """Names with a scheme that a plan reads, such as ``root://``."""
    return sorted({partition.file for partition in plan.partitions if not _is_local(partition.file)})


def divide(files: Mapping[str, Path], sizes: Iterable[Mapping[str, int | None]]) -> Inputs:
    """Which files travel.

    Args:
        files: path in the plan -> absolute path on this machine.
        sizes: of every worker, absolute path -> bytes; ``None`` where it has no such file.

    Raises:
        ConfigError: a file is not here either, or is too large to travel.
    """
    workers = list(sizes)
    seen: dict[str, str] = {}
    travel: dict[str, Path] = {}
    problems: list[Problem] = []
    for name, path in files.items():
        here = _size(path)
        there = {worker.get(str(path)) for worker in workers}
        if len(there) == 1 and None not in there and here in (None, *there):
            seen[name] = str(path)
        elif here is None:
            problems.append(Problem(name, f"{path} is not on this machine, nor on every worker"))
        elif here > LIMIT:
            hint = "Put it on a shared filesystem, or on storage that workers can read."
            what = f"the workers do not see it, and {here / 1e6:.0f} MB are too much to travel with tasks"
            problems.append(Problem(name, what, hint))
        else:
            travel[name] = path
    if problems:
        raise ConfigError(*problems)
    return Inputs(seen, travel)


def _size(path: Path) -> int | None:
    return path.stat().st_size if path.is_file() else None


def _is_local(name: str) -> bool:
    return "://" not in name or name.startswith("file://")


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for item in value.values():
            yield from _texts(item)
    elif isinstance(value, list | tuple):
        for item in value:
            yield from _texts(item)
