"""The start of the Dask worker: against sockets for the connect test, against a real scheduler for the rest."""

from __future__ import annotations

import json
import os
import shutil
import socket
import ssl
import subprocess
import sys
import threading
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import distributed.nanny
import pytest

from fasthep_validate.bundled import worker_file
from fasthep_validate.credentials.run_tls import make_run_tls
from fasthep_validate.models.event import Event
from fasthep_validate.worker import launch

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fasthep_validate.credentials.run_tls import RunTls

LAUNCH = Path(launch.__file__)


@pytest.fixture
def tls(tmp_path: Path) -> RunTls:
    folder = tmp_path / "tls"
    folder.mkdir(mode=0o700)
    return make_run_tls(folder)


@pytest.fixture
def job(tmp_path: Path, tls: RunTls) -> Path:
    """A job's directory with a copy of the program."""
    directory = tmp_path / "job"
    directory.mkdir()
    for source in (LAUNCH, tls.ca, tls.worker.cert, tls.worker.key):
        shutil.copy(source, directory / source.name)
    (directory / "dask.yaml").write_text("distributed: {worker: {http: {routes: []}}}\n")
    return directory


@contextmanager
def tls_server(tls: RunTls, *, ca: Path | None = None, greeting: bytes = b"hello") -> Iterator[int]:
    """Shake hands with whoever comes, as a scheduler does; yields the port."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=str(ca or tls.ca))
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_cert_chain(tls.scheduler.cert, tls.scheduler.key)
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(0.05)
        stopped = threading.Event()

        def serve() -> None:
            while not stopped.is_set():
                try:
                    plain, _ = server.accept()
                    with plain, context.wrap_socket(plain, server_side=True) as secure:
                        secure.sendall(greeting)
                except OSError:
                    continue

        thread = threading.Thread(target=serve)
        thread.start()
        yield server.getsockname()[1]
        stopped.set()
        thread.join()


def refusal(port: int, directory: Path, host: str = "127.0.0.1") -> launch.Refused:
    with pytest.raises(launch.Refused) as caught:
        launch.reach(host, port, directory)
    return caught.value


def test_a_scheduler_of_the_run_is_reached(job: Path, tls: RunTls) -> None:
    with tls_server(tls) as port:
        assert launch.reach("127.0.0.1", port, job).startswith("TLSv1.")


def test_a_scheduler_of_another_run_is_refused_at_once(job: Path, tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    other = make_run_tls(tmp_path / "other")
    with tls_server(other) as port:
        refused = refusal(port, job)
    assert (refused.code, refused.final) == ("tls-failed", True)
    assert "CERTIFICATE_VERIFY_FAILED" in str(refused)


def test_a_scheduler_that_turns_our_certificate_down_is_seen_though_tls_1_3_says_so_late(
    job: Path, tls: RunTls, tmp_path: Path
) -> None:
    (tmp_path / "other").mkdir()
    other = make_run_tls(tmp_path / "other")
    with tls_server(tls, ca=other.ca) as port:
        assert refusal(port, job).code == "tls-failed"


def test_a_scheduler_that_closes_after_the_handshake_is_worth_another_try(job: Path, tls: RunTls) -> None:
    with tls_server(tls, greeting=b"") as port:
        refused = refusal(port, job)
    assert (refused.code, refused.final) == ("tls-failed", False)


def closed_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


def test_a_closed_port_and_an_unknown_name_are_told_apart(job: Path) -> None:
    refused = refusal(closed_port(), job)
    assert (refused.code, refused.final) == ("refused", False)
    assert "Errno 111" in str(refused)
    assert refusal(1, job, "nosuch.invalid").code == "name-unresolved"


def test_a_peer_that_never_answers_is_a_time_out(job: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(launch, "ATTEMPT", 0.2)  # seconds are too long to wait here
    with socket.create_server(("127.0.0.1", 0)) as server:
        assert refusal(server.getsockname()[1], job).code == "timed-out"


@pytest.mark.skipif(os.geteuid() != 0, reason="a network of its own needs root")
def test_a_network_without_a_route_is_unreachable(job: Path) -> None:
    program = (
        f"import sys; sys.path.insert(0, {str(LAUNCH.parent)!r}); import launch; from pathlib import Path\n"
    )
    program += f"try: launch.reach('192.0.2.1', 1, Path({str(job)!r}))\n"
    program += "except launch.Refused as refused: print(refused.code, refused)"
    command = ["unshare", "-n", sys.executable, "-c", program]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    if "unshare:" in done.stderr:
        pytest.skip(f"no network of its own possible: {done.stderr}")
    assert done.stdout.startswith("unreachable [Errno 101]"), done.stderr


def test_option_is_read_as_the_command_line_has_it() -> None:
    assert launch.option(["--name", "a", "--name=b"], "--name", "") == "a"
    assert launch.option(["--names", "x", "--name=b=c"], "--name", "") == "b=c"
    assert launch.option(["--name"], "--name", "none") == "none"


def events_of(job: Path, printed: str) -> list[Event]:
    lines = [
        line.removeprefix("FHV-EVENT ") for line in printed.splitlines() if line.startswith("FHV-EVENT ")
    ]
    assert lines == (job / "events.jsonl").read_text().splitlines()
    return [Event.model_validate_json(line) for line in lines]


def test_no_scheduler_until_the_death_timeout_is_exit_70(job: Path) -> None:
    arguments = [f"tls://127.0.0.1:{closed_port()}", "--name", "default-0", "--death-timeout", "1"]
    (job / "worker.args").write_text("\n".join(arguments) + "\n")
    command = [sys.executable, "launch.py", "worker.args"]
    done = subprocess.run(command, cwd=job, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 70
    told = events_of(job, done.stderr)
    assert [(event.phase, event.state, event.code) for event in told] == [
        ("connected", "start", ""),
        ("connected", "fail", "refused"),
    ]
    assert {event.worker for event in told} == {"default-0"}
    assert arguments[0] in told[1].detail


def test_nothing_but_imports_before_the_word_to_go(job: Path) -> None:
    shutil.copy(worker_file("probe_code.py"), job)
    arguments = [f"tls://127.0.0.1:{closed_port()}", "--name", "default-0", "--death-timeout", "1"]
    (job / "worker.args").write_text("\n".join(arguments) + "\n")
    command = [sys.executable, "launch.py", "worker.args", "go", "imported"]
    with subprocess.Popen(command, cwd=job, stderr=subprocess.DEVNULL) as process:
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(2)
        assert not (job / "events.jsonl").exists()
        (job / "go").touch()
        assert process.wait(60) == 70
    assert (job / "events.jsonl").exists()
    told = json.loads((job / "imported").read_text())
    assert [(result["module"], result["ok"]) for result in told["imports"]] == [
        ("dask", True),
        ("distributed", True),
    ]
    assert distributed.nanny.__file__ in told["modules"]
    assert not [name for name in told["modules"] if Path(name).parent == job]


def test_a_full_disk_does_not_end_what_imports(job: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It has nowhere to tell what it has imported, and goes on."""
    monkeypatch.syspath_prepend(str(worker_file("probe_code.py").parent))
    (job / "go").touch()
    (job / "imported-").symlink_to("/dev/full")  # where it is written first
    launch.import_until(job / "go", job / "imported")
    assert not (job / "imported").exists()


# A scheduler, the program under test as its worker, and a client that asks both processes of the
# worker what their settings are and then kills the job script's stand-in. A process of its own: it
# starts an event loop and needs Dask settings that are its own.
DRIVER = """
import asyncio, json, os, subprocess, sys
from distributed import Client, Scheduler, Security

def settings():
    import dask, os
    return {
        "evil": dask.config.get("evil", None),
        "routes": dask.config.get("distributed.worker.http.routes"),
        "tick": dask.config.get("distributed.admin.tick.interval"),
        "variables": [name for name in os.environ if name.startswith("DASK_")],
        "home": os.environ["HOME"],
        "pid": os.getpid(),
    }

async def main(tls):
    security = Security(tls_ca_file=tls + "/ca.pem", require_encryption=True,
        tls_scheduler_cert=tls + "/scheduler.pem", tls_scheduler_key=tls + "/scheduler.key",
        tls_client_cert=tls + "/client.pem", tls_client_key=tls + "/client.key")
    async with Scheduler(host="127.0.0.1", port=0, security=security, dashboard=False) as scheduler:
        with open("worker.args", "w") as file:
            for word in (scheduler.address, "--tls-ca-file", "ca.pem", "--tls-cert", "worker.pem",
                "--tls-key", "worker.key", "--name", "default-0", "--nworkers", "1", "--nthreads", "1",
                "--no-dashboard", "--death-timeout", "30", "--local-directory", "dask-scratch"):
                print(word, file=file)
        stand_in = subprocess.Popen(["sh", "-c", '"$@" & wait', "sh", sys.executable, "launch.py", "worker.args"],
            env=json.load(open("poisoned.json")), stderr=open("worker.err", "w"))
        async with Client(scheduler.address, security=security, asynchronous=True) as client:
            await client.wait_for_workers(1, timeout=40)
            worker = await client.run(settings)
            nanny = await client.run(settings, nanny=True)
            found = [*worker.values(), *nanny.values()]
            stand_in.kill()
            stand_in.wait()
            # The scheduler is still there: the worker has no reason of its own to end.
            left = [one["pid"] for one in found]
            for _ in range(100):
                left = [pid for pid in left if os.path.exists(f"/proc/{pid}/exe")]
                if not left:
                    break
                await asyncio.sleep(0.05)
            print(json.dumps([*found, left]))

asyncio.run(main(sys.argv[1]))
"""


def test_the_user_s_dask_settings_reach_neither_worker_nor_nanny_and_nothing_outlives_the_job(
    job: Path, tls: RunTls, tmp_path: Path
) -> None:
    home = tmp_path / "home"
    (home / ".config" / "dask").mkdir(parents=True)
    (home / ".config" / "dask" / "evil.yaml").write_text(
        "evil: file\ndistributed: {admin: {tick: {interval: 77ms}}, worker: {preload: [nosuch_evil_module]}}\n"
    )
    (home / ".config" / "dask" / "worse.yaml").write_text("{ this is: no yaml")
    (home / "root").mkdir()
    (home / "root" / "root.yaml").write_text("evil: root\n")
    poisoned = {
        "PATH": os.environ["PATH"],
        "HOME": str(home),
        "DASK_ROOT_CONFIG": str(home / "root"),
        "DASK_EVIL": "variable",
        "DASK_DISTRIBUTED__ADMIN__TICK__INTERVAL": "88ms",
        "DASK_CONFIG": str(home / "root" / "root.yaml"),
        "DASK_INTERNAL_INHERIT_CONFIG": "e30=",
    }
    (job / "poisoned.json").write_text(json.dumps(poisoned))
    command = [sys.executable, "-c", DRIVER, str(tls.ca.parent)]
    done = subprocess.run(command, cwd=job, capture_output=True, text=True, check=False, timeout=90)
    told = (job / "worker.err").read_text()
    assert done.returncode == 0, done.stderr + told
    worker, nanny, left = json.loads(done.stdout)
    assert worker["pid"] != nanny["pid"]
    for seen in (worker, nanny):
        assert seen["evil"] is None
        assert seen["routes"] == []
        assert seen["tick"] == "20ms"
        assert seen["variables"] == []
        assert seen["home"] == str(home)
    assert [event.state for event in events_of(job, told)] == ["start", "end"]
    assert left == []
