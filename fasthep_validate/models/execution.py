"""What is to be started: the resolved ``execution:`` block, with nothing left to look up."""

from __future__ import annotations

from pathlib import PurePosixPath
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, JsonValue

from fasthep_validate.models.base import Model
from fasthep_validate.models.credentials import Credentials
from fasthep_validate.models.node import BatchNode
from fasthep_validate.models.packed import ArchiveFormat
from fasthep_validate.models.storage import Storage
from fasthep_validate.models.written import Duration, PositiveDuration, Size, Text, Written, mistake

Strategy = Literal["local", "htcondor", "slurm"]
EnvironmentType = Literal["packed-venv", "packed-pixi", "shared-prefix"]
EnvironmentMode = Literal["prefix", "lock", "archive", "self-extracting", "shared"]
StagingMode = Literal["transfer", "shared"]
CODE_LIMIT = 100_000_000  # bytes
Positive = Annotated[int, Field(gt=0)]


class Resources(Model):
    """What one worker job asks for; ``None`` leaves it to the batch system.

    Attributes:
        cpus: cores of the job.
        memory: memory in bytes.
        disk: scratch in bytes.
        gpus: number of GPUs.
    """

    cpus: int = 1
    memory: int | None = None
    disk: int | None = None
    gpus: int = 0


class Modifier(Model):
    """An execution modifier by its registered name, with its parameters."""

    name: str
    params: dict[str, JsonValue] = {}


class ModifierSource(Model):
    """Where the implementation of a modifier comes from on the worker.

    Attributes:
        name: registered name, such as ``gpu.preload``.
        impl: ``module:Class``.
        source: Python text of ``module`` when it travels with the job; ``None`` when the worker
            environment provides the module.
    """

    name: str
    impl: str
    source: str | None = None


class PixiPackOptions(Written):
    """What pixi-pack is told besides manifest, environment and platform."""

    unpack_source: str | None = None
    """Path or URL of the ``pixi-unpack`` that goes into the archive (``--pixi-unpack-source``)."""
    config: str | None = None
    """File with mirrors and other settings of Rattler (``--config``)."""
    cache: str | None = None
    """Folder for downloaded packages (``--use-cache``)."""
    inject: tuple[str, ...] = ()
    """Conda packages to be added (``--inject``)."""
    auth_file: str | None = None
    """File with credentials of channels (``--auth-file``)."""
    ignore_pypi_non_wheel: bool = False
    """Leave source distributions out instead of refusing them (``--ignore-pypi-non-wheel``)."""


class EnvironmentSpec(Model):
    """Which software the workers get.

    Attributes:
        type: ``packed-venv``, ``packed-pixi`` or ``shared-prefix``.
        mode: where it comes from: an installed ``prefix``, a ``lock`` file, an ``archive``, pixi-pack
            (``self-extracting``); ``shared`` for ``shared-prefix``.
        prefix: absolute path of the environment on the submit host, or ``current`` for the one that
            runs the command (an active Pixi or conda prefix goes first).
        manifest: absolute path of Pixi's manifest, or of the folder with it.
        environment: name of the Pixi environment.
        lock: absolute path of Pixi's lock file; without it the one beside the manifest.
        platform: what workers are, such as ``linux-64``; empty for what this machine is.
        archive: absolute path of an archive that pixi-pack or conda-pack made.
        archive_path: absolute path where pixi-pack's archive goes to; ``None`` for a place in the cache.
        pixi_pack: what pixi-pack is told.
        archive_format: how the pack is to be written; ``None`` for what is best.
        code: absolute paths of folders and files that travel beside it.
        code_limit: bytes that the code layer may have.
        required_imports: modules that must be importable on every worker.
    """

    type: EnvironmentType = "packed-venv"
    mode: EnvironmentMode = "prefix"
    prefix: str = "current"
    manifest: str | None = None
    environment: str = "default"
    lock: str | None = None
    platform: str = ""
    archive: str | None = None
    archive_path: str | None = None
    pixi_pack: PixiPackOptions = PixiPackOptions()
    archive_format: ArchiveFormat | None = None
    code: tuple[str, ...] = ()
    code_limit: int = CODE_LIMIT
    required_imports: tuple[str, ...] = ("dask", "distributed")


class Pool(Model):
    """Workers of one kind on the run's scheduler.

    Attributes:
        name: pool name, such as ``default``.
        resource_name: name of its entry under ``execution.resources``.
        workers: number of workers.
        resources: what each worker's job asks for.
        nthreads: threads of each Dask worker.
        memory_limit: Dask's memory limit in bytes; 0 means none.
        nanny: whether a nanny supervises the worker.
        worker_ports: inclusive range of ports for workers, or ``None`` for any.
        nanny_ports: inclusive range of ports for nannies, or ``None`` for any.
        local_directory: Dask's scratch below the job's own directory, or an absolute path.
        worker_extra_args: further arguments for ``dask worker``.
        dask_resources: Dask resource labels, ``{"GPU": 1}``.
        directives: what the batch system is told for it, in the words of the site.
        skip_directives: directives that are left out, also of those that the strategy adds.
        address: arguments that tell each command of the batch system where the job is.
        submit_arguments: further arguments of the command that submits.
        cancel_arguments: further arguments of the command that removes.
        spool: whether the job's files go to the schedd when it is submitted, and come home from there.
        walltime: seconds that a job may run, where the profile says so.
        nodes: nodes that the workers are pinned to, one each; empty if they may run anywhere.
    """

    name: str
    resource_name: str
    workers: Positive
    resources: Resources
    nthreads: Positive = 1
    memory_limit: int = 0
    nanny: bool = True
    worker_ports: tuple[int, int] | None = None
    nanny_ports: tuple[int, int] | None = None
    local_directory: str | None = None
    worker_extra_args: tuple[str, ...] = ()
    dask_resources: dict[str, float] = {}
    directives: dict[str, str] = {}
    skip_directives: tuple[str, ...] = ()
    address: tuple[str, ...] = ()
    submit_arguments: tuple[str, ...] = ()
    cancel_arguments: tuple[str, ...] = ()
    spool: bool = False
    walltime: float | None = None
    nodes: tuple[BatchNode, ...] = ()

    def worker_ids(self) -> tuple[str, ...]:
        """Planned workers, ``default-0``, ``default-1``, ...; pinned ones are called after their nodes."""
        if self.nodes:
            return tuple(f"{self.name}-{node.name}" for node in self.nodes)
        return tuple(f"{self.name}-{index}" for index in range(self.workers))


class SchedulerSpec(Model):
    """Where the Dask scheduler listens.

    Attributes:
        host: name or address that workers connect to; ``fqdn`` means the submit host's full name.
        interface: network interface whose address it is; goes before ``host``.
        port: TCP port; 0 means any free one.
        last_port: last port of a range that begins with ``port``: the first one that is free is taken.
        dashboard_port: port of the dashboard, on loopback alone; ``None`` means no dashboard.
    """

    host: str = "127.0.0.1"
    interface: str | None = None
    port: int = 0
    last_port: int | None = None
    dashboard_port: int | None = None


class Timeouts(Written):
    """Patience, all in seconds."""

    worker_start: PositiveDuration = 120.0
    """From submission until a worker must have registered."""
    worker_shutdown: Duration = 30.0
    """Time given to a retired worker's job to exit by itself."""
    probe: PositiveDuration = 30.0
    """For one probe on a worker."""
    death: PositiveDuration = 60.0
    """How long a worker without a scheduler lives."""


class GpuQuestions(Model):
    """What the probe asks of the GPUs of a pool.

    Attributes:
        simulate: numba's simulator stands in for them.
        min_free: bytes that must be free on the first.
        needs: packages that the run needs on them.
    """

    simulate: bool = False
    min_free: int = 0
    needs: tuple[str, ...] = ()


def _absolute(value: str) -> str:
    if PurePosixPath(value).is_absolute() and not {"..", "\n"} & {*PurePosixPath(value).parts, *value}:
        return value
    raise mistake(f"expected an absolute path, got {value!r}")


class NodeCache(Written):
    """A place on every worker node where a user's jobs keep the environment for those that come after."""

    path: Annotated[Text, AfterValidator(_absolute)]
    """Directory on a disk of the node that outlives a job, such as ``/scratch``; each user gets a directory in it."""
    limit: Size = 20_000_000_000
    """How much the environments of a user may take; the oldest go first, and none that is in use."""


class ExecutionConfig(Model):
    """The execution system to start; stored as ``execution.json``."""

    backend: Literal["dask"] = "dask"
    strategy: Strategy = "local"
    profiles: tuple[str, ...] = ()
    pools: tuple[Pool, ...]
    environment: EnvironmentSpec = EnvironmentSpec()
    staging: StagingMode = "transfer"
    job_files: StagingMode = "transfer"
    modifiers: tuple[Modifier, ...] = ()
    modifier_sources: tuple[ModifierSource, ...] = ()
    """All that are registered: a stage may name one that is not among ``modifiers``."""
    scheduler: SchedulerSpec = SchedulerSpec()
    node_cache: NodeCache | None = None
    timeouts: Timeouts = Timeouts()
    credentials: Credentials = Credentials()
    storage: Storage = Storage()
    gpu_questions: GpuQuestions = GpuQuestions()

    def worker_ids(self) -> tuple[str, ...]:
        """Planned workers of all pools, in the order of the profile."""
        return tuple(worker for pool in self.pools for worker in pool.worker_ids())
