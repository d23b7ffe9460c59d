"""A worker as it was seen through Dask."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

    from fasthep_validate.models.evidence import (
        Clock,
        DaskEvidence,
        Exchange,
        Listener,
        ModifierRun,
        PeerTransfer,
        TlsEndpoint,
    )
    from fasthep_validate.models.probe import Lookup, Provenance
    from fasthep_validate.models.workflow import WorkflowSeen

T = TypeVar("T")


class DaskView:
    """A worker as it was seen through Dask; every property is evidence that was promised."""

    def __init__(self, evidence: DaskEvidence, *, before_missing: Callable[[], None]) -> None:
        self.evidence = evidence
        self._before_missing = before_missing

    def _seen(self, name: str, value: T | None) -> T:
        if value is None:
            self._before_missing()
            problem = self.evidence.problems.get(name, "nothing was stored")
            raise AssertionError(f"promised evidence dask.{name} is missing: {problem}")
        return value

    @property
    def address(self) -> str:
        """Contact address of the worker."""
        return self.evidence.address

    @property
    def nanny(self) -> str | None:
        """Contact address of its nanny, ``None`` without one."""
        return self.evidence.nanny

    @property
    def hostname(self) -> str:
        """Name of the node as the worker has it."""
        return self.evidence.hostname

    @property
    def nthreads(self) -> int:
        """Threads of the worker."""
        return self.evidence.nthreads

    @property
    def memory_limit(self) -> int:
        """Dask's memory limit in bytes, 0 for none."""
        return self.evidence.memory_limit

    @property
    def resources(self) -> dict[str, float]:
        """Dask resource labels of the worker."""
        return self.evidence.resources

    @property
    def hostname_lookup(self) -> Lookup:
        """The name of the node resolved on the submit host."""
        return self._seen("hostname_lookup", self.evidence.hostname_lookup)

    @property
    def versions(self) -> dict[str, str]:
        """Packages that both ends of a connection must agree on, in the worker process."""
        return self._seen("versions", self.evidence.versions)

    @property
    def provenance(self) -> Provenance:
        """Where the code of the worker process came from."""
        return self._seen("provenance", self.evidence.provenance)

    @property
    def first_task(self) -> Exchange:
        """The first task."""
        return self._seen("first_task", self.evidence.first_task)

    @property
    def scheduler_to_worker(self) -> Exchange:
        """A call from the scheduler to the worker."""
        return self._seen("scheduler_to_worker", self.evidence.scheduler_to_worker)

    @property
    def scheduler_to_nanny(self) -> Exchange:
        """A call from the scheduler to the nanny."""
        return self._seen("scheduler_to_nanny", self.evidence.scheduler_to_nanny)

    @property
    def worker_to_scheduler(self) -> Exchange:
        """A call from inside a task to the scheduler."""
        return self._seen("worker_to_scheduler", self.evidence.worker_to_scheduler)

    @property
    def peers(self) -> tuple[PeerTransfer, ...]:
        """Data to and from the other workers."""
        return self._seen("peers", self.evidence.peers)

    @property
    def listeners(self) -> tuple[Listener, ...]:
        """TCP ports that worker and nanny listen on."""
        return self._seen("listeners", self.evidence.listeners)

    @property
    def tls(self) -> tuple[TlsEndpoint, ...]:
        """What the ports of worker and nanny do with peers."""
        return self._seen("tls", self.evidence.tls)

    @property
    def clock(self) -> Clock:
        """The worker's clock against the submit host's."""
        return self._seen("clock", self.evidence.clock)

    @property
    def modifier_run(self) -> ModifierRun:
        """The modifiers of the profile around a task."""
        return self._seen("modifier_run", self.evidence.modifier_run)

    @property
    def workflow(self) -> WorkflowSeen:
        """What the worker says to the needs of the workflow."""
        return self._seen("workflow", self.evidence.workflow)
