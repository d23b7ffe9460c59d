"""Whether the site's storage can be used from a worker, with each credential by itself."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fasthep_validate.causes import Case, why
from fasthep_validate.outcomes import Blocked, fail, not_applicable, warn

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from fasthep_validate.models.access import Access, Action
    from fasthep_validate.view import Worker

REACHING = ("resolve", "connect")
WRITING = ("write", "check", "rename", "remove")


def test_reached(worker: Worker) -> None:
    """The name of every storage of the profile resolves on the node, and its port takes connections from there.

    Remedy: correct ``storage.endpoints``; have the way from the nodes to the storage opened.
    """
    _judge(worker, REACHING)


def test_read(worker: Worker) -> None:
    """A file of every storage of the profile is read from the node, with the one credential that the profile names.

    Remedy: see the cause; a credential that works on the submit host may not have come to the node.
    """
    _judge(worker, ("read",))


def test_written(worker: Worker) -> None:
    """Where the profile says so, a file is written to the storage from the node, read back, renamed and removed.

    Remedy: see the cause; reading and writing may need different roles or scopes.
    """
    if not any(endpoint.write for endpoint in worker.run.execution.storage.endpoints.values()):
        not_applicable("the profile names no folder to write in")
    _judge(worker, WRITING)


def test_fast(worker: Worker) -> None:
    """No action at a storage takes longer than the profile's ``storage.slow``.

    Remedy: try again at another time; if it stays slow from these nodes alone, look at the network between.
    """
    limit = worker.run.execution.storage.slow
    slow = [
        f"{access.endpoint}: {action.name} took {action.seconds:.1f} s"
        for access in _accesses(worker)
        for action in access.actions
        if action.ok and action.seconds > limit
    ]
    if slow:
        warn(f"{'; '.join(slow)}; {limit:g} s are expected", cause="FHV-storage-017")


def _accesses(worker: Worker) -> Iterator[Access]:
    """What was tried at every endpoint of the profile; one that nobody tried is missing evidence."""
    endpoints = worker.run.execution.storage.endpoints
    if not endpoints:
        not_applicable("the profile names no storage")
    seen = {access.endpoint: access for access in worker.storage}
    untried = [name for name in endpoints if name not in seen]
    assert not untried, f"promised evidence is missing: nobody tried {', '.join(untried)}"
    yield from (seen[name] for name in endpoints)


def _judge(worker: Worker, names: Collection[str]) -> None:
    """Fail with the cause of the first of these actions that failed, and with the words of all."""
    failed = [(access, action) for access in _accesses(worker) if (action := access.failure)]
    ours = [(access, action) for access, action in failed if action.name in names]
    before = [
        action for _, action in failed if action.name not in names and _comes_before(action.name, names)
    ]
    if ours:
        causes = [why(_case(worker, access), action) for access, action in ours]
        words = [
            _words(access, action, shown) for (access, action), (_, shown) in zip(ours, causes, strict=True)
        ]
        fail("; ".join(words), cause=causes[0][0].id)
    if before:
        check = "reached" if before[0].name in REACHING else "read"
        raise Blocked(by=f"storage.{check}[{worker.id}]")


def _comes_before(name: str, names: Collection[str]) -> bool:
    order = (*REACHING, "read", *WRITING)
    return order.index(name) < min(order.index(ours) for ours in names)


def _words(access: Access, action: Action, shown: str) -> str:
    by = f" by {access.client}" if access.client else ""
    because = f" ({shown})" if shown else ""
    return f"{access.endpoint}: {action.name} with {access.credential}{by}: {action.words}{because}"


def _case(worker: Worker, access: Access) -> Case:
    seen = next((one for one in worker.probe.credentials or () if one.kind == access.credential), None)
    dask = worker.evidence.dask
    return Case(
        access=access,
        endpoint=worker.run.execution.storage.endpoints[access.endpoint],
        seen=seen,
        clock=dask.clock.offset if dask and dask.clock else None,
    )
