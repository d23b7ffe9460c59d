"""Sends the partitions of a plan to the workers of open pools, and takes home what they make."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

import cloudpickle

from fasthep_validate.errors import ConfigError, FasthepValidateError, Problem
from fasthep_validate.flow import inputs, partition
from fasthep_validate.flow.placement import Wishes, place

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from distributed import Client, Future
    from hepflow.model.plan import ExecutionPartition, ExecutionPlan

    from fasthep_validate.cluster import Cluster
    from fasthep_validate.flow.partition import Outcome, Work
    from fasthep_validate.flow.placement import Placement

T = TypeVar("T")
cloudpickle.register_pickle_by_value(partition)


def by_value(function: Callable[..., T]) -> Callable[..., T]:
    """A function that travels with its code: Dask would only name its module, which workers have not."""

    def call(*args: object) -> T:
        return function(*args)

    call.__name__ = function.__name__
    return call


class Farm:
    """The workers of open pools, for one plan."""

    def __init__(self, pools: Cluster, plan: ExecutionPlan) -> None:
        """Raises ``ConfigError`` when the workers cannot run the plan."""
        self._client: Client = pools.client
        self._plan = plan
        _same_software(self._client)
        files = inputs.local_files(plan)
        paths = [str(path) for path in files.values()]
        there = self._client.run(by_value(partition.sizes), paths).values() if files else ()
        self.inputs = inputs.divide(files, there)
        names = list(pools.registered)
        alive = {name.rpartition("-")[0] for name in names}
        self.placement: Placement = place(Wishes.of(plan), pools.execution.pools, alive)
        self._workers = [name for name in names if name.rpartition("-")[0] in self.placement.pools]

    def run(self, work: Work, parts: list[ExecutionPartition | None]) -> Iterator[tuple[int, Outcome]]:
        """Run all partitions; yields index and outcome of each as it is done.

        Raises:
            FasthepValidateError: a partition failed; the others are given up.
        """
        from distributed import as_completed

        client = self._client
        shared = client.scatter(work, hash=False)
        brought = {name: client.scatter(path.read_bytes()) for name, path in self.inputs.travel.items()}
        call = by_value(partition.run)
        wanted = [self._needed(part, brought) for part in parts]
        futures = [
            client.submit(
                call,
                shared,
                part,
                needed,
                key=f"partition-{index}-{part.id if part else 'all'}",
                workers=self._workers,
                resources=dict(self.placement.resources) or None,
                pure=False,
            )
            for index, (part, needed) in enumerate(zip(parts, wanted, strict=True))
        ]
        order = {future.key: index for index, future in enumerate(futures)}
        try:
            for future in as_completed(futures, loop=client.loop):
                index = order[future.key]
                yield index, _outcome(future, parts[index])
                future.release()
        finally:  # workers that hold data would be slow to retire
            client.cancel([*futures, shared, *brought.values()])

    def _needed(
        self, part: ExecutionPartition | None, brought: dict[str, Future[Any]]
    ) -> dict[str, Future[Any]]:
        """Travelling files of a partition: its own and those of stages, not those of other partitions."""
        others = {item.file for item in self._plan.partitions} - ({part.file} if part else set())
        return {name: data for name, data in brought.items() if part is None or name not in others}


def save(outcome: Outcome, folder: Path) -> None:
    """Write the files of a partition below the build directory; each is whole, or is not there."""
    for name, data in outcome["files"].items():
        target = folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        temporary = target.with_name(f".{target.name}.part")
        temporary.write_bytes(data)
        temporary.replace(target)


def _outcome(future: Future[Any], part: ExecutionPartition | None) -> Outcome:
    try:
        outcome: Outcome = future.result()
    except Exception as error:
        where = f"partition {part.id} ({part.file})" if part else "the plan"
        what = " ".join(f"{type(error).__name__}: {error}".split())
        raise FasthepValidateError(f"{where}: it failed on a worker: {what}.") from error
    return outcome


def _same_software(client: Client) -> None:
    here = partition.versions()
    problems: dict[str, Problem] = {}
    for versions in client.run(by_value(partition.versions)).values():
        for name in ("fasthep-flow", *sorted(here)):
            theirs = versions.get(name, "not there")
            if theirs != here[name] and name != "fasthep-validate":
                what = f"{name} is {here[name]} here and {theirs} in the worker environment"
                problems[name] = Problem("workflow", what, "Run it with the environment that is packed.")
    if problems:
        raise ConfigError(*problems.values())


def described(placement: Placement) -> dict[str, Any]:
    """A placement for ``run_summary.yaml``."""
    return {
        "pools": list(placement.pools),
        "resources": dict(placement.resources),
        "note": placement.note,
    }
