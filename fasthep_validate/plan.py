"""From an execution configuration to the jobs that will be submitted; writes files, starts nothing."""

from __future__ import annotations

import json
import socket
from dataclasses import dataclass, field
from itertools import repeat
from typing import TYPE_CHECKING

from fasthep_validate import bundled, interfaces
from fasthep_validate.models.job import JobSpec
from fasthep_validate.store import write_text

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from fasthep_validate.models.execution import ExecutionConfig, NodeCache, Pool, SchedulerSpec
    from fasthep_validate.models.node import BatchNode
    from fasthep_validate.models.packed import PackedEnv, Parts
    from fasthep_validate.store import RunFolder

ARCHIVE, CODE = "env.tar.gz", "code.tar.gz"
SCRIPT = "bootstrap.sh"
PROBE = (
    "probe.py", "probe_code.py", "probe_config.py", "probe_credentials.py", "probe_node.py",
    "probe_der.py", "probe_file.py", "probe_kerberos.py", "probe_token.py", "probe_trust.py", "probe_x509.py",
    "probe_storage.py", "storage_access.py", "storage_clients.py",
    "probe_gpu.py", "probe_cuda.py", "probe_gpu_work.py",
)  # fmt: skip
# Keys of job.params about credentials; an empty value asks for nothing.
CREDENTIALS = ("x509_proxy", "x509_ca", "krb5_ccache", "bearer_token", "credentials_required")
# Files of the package that go with every job, flat into its directory.
SHIPPED = (SCRIPT, "activate.sh", "extract.py", "relocate.py", "node_cache.py", *PROBE, "launch.py")
# Names of glibc's libraries and of the GPU driver's: the node provides them, whatever the pack says.
NODE_LIBRARIES = (
    "ld-linux*.so*", "libc.so.6", "libm.so.6", "libdl.so.2", "libpthread.so.0", "librt.so.1", "libutil.so.1",
    "libresolv.so.2", "libanl.so.1", "libnsl.so.1", "libmvec.so.1", "libnss_*.so*", "libthread_db.so.1",
    "libBrokenLocale.so.1", "libc-*.so", "libm-*.so", "libpthread-*.so", "librt-*.so", "libdl-*.so",
    "libcuda.so*", "libnvidia-*.so*",
)  # fmt: skip


@dataclass(frozen=True)
class Endpoint:
    """The scheduler, as workers reach it.

    Attributes:
        host: name or address.
        port: TCP port; 0 while the scheduler has not been started (``--dry-run``).
    """

    host: str
    port: int

    @property
    def address(self) -> str:
        """``tls://host:port``."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"tls://{host}:{self.port}"


@dataclass(frozen=True)
class Plan:
    """All that the jobs of a run have in common.

    Attributes:
        execution: what is to be started.
        packed: the environment.
        folder: the run folder; files are written to its ``jobs``.
        directives: what the batch system is told for a job of a pool; the name of a node pins it there.
        secrets: files that go with every job and are not shown, path -> name in the job's directory.
        credentials: what the job script puts in place, by the keys of :data:`CREDENTIALS`.
    """

    execution: ExecutionConfig
    packed: PackedEnv
    folder: RunFolder
    directives: Callable[[Pool, str], dict[str, str]]
    secrets: Mapping[Path, str]
    credentials: Mapping[str, str] = field(default_factory=lambda: dict.fromkeys(CREDENTIALS, ""))

    def jobs(self, scheduler: Endpoint) -> tuple[JobSpec, ...]:
        """Write the files of every job and describe it."""
        return tuple(
            self.job(pool, worker, scheduler, node)
            for pool in self.execution.pools
            for worker, node in zip(pool.worker_ids(), pool.nodes or repeat(None), strict=False)
        )

    def job(self, pool: Pool, worker: str, scheduler: Endpoint, node: BatchNode | None = None) -> JobSpec:
        """Write the files of one worker's job and describe it; ``node`` pins it there."""
        home = self.folder.jobs / worker
        home.mkdir(parents=True, exist_ok=True)
        texts = {
            "job.params": self._params(pool, worker, scheduler),
            "worker.args": "\n".join(worker_arguments(pool, worker, scheduler, self.execution)) + "\n",
            **(self._modifiers() if pool.resources.gpus else {}),
            "probe.json.in": json.dumps(self._probe(pool, scheduler), indent=2) + "\n",
            "dask.yaml": dask_settings(),
        }
        for name, text in texts.items():
            write_text(home / name, text)
        return JobSpec(
            worker=worker,
            pool=pool.name,
            executable=str(bundled.worker_file(SCRIPT)),
            arguments=("job.params",),
            directives=self.directives(pool, node.name if node else ""),
            transfer=self._transfer(home, tuple(texts)),
            out=str(self.folder.log("out", worker)),
            err=str(self.folder.log("err", worker)),
            log=str(self.folder.log("log", worker)),
            address=pool.address,
            submit_arguments=(*(["-spool"] if pool.spool else []), *pool.submit_arguments),
            cancel_arguments=pool.cancel_arguments,
            node=node,
        )

    def _transfer(self, home: Path, names: Sequence[str]) -> dict[str, str]:
        files = {str(bundled.worker_file(name)): name for name in SHIPPED}
        files |= {str(home / name): name for name in names}
        if self.packed.base and self.execution.staging == "transfer":
            files[self.packed.base.path] = ARCHIVE
        if self.packed.code:
            files[self.packed.code.archive.path] = CODE
        return files | {str(path): name for path, name in self.secrets.items()}

    def _params(self, pool: Pool, worker: str, scheduler: Endpoint) -> str:
        """``key=value`` lines for ``bootstrap.sh``; values are taken literally."""
        packed, manifest = self.packed, self.packed.manifest
        base, code = packed.base, packed.code
        shipped = base is not None
        # Staged on a shared filesystem, the archive is read where it lies.
        archive = base.path if base and self.execution.staging == "shared" else ARCHIVE
        values = {
            "worker": worker,
            "archive": archive if shipped else "",
            "sha256": base.sha256 if base else "",
            "archive_size": base.size if base else 0,
            "tree_size": manifest.size,
            **parts(base.parts if base else None),
            "key": manifest.key,
            **node_cache(self.execution.node_cache),
            "code": CODE if code else "",
            "code_sha256": code.archive.sha256 if code else "",
            "code_size": code.archive.size if code else 0,
            "root": "env" if shipped else packed.submit_prefix,
            "python": manifest.python if shipped else packed.submit_python,
            "base_python": manifest.base_python if shipped else packed.submit_python,
            "scheduler_host": scheduler.host,
            "scheduler_port": scheduler.port,
            "nthreads": pool.nthreads,
            "start_timeout": round(min(20.0, self.execution.timeouts.worker_start)),
            "remove_directory": "yes" if self.execution.strategy == "local" else "no",
            **self.credentials,
        }
        return "".join(f"{key}={value}\n" for key, value in values.items())

    def _modifiers(self) -> dict[str, str]:
        """Modules of our own modifiers, which the probe tries on a GPU: file name -> text."""
        sources = {source.name: source for source in self.execution.modifier_sources}
        tried = (sources[name] for name in ("gpu.preload", "cuda.jit") if name in sources)
        texts = {f"{source.impl.partition(':')[0]}.py": source.source for source in tried if source.source}
        return {**texts, "modified.py": bundled.worker_file("modified.py").read_text(encoding="utf-8")}

    def _probe(self, pool: Pool, scheduler: Endpoint) -> dict[str, object]:
        manifest, gpu = self.packed.manifest, self.execution.gpu_questions
        return {
            "root": "env" if self.packed.base else self.packed.submit_prefix,
            "code": "code" if self.packed.code else "",
            "activation_variables": self.packed.activation.variables,
            "relocations": [relocation.old for relocation in manifest.relocations],
            "text_files": manifest.text_files,
            "required_imports": self.execution.environment.required_imports,
            "scheduler_host": scheduler.host,
            "node_libraries": NODE_LIBRARIES,
            "scratch": ".",
            "timeout": self.execution.timeouts.probe,
            "credentials": self.execution.credentials.wanted,
            "storage": self._storage(),
            "storage_timeout": self.execution.storage.timeout,
            "gpus": pool.resources.gpus,
            "gpu_simulate": gpu.simulate,
            "gpu_min_free": gpu.min_free,
            "gpu_needs": gpu.needs,
        }

    def _storage(self) -> list[dict[str, object]]:
        return [
            {"name": name, **endpoint.model_dump(mode="json")}
            for name, endpoint in self.execution.storage.endpoints.items()
        ]


def parts(found: Parts | None) -> dict[str, str | int]:
    """Where the parts of the archive are that its own Python extracts; sizes of 0 where ``tar`` extracts the whole."""
    if found is None:
        return {"head_size": 0, "head_sha256": "", "index_size": 0, "index_sha256": ""}
    return found.model_dump()


def node_cache(found: NodeCache | None) -> dict[str, str | int]:
    """Where jobs of a node share the environment; an empty path for nowhere."""
    return {
        "node_cache": found.path.rstrip("/") if found else "",
        "node_cache_limit": found.limit if found else 0,
    }


def worker_arguments(pool: Pool, worker: str, scheduler: Endpoint, execution: ExecutionConfig) -> list[str]:
    """Arguments of ``dask worker``, one a line in ``worker.args``; paths only, never a secret."""
    arguments = [
        scheduler.address,
        "--tls-ca-file", "ca.pem", "--tls-cert", "worker.pem", "--tls-key", "worker.key",
        "--name", worker,
        "--nworkers", "1",
        "--nthreads", str(pool.nthreads),
        "--memory-limit", str(pool.memory_limit),
        "--nanny" if pool.nanny else "--no-nanny",
        "--no-dashboard", "--dashboard-address", "127.0.0.1:0",
        "--death-timeout", f"{execution.timeouts.death:g}",
        "--local-directory", pool.local_directory or "dask-scratch",
    ]  # fmt: skip
    if pool.dask_resources:
        labels = (f"{name}={amount:.15g}" for name, amount in sorted(pool.dask_resources.items()))
        arguments += ["--resources", ",".join(labels)]
    if pool.worker_ports:
        arguments += ["--worker-port", _ports(pool.worker_ports)]
    if pool.nanny and pool.nanny_ports:
        arguments += ["--nanny-port", _ports(pool.nanny_ports)]
    return [*arguments, *pool.worker_extra_args]


def _ports(ports: tuple[int, int]) -> str:
    return ":".join(str(port) for port in ports)


def scheduler_host(scheduler: SchedulerSpec) -> str:
    """Host to listen at: the address of an interface, or ``fqdn`` for the full name of this machine.

    Raises:
        ConfigError: there is no such interface, or it has no address.
    """
    if scheduler.interface:
        return interfaces.address(scheduler.interface)
    return socket.getfqdn() if scheduler.host == "fqdn" else scheduler.host


def dask_settings(scratch: str = "dask-scratch", *, dashboard: bool = False) -> str:
    """Dask settings of scheduler and workers (JSON, which is YAML); nothing of the user's own is added.

    Args:
        scratch: Dask's directory for temporary files.
        dashboard: whether the scheduler has one.

    Dask's HTTP servers stay plain even under TLS, so they get no routes; with a dashboard the scheduler's
    keeps its own, on loopback. NVML's start-up aborts workers on nodes whose driver and library differ, and
    no check of ours uses Dask's GPU metrics.
    """
    closed: dict[str, object] = {"http": {"routes": []}}
    settings = {
        "temporary-directory": scratch,
        "distributed": {
            "comm": {"require-encryption": True, "timeouts": {"connect": "15s", "tcp": "60s"}},
            "scheduler": {"allowed-failures": 0, **({} if dashboard else closed)},
            "worker": closed,
            "diagnostics": {"nvml": False},
        },
    }
    return json.dumps(settings, indent=2) + "\n"
