"""Evidence of a site, an environment and workers that are as they should be."""

from __future__ import annotations

from typing import TYPE_CHECKING, get_args

from fasthep_validate.models.access import Access, Action, ActionName
from fasthep_validate.models.event import PHASES, Event
from fasthep_validate.models.evidence import (
    Clock,
    DaskEvidence,
    Exchange,
    Listener,
    LogFile,
    ModifierRun,
    PeerTransfer,
    Placement,
    SubmitEvidence,
    TlsEndpoint,
    WorkerEvidence,
)
from fasthep_validate.models.execution import (
    EnvironmentSpec,
    ExecutionConfig,
    Modifier,
    Pool,
    Resources,
    SchedulerSpec,
)
from fasthep_validate.models.job import JobStatus
from fasthep_validate.models.packed import Archive, GlibcFloor, PackedEnv, PackManifest, Relocation
from fasthep_validate.models.probe import (
    Activated,
    HostInfo,
    ImportResult,
    Leftovers,
    Limits,
    Lookup,
    NodeProbe,
    Prefix,
    Provenance,
    PythonInfo,
    Scratch,
)
from fasthep_validate.models.profile import SiteProfile
from fasthep_validate.models.storage import Endpoint, Storage
from fasthep_validate.models.workflow import WorkflowSeen

if TYPE_CHECKING:
    from collections.abc import Iterable

NOW = 1_790_000_000.0
WORKERS = ("default-0", "default-1")
DISK = Endpoint(
    url="root://disk.example.org", credential="x509", read="/store/hello", write="/store/user", rename=True
)
DASK = {"dask": "2026.8.0", "distributed": "2026.8.0", "lz4": "4.3.3"}
STACK = {"python": "3.12.4", "msgpack": "1.1.0", **DASK}
VERSIONS = {"numpy": "2.2.0", **DASK}


def good_site() -> SiteProfile:
    """A site with two workers that asks for everything that checks look at."""
    pool = Pool(
        name="default",
        resource_name="default",
        workers=len(WORKERS),
        resources=Resources(cpus=1, memory=2_000_000_000, disk=4_000_000_000),
        memory_limit=1_800_000_000,
        worker_ports=(40000, 40100),
        nanny_ports=(40000, 40100),
        dask_resources={"resource.default": 1.0},
    )
    execution = ExecutionConfig(
        strategy="htcondor",
        pools=(pool,),
        environment=EnvironmentSpec(required_imports=("dask", "distributed")),
        modifiers=(Modifier(name="example.record"),),
        scheduler=SchedulerSpec(host="submit.example.org", port=8786),
        storage=Storage(endpoints={"disk": DISK}),
    )
    return SiteProfile(site="example", source="example.yaml", execution=execution)


def good_pack() -> PackedEnv:
    """A packed virtualenv."""
    manifest = PackManifest(
        type="packed-venv",
        key="0" * 64,
        python="venv/bin/python",
        base_python="base/bin/python3.12",
        site_packages=("venv/lib/python3.12/site-packages",),
        python_version="3.12.4",
        prefix="venv",
        base_prefix="base",
        relocations=(Relocation(old="/home/user/venv", new="venv"),),
        text_files=("venv/bin/dask",),
        glibc=GlibcFloor(version="2.34", needed_by="base/bin/python3.12"),
        machine="x86_64",
        files=5000,
        size=300_000_000,
    )
    return PackedEnv(
        manifest=manifest,
        base=Archive(path="/home/user/.cache/env.tar.gz", sha256="1" * 64, size=100_000_000),
        submit_python="/home/user/venv/bin/python",
        submit_prefix="/home/user/venv",
        cached=False,
        seconds=20.0,
    )


def good_submit() -> SubmitEvidence:
    """A submit host whose scheduler is as it should be."""
    return SubmitEvidence(
        probe=_probe(hostname="submit.example.org", root="/home/user/venv"),
        scheduler_address="tls://submit.example.org:8786",
        client_versions=STACK,
        scheduler_versions=STACK,
        listeners=(_listener("scheduler", "192.0.2.1", 8786),),
        tls=(_endpoint("scheduler", "tls://submit.example.org:8786"),),
        placements=(Placement(label="resource.default", offered_by=WORKERS, asked=2, ran_on=WORKERS),),
    )


def good_worker(worker: str = "default-0", *, among: tuple[str, ...] = WORKERS) -> WorkerEvidence:
    """A worker that came and did everything right.

    Args:
        worker: its id.
        among: all planned workers; it has exchanged data with the others.
    """
    node = f"node-{worker}.example.org"
    return WorkerEvidence(
        worker=worker,
        pool=worker.rpartition("-")[0],
        job=JobStatus(job_id="1.0", state="exited", exit_code=0, node=node),
        events=tuple(_events(worker)),
        probe=_probe(hostname=node, root="/scratch/job/env"),
        dask=_dask(worker, node, [other for other in among if other != worker]),
        logs=(
            _log("out", f"debug/distributed/out/{worker}.out", "hello"),
            _log("err", f"debug/distributed/err/{worker}.err", "Start worker at: tls://192.0.2.10:40000"),
            _log("log", f"debug/distributed/logs/{worker}.log", "000 (1.000.000) Job submitted"),
        ),
    )


def _events(worker: str) -> Iterable[Event]:
    for index, phase in enumerate(PHASES):
        yield Event(worker=worker, phase=phase, state="start", time=NOW + index)
        yield Event(worker=worker, phase=phase, state="end", time=NOW + index + 0.5)


def _probe(*, hostname: str, root: str) -> NodeProbe:
    return NodeProbe(
        activation=Activated(),
        prefix=Prefix(path=root, entries=100, digest="3" * 64),
        host=HostInfo(
            hostname=hostname,
            fqdn=hostname,
            machine="x86_64",
            os="Example Linux 9",
            kernel="5.14.0",
            glibc="2.34",
            uid=1000,
            time=NOW,
        ),
        python=PythonInfo(
            executable=f"{root}/venv/bin/python",
            version="3.12.4",
            implementation="cpython",
            prefix=f"{root}/venv",
            base_prefix=f"{root}/base",
            path=(f"{root}/venv/lib/python3.12/site-packages",),
        ),
        imports=tuple(
            ImportResult(module=name, ok=True, version=VERSIONS[name]) for name in ("dask", "distributed")
        ),
        versions=VERSIONS,
        provenance=Provenance(root=root, modules=500, libraries=40),
        leftovers=Leftovers(scanned=3000, count=5000, size=300_000_000),
        scratch=Scratch(
            path="/scratch/job",
            filesystem="xfs",
            total=100_000_000_000,
            free=50_000_000_000,
            free_inodes=10_000_000,
            noexec=False,
            can_exec=True,
            writable=True,
        ),
        limits=Limits(
            cpus=1,
            cgroup_cpus=1.0,
            memory=64_000_000_000,
            cgroup_memory=2_000_000_000,
            nofile=65536,
            nproc=4096,
            granted_cpus=1,
            granted_memory=2 * 2**30,
        ),
        thread_variables={"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"},
        environment={},
        scheduler_lookup=Lookup(name="submit.example.org", addresses=("192.0.2.1",)),
        storage=(_access("disk", DISK),),
    )


def _access(name: str, endpoint: Endpoint) -> Access:
    done = get_args(ActionName)
    actions = tuple(Action(name=action, ok=True, seconds=0.1) for action in done)
    return Access(
        endpoint=name,
        url=endpoint.url,
        credential=endpoint.credential,
        client="xrdfs of the node",
        actions=actions,
    )


def _dask(worker: str, node: str, others: list[str]) -> DaskEvidence:
    done = Exchange(ok=True, seconds=0.01)
    worker_at, nanny_at = "tls://192.0.2.10:40000", "tls://192.0.2.10:40001"
    return DaskEvidence(
        address=worker_at,
        nanny=nanny_at,
        hostname=node,
        hostname_lookup=Lookup(name=node, addresses=("192.0.2.10",)),
        pid=4242,
        nthreads=1,
        memory_limit=1_800_000_000,
        resources={"resource.default": 1.0},
        versions=STACK,
        provenance=Provenance(root="/scratch/job/env", modules=900, libraries=60),
        first_task=done,
        scheduler_to_worker=done,
        scheduler_to_nanny=done,
        worker_to_scheduler=done,
        peers=tuple(
            PeerTransfer(source=source, target=target, size=1_000_000, ok=True, seconds=0.02)
            for other in others
            for source, target in ((worker, other), (other, worker))
        ),
        listeners=(_listener("worker", "192.0.2.10", 40000), _listener("nanny", "192.0.2.10", 40001)),
        tls=(_endpoint("worker", worker_at), _endpoint("nanny", nanny_at)),
        clock=Clock(offset=0.2, round_trip=0.02),
        modifier_run=ModifierRun(
            modifiers=("example.record",),
            metadata={"example.record": {"calls": 1}},
            result=10,
            expected=10,
            hostname=node,
            pid=4242,
            prefix="/scratch/job/env/venv",
        ),
        workflow=WorkflowSeen(),
    )


def _listener(process: str, ip: str, port: int) -> Listener:
    return Listener(process=process, ip=ip, port=port, loopback=False, answers_plain_http=False)


def _endpoint(process: str, address: str) -> TlsEndpoint:
    return TlsEndpoint(
        process=process,
        address=address,
        version="TLSv1.3",
        cipher="TLS_AES_256_GCM_SHA384",
        refused_without_certificate=True,
        how="certificate required",
    )


def _log(kind: str, path: str, line: str) -> LogFile:
    return LogFile(kind=kind, path=path, size=len(line) + 1, readable=True, tail=(line,))
