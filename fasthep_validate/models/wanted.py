"""What a pool wants of the batch system, in the words of the site."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from fasthep_validate.models.directive import overlaid, same
from fasthep_validate.models.pool_config import SPELLED
from fasthep_validate.models.spelling import sizes, spelled, times

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from fasthep_validate.models.batch import Batch
    from fasthep_validate.models.block import Execution, Resources
    from fasthep_validate.models.execution import Strategy
    from fasthep_validate.models.pool_config import PoolConfig

GPU_KEYS = ("gpu_type", "gpu_capability", "gpu_memory")


class Limit(NamedTuple):
    """A time limit.

    Attributes:
        seconds: how long the job may run.
        name: the site's name for it; empty where it has none.
    """

    seconds: float
    name: str = ""


class Pool(NamedTuple):
    """A pool as it is written, with what it has from the run and from the site.

    Attributes:
        strategy: strategy of the run.
        batch: the site's batch system.
        config: the pool's configuration, with that of the run.
        resources: what it asks for.
    """

    strategy: Strategy
    batch: Batch
    config: PoolConfig
    resources: Resources

    @property
    def cpus(self) -> int:
        """Cores of a job."""
        return self.resources.cpus or self.config.cores or 1

    @property
    def spool(self) -> bool:
        """Whether jobs are submitted with ``-spool``."""
        return self.batch.spool == "required" or self.config.spool is True

    def limit(self) -> Limit | None:
        """The time limit that is asked for; none where nothing is said, or a name that is not known."""
        times = self.batch.walltime
        default = None if self.queue_is_limit() else times.default
        said = self.config.walltime or default
        if isinstance(said, str):
            return Limit(times.names[said], said) if said in times.names else None
        if said is None:
            return None
        name = times.name(said)
        return Limit(times.names.get(name, said), name)

    def queue_is_limit(self) -> bool:
        """Whether the pool gives a queue, and queues are time limits here."""
        spelling = self.batch.spellings(self.strategy)
        pairs = ((one, other) for one in spelling.get("queue", ()) for other in spelling.get("walltime", ()))
        return self.config.queue is not None and any(same(self.strategy, *pair) for pair in pairs)

    def directives(self) -> dict[str, str]:
        """What the batch system is told: what is asked for, what the site needs, one's own."""
        spelling = self.batch.spellings(self.strategy)
        common = {"cpus": str(self.cpus), "gpus": str(self.resources.gpus or 0)}
        asked = (
            spelled(spelling[key], {**common, **values}) for key, values in self._asked() if key in spelling
        )
        own = (self.config.site_directives or {}, self.config.job_extra_directives or {})
        return overlaid(self.strategy, *asked, *own)

    def _asked(self) -> Iterator[tuple[str, Mapping[str, str]]]:
        resources, gpus = self.resources, self.resources.gpus
        yield "cpus", {"": str(self.cpus)}
        if resources.memory:
            yield "memory", sizes(resources.memory, self.cpus)
        if resources.disk:
            yield "disk", sizes(resources.disk, self.cpus)
        if gpus:
            yield "gpus", {"": str(gpus)}
        if limit := self.limit():
            yield "walltime", times(round(limit.seconds), limit.name)
        for key in SPELLED:
            value = getattr(self.config, key)
            if value is not None and key != "walltime" and (gpus or key not in GPU_KEYS):
                yield key, sizes(value, 1) if key == "gpu_memory" else {"": str(value)}


def pool(execution: Execution, name: str, batch: Batch) -> Pool:
    """A pool of the block, at a site."""
    return Pool(execution.strategy, batch, execution.merged(name), execution.asked(name)[1])
