"""Checks of connectivity on bad evidence."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from checks import test_connectivity as checks
from fasthep_validate.models.evidence import Clock, Exchange, Listener, PeerTransfer, TlsEndpoint
from fasthep_validate.models.probe import Lookup
from fasthep_validate.testing import changed, compute, good_run, good_site, good_submit, good_worker

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from fasthep_validate.models.evidence import WorkerEvidence
    from fasthep_validate.models.profile import SiteProfile
    from fasthep_validate.view import Run, Worker

REFUSED = Exchange(ok=False, seconds=15.0, error="OSError: timed out")
WORKER_END = TlsEndpoint(
    process="worker", address="tls://192.0.2.10:40000", version="TLSv1.3", refused_without_certificate=True
)
NANNY_END = WORKER_END.model_copy(update={"process": "nanny", "address": "tls://192.0.2.10:40001"})
OPEN = Listener(process="worker", ip="0.0.0.0", port=40000, loopback=False, answers_plain_http=True)
SENT = PeerTransfer(source="default-0", target="default-1", size=1, ok=True)
FETCHED = PeerTransfer(source="default-1", target="default-0", size=1, ok=True)

# check, field, value, outcome, message
CASES = [
    (
        checks.test_registered,
        "dask.hostname",
        "other.example.org",
        "fail",
        "registered from other.example.org",
    ),
    (checks.test_registered, "dask.hostname", "NODE-default-0", "pass", ""),
    (
        checks.test_first_task,
        "dask.first_task",
        REFUSED,
        "fail",
        "the first task: OSError: timed out (after 15.0 s)",
    ),
    (
        checks.test_scheduler_to_worker,
        "dask.scheduler_to_worker",
        REFUSED,
        "fail",
        "to tls://192.0.2.10:40000",
    ),
    (checks.test_scheduler_to_nanny, "dask.scheduler_to_nanny", REFUSED, "fail", "to tls://192.0.2.10:40001"),
    (checks.test_scheduler_to_nanny, "dask.nanny", None, "fail", "this worker has none"),
    (
        checks.test_worker_to_scheduler,
        "dask.worker_to_scheduler",
        REFUSED,
        "fail",
        "to tls://submit.example.org:8786",
    ),
    (
        checks.test_scheduler_name_resolves,
        "probe.scheduler_lookup",
        Lookup(name="submit.example.org", error="Name or service not known"),
        "fail",
        "submit.example.org does not resolve on the node: Name or service not known",
    ),
    (
        checks.test_scheduler_name_resolves,
        "probe.scheduler_lookup",
        Lookup(name="submit.example.org", addresses=("127.0.1.1",)),
        "fail",
        "that is the node itself",
    ),
    (checks.test_scheduler_name_resolves, "probe.scheduler_lookup.name", "192.0.2.1", "n/a", "IP address"),
    (checks.test_worker_name_resolves, "dask.hostname_lookup.addresses", (), "warn", "does not resolve"),
    (checks.test_worker_name_resolves, "dask.address", "tls://127.0.0.1:40000", "n/a", "loopback"),
    (checks.test_worker_name_resolves, "dask.address", "tls://[::1]:40000", "n/a", "loopback"),
    (checks.test_worker_to_worker, "dask.peers", (SENT,), "fail", "no data was fetched"),
    (checks.test_worker_to_worker, "dask.peers", (FETCHED,), "fail", "no data was sent"),
    (checks.test_worker_to_worker, "dask.peers", (), "fail", "no data was sent"),
    (
        checks.test_worker_to_worker,
        "dask.peers",
        (
            SENT,
            FETCHED.model_copy(
                update={"ok": False, "error": "the data that came is not the data that was sent"}
            ),
        ),
        "fail",
        "default-1 to default-0: the data that came is not",
    ),
    (
        checks.test_worker_ports,
        "dask.address",
        "tls://192.0.2.10:39999",
        "fail",
        "worker at 39999 is outside 40000-40100",
    ),
    (checks.test_worker_ports, "dask.nanny", "tls://192.0.2.10:40101", "fail", "outside 40000-40100"),
    (checks.test_worker_ports, "dask.nanny", "tls://192.0.2.10:40100", "pass", ""),
    (checks.test_worker_ports, "dask.listeners", (changed(OPEN, "port", 22),), "fail", "worker at 22"),
    (
        checks.test_worker_ports,
        "dask.listeners",
        (OPEN.model_copy(update={"port": 22, "loopback": True}),),
        "pass",
        "",
    ),
    (
        checks.test_clock_skew,
        "dask.clock",
        Clock(offset=-31.0, round_trip=0.1),
        "fail",
        "-31.0 s (known to 0.1 s)",
    ),
    (checks.test_clock_skew, "dask.clock", Clock(offset=29.0, round_trip=4.0), "warn", "may be off"),
    (checks.test_clock_skew, "dask.clock", Clock(offset=31.0, round_trip=4.0), "warn", "may be off"),
    (checks.test_clock_skew, "dask.clock", Clock(offset=-30.0, round_trip=0.0), "pass", ""),
    (checks.test_tls_in_force, "dask.address", "tcp://192.0.2.10:40000", "fail", "no TLS: worker at tcp://"),
    (checks.test_tls_in_force, "dask.nanny", "tcp://192.0.2.10:40001", "fail", "no TLS: nanny at tcp://"),
    (checks.test_tls_in_force, "dask.tls", (WORKER_END,), "fail", "nobody asked the nanny"),
    (
        checks.test_tls_in_force,
        "dask.tls",
        (changed(WORKER_END, "version", "TLSv1"), NANNY_END),
        "fail",
        "TLSv1",
    ),
    (checks.test_tls_in_force, "dask.tls", (changed(WORKER_END, "version", ""), NANNY_END), "fail", "no TLS"),
    (
        checks.test_tls_in_force,
        "dask.tls",
        (changed(WORKER_END, "error", "reset"), NANNY_END),
        "fail",
        "reset",
    ),
    (
        checks.test_peer_without_certificate_refused,
        "dask.tls",
        (WORKER_END, NANNY_END.model_copy(update={"refused_without_certificate": False, "how": "64 bytes"})),
        "fail",
        "let a peer without a certificate in: nanny at tls://192.0.2.10:40001: 64 bytes",
    ),
    (checks.test_peer_without_certificate_refused, "dask.tls", (), "fail", "nobody asked the worker, nanny"),
    (checks.test_http_not_open, "dask.listeners", (OPEN,), "fail", "worker at 0.0.0.0 port 40000"),
    (checks.test_http_not_open, "dask.listeners", (changed(OPEN, "loopback", True),), "pass", ""),
    (
        checks.test_http_not_open,
        "dask.listeners",
        (changed(OPEN, "answers_plain_http", None),),
        "warn",
        "not be asked",
    ),
    (checks.test_http_not_open, "dask.listeners", (), "fail", "no listening port"),
]


@pytest.mark.parametrize(("check", "path", "value", "outcome", "message"), CASES)
def test_evidence_of_a_worker(
    tmp_path: Path, check: Callable[[Worker], None], path: str, value: object, outcome: str, message: str
) -> None:
    run = good_run(tmp_path, workers=(changed(good_worker(), path, value),))
    result = compute(check, run.workers["default-0"])
    assert result.outcome == outcome, result.message
    assert message in result.message


END = TlsEndpoint(process="scheduler", address="tls://submit.example.org:8786", version="TLSv1.3")
RUN_CASES = [
    (checks.test_scheduler_tls_in_force, "tls", (), "nobody asked the scheduler"),
    (checks.test_scheduler_tls_in_force, "tls", (changed(END, "version", "TLSv1.1"),), "TLSv1.1"),
    (checks.test_scheduler_tls_in_force, "scheduler_address", "tcp://submit.example.org:8786", "no TLS"),
    (checks.test_scheduler_tls_in_force, "scheduler_address", "", "no TLS"),
    (checks.test_scheduler_refuses_peer_without_certificate, "tls", (changed(END, "how", "hello"),), "hello"),
    (
        checks.test_scheduler_http_not_open,
        "listeners",
        (changed(OPEN, "process", "scheduler"),),
        "scheduler at",
    ),
    (checks.test_scheduler_http_not_open, "listeners", (), "no listening port"),
]


@pytest.mark.parametrize(("check", "path", "value", "message"), RUN_CASES)
def test_bad_evidence_of_the_scheduler(
    tmp_path: Path, check: Callable[[Run], None], path: str, value: object, message: str
) -> None:
    result = compute(check, good_run(tmp_path, submit=changed(good_submit(), path, value)))
    assert result.outcome == "fail"
    assert message in result.message


def with_pool(field: str, value: object) -> SiteProfile:
    site = good_site()
    pool = changed(site.execution.pools[0], field, value)
    return changed(site, "execution.pools", (pool,))


@pytest.mark.parametrize(
    ("check", "field", "value"),
    [
        (checks.test_worker_to_worker, "workers", 1),
        (checks.test_scheduler_to_nanny, "nanny", False),
    ],
)
def test_what_the_profile_does_not_offer(
    tmp_path: Path, check: Callable[[Worker], None], field: str, value: object
) -> None:
    run = good_run(tmp_path, site=with_pool(field, value))
    assert compute(check, run.workers["default-0"]).outcome == "n/a"


def test_a_scheduler_known_by_its_address_needs_no_name(tmp_path: Path) -> None:
    site = changed(good_site(), "execution.scheduler.host", "2001:db8::1")
    silent = changed(good_worker(), "probe.scheduler_lookup", None)
    run = good_run(tmp_path, site=site, workers=(silent,))
    assert compute(checks.test_scheduler_name_resolves, run.workers["default-0"]).outcome == "n/a"


def test_a_scheduler_on_the_same_machine_may_be_loopback(tmp_path: Path) -> None:
    lookup = Lookup(name="submit.example.org", addresses=("127.0.1.1",))
    here = changed(good_worker(), "probe.scheduler_lookup", lookup)
    run = good_run(tmp_path, workers=(changed(here, "probe.host.hostname", "submit.example.org"),))
    assert compute(checks.test_scheduler_name_resolves, run.workers["default-0"]).outcome == "pass"


def without_ports(**update: object) -> SiteProfile:
    site = good_site()
    pool = site.execution.pools[0].model_copy(update={"worker_ports": None, "nanny_ports": None, **update})
    return changed(site, "execution.pools", (pool,))


def test_no_port_range_nothing_to_check(tmp_path: Path) -> None:
    run = good_run(tmp_path, site=without_ports())
    assert compute(checks.test_worker_ports, run.workers["default-0"]).outcome == "n/a"


def test_nanny_has_a_range_of_its_own(tmp_path: Path) -> None:
    run = good_run(tmp_path, site=without_ports(worker_ports=(40000, 40000), nanny_ports=(40002, 40100)))
    found = compute(checks.test_worker_ports, run.workers["default-0"])
    assert (found.outcome, found.message) == ("fail", "nanny at 40001 is outside 40002-40100")


def test_worker_that_reaches_nobody_does_not_fail_the_others(tmp_path: Path) -> None:
    names = tuple(f"default-{number}" for number in range(3))

    def worker(name: str) -> WorkerEvidence:
        good = good_worker(name, among=names)
        assert good.dask
        assert good.dask.peers
        seen = [
            move.model_copy(update={"ok": "default-2" not in {move.source, move.target}})
            for move in good.dask.peers
        ]
        return changed(good, "dask.peers", tuple(seen))

    run = good_run(tmp_path, site=with_pool("workers", 3), workers=map(worker, names))
    found = {name: compute(checks.test_worker_to_worker, run.workers[name]).outcome for name in names}
    assert found == {"default-0": "pass", "default-1": "pass", "default-2": "fail"}
