"""``worker/hub.py`` as a process, without workers; its command is played by the test."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

from fasthep_validate import bundled

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.conftest import Private

NOBODY = 0  # the process id of a command that was killed: nobody's parent


@contextmanager
def hub(
    private: Private, *, command: int, port: int = 0, last_port: int | None = None
) -> Iterator[subprocess.Popen[str]]:
    config = private.path / "hub.json"
    config.write_text(json.dumps(private.hub_config(command=command, port=port, last_port=last_port)))
    with (private.path.parent / "hub.log").open("w") as log:
        child = subprocess.Popen(
            [sys.executable, bundled.worker_file("hub.py"), config],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
        )
    with child:
        try:
            yield child
        finally:
            child.kill()


def said(child: subprocess.Popen[str]) -> dict[str, object]:
    assert child.stdout is not None
    message: dict[str, object] = json.loads(child.stdout.readline())
    return message


def end_of_input(child: subprocess.Popen[str]) -> None:
    assert child.stdin is not None
    child.stdin.close()


def test_command_that_ends_removes_the_folder_itself(private: Private) -> None:
    """The hub waits for that, so that whoever is last removes it."""
    with hub(private, command=os.getpid()) as child:
        assert said(child)["event"] == "ready"
        for signum in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            child.send_signal(signum)  # not the hub's business
        end_of_input(child)
        assert child.stdout is not None
        assert child.stdout.read() == ""  # it says that no answer will come any more
        assert child.poll() is None
        assert (private.path / "worker.key").exists()
        for path in private.path.iterdir():
            path.rename(private.path.parent / path.name)
        private.path.rmdir()
        assert child.wait(10) == 0


def test_command_that_was_killed_while_the_hub_starts(private: Private) -> None:
    with hub(private, command=NOBODY) as child:
        end_of_input(child)
        assert child.wait(20) == 0
    assert not private.path.exists()


def test_jobs_of_a_command_that_was_killed_are_removed(private: Private, tmp_path: Path) -> None:
    """A batch system that is busy is asked again."""
    remove = tmp_path / "remove"
    remove.write_text(
        f'#!/bin/sh\necho "$@" >>{tmp_path}/removed\n[ "$(wc -l <{tmp_path}/removed)" -gt 1 ]\n'
    )
    remove.chmod(0o755)
    (private.path / "removal.json").write_text(json.dumps([[str(remove), "12.0", "12.1"]]))
    with hub(private, command=NOBODY) as child:
        end_of_input(child)
        assert child.wait(30) == 0
    assert (tmp_path / "removed").read_text() == "12.0 12.1\n" * 2
    assert not private.path.exists()


def test_jobs_of_a_command_that_ends_are_its_own_business(private: Private, tmp_path: Path) -> None:
    (private.path / "removal.json").write_text(json.dumps([["touch", str(tmp_path / "removed")]]))
    with hub(private, command=os.getpid()) as child:
        end_of_input(child)
        assert said(child)["event"] == "ready"
        shutil.rmtree(private.path)
        assert child.wait(10) == 0
    assert not (tmp_path / "removed").exists()


def test_folder_is_kept_as_long_as_jobs_work_there(private: Private) -> None:
    job = private.path / "jobs" / "default-0"
    job.mkdir()
    with hub(private, command=NOBODY) as child:
        said(child)
        end_of_input(child)
        time.sleep(0.3)
        assert child.poll() is None
        assert job.exists()
        job.rmdir()
        assert child.wait(10) == 0
    assert not private.path.exists()


def test_port_that_is_taken(private: Private) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with hub(private, command=NOBODY, port=port) as child:
            message = said(child)
            assert child.wait(10) == 0
    assert message["event"] == "failed"
    assert f"it cannot listen at 127.0.0.1, port {port}: " in str(message["error"])
    assert "in use" in str(message["error"])
    assert "Traceback" not in (private.path.parent / "hub.log").read_text()


def neighbours(number: int) -> list[socket.socket]:
    """Sockets that listen at ports in a row, of which the last was free a moment ago."""
    for first in range(20_000, 30_000, 10):
        found: list[socket.socket] = []
        try:
            found.extend(socket.create_server(("127.0.0.1", first + index)) for index in range(number))
        except OSError:
            for each in found:
                each.close()
        else:
            return found
    raise AssertionError("no ports in a row are free")


def test_first_free_port_of_a_range(private: Private) -> None:
    """What the neighbour of a shared submit host has taken is left alone."""
    *taken, free = neighbours(3)
    first, wanted = taken[0].getsockname()[1], free.getsockname()[1]
    free.close()
    with hub(private, command=NOBODY, port=first, last_port=wanted) as child:
        message = said(child)
        assert str(message["address"]).endswith(f":{wanted}")
        end_of_input(child)
        assert child.wait(10) == 0
    for each in taken:
        each.close()
    assert "Traceback" not in (private.path.parent / "hub.log").read_text()


def test_range_of_which_no_port_is_free(private: Private) -> None:
    taken = neighbours(2)
    first, last = (each.getsockname()[1] for each in taken)
    with hub(private, command=NOBODY, port=first, last_port=last) as child:
        message = said(child)
        assert child.wait(10) == 0
    for each in taken:
        each.close()
    assert f"it cannot listen at 127.0.0.1, port {first} to {last}: " in str(message["error"])


def test_requests(private: Private) -> None:
    with hub(private, command=NOBODY) as child:
        ready = said(child)
        assert child.stdin is not None
        for number, (do, args) in enumerate(
            [("gather", [["default-0"], 10]), ("dance", []), ("scheduler", [])]
        ):
            child.stdin.write(json.dumps({"id": number, "do": do, "args": args}) + "\n")
        child.stdin.flush()
        answers = {answer["reply"]: answer for answer in (said(child) for _ in range(3))}
        assert answers[0]["result"] == {}
        assert "dance" in str(answers[1]["error"])
        assert answers[2]["result"]["scheduler_address"] == ready["address"]  # type: ignore[index]
        end_of_input(child)
        assert child.wait(10) == 0


def test_bad_configuration_is_told(private: Private) -> None:
    with hub(private, command=NOBODY) as child:
        (private.path / "dask.yaml").unlink()
        (private.path / "ca.pem").write_text("no certificate")
        message = said(child)
        assert message["event"] == "failed"
        assert child.wait(10) == 0


def test_killed_while_the_command_lives(private: Private) -> None:
    """The command hears of it at once: its end of the pipe closes."""
    with hub(private, command=os.getpid()) as child:
        said(child)
        threading.Timer(0.1, child.kill).start()
        assert child.stdout is not None
        assert child.stdout.read() == ""
