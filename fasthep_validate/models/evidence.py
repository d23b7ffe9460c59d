"""What was seen, before anybody judges it.

``probe.py`` fills :class:`NodeProbe` on a node, before the Dask worker starts and once on the submit
host as the baseline. The gathering client fills :class:`DaskEvidence` through the running workers.
"""

from __future__ import annotations

from pydantic import JsonValue

from fasthep_validate.models.base import Model
from fasthep_validate.models.event import Event
from fasthep_validate.models.job import JobStatus


class HostInfo(Model):
    """The machine and the user.

    Attributes:
        hostname: as ``uname -n`` has it.
        fqdn: full name as the machine itself resolves it.
        machine: ``uname -m``.
        os: ``PRETTY_NAME`` of ``/etc/os-release``, empty if there is none.
        kernel: ``uname -r``.
        glibc: version of the C library, empty if it is not glibc.
        uid: numeric user id.
        time: seconds since 1970 when the probe ran.
    """

    hostname: str
    fqdn: str
    machine: str
    os: str
    kernel: str
    glibc: str
    uid: int
    time: float


class PythonInfo(Model):
    """The interpreter under test."""

    executable: str
    version: str
    implementation: str
    prefix: str
    base_prefix: str
    path: tuple[str, ...]


class ImportResult(Model):
    """One attempt to import a module.

    Attributes:
        module: its name.
        ok: whether it could be imported.
        file: where it came from, empty for a built-in or a failure.
        version: its ``__version__`` or that of its distribution; empty if there is none.
        error: last line of the traceback.
        seconds: time the import took.
    """

    module: str
    ok: bool
    file: str = ""
    version: str = ""
    error: str = ""
    seconds: float = 0.0


class OutsideFile(Model):
    """A module or a shared library that did not come out of the pack.

    Attributes:
        path: absolute path on the node.
        kind: ``module`` or ``library``.
    """

    path: str
    kind: str


class Provenance(Model):
    """Where the code in a Python process came from.

    Attributes:
        root: absolute path of the extracted tree (the prefix for ``shared-prefix``).
        modules: number of modules with a file.
        libraries: number of mapped shared libraries.
        outside: those from outside the tree, the node's own libraries (glibc, GPU driver) aside.
    """

    root: str
    modules: int
    libraries: int
    outside: tuple[OutsideFile, ...] = ()


class Leftovers(Model):
    """What relocation left undone.

    Attributes:
        scanned: number of files that were read.
        files: paths below the tree that still hold a path of the submit host.
        missing: files of the pack's list that are not there.
        count: number of files and links in the extracted tree.
        size: sum of their sizes in bytes.
    """

    scanned: int
    files: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()
    count: int
    size: int


class Scratch(Model):
    """The job's directory.

    Attributes:
        path: absolute path.
        filesystem: type, such as ``ext4``.
        total: size of the filesystem in bytes.
        free: bytes that the user may still write.
        free_inodes: inodes left; 0 where the filesystem does not count them.
        noexec: mounted ``noexec``.
        can_exec: a program written there could be started.
        writable: a file could be written, synced and read back.
    """

    path: str
    filesystem: str
    total: int
    free: int
    free_inodes: int
    noexec: bool
    can_exec: bool
    writable: bool


class Limits(Model):
    """Limits of the job's process; ``None`` means unlimited or not known.

    Attributes:
        cpus: cores that the process may run on (affinity).
        cgroup_cpus: cores by the cgroup's quota.
        memory: memory of the node in bytes.
        cgroup_memory: limit of the job's cgroup in bytes, the smallest up the tree.
        nofile: soft limit of open files.
        nproc: soft limit of processes.
        stack: soft limit of the stack in bytes.
        address_space: soft limit of virtual memory in bytes.
        file_size: soft limit of a file in bytes.
    """

    cpus: int
    cgroup_cpus: float | None = None
    memory: int | None = None
    cgroup_memory: int | None = None
    nofile: int | None = None
    nproc: int | None = None
    stack: int | None = None
    address_space: int | None = None
    file_size: int | None = None


class Lookup(Model):
    """A name resolved.

    Attributes:
        name: what was asked for.
        addresses: what came back.
        error: why nothing did.
        seconds: time it took.
    """

    name: str
    addresses: tuple[str, ...] = ()
    error: str = ""
    seconds: float = 0.0


class NodeProbe(Model):
    """Everything ``probe.py`` saw of a node with the Python under test.

    Attributes:
        versions: distribution -> version of everything installed in the environment.
        thread_variables: ``OMP_NUM_THREADS`` and its like, those that are set.
        environment: variables of the allow-list, no others.
        problems: probe -> why it gave nothing (``timed out after 30 s``, an error).
    """

    host: HostInfo | None = None
    python: PythonInfo | None = None
    imports: tuple[ImportResult, ...] | None = None
    versions: dict[str, str] | None = None
    provenance: Provenance | None = None
    leftovers: Leftovers | None = None
    scratch: Scratch | None = None
    limits: Limits | None = None
    thread_variables: dict[str, str] | None = None
    environment: dict[str, str] | None = None
    scheduler_lookup: Lookup | None = None
    problems: dict[str, str] = {}


class Exchange(Model):
    """One round trip.

    Attributes:
        ok: whether the answer came and was right.
        seconds: time it took.
        error: what went wrong.
    """

    ok: bool
    seconds: float = 0.0
    error: str = ""


class PeerTransfer(Model):
    """Data moved between two workers.

    Attributes:
        source: worker that held the data.
        target: worker that fetched it.
        size: bytes.
        ok: whether the data came and was equal.
        seconds: time it took.
        error: what went wrong.
    """

    source: str
    target: str
    size: int
    ok: bool
    seconds: float = 0.0
    error: str = ""


class Listener(Model):
    """A listening TCP socket of the Dask worker or its nanny.

    Attributes:
        process: ``worker``, ``nanny`` or ``scheduler``.
        ip: address it is bound to.
        port: its port.
        loopback: whether only the same machine can reach it.
        answers_plain_http: whether it answered an HTTP request without TLS with anything but 404;
            ``None`` if not asked.
    """

    process: str
    ip: str
    port: int
    loopback: bool
    answers_plain_http: bool | None = None


class TlsEndpoint(Model):
    """What a Dask port does with a peer.

    Attributes:
        process: ``scheduler``, ``worker`` or ``nanny``.
        address: ``tls://host:port``.
        version: protocol agreed on with the run's certificate, such as ``TLSv1.3``.
        cipher: cipher agreed on.
        refused_without_certificate: whether a peer without a certificate was turned away.
        how: the words it was turned away with, or what it got instead.
        error: why the question could not be put.
    """

    process: str
    address: str
    version: str = ""
    cipher: str = ""
    refused_without_certificate: bool = False
    how: str = ""
    error: str = ""


class Clock(Model):
    """The worker's clock against the submit host's.

    Attributes:
        offset: worker minus submit host in seconds, at the middle of the round trip.
        round_trip: seconds; half of it is the uncertainty of ``offset``.
    """

    offset: float
    round_trip: float


class ModifierRun(Model):
    """What the modifiers did around one task on a worker.

    Attributes:
        modifiers: names, in the order in which they ran.
        metadata: what they recorded in ``execution_modifier_metadata``.
        result: what the task returned.
        expected: what it had to return.
        hostname: where it ran.
        pid: process it ran in.
        prefix: ``sys.prefix`` of that process.
        error: last line of the traceback.
    """

    modifiers: tuple[str, ...]
    metadata: dict[str, JsonValue] = {}
    result: JsonValue = None
    expected: JsonValue = None
    hostname: str = ""
    pid: int = 0
    prefix: str = ""
    error: str = ""


class DaskEvidence(Model):
    """What was seen of a worker through Dask.

    Attributes:
        address: contact address of the worker.
        nanny: contact address of its nanny, ``None`` without one.
        hostname: name of the node as the worker has it.
        hostname_lookup: that name resolved on the submit host.
        pid: process id of the worker.
        nthreads: its threads.
        memory_limit: its limit in bytes, 0 for none.
        resources: its Dask resource labels.
        versions: ``dask``, ``distributed``, ``msgpack``, compressors, ... in the worker process.
        provenance: where its code came from, after the imports that a run needs.
        first_task: the first task.
        scheduler_to_worker: a call from the scheduler to the worker.
        scheduler_to_nanny: a call from the scheduler to the nanny.
        worker_to_scheduler: a call from inside a task to the scheduler.
        peers: data to and from the other workers.
        listeners: TCP ports it listens on.
        tls: what its ports do with peers.
        clock: its clock.
        modifier_run: the modifiers of the profile around a task; ``None`` if there are none.
        problems: probe -> why it gave nothing.
    """

    address: str
    nanny: str | None
    hostname: str
    hostname_lookup: Lookup | None = None
    pid: int
    nthreads: int
    memory_limit: int
    resources: dict[str, float]
    versions: dict[str, str] | None = None
    provenance: Provenance | None = None
    first_task: Exchange | None = None
    scheduler_to_worker: Exchange | None = None
    scheduler_to_nanny: Exchange | None = None
    worker_to_scheduler: Exchange | None = None
    peers: tuple[PeerTransfer, ...] | None = None
    listeners: tuple[Listener, ...] | None = None
    tls: tuple[TlsEndpoint, ...] | None = None
    clock: Clock | None = None
    modifier_run: ModifierRun | None = None
    problems: dict[str, str] = {}


class LogFile(Model):
    """A log of a worker as it came back.

    Attributes:
        kind: ``out``, ``err`` or ``log``.
        path: below the run folder.
        size: bytes; ``None`` when it did not come back.
        readable: whether it is text that can be read.
        tail: its last lines, at most 150, without phase events and without secrets.
    """

    kind: str
    path: str
    size: int | None
    readable: bool
    tail: tuple[str, ...] = ()


class WorkerEvidence(Model):
    """All that is known of one planned worker; stored as ``evidence/<worker>.json``."""

    worker: str
    pool: str
    job: JobStatus
    events: tuple[Event, ...] = ()
    probe: NodeProbe | None = None
    dask: DaskEvidence | None = None
    logs: tuple[LogFile, ...] = ()


class SubmitEvidence(Model):
    """What was seen on the submit host; stored as ``evidence/submit.json``.

    Attributes:
        probe: the same probe as on the workers, with the same environment: the baseline.
        scheduler_address: contact address of the scheduler.
        client_versions: packages of the gathering client.
        scheduler_versions: packages of the scheduler.
        listeners: TCP ports of the scheduler.
        tls: what the scheduler's port does with peers.
        dask_settings: Dask settings of the user's own that were set aside, ``key -> file or variable``.
    """

    probe: NodeProbe | None = None
    scheduler_address: str = ""
    client_versions: dict[str, str] = {}
    scheduler_versions: dict[str, str] = {}
    listeners: tuple[Listener, ...] = ()
    tls: tuple[TlsEndpoint, ...] = ()
    dask_settings: dict[str, str] = {}
