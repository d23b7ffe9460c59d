"""Whether a worker has what its pool asks for."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fasthep_validate.outcomes import not_applicable, warn

if TYPE_CHECKING:
    from fasthep_validate.models.evidence import Placement
    from fasthep_validate.models.execution import ExecutionConfig
    from fasthep_validate.models.probe import Limits
    from fasthep_validate.view import Run, Worker

MIB = 2**20  # batch systems round requests to mebibytes
MIN_PROCESSES = 512  # Dask, its nanny and numerical libraries start some dozens of threads
# Filesystems on which Dask's scratch is known to be slow or to lose locks.
SHARED_FILESYSTEMS = ("nfs", "nfs4", "gpfs", "lustre", "ceph", "cephfs", "afs", "beegfs", "panfs", "fuse")
THREAD_VARIABLES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


def test_cores(worker: Worker) -> None:
    """The job may use as many cores as its pool asks for.

    Remedy: ask for fewer ``cpus``, or have the batch system's core limits (affinity, cgroup) looked at.
    """
    asked, cores = worker.pool.resources.cpus, _cores(worker.limits)
    assert cores >= asked, f"{cores:g} cores usable, {asked} asked for"


def test_nthreads(worker: Worker) -> None:
    """The Dask worker has the threads of the profile, and a core for each.

    Remedy: set the pool's ``nthreads`` to at most its ``cpus``; take ``--nthreads`` out of
    ``worker_extra_args``.
    """
    asked, found = worker.pool.nthreads, worker.dask.nthreads
    assert found == asked, f"{found} threads, {asked} asked for"
    cores = _cores(worker.limits)
    if found > cores:
        warn(f"{found} threads share {cores:g} cores")


def test_thread_variables(worker: Worker) -> None:
    """Numerical libraries start as many threads as the Dask worker has, not one for each core of the node.

    Remedy: see where the node's profile scripts or the job's environment set the named variable.
    """
    found, nthreads = worker.thread_variables, str(worker.pool.nthreads)
    wrong = [f"{name}={value}" for name, value in sorted(found.items()) if value != nthreads]
    assert not wrong, f"{', '.join(wrong)} with {nthreads} threads"
    unset = [name for name in THREAD_VARIABLES if name not in found]
    if unset:
        warn(f"not set: {', '.join(unset)}; libraries start a thread for each core of the node")


def test_memory(worker: Worker) -> None:
    """The node and the job's cgroup have as much memory as the pool asks for.

    Remedy: ask for less ``memory``, or have the batch system's memory limit looked at.
    """
    asked = worker.pool.resources.memory
    if asked is None:
        not_applicable("the pool asks for no memory")
    limits = {"node": worker.limits.memory, "cgroup": worker.limits.cgroup_memory}
    short = [
        f"{where} {_size(limit)}"
        for where, limit in limits.items()
        if limit is not None and limit < asked - MIB
    ]
    assert not short, f"{', '.join(short)}, {_size(asked)} asked for"


def test_dask_memory_within_cgroup(worker: Worker) -> None:
    """Dask's memory limit lies below what kills the job, so that Dask spills before the kernel kills.

    Remedy: set the pool's ``memory_limit`` below the job's memory, with some room for the nanny.
    """
    known = [limit for limit in (worker.limits.cgroup_memory, worker.limits.memory) if limit is not None]
    if not known:
        not_applicable("neither the job nor the node tells its memory")
    hard, dask = min(known), max(worker.dask.memory_limit, worker.pool.memory_limit)
    assert dask <= hard, f"Dask may use {_size(dask)}, the job is killed at {_size(hard)}"
    if not worker.dask.memory_limit and worker.limits.cgroup_memory is not None:
        warn(f"Dask has no memory limit, the job is killed at {_size(hard)}")


def test_labels(worker: Worker) -> None:
    """The worker offers exactly the Dask resource labels of its pool.

    Remedy: take ``--resources`` out of ``worker_extra_args``, and see the pool's resources in the profile.
    """
    asked, found = worker.pool.dask_resources, worker.dask.resources
    assert found == asked, f"labels {_labels(found)}, {_labels(asked)} asked for"


def test_gpus(worker: Worker) -> None:
    """A worker of a pool with GPUs offers them as the Dask resource ``GPU``.

    Remedy: see whether the batch system granted the GPU (the job's log) and the pool's ``gpus`` in the profile.
    """
    asked = worker.pool.resources.gpus
    if not asked:
        not_applicable("the pool asks for no GPU")
    offered = worker.dask.resources.get("GPU", 0)
    assert offered == asked, f"GPU={offered:g} offered, {asked} asked for"


def test_granted(worker: Worker) -> None:
    """The batch system gave the job the cores, memory and GPUs that its pool asks for.

    Remedy: see the job's log for what was asked, and whether a rule of the site changes requests; a directive of
    the profile may ask for something else than the pool's ``resources``.
    """
    limits, asked = worker.limits, worker.pool.resources
    pairs = {
        "cores": (limits.granted_cpus, asked.cpus),
        "MiB of memory": (_mib(limits.granted_memory), _mib(asked.memory)),
        "GPUs": (limits.granted_gpus, asked.gpus),
    }
    told = {name: (found or 0, least or 0) for name, (found, least) in pairs.items() if found is not None}
    if not told:
        not_applicable("the batch system does not say what it gave")
    if asked.gpus and limits.granted_gpus is None:
        told["GPUs"] = (0, asked.gpus)
    short = [f"{found} {name}, {least} asked for" for name, (found, least) in told.items() if found < least]
    assert not short, "; ".join(short)
    if told.get("GPUs", (0, 0))[0] > asked.gpus:
        warn(f"{told['GPUs'][0]} GPUs given, {asked.gpus} asked for: others may wait for them")


def test_tasks_land_where_they_ask(run: Run) -> None:
    """Tasks that ask for a Dask resource, such as ``GPU``, run on the workers that offer it and nowhere else.

    Remedy: compare the pools' resources in the profile with the labels of the workers (check ``labels``).
    """
    placements = run.submit.placements
    if placements is None:
        not_applicable("no worker was there to be asked")
    wrong = [
        f"{placement.label}: {what}"
        for placement in placements
        if (what := _astray(placement, run.execution))
    ]
    assert not wrong, "; ".join(wrong)


def test_scratch_size(worker: Worker) -> None:
    """The scratch directory has the disk that the pool asks for, and room is left beside the environment.

    Remedy: ask for more ``disk``, or have the node's scratch filesystem cleaned.
    """
    scratch, least = worker.scratch, worker.run.site.checks.min_free_scratch
    assert scratch.free >= least, f"{_size(scratch.free)} free in {scratch.path}, {_size(least)} needed"
    asked = worker.pool.resources.disk or 0
    whole = scratch.free + worker.leftovers.size  # what the environment takes is part of what was asked for
    assert whole >= asked, f"{_size(whole)} in {scratch.path} with the environment, {_size(asked)} asked for"


def test_scratch_writable(worker: Worker) -> None:
    """A file can be written to the scratch directory, synced, and read back.

    Remedy: have the node's scratch filesystem looked at (quota, read-only mount, full or broken disk).
    """
    assert worker.scratch.writable, f"{worker.scratch.path} ({worker.scratch.filesystem}) cannot be written"


def test_scratch_not_noexec(worker: Worker) -> None:
    """Programs and libraries can be started from the scratch directory.

    Remedy: have scratch mounted without ``noexec``, or let the job use another directory.
    """
    scratch = worker.scratch
    assert not scratch.noexec, f"{scratch.path} ({scratch.filesystem}) is mounted noexec"
    assert scratch.can_exec, f"a program written to {scratch.path} could not be started"


def test_scratch_local(worker: Worker) -> None:
    """The scratch directory is on a disk of the node, not on a shared filesystem.

    Remedy: let jobs run in the node's local scratch, or set the pool's ``local_directory`` to it.
    """
    kind = worker.scratch.filesystem
    if kind.partition(".")[0] in SHARED_FILESYSTEMS:
        warn(f"{worker.scratch.path} is on {kind}: spilling and start-up are slow there")


def test_open_files(worker: Worker) -> None:
    """The worker may open as many files and sockets as the profile demands.

    Remedy: have the soft limit (``ulimit -n``) raised for batch jobs.
    """
    found, least = worker.limits.nofile, worker.run.site.checks.min_nofile
    assert found is None or found >= least, f"{found} open files allowed, {least} needed"


def test_processes(worker: Worker) -> None:
    """The user may have enough processes and threads on the node.

    Remedy: have the soft limit (``ulimit -u``) raised for batch jobs; it counts all processes of the user on
    the node.
    """
    found = worker.limits.nproc
    if found is not None and found < MIN_PROCESSES:
        warn(f"{found} processes allowed, {MIN_PROCESSES} are sensible")


def test_address_space(worker: Worker) -> None:
    """Virtual memory of the job is not limited below what libraries map.

    Remedy: have ``ulimit -v`` lifted for batch jobs; a cgroup limits memory better.
    """
    found = worker.limits.address_space
    if found is not None:
        warn(f"virtual memory is limited to {_size(found)}; libraries map far more than they use")


def _cores(limits: Limits) -> float:
    """Cores that the job can really use."""
    return limits.cpus if limits.cgroup_cpus is None else min(limits.cpus, limits.cgroup_cpus)


def _mib(size: int | None) -> int | None:
    """Whole MiB, rounded down."""
    return None if size is None else size // MIB


def _astray(placement: Placement, execution: ExecutionConfig) -> str:
    """What was wrong with where the tasks ran; empty if nothing."""
    if placement.error:
        return placement.error
    pools = (pool for pool in execution.pools if placement.label in pool.dask_resources)
    wrong = set(placement.ran_on).difference(*(pool.worker_ids() for pool in pools))
    if wrong:
        return f"ran on {', '.join(sorted(wrong))}"
    count = len(placement.ran_on)
    return "" if count == placement.asked else f"{count} of {placement.asked} tasks ran"


def _size(size: int) -> str:
    return f"{size / 1e9:.2f} GB"


def _labels(labels: dict[str, float]) -> str:
    return ",".join(f"{name}={amount:g}" for name, amount in sorted(labels.items())) or "none"
