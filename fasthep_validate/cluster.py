"""One scheduler, several pools of workers: start, wait, gather, retire, and leave nothing behind."""

from __future__ import annotations

import queue
import shutil
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from fasthep_validate.batch import way_of
from fasthep_validate.batch.watch import NodeWatch
from fasthep_validate.connection import Connection, connect
from fasthep_validate.credentials.delivery import Delivery
from fasthep_validate.credentials.renewal import Renewal
from fasthep_validate.errors import FasthepValidateError, SubmitError
from fasthep_validate.hub import Hub
from fasthep_validate.hub_config import AT_ONCE, GUARD, hub_config, submit_environment
from fasthep_validate.jobs import POLL, Jobs
from fasthep_validate.models.job import JobStatus
from fasthep_validate.plan import Endpoint, Plan
from fasthep_validate.private import private_folder
from fasthep_validate.scaling import scalable
from fasthep_validate.signals import held
from fasthep_validate.starts import OUT_OF_SERVICE, Starts
from fasthep_validate.store import write_model

if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import TracebackType

    from distributed import Client

    from fasthep_validate.models.execution import ExecutionConfig, Pool
    from fasthep_validate.models.job import JobSpec, Submission
    from fasthep_validate.models.packed import PackedEnv
    from fasthep_validate.models.workflow import WorkflowNeeds
    from fasthep_validate.progress import Progress
    from fasthep_validate.records import Record
    from fasthep_validate.store import RunFolder

HUB_EXIT = 5.0  # seconds for the scheduler's process, once all is over


class Cluster:
    """The pools of an execution configuration, as a context manager.

    Workers are known by their planned names, ``default-0``; a worker that does not come is no error
    here, but evidence.
    """

    def __init__(
        self,
        execution: ExecutionConfig,
        packed: PackedEnv,
        folder: RunFolder,
        *,
        progress: Progress,
        record: Record,
        delivery: Delivery = Delivery(),  # noqa: B008 - frozen
    ) -> None:
        self.execution = execution
        self.delivery = delivery
        self.packed = packed
        self.folder = folder
        self.progress = progress
        self.record = record
        self.jobs: tuple[JobSpec, ...] = ()
        self.registered: dict[str, str] = {}
        self.pools = {worker: pool.name for pool in execution.pools for worker in pool.worker_ids()}
        self._starts = Starts(folder, progress)
        self._starts.plan(self.pools)
        self.logs = self._starts.logs
        self._retired: set[str] = set()
        self._client: Client | None = None
        self._hub: Hub | None = None
        self._private, self._tls = private_folder(folder.path if execution.job_files == "shared" else None)
        record.folder(self._private)
        way = way_of(execution)
        self._scratch = self._private / "jobs"
        self._scratch.mkdir()
        guard = self._private / GUARD
        self._jobs = Jobs(
            way.make(self._scratch), say=progress.step, guard=guard, patience=execution.timeouts.worker_start
        )
        self._way = way
        self._watch = NodeWatch(None, ())
        self._renewal = Renewal(delivery, self._private / "credentials", push=self._renew, say=progress.step)

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def hub(self) -> Hub:
        """The scheduler's process."""
        if self._hub is None:
            raise FasthepValidateError("pools: they are not open. Use them inside their 'with' block.")
        return self._hub

    def start(self) -> None:
        """Start the scheduler and submit all jobs.

        Raises:
            SubmitError: the scheduler could not listen, or all jobs were refused.
        """
        with held():  # what has been started must be known here
            self._hub = Hub(
                Path(self.packed.submit_python),
                hub_config(self.execution, self._tls, self._private),
                folder=self._private,
                log=self.folder.debug / "logs" / "scheduler.log",
                env=submit_environment(),
            )
            self.record.helper(self._hub.pid)
        self.progress.step("starting the scheduler")
        address = self._hub.wait_ready().address
        host, _, port = address.rpartition("://")[2].rpartition(":")
        secrets = self._tls.of_workers()
        with held():  # copies of secrets go away with the private folder
            secrets |= self.delivery.stage(self._private / "credentials")
        settings = self.delivery.settings()
        self._plan = Plan(self.execution, self.packed, self.folder, self._told, secrets, settings)
        self._endpoint = Endpoint(host.strip("[]"), int(port))
        self.jobs = self._plan.jobs(self._endpoint)
        self.progress.step(f"scheduler at {address}; submitting {len(self.jobs)} jobs")
        self._watch = NodeWatch(self._way.nodes, self.jobs)
        self._submit(self.jobs)
        self._renewal.start()

    def _told(self, pool: Pool, node: str) -> dict[str, str]:
        return {**self._way.told(pool, node), **self.delivery.directives()}

    def scale(self, pool: str, workers: int, *, wait: bool = True) -> tuple[str, ...]:
        """Let a pool have this many workers; returns those that it then has or may still get.

        New workers get new names, ``gpu-1`` after ``gpu-0``, also where one of that name has gone. Workers
        that are too many are retired, those first that never came, then the youngest: their results move to
        other workers, and their jobs are given ``timeouts.worker_shutdown`` to end before they are removed.

        Args:
            pool: name of a pool of the profile.
            workers: number of workers, 0 or more.
            wait: whether to wait for new workers as at the start; if not, :meth:`wait` does.

        Raises:
            ConfigError: no such pool, one whose workers are pinned to nodes, or a negative number.
            SubmitError: every new job was refused.
        """
        spec = scalable(self.execution, pool, workers)
        have = self.workers(pool)
        if len(have) < workers:
            self._grow(spec, workers - len(have))
        elif len(have) > workers:
            came = [worker for worker in have if worker in self.registered]
            waiting = [worker for worker in have if worker not in self.registered]
            self._shrink((came + waiting)[workers:])
        if wait:
            self.wait()
        return self.workers(pool)

    def workers(self, pool: str) -> tuple[str, ...]:
        """Workers of a pool that came, or may still come; those that have gone are not among them."""
        gone = self._retired.union(self._jobs.final)
        return tuple(worker for worker, name in self.pools.items() if name == pool and worker not in gone)

    def wait(self) -> None:
        """Wait until every worker has registered, has failed, or has run out of time."""
        deadline = time.monotonic() + self.execution.timeouts.worker_start
        while self.pending() and time.monotonic() < deadline:
            self.poll()
            time.sleep(POLL)
        self.poll()

    def pending(self) -> tuple[str, ...]:
        """Workers that may still come."""
        gone = self._retired.union(self._jobs.final, self.registered)
        return tuple(worker for worker in self._jobs.ids if worker not in gone)

    def poll(self) -> None:
        """Take in what happened: registrations, job states, events."""
        if not self.hub.alive:
            raise SubmitError(
                f"scheduler: its process ended while workers were starting. See {self.hub.log}."
            )
        self._starts.read(self.pending())
        self._take_registrations()
        self._take_states()
        self._give_up_nodes()

    def statuses(self) -> dict[str, JobStatus]:
        """What is known of every planned worker's job."""
        planned = {worker: JobStatus(job_id="", state="planned") for worker in self.logs}
        return {**planned, **self._jobs.statuses()}

    def gather(self, *, peer_size: int) -> dict[str, dict[str, Any]]:
        """Ask the hub for the evidence of all registered workers: worker -> fields of ``DaskEvidence``.

        Args:
            peer_size: bytes to send from worker to worker.
        """
        names = list(self.registered)
        found: dict[str, dict[str, Any]] = self.hub.ask("gather", names, peer_size, timeout=self._patience())
        for worker, facts in found.items():
            if (facts.get("first_task") or {}).get("ok"):
                self.logs[worker].note("first_task", "end")
        return found

    def ask_workflow(self, needs: WorkflowNeeds) -> dict[str, dict[str, Any]]:
        """What all registered workers say to the needs of a workflow: worker -> ``workflow`` or ``problem``."""
        asked = needs.model_dump(mode="json")
        patience = self._patience() * (1 + len(needs.inputs))
        found: dict[str, dict[str, Any]] = self.hub.ask(
            "workflow", list(self.registered), asked, timeout=patience
        )
        return found

    def scheduler_evidence(self) -> dict[str, Any]:
        """Ask the hub how the scheduler is seen: fields of ``SubmitEvidence``."""
        facts: dict[str, Any] = self.hub.ask("scheduler", timeout=self._patience())
        return facts

    def _renew(self, copy: Path) -> dict[str, str]:
        """Let the hub take a renewed credential to all workers: worker -> what went wrong there."""
        failed: dict[str, str] = self.hub.ask("renew", str(copy), timeout=self._patience())
        return failed

    @property
    def left(self) -> bool:
        """Whether jobs may be left, because the batch system did not answer when they were removed."""
        return self._jobs.doubtful

    @property
    def client(self) -> Client:
        """A Dask client on these pools, for the Python that runs this code; closed with them.

        Raises:
            ConfigError: its versions differ from those of the worker environment.
        """
        if self._client is None:
            self._client = connect(self.connection())
        return self._client

    def connection(self) -> Connection:
        """What any process of the user needs to connect a client of its own."""
        ready, tls = self.hub.ready, self._tls
        files = {"ca": str(tls.ca), "cert": str(tls.client.cert), "key": str(tls.client.key)}
        return Connection(address=ready.address, versions=ready.versions, **files)

    def close(self) -> None:
        """Retire all workers, give their jobs time to exit, end what remains, remove the private folder."""
        self._renewal.stop()
        if self._client is not None:
            self._client.close(timeout=5)
            self._client = None
        grace = self.execution.timeouts.worker_shutdown
        try:
            if self._hub is not None:
                self._hub.stop()
                with suppress(SubmitError):  # it is asked once more below
                    self._jobs.await_exits(self.registered, seconds=grace)
        finally:
            self._jobs.end(self.logs)
            self._jobs.stop_asking()
            self._starts.read_all()
            shutil.rmtree(self._private, ignore_errors=True)
            if self._hub is not None:
                self._hub.close(timeout=HUB_EXIT)
                self._hub = None

    def _grow(self, pool: Pool, more: int) -> None:
        first = sum(name == pool.name for name in self.pools.values())
        new = [f"{pool.name}-{index}" for index in range(first, first + more)]
        self.progress.step(f"pool {pool.name}: submitting {more} more jobs")
        self.pools |= dict.fromkeys(new, pool.name)
        self._starts.plan(new)
        jobs = tuple(self._plan.job(pool, worker, self._endpoint) for worker in new)
        self.jobs += jobs
        self._submit(jobs)

    def _shrink(self, workers: Sequence[str]) -> None:
        self.progress.step(f"retiring {', '.join(workers)}")
        self._retired.update(workers)
        grace = self.execution.timeouts.worker_shutdown
        came = self.hub.ask("retire", list(workers), grace, timeout=self._patience() + grace)
        self._jobs.await_exits(came, seconds=grace)
        self._jobs.end(workers)
        for worker in workers:
            self.registered.pop(worker, None)
            self.logs[worker].poll()

    def _submit(self, jobs: Sequence[JobSpec]) -> None:
        wanted = []
        for job in jobs:
            write_model(self.folder.jobs / job.worker / "job.json", job)
            if self._starts.submitting(job):
                wanted.append(job)
            elif job.node:
                self._jobs.withhold(job.worker, job.node.words, node=job.node.name)
        by_worker = {job.worker: job for job in wanted}
        for job in wanted:
            self.record.submitting(job.worker, job.address)
        self._jobs.submit(wanted, lambda done: self._submitted(done, by_worker[done.worker]))

    def _submitted(self, submission: Submission, job: JobSpec) -> None:
        if submission.job_id:
            self.record.job(job.worker, submission.job_id, job.address)
        self._starts.submitted(submission, job)

    def _give_up_nodes(self) -> None:
        """Jobs that are pinned to a node that went out of service are not waited for."""
        if not self._watch.due:
            return
        waiting = [worker for worker, status in self._jobs.statuses().items() if status.state == "submitted"]
        lost = self._watch.lost(waiting)
        for worker, why in lost.items():
            self.logs[worker].note("matched", "fail", code=OUT_OF_SERVICE, detail=why)
        self._jobs.end(lost, why=lost)

    def _take_registrations(self) -> None:
        while True:
            try:
                seen = self.hub.registrations.get_nowait()
            except queue.Empty:
                return
            if seen.joined and seen.worker in self.logs and seen.worker not in self._retired:
                self.registered[seen.worker] = seen.node
                self.logs[seen.worker].note("registered", "end", at=seen.time)

    def _take_states(self) -> None:
        for worker, status in self._jobs.poll().items():
            self._starts.changed(worker, status)

    def _patience(self) -> float:
        """Seconds for a request, if no worker answers any question: only a hub that hangs takes longer."""
        rounds = 1 + len(self.registered) // AT_ONCE
        return 60.0 + 6 * rounds * self.execution.timeouts.probe
