"""From the ``execution:`` block as written to what is to be started: pure, no files, no environment."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fasthep_validate.models import block, execution, wanted
from fasthep_validate.models.batch import Batch
from fasthep_validate.models.credentials import Credentials
from fasthep_validate.models.execution import ExecutionConfig
from fasthep_validate.models.profile import GpuSettings
from fasthep_validate.models.storage import Storage

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from fasthep_validate.models.environment import Environment
    from fasthep_validate.models.execution import ModifierSource, Timeouts
    from fasthep_validate.models.site import Network

ALWAYS_IMPORTED = ("dask", "distributed")
NEEDED_BY = {"gpu.preload": "cupy", "cuda.jit": "numba"}  # the package that a modifier needs


def resolve(
    written: block.Execution,
    *,
    network: Network,
    timeouts: Timeouts,
    credentials: Credentials = Credentials(),  # noqa: B008 - frozen
    storage: Storage = Storage(),  # noqa: B008 - frozen
    node_cache: execution.NodeCache | None = None,
    modifiers: Mapping[str, ModifierSource],
    batch: Batch = Batch(),  # noqa: B008 - frozen
    required_imports: Sequence[str] = (),
    gpu: GpuSettings = GpuSettings(),  # noqa: B008 - frozen
) -> ExecutionConfig:
    """What is to be started, with nothing left to look up.

    ``modifiers`` are the registered ones; every modifier of the block is among them.
    """
    used = tuple(execution.Modifier(name=item.name, params=item.params) for item in written.modifiers or ())
    return ExecutionConfig(
        strategy=written.strategy,
        profiles=written.profiles,
        pools=tuple(_pool(name, written, network, batch) for name in written.pool_table()),
        environment=_environment(written, required_imports),
        staging=_staging(written),
        job_files=_job_files(written),
        modifiers=used,
        modifier_sources=tuple(modifiers[name] for name in sorted(modifiers)),
        scheduler=_scheduler(written, network),
        node_cache=node_cache,
        timeouts=_timeouts(written, timeouts),
        gpu_questions=_gpu_questions(used, gpu),
        credentials=credentials,
        storage=storage,
    )


def _gpu_questions(used: Sequence[execution.Modifier], settings: GpuSettings) -> execution.GpuQuestions:
    """What has to be there on a GPU follows from the modifiers, which come from FAST-HEP or from here."""
    needs = tuple(NEEDED_BY[modifier.name] for modifier in used if modifier.name in NEEDED_BY)
    return execution.GpuQuestions(simulate=settings.simulate, min_free=settings.min_free, needs=needs)


def _pool(name: str, written: block.Execution, network: Network, batch: Batch) -> execution.Pool:
    resource_name, asked = written.asked(name)
    config = written.merged(name)
    pool = wanted.pool(written, name, batch)
    worker_ports = config.worker_port_range or network.worker_ports
    limit = pool.limit()
    return execution.Pool(
        name=name,
        resource_name=resource_name,
        workers=written.workers(name),
        resources=execution.Resources(
            cpus=pool.cpus, memory=asked.memory, disk=asked.disk, gpus=asked.gpus or 0
        ),
        nthreads=config.threads_per_worker or pool.cpus,
        memory_limit=asked.memory or 0 if config.memory_limit is None else config.memory_limit,
        nanny=config.nanny is not False,
        worker_ports=worker_ports,
        nanny_ports=config.nanny_port_range or network.nanny_ports or worker_ports,
        local_directory=config.local_directory,
        worker_extra_args=config.worker_extra_args or (),
        dask_resources=dask_resources(resource_name, asked),
        directives=pool.directives(),
        skip_directives=(*batch.skip_directives, *(config.skip_directives or ())),
        address=config.address(),
        submit_arguments=config.submit_command_extra or (),
        cancel_arguments=config.cancel_command_extra or (),
        spool=pool.spool,
        walltime=limit.seconds if limit else None,
    )


def dask_resources(name: str, asked: block.Resources) -> dict[str, float]:
    """The labels that fasthep-distributed gives a worker, for tasks that require a resource by name."""
    gpus = {} if asked.gpus is None else {"GPU": float(asked.gpus)}
    return {f"resource.{name}": 1.0, **gpus}


def _environment(written: block.Execution, required: Sequence[str]) -> execution.EnvironmentSpec:
    imports = tuple(dict.fromkeys((*ALWAYS_IMPORTED, *required)))
    if written.environment is None:
        return execution.EnvironmentSpec(required_imports=imports)
    return environment_spec(written.environment, imports)


def environment_spec(environment: Environment, imports: Sequence[str]) -> execution.EnvironmentSpec:
    """Which software the workers get; ``imports`` are modules that must be importable there."""
    return execution.EnvironmentSpec(
        type=environment.type,
        mode=environment.way,
        prefix=environment.path,
        manifest=environment.manifest,
        environment=environment.environment or "default",
        lock=environment.lock,
        platform=environment.platform or "",
        archive=environment.archive,
        archive_path=environment.archive_path,
        pixi_pack=environment.pixi_pack,
        code=environment.code,
        code_limit=environment.code_limit,
        required_imports=tuple(imports),
    )


def _staging(written: block.Execution) -> execution.StagingMode:
    if written.staging.mode:
        return written.staging.mode
    shared = written.environment is not None and written.environment.type == "shared-prefix"
    return "shared" if shared else "transfer"


def _job_files(written: block.Execution) -> execution.StagingMode:
    """Only Slurm has two ways; that a prefix is shared says nothing of the run folder, a written mode does."""
    shared = written.strategy == "slurm" and (written.staging.jobs or written.staging.mode) == "shared"
    return "shared" if shared else "transfer"


def _scheduler(written: block.Execution, network: Network) -> execution.SchedulerSpec:
    default = execution.SchedulerSpec(dashboard_port=written.config.dashboard_address)
    given = network.scheduler.model_dump(exclude_none=True)
    given |= written.config.scheduler_options.model_dump(exclude_none=True)
    match given.get("port"):
        case (first, last):
            given |= {"port": first, "last_port": last}
    return default.model_copy(update=given)


def _timeouts(written: block.Execution, timeouts: Timeouts) -> Timeouts:
    config = written.config
    given = {"worker_start": config.worker_start_timeout, "worker_shutdown": config.worker_shutdown_grace}
    return timeouts.model_copy(update={key: value for key, value in given.items() if value is not None})
