"""The ``config:`` of the ``execution:`` block and of a pool: a table of keys, their types and meaning."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, ClassVar, Self

from pydantic import BeforeValidator, StrictBool, field_validator, model_validator

from fasthep_validate.models.written import (
    Count,
    Duration,
    Memory,
    Port,
    PortOrPorts,
    Ports,
    PositiveDuration,
    Size,
    Text,
    WallTime,
    Written,
    mistake,
    mistakes,
    shown,
    size,
    written_as,
)

if TYPE_CHECKING:
    from fasthep_validate.models.execution import Strategy

LOOPBACK = ("", "127.0.0.1", "localhost")

NO_BATCH = "it is for a batch system, and strategy 'local' has none"
# Keys that only a batch system has a use for, and those of them that are not directives: key -> strategies.
SPELLED = (
    "walltime", "queue", "account", "accounting_group", "qos", "constraint", "os", "container",
    "gpu_type", "gpu_capability", "gpu_memory",
)  # fmt: skip
SYSTEMS: tuple[Strategy, ...] = ("htcondor", "slurm")
OTHERS: Mapping[str, tuple[Strategy, ...]] = {
    **dict.fromkeys(("site_directives", "job_extra_directives", "skip_directives"), SYSTEMS),
    **dict.fromkeys(("submit_command_extra", "cancel_command_extra"), SYSTEMS),
    **dict.fromkeys(("spool", "schedd", "collector"), ("htcondor",)),
    "clusters": ("slurm",),
}
# Arguments that tell each command of a batch system where the job is, with ``{}`` for the value.
ADDRESSES: Mapping[str, tuple[str, ...]] = {
    "collector": ("-pool", "{}"),
    "schedd": ("-name", "{}"),
    "clusters": ("--clusters={}",),
}
_RUN_WIDE = "it is for the whole run, so it belongs under execution.config"
_DELIVERY = "files that workers write are not delivered; results come back through Dask"

# Arguments of `dask worker` that something else sets; given twice, they would contradict each other.
OWNED_ARGUMENTS = {
    "--nthreads": "threads_per_worker",
    "--memory-limit": "memory_limit",
    "--nanny": "nanny",
    "--no-nanny": "nanny",
    "--worker-port": "worker_port_range",
    "--nanny-port": "nanny_port_range",
    "--local-directory": "local_directory",
    "--resources": "the pool's resources",
    "--name": "the name of the pool",
    "--nworkers": "the pool's workers",
    "--death-timeout": "timeouts.death of the profile",
    "--scheduler-file": "the run itself",
    "--tls-ca-file": "the run itself",
    "--tls-cert": "the run itself",
    "--tls-key": "the run itself",
}


def limit(value: object) -> object:
    """Bytes; ``auto`` and shares of the node's memory are refused, for a job has its own share."""
    if value is None:
        return None
    if value == "auto" or (isinstance(value, float) and 0 < value <= 1):
        raise mistake(
            f"{shown(value)} is not supported: it means a share of the node", "Write bytes: '2 GB'."
        )
    return size(value)


def dashboard_port(value: object) -> object:
    """The port of ``":8787"``, ``"localhost:8787"`` or ``8787``."""
    host, _, port = value.rpartition(":") if isinstance(value, str) else ("", "", value)
    if host not in LOOPBACK:
        raise mistake(
            f"{shown(value)} is not supported: the dashboard listens on loopback", f"Write ':{port}'."
        )
    return port


def number(value: object) -> object:
    """``7.5`` as the text that it is in a directive."""
    return str(value) if isinstance(value, int | float) and not isinstance(value, bool) else value


def as_mapping(value: object) -> object:
    """``["--qos=debug", "-p gpu", "--exclusive"]``, as fasthep-distributed has it for Slurm, as a mapping."""
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        return value
    parts = (re.split(r"\s*=\s*|\s+", item.strip(), maxsplit=1) for item in value)
    return {key: "".join(rest) for key, *rest in parts}


class PoolConfig(Written):
    """Settings of the workers of a pool."""

    refused: ClassVar[Mapping[str, str]] = {
        "partition": "Slurm's partition is the key 'queue'",
        **dict.fromkeys(("output_destination", "output_files", "output_directories"), _DELIVERY),
        "log_directory": "logs are in the run folder, below debug/distributed",
        **dict.fromkeys(("workers", "n_workers"), "the number of workers is the pool's own key 'workers'"),
        **dict.fromkeys(("scheduler", "scheduler_options", "dashboard_address", "processes"), _RUN_WIDE),
        **dict.fromkeys(("worker_start_timeout", "worker_shutdown_grace"), _RUN_WIDE),
        "death_timeout": "it is timeouts.death of the profile",
    }

    cores: Count | None = None
    """Cores where the resources give no ``cpus``."""
    threads_per_worker: Count | None = None
    """Threads of each Dask worker; without it as many as ``cpus``."""
    memory_limit: Annotated[Size | None, BeforeValidator(limit)] = None
    """Dask's memory limit, such as ``2 GB``; 0 for none; without it the job's ``memory``."""
    nanny: StrictBool | None = None
    """Whether a nanny supervises each worker; one does if nothing is said."""
    worker_port_range: Ports | None = None
    """Ports that workers listen on, such as ``"10000:10100"``; goes before ``network.worker_ports``."""
    nanny_port_range: Ports | None = None
    """Ports that nannies listen on; without it, and without ``network.nanny_ports``, those of workers."""
    local_directory: Text | None = None
    """Dask's scratch space, below the job's directory unless absolute."""
    worker_extra_args: tuple[str, ...] | None = None
    """Further arguments for ``dask worker``."""
    walltime: WallTime | None = None
    """How long a job may run: ``2 h``, ``"1:00:00"``, or one of the names that the site has for it."""
    queue: Text | None = None
    """Slurm: the partition. HTCondor: CERN's ``+JobFlavour``, such as ``workday``."""
    account: Text | None = None
    """Slurm: the account that is charged."""
    accounting_group: Text | None = None
    """HTCondor: the accounting group."""
    qos: Text | None = None
    """Slurm: the quality of service."""
    constraint: Text | None = None
    """Slurm: features that a node must have."""
    clusters: Text | None = None
    """Slurm: the cluster, where a site has several; all of Slurm's commands are told (``-M``)."""
    schedd: Text | None = None
    """HTCondor: name of the schedd, if it is not this machine's; all of HTCondor's commands are told (``-name``)."""
    collector: Text | None = None
    """HTCondor: the collector that knows the schedd; all of HTCondor's commands are told (``-pool``)."""
    os: Text | None = None
    """The operating system, where the site has a choice; spelled by ``batch.spelling``."""
    container: Text | None = None
    """Image of the container that the job runs in."""
    gpu_type: Text | None = None
    """Kind of GPU, for pools with GPUs. Slurm: as in ``--gres=gpu:<kind>:1``."""
    gpu_capability: Annotated[Text | None, BeforeValidator(number)] = None
    """Least CUDA compute capability, such as ``7.5``, for pools with GPUs."""
    gpu_memory: Memory | None = None
    """Least memory of each GPU, such as ``20 GB``, for pools with GPUs."""
    spool: StrictBool | None = None
    """HTCondor: submit with ``-spool``: files go to the schedd, and come home by ``condor_transfer_data``."""
    submit_command_extra: tuple[Text, ...] | None = None
    """Further arguments for ``condor_submit`` or ``sbatch``."""
    cancel_command_extra: tuple[Text, ...] | None = None
    """Further arguments for ``condor_rm`` or ``scancel``."""
    site_directives: Annotated[dict[str, str] | None, BeforeValidator(as_mapping)] = None
    """Batch systems: directives that a site needs, such as ``MY.IsDaskWorker: "true"`` or ``--qos: debug``."""
    job_extra_directives: Annotated[dict[str, str] | None, BeforeValidator(as_mapping)] = None
    """Batch systems: directives of your own, as a mapping or a list of ``--key=value``; they go last."""
    skip_directives: tuple[Text, ...] | None = None
    """Batch systems: directives that are left out, by their whole names."""

    def address(self) -> tuple[str, ...]:
        """Arguments that tell each command of the batch system where the job is."""
        given = ((words, getattr(self, key)) for key, words in ADDRESSES.items() if getattr(self, key))
        return tuple(word.replace("{}", value) for words, value in given for word in words)

    @field_validator("worker_extra_args")
    @classmethod
    def _not_owned(cls, value: tuple[str, ...] | None) -> tuple[str, ...] | None:
        names = enumerate(argument.partition("=")[0] for argument in value or ())
        owned = [
            ((index,), mistake(f"{name} is set by {OWNED_ARGUMENTS[name]}", "Leave it out."))
            for index, name in names
            if name in OWNED_ARGUMENTS
        ]
        mistakes(cls.__name__, owned)
        return value


class SchedulerOptions(Written):
    """Where the Dask scheduler listens."""

    refused: ClassVar[Mapping[str, str]] = {
        "protocol": "workers and scheduler always speak TLS",
        "dashboard_address": "it is execution.config.dashboard_address",
    }

    host: Text | None = None
    """Name or address that workers connect to; ``fqdn`` for the full name of the submit host."""
    interface: Text | None = None
    """Network interface of the submit host whose address workers connect to; goes before ``host``."""
    port: PortOrPorts | None = None
    """TCP port; 0 for any free one, ``"8786:8796"`` for the first of these that is free."""


class Config(PoolConfig):
    """Settings of the run, and of the workers of all pools."""

    refused: ClassVar[Mapping[str, str]] = {
        key: reason for key, reason in PoolConfig.refused.items() if reason != _RUN_WIDE
    }

    workers: Count | None = None
    """Workers of pool ``default``; they go before the pool's own."""
    n_workers: Count | None = None
    """The same as ``workers``."""
    processes: bool = True
    """Every worker is a process of its own; only ``true`` is possible."""
    scheduler: str = "distributed"
    """Kind of Dask scheduler; only ``distributed`` has workers of its own."""
    scheduler_options: SchedulerOptions = SchedulerOptions()
    """Where the scheduler listens; goes before ``network.scheduler``."""
    dashboard_address: Annotated[
        Port | None,
        BeforeValidator(dashboard_port),
        written_as("string", "integer", "null", example=":8787"),
    ] = None
    """Port of the scheduler's dashboard, such as ``":8787"``; it listens on loopback alone."""
    worker_start_timeout: PositiveDuration | None = None
    """How long a worker may take to come; goes before ``timeouts.worker_start``."""
    worker_shutdown_grace: Duration | None = None
    """How long a worker may take to go; goes before ``timeouts.worker_shutdown``."""

    @property
    def default_workers(self) -> int | None:
        """Workers of pool ``default``, where the configuration gives them."""
        return self.n_workers or self.workers

    @field_validator("processes")
    @classmethod
    def _processes(cls, value: bool) -> bool:
        if not value:
            raise mistake("false is not supported: every worker is a process of its own", "Leave it out.")
        return value

    @field_validator("scheduler")
    @classmethod
    def _scheduler(cls, value: str) -> str:
        if value != "distributed":
            raise mistake(f"{value!r} is not supported: it has no workers of its own", "Leave it out.")
        return value

    @model_validator(mode="after")
    def _one_number(self) -> Self:
        if self.workers and self.n_workers and self.workers != self.n_workers:
            what = f"says {self.n_workers} and 'workers' says {self.workers}"
            mistakes("Config", [(("n_workers",), mistake(what, "Leave one of them out."))])
        return self
