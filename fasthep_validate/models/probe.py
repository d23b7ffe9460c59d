"""What ``probe.py`` saw of a machine with the Python under test.

It fills :class:`NodeProbe` on a node, before the Dask worker starts, and once on the submit host as the
baseline.
"""

from __future__ import annotations

from fasthep_validate.models.access import Access
from fasthep_validate.models.base import Model
from fasthep_validate.models.credential import CredentialSeen
from fasthep_validate.models.gpu import GpuEvidence


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
        granted_cpus: cores that the batch system says the job was given.
        granted_memory: memory in bytes, likewise.
        granted_gpus: GPUs, likewise.
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
    granted_cpus: int | None = None
    granted_memory: int | None = None
    granted_gpus: int | None = None


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


class Activated(Model):
    """What was done before Python started.

    Attributes:
        scripts: those that were read, in their order.
        variables: names of the expected variables that are set.
    """

    scripts: tuple[str, ...] = ()
    variables: tuple[str, ...] = ()


class Prefix(Model):
    """What is installed in the prefix of the Python under test.

    Attributes:
        path: of the prefix, links resolved.
        entries: number of names that the digest is of.
        digest: hexadecimal, of names and sizes.
    """

    path: str
    entries: int
    digest: str


class NodeProbe(Model):
    """Everything ``probe.py`` saw of a node with the Python under test.

    Attributes:
        versions: distribution -> version of everything installed in the environment.
        thread_variables: ``OMP_NUM_THREADS`` and its like, those that are set.
        environment: variables of the allow-list, no others.
        gpu: what was asked about GPUs, on nodes of a pool that has any.
        credentials: those that the profile asks for, as they are found there.
        storage: the profile's storage, as it was tried from there.
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
    activation: Activated | None = None
    prefix: Prefix | None = None
    scheduler_lookup: Lookup | None = None
    gpu: GpuEvidence | None = None
    credentials: tuple[CredentialSeen, ...] | None = None
    storage: tuple[Access, ...] | None = None
    problems: dict[str, str] = {}
