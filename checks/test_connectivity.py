"""Whether client, scheduler and workers reach each other, and nobody else does."""

from __future__ import annotations

import ipaddress
from typing import TYPE_CHECKING

from fasthep_validate.outcomes import Blocked, not_applicable, warn

if TYPE_CHECKING:
    from collections.abc import Iterable

    from fasthep_validate.models.evidence import Exchange, Listener, PeerTransfer, TlsEndpoint
    from fasthep_validate.models.probe import Lookup
    from fasthep_validate.view import Run, Worker

SAFE_TLS = ("TLSv1.2", "TLSv1.3")


def test_registered(worker: Worker) -> None:
    """The worker is registered with the scheduler from the node on which its job was started.

    Remedy: a worker that registered from another node was started twice, or two nodes share a name; look at
    the logs of both.
    """
    there, started = worker.dask.hostname, worker.host.hostname
    assert _short(there) == _short(started), f"registered from {there}, started on {started}"


def test_first_task(worker: Worker) -> None:
    """The worker ran its first task and the result came back right.

    Remedy: see the worker's err file. A task that hangs while calls work points at a firewall that closes idle
    connections.
    """
    _answered(worker.dask.first_task, "the first task")


def test_scheduler_name_resolves(worker: Worker) -> None:
    """The scheduler's name resolves on the worker's node, to an address that is not the node's own loopback.

    Remedy: have the site's admins add the submit host to the DNS that nodes use, or set ``scheduler.host`` to
    its address.
    """
    if _is_address(worker.run.execution.scheduler.host):
        not_applicable("the scheduler is addressed by its IP address")
    lookup = worker.scheduler_lookup
    if _is_address(lookup.name):
        not_applicable("the scheduler is addressed by its IP address")
    _resolved(lookup, "on the node")
    elsewhere = worker.host.hostname != worker.run.submit_host.host.hostname
    assert not (elsewhere and all(map(_is_loopback, lookup.addresses))), (
        f"{lookup.name} is {', '.join(lookup.addresses)} on another node: that is the node itself"
    )


def test_worker_name_resolves(worker: Worker) -> None:
    """The name of the worker's node resolves on the submit host.

    Remedy: nothing for Dask, which uses addresses; logs and links that name the node will not work from the
    submit host. The site's admins can add nodes to its DNS.
    """
    if _is_loopback(_host(worker.dask.address)):
        not_applicable("the worker listens on loopback: it is on the submit host")
    lookup = worker.dask.hostname_lookup
    if not lookup.addresses:
        warn(f"{lookup.name} does not resolve on the submit host: {lookup.error or 'no address'}")


def test_scheduler_to_worker(worker: Worker) -> None:
    """The scheduler reaches the worker, by a call that it opens.

    Remedy: have the port range of the profile (``worker_ports``) opened from the submit host to the nodes.
    """
    _answered(worker.dask.scheduler_to_worker, f"scheduler to {worker.dask.address}")


def test_scheduler_to_nanny(worker: Worker) -> None:
    """The scheduler reaches the worker's nanny.

    Remedy: have the port range of the profile opened for the nanny too, or start workers without one.
    """
    if not worker.pool.nanny:
        not_applicable("the pool has no nannies")
    assert worker.dask.nanny, "the pool asks for nannies and this worker has none"
    _answered(worker.dask.scheduler_to_nanny, f"scheduler to {worker.dask.nanny}")


def test_worker_to_scheduler(worker: Worker) -> None:
    """A task on the worker reaches the scheduler.

    Remedy: have the scheduler's port opened from the nodes to the submit host, or set ``scheduler.port`` to one
    that is open.
    """
    _answered(worker.dask.worker_to_scheduler, f"worker to {worker.run.submit.scheduler_address}")


def test_worker_to_worker(worker: Worker) -> None:
    """Data goes from this worker to others and from others to this one, and comes equal.

    Remedy: have the port range of the profile opened between the nodes. Without it, tasks wait for inputs that
    other workers hold.
    """
    others = [other for other in worker.run.workers.values() if other.id != worker.id]
    if not others:
        not_applicable("the run has a single worker")
    moves = worker.dask.peers
    if not any(other.evidence.dask for other in others):
        raise Blocked(by=others[0].start_check)
    cut_off = {
        other.id for other in others if other.evidence.dask and _reaches_nobody(other.evidence.dask.peers)
    }
    apart = cut_off if any(move.ok for move in moves) else set()  # whom no other reaches fails by itself
    failed = [
        f"{move.source} to {move.target}: {move.error or 'no data'}"
        for move in moves
        if not move.ok and not {move.source, move.target} & apart
    ]
    assert not failed, "; ".join(failed)
    assert any(move.source == worker.id for move in moves), "no data was sent to another worker"
    assert any(move.target == worker.id for move in moves), "no data was fetched from another worker"


def test_worker_ports(worker: Worker) -> None:
    """Worker and nanny listen only inside the port ranges of the profile.

    Remedy: set ``worker_ports`` (and ``nanny_ports``) to the range that the site's firewall leaves open, with at
    least two ports for each worker of a node.
    """
    ranges = {"worker": worker.pool.worker_ports, "nanny": worker.pool.nanny_ports}
    if not any(ranges.values()):
        not_applicable("the profile gives no port range")
    found = [(listener.process, listener.port) for listener in _open_listeners(worker.dask.listeners)]
    addresses = {"worker": worker.dask.address, "nanny": worker.dask.nanny}
    found += [(process, int(at.rpartition(":")[2])) for process, at in addresses.items() if at]
    outside = {
        f"{process} at {port} is outside {allowed[0]}-{allowed[1]}"
        for process, port in found
        if (allowed := ranges.get(process, worker.pool.worker_ports)) and not allowed[0] <= port <= allowed[1]
    }
    assert not outside, "; ".join(sorted(outside))


def test_clock_skew(worker: Worker) -> None:
    """The worker's clock agrees with the submit host's, within what the profile allows.

    Remedy: have the node's time service (chrony, ntpd) repaired; certificates and tokens fail on a wrong clock.
    """
    clock, limit = worker.dask.clock, worker.run.site.checks.max_clock_skew
    uncertainty = clock.round_trip / 2
    found = f"{clock.offset:+.1f} s (known to {uncertainty:.1f} s), {limit:g} s are allowed"
    assert abs(clock.offset) - uncertainty <= limit, f"the clock is off by {found}"
    if abs(clock.offset) + uncertainty > limit:
        warn(f"the clock may be off by more than is allowed: {found}")


def test_tls_in_force(worker: Worker) -> None:
    """Worker and nanny speak TLS 1.2 or newer, with certificates of this run.

    Remedy: report it; without TLS anybody on the network can run code as the user.
    """
    _speaks_tls(_expected(worker), worker.dask.tls)


def test_peer_without_certificate_refused(worker: Worker) -> None:
    """Worker and nanny turn away a peer that has no certificate of this run.

    Remedy: report it; an open Dask port lets anybody on the network run code as the user.
    """
    _refuses_strangers(_expected(worker), worker.dask.tls)


def test_http_not_open(worker: Worker) -> None:
    """No port of worker or nanny answers plain HTTP from other machines.

    Remedy: see which setting brought Dask's dashboard back, such as ``--dashboard-address`` in
    ``worker_extra_args``.
    """
    _no_plain_http(worker.dask.listeners)


def test_scheduler_tls_in_force(run: Run) -> None:
    """The scheduler speaks TLS 1.2 or newer, with certificates of this run.

    Remedy: report it; without TLS anybody on the network can run code as the user.
    """
    _speaks_tls({"scheduler": run.submit.scheduler_address}, run.submit.tls)


def test_scheduler_refuses_peer_without_certificate(run: Run) -> None:
    """The scheduler turns away a peer that has no certificate of this run.

    Remedy: report it; an open scheduler lets anybody on the network run code as the user.
    """
    _refuses_strangers({"scheduler": run.submit.scheduler_address}, run.submit.tls)


def test_scheduler_http_not_open(run: Run) -> None:
    """No port of the scheduler answers plain HTTP from other machines.

    Remedy: report it, with the run's ``evidence/submit.json``.
    """
    _no_plain_http(run.submit.listeners)


def _expected(worker: Worker) -> dict[str, str]:
    """Process -> address of what must speak TLS."""
    nanny = {"nanny": worker.dask.nanny} if worker.dask.nanny else {}
    return {"worker": worker.dask.address, **nanny}


def _reaches_nobody(moves: Iterable[PeerTransfer] | None) -> bool:
    """Whether a worker exchanged data with none of several others: then it is this one that is at fault."""
    tried = tuple(moves or ())
    partners = {name for move in tried for name in (move.source, move.target)}
    return len(partners) > 2 and not any(move.ok for move in tried)


def _speaks_tls(expected: dict[str, str], ends: Iterable[TlsEndpoint]) -> None:
    plain = [
        f"{process} at {address}" for process, address in expected.items() if not address.startswith("tls://")
    ]
    assert not plain, f"no TLS: {', '.join(plain)}"
    asked = _asked(expected, ends)
    old = [
        f"{end.process} at {end.address}: {end.version or 'no TLS'}"
        for end in asked
        if end.version not in SAFE_TLS
    ]
    assert not old, "; ".join(old)


def _refuses_strangers(expected: dict[str, str], ends: Iterable[TlsEndpoint]) -> None:
    asked = _asked(expected, ends)
    welcoming = [
        f"{end.process} at {end.address}: {end.how}" for end in asked if not end.refused_without_certificate
    ]
    assert not welcoming, f"let a peer without a certificate in: {'; '.join(welcoming)}"


def _asked(expected: dict[str, str], ends: Iterable[TlsEndpoint]) -> list[TlsEndpoint]:
    """The ends that could be asked, which must be all that are expected."""
    found = {end.process: end for end in ends}
    silent = [process for process in expected if process not in found]
    assert not silent, f"promised evidence is missing: nobody asked the {', '.join(silent)} for TLS"
    failed = [f"{end.process} at {end.address}: {end.error}" for end in found.values() if end.error]
    assert not failed, f"could not be asked: {'; '.join(failed)}"
    return list(found.values())


def _no_plain_http(listeners: Iterable[Listener]) -> None:
    known = list(listeners)
    assert known, "promised evidence is missing: no listening port was seen"
    reachable = _open_listeners(known)
    answering = [_where(listener) for listener in reachable if listener.answers_plain_http]
    assert not answering, f"plain HTTP is answered by {', '.join(answering)}"
    unasked = [_where(listener) for listener in reachable if listener.answers_plain_http is None]
    if unasked:
        warn(f"could not be asked for plain HTTP: {', '.join(unasked)}")


def _open_listeners(listeners: Iterable[Listener]) -> list[Listener]:
    return [listener for listener in listeners if not listener.loopback]


def _where(listener: Listener) -> str:
    return f"{listener.process} at {listener.ip} port {listener.port}"


def _answered(exchange: Exchange, what: str) -> None:
    assert exchange.ok, f"{what}: {exchange.error or 'no answer'} (after {exchange.seconds:.1f} s)"


def _resolved(lookup: Lookup, where: str) -> None:
    assert lookup.addresses, f"{lookup.name} does not resolve {where}: {lookup.error or 'no address'}"


def _host(address: str) -> str:
    """Host part of ``tls://host:port``."""
    return address.rpartition("://")[2].rpartition(":")[0].strip("[]")


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def _is_loopback(host: str) -> bool:
    return _is_address(host) and ipaddress.ip_address(host).is_loopback


def _short(hostname: str) -> str:
    return hostname.partition(".")[0].lower()
