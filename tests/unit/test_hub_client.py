"""The command's side of the hub: with a real one, and with programs that play a broken one."""

from __future__ import annotations

import os
import shutil
import socket
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from fasthep_validate import hub as hubs
from fasthep_validate.connection import Connection, connect
from fasthep_validate.errors import FasthepValidateError, SubmitError
from fasthep_validate.hub import Hub
from fasthep_validate.models.evidence import SubmitEvidence

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.conftest import Private

READY = """echo '{"event": "ready", "address": "tls://127.0.0.1:1", "versions": {}}'"""


def open_hub(private: Private, *, python: Path = Path(sys.executable), port: int = 0) -> Hub:
    config = private.hub_config(command=os.getpid(), port=port)
    log = private.path.parent / "scheduler.log"
    return Hub(python, config, folder=private.path, log=log, env=dict(os.environ))


@pytest.fixture
def broken(private: Private, tmp_path: Path) -> Iterator[Callable[[str], Hub]]:
    """Makes a hub out of a shell script, which gets the place of Python."""
    opened = []

    def make(script: str) -> Hub:
        python = tmp_path / "python"
        python.write_text(f"#!/bin/sh\n{script}\n")
        python.chmod(0o755)
        opened.append(open_hub(private, python=python))
        return opened[-1]

    yield make
    for hub in opened:
        hub.close(timeout=0)


def test_whole_life(private: Private) -> None:
    hub = open_hub(private)
    try:
        ready = hub.wait_ready()
        assert ready.address.startswith("tls://127.0.0.1:")
        assert hub.ready is ready
        evidence = SubmitEvidence.model_validate(hub.ask("scheduler", timeout=20))
        (endpoint,) = evidence.tls
        assert endpoint.refused_without_certificate
        assert endpoint.version.startswith("TLSv1.")
        assert not any(listener.answers_plain_http for listener in evidence.listeners)
        assert evidence.client_versions == evidence.scheduler_versions == ready.versions
        with pytest.raises(FasthepValidateError, match="scheduler: 'dance' failed: KeyError: 'dance'"):
            hub.ask("dance", timeout=20)
        own = Connection(
            address=ready.address,
            ca=str(private.tls.ca),
            cert=str(private.tls.client.cert),
            key=str(private.tls.client.key),
            versions=ready.versions,
        )
        with connect(own) as client:
            assert client.scheduler_info()["workers"] == {}
    finally:
        hub.stop()
        shutil.rmtree(private.path)
        started = time.monotonic()
        hub.close(timeout=10)
    assert time.monotonic() - started < 5
    with pytest.raises(FasthepValidateError, match="scheduler: it is gone"):
        hub.ask("scheduler", timeout=1)
    assert "Closing scheduler" in hub.log.read_text()


def test_port_that_is_taken(private: Private) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        hub = open_hub(private, port=port)
        try:
            with pytest.raises(
                SubmitError, match=rf"^scheduler: .*127\.0\.0\.1, port {port}: .*in use.*\. Choose"
            ):
                hub.wait_ready()
        finally:
            shutil.rmtree(private.path)
            hub.close(timeout=10)


def test_python_that_cannot_run_it(broken: Callable[[str], Hub]) -> None:
    hub = broken("echo 'No module named dask' >&2; exit 1")
    with pytest.raises(SubmitError, match=r"its process ended before it listened\. .*No module named dask"):
        hub.wait_ready()


def test_python_that_says_nothing(broken: Callable[[str], Hub]) -> None:
    with pytest.raises(SubmitError, match=r"ended before it listened\. It said nothing\."):
        broken("exit 1").wait_ready()


def test_hub_that_never_listens(broken: Callable[[str], Hub], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hubs, "START_TIMEOUT", 0.1)  # a minute is too long to wait here
    with pytest.raises(SubmitError, match=r"not listening after 0\.1 s"):
        broken("sleep 60").wait_ready()


def test_hub_that_does_not_answer(broken: Callable[[str], Hub]) -> None:
    hub = broken(f"{READY}; exec sleep 60")
    hub.wait_ready()
    with pytest.raises(FasthepValidateError, match=r"no answer to 'gather' within 0\.1 s"):
        hub.ask("gather", timeout=0.1)
    started = time.monotonic()
    hub.close(timeout=0.1)
    assert time.monotonic() - started < 2
    assert not hub.alive


def test_hub_that_dies_while_it_is_asked(broken: Callable[[str], Hub]) -> None:
    hub = broken(f"{READY}; read line; echo 'Killed' >&2; exit 1")
    hub.wait_ready()
    started = time.monotonic()
    with pytest.raises(FasthepValidateError, match=r"'gather' failed: its process ended\..*Killed"):
        hub.ask("gather", timeout=30)
    assert time.monotonic() - started < 5
    assert not hub.alive


def test_registrations(broken: Callable[[str], Hub]) -> None:
    joined = '{"event": "joined", "worker": "default-0", "address": "tls://h:1", "node": "h", "time": 1.5}'
    left = '{"event": "left", "worker": "default-0", "time": 2.5}'
    hub = broken(f"{READY}; echo '{joined}'; echo '{left}'; read line")
    hub.wait_ready()
    seen = [hub.registrations.get(timeout=5) for _ in range(2)]
    assert [(item.worker, item.joined, item.node, item.time) for item in seen] == [
        ("default-0", True, "h", 1.5),
        ("default-0", False, "", 2.5),
    ]
