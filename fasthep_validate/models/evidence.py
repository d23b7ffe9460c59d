"""What was seen, before anybody judges it.

The gathering client fills :class:`DaskEvidence` through the running workers; :class:`WorkerEvidence` and
:class:`SubmitEvidence` put it together with what the probe saw, and are stored.
"""

from __future__ import annotations

from pydantic import JsonValue

from fasthep_validate.models.base import Model
from fasthep_validate.models.credential import CredentialSeen
from fasthep_validate.models.event import Event
from fasthep_validate.models.job import JobStatus
from fasthep_validate.models.probe import Lookup, NodeProbe, Provenance
from fasthep_validate.models.workflow import WorkflowSeen


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
        workflow: what it says to the needs of a workflow; ``None`` if there is none.
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
    workflow: WorkflowSeen | None = None
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


class Placement(Model):
    """Where tasks landed that asked for a Dask resource.

    Attributes:
        label: the resource, such as ``GPU``.
        offered_by: workers that offer it.
        asked: number of tasks, each of which asked for 1.
        ran_on: workers that ran them, sorted, one entry a task.
        error: why they did not all run.
    """

    label: str
    offered_by: tuple[str, ...]
    asked: int
    ran_on: tuple[str, ...] = ()
    error: str = ""


class SubmitEvidence(Model):
    """What was seen on the submit host; stored as ``evidence/submit.json``.

    Attributes:
        probe: the same probe as on the workers, with the same environment: the baseline.
        scheduler_address: contact address of the scheduler.
        client_versions: packages of the gathering client.
        scheduler_versions: packages of the scheduler.
        listeners: TCP ports of the scheduler.
        tls: what the scheduler's port does with peers.
        placements: where tasks landed that asked for a resource, one entry a label; ``None`` if not tried.
        dask_settings: Dask settings of the user's own that were set aside, ``key -> file or variable``.
        credentials: those that the profile asks for, as they were found before anything was started.
    """

    probe: NodeProbe | None = None
    scheduler_address: str = ""
    client_versions: dict[str, str] = {}
    scheduler_versions: dict[str, str] = {}
    listeners: tuple[Listener, ...] = ()
    tls: tuple[TlsEndpoint, ...] = ()
    placements: tuple[Placement, ...] | None = None
    dask_settings: dict[str, str] = {}
    credentials: tuple[CredentialSeen, ...] = ()
