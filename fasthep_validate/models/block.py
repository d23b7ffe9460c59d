"""FAST-HEP's ``execution:`` block as people write it.

What fasthep-flow 2026.10.1 and fasthep-distributed 2026.10.1 give a meaning to has the same meaning
here; ``docs/reference/execution-differences.md`` lists every place where it has not, with the reason.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any, Self

from pydantic import (
    BeforeValidator,
    Discriminator,
    Field,
    JsonValue,
    Tag,
    WithJsonSchema,
    field_validator,
    model_validator,
)

from fasthep_validate.models.environment import Environment
from fasthep_validate.models.execution import StagingMode, Strategy
from fasthep_validate.models.pool_config import NO_BATCH, OTHERS, SPELLED, Config, PoolConfig
from fasthep_validate.models.written import (
    Count,
    Memory,
    Name,
    Natural,
    Text,
    Written,
    mistake,
    mistakes,
    nearest,
    shown,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fasthep_validate.models.written import Found

BACKENDS = ("dask", "local")
STRATEGIES: Mapping[str, Strategy] = {
    "local": "local",
    "default": "local",
    "htcondor": "htcondor",
    "slurm": "slurm",
}


def _strip(value: object) -> object:
    return value.strip() if isinstance(value, str) else value


def _as_modifier(value: object) -> object:
    return {"name": value} if isinstance(value, str) else value


_MODIFIER_SCHEMA: dict[str, JsonValue] = {
    "anyOf": [
        {"type": "string"},
        {
            "type": "object",
            "properties": {"name": {"type": "string"}, "params": {"type": "object"}},
            "required": ["name"],
            "additionalProperties": False,
        },
    ]
}

Reference = Annotated[Name, BeforeValidator(_strip)]


class Resources(Written):
    """What one worker's job asks for."""

    cpus: Count | None = None
    """Cores; without it ``config.cores``, else 1."""
    memory: Memory | None = None
    """Memory, such as ``2 GB``; a number is bytes."""
    disk: Memory | None = None
    """Scratch space, such as ``10 GB``; a number is bytes."""
    gpus: Natural | None = None
    """GPUs; the workers get the Dask resource ``GPU`` with this number."""


class Pool(Written):
    """Workers of one kind."""

    resources: Annotated[
        Annotated[Reference, Tag("<name>")] | Annotated[Resources, Tag("<inline>")],
        Discriminator(lambda value: "<inline>" if isinstance(value, Mapping | Resources) else "<name>"),
    ]
    """Name of an entry of ``execution.resources``, or the resources themselves."""
    workers: Count | None = None
    """Number of workers."""
    config: PoolConfig = PoolConfig()
    """Settings of these workers; they go before those of ``execution.config``."""


class Staging(Written):
    """How the environment and the files of jobs come to the workers."""

    mode: StagingMode | None = None
    """The environment: ``transfer``: with each job; ``shared``: read from a shared filesystem."""
    jobs: StagingMode | None = None
    """Files and output of Slurm jobs: ``transfer``: by ``sbcast`` and ``srun``; ``shared``: by path, where the run
    folder is on a shared filesystem. Without it as ``mode`` says."""


class Modifier(Written):
    """An execution modifier for all tasks; the name alone says the same as a mapping with ``name``."""

    name: Text
    """Registered name."""
    params: dict[str, JsonValue] = Field(default_factory=dict)
    """Its parameters."""


class Execution(Written):
    """The ``execution:`` block."""

    backend: str = "dask"
    """``dask``; ``local`` is taken as ``dask`` with strategy ``local``."""
    strategy: Annotated[Strategy, WithJsonSchema({"enum": [*STRATEGIES]})] = "local"
    """``local``; ``default`` says the same."""
    profiles: tuple[Text, ...] = ()
    """Names of FAST-HEP profiles, recorded in the results."""
    resources: dict[Name, Resources] = Field(default_factory=dict)
    """What a worker's job asks for, by name."""
    config: Config = Config()
    """Settings of the run and of the workers."""
    pools: dict[Name, Pool] | None = None
    """Pools of workers by name."""
    environment: Environment | None = None
    """Which software the workers get; without it the environment that runs the command is packed."""
    staging: Staging = Staging()
    """How the environment comes to the workers."""
    modifiers: (
        tuple[Annotated[Modifier, BeforeValidator(_as_modifier), WithJsonSchema(_MODIFIER_SCHEMA)], ...]
        | None
    ) = None
    """Execution modifiers for all tasks: names, or mappings with ``name`` and ``params``."""

    @field_validator("backend")
    @classmethod
    def _backend(cls, value: str) -> str:
        name = value.strip() or "local"
        if name not in BACKENDS:
            raise mistake(f"no backend {name!r}", nearest(name, BACKENDS))
        return name

    @field_validator("environment", mode="before")
    @classmethod
    def _environment(cls, value: object) -> object:
        """fasthep-flow takes an empty ``environment`` for none."""
        return None if value == {} else value

    @field_validator("strategy", mode="before")
    @classmethod
    def _strategy(cls, value: Any) -> Any:
        if not isinstance(value, str):
            raise mistake(f"expected text, got {shown(value)}")
        name = value.strip() or "default"
        if name not in STRATEGIES:
            raise mistake(f"no strategy {name!r}", nearest(name, STRATEGIES))
        return STRATEGIES[name]

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        mistakes("Execution", self._mistakes())
        return self

    def pool_table(self) -> dict[str, Pool]:
        """The pools; ``config.workers`` makes a pool ``default`` where there is none, as in fasthep-flow."""
        if not self.pools and self.config.default_workers:
            return {"default": Pool(resources="default")}
        return self.pools or {}

    def workers(self, pool: str) -> int | None:
        """Workers of a pool: for ``default`` those of the configuration go first, as in fasthep-distributed."""
        configured = self.config.default_workers if pool == "default" else None
        return configured or self.pool_table()[pool].workers

    def asked(self, pool: str) -> tuple[str, Resources]:
        """The name and the resources of a pool; resources that are given in the pool go by its name."""
        given = self.pool_table()[pool].resources
        if isinstance(given, Resources):
            return pool, given
        return given, self.resources.get(given, Resources())

    def merged(self, pool: str) -> PoolConfig:
        """The configuration of a pool: its own keys, then those of the run."""
        own = self.pool_table()[pool].config
        return self.config.model_copy(update={key: getattr(own, key) for key in own.model_fields_set})

    def _mistakes(self) -> Iterator[Found]:
        if not self.pool_table():
            hint = "Write 'pools: {default: {resources: default, workers: 2}}' or give --pool default=2."
            yield ("pools",), mistake("no pool, so there is nothing to start", hint)
        for name, pool in (self.pools or {}).items():
            yield from self._pool_mistakes(name, pool)
            yield from self._local_mistakes(("pools", name, "config"), pool.config)
        yield from self._local_mistakes(("config",), self.config)
        if self.config.default_workers and self.pools and "default" not in self.pools:
            yield ("config",), mistake("'workers' is for pool 'default', which is not among the pools")
        names = [modifier.name for modifier in self.modifiers or ()]
        for index, name in enumerate(names):
            if name in names[:index]:
                yield ("modifiers", index), mistake(f"modifier {name!r} is there more than once")
        if self.environment and self.environment.type == "shared-prefix" and self.staging.mode == "transfer":
            hint = "Write 'shared', or pack the environment."
            yield ("staging", "mode"), mistake("a shared-prefix environment is not transferred", hint)
        if self.staging.jobs and self.strategy != "slurm":
            what = f"not supported: strategy {self.strategy!r} brings the files of jobs by its own means"
            yield ("staging", "jobs"), mistake(what, "Leave it out.")

    def _pool_mistakes(self, name: str, pool: Pool) -> Iterator[Found]:
        if self.workers(name) is None:
            error = mistake(
                "no number of workers", "Write 'workers: 1' or more.", needs=("execution", "pools", name)
            )
            yield ("pools", name, "workers"), error
        if isinstance(pool.resources, Resources):
            if name in self.resources:
                hint = f"Write 'resources: {name}' or rename one of them."
                yield (
                    ("pools", name, "resources"),
                    mistake(f"given here and under execution.resources.{name}", hint),
                )
        elif pool.resources not in {*self.resources, *self._implied()}:
            what = f"no entry {pool.resources!r} under execution.resources"
            hint = nearest(pool.resources, self.resources)
            yield (
                ("pools", name, "resources"),
                mistake(what, hint, needs=("execution", "resources", pool.resources)),
            )

    def _local_mistakes(self, place: tuple[str, ...], config: PoolConfig) -> Iterator[Found]:
        for key in (*SPELLED, *OTHERS) if self.strategy == "local" else ():
            if key in config.model_fields_set:
                yield (*place, key), mistake(f"not supported: {NO_BATCH}")

    def _implied(self) -> tuple[str, ...]:
        """fasthep-flow knows an empty ``default`` where no resources are written at all."""
        return () if self.resources else ("default",)
