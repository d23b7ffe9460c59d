"""The command's side of the hub: the process that is scheduler and gathering client of a run."""

from __future__ import annotations

import itertools
import json
import queue
import subprocess
import threading
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from fasthep_validate import bundled, process
from fasthep_validate.errors import FasthepValidateError, SubmitError
from fasthep_validate.store import write_text

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

START_TIMEOUT = 60.0  # seconds until the scheduler must listen; imports from a slow disk take long


@dataclass(frozen=True)
class Registration:
    """A worker that registered with the scheduler, or left it.

    Attributes:
        worker: planned worker.
        joined: whether it came (``True``) or went.
        node: host part of its address; empty when it left.
        time: seconds since 1970 on the submit host.
    """

    worker: str
    joined: bool
    node: str
    time: float


@dataclass(frozen=True)
class Ready:
    """A scheduler that listens.

    Attributes:
        address: ``tls://host:port``.
        versions: Python and packages of its process.
    """

    address: str
    versions: dict[str, str]


class Hub:
    """Starts ``worker/hub.py`` and speaks JSON lines with it."""

    def __init__(
        self, python: Path, config: Mapping[str, object], *, folder: Path, log: Path, env: Mapping[str, str]
    ) -> None:
        """Start the process; :meth:`wait_ready` tells when it listens.

        Args:
            python: the interpreter of the shipped environment on the submit host.
            config: see ``worker/hub.py``; written to ``folder``.
            folder: the run's private directory; whoever removes it last ends the process for good.
            log: file for what it prints.
            env: environment of the process.
        """
        path = folder / "hub.json"
        write_text(path, json.dumps(config), mode=0o600)
        self.log = log
        self._messages: queue.Queue[dict[str, Any]] = queue.Queue()
        self._replies: dict[int, queue.Queue[dict[str, Any]]] = {}
        self._numbers = itertools.count(1)
        self._ready: Ready | None = None
        self.registrations: queue.Queue[Registration] = queue.Queue()
        with log.open("wb") as stream:
            self._child = process.spawn(
                [python, bundled.worker_file("hub.py"), path],
                env=env,
                cwd=folder,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=stream.fileno(),
            )
        self._reader = threading.Thread(target=self._read, name="hub", daemon=True)
        self._reader.start()

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._child.pid

    @property
    def ready(self) -> Ready:
        """The scheduler, once it listens."""
        if self._ready is None:
            self._ready = self.wait_ready()
        return self._ready

    def wait_ready(self) -> Ready:
        """Wait until the scheduler listens.

        Raises:
            SubmitError: it could not listen, or did not start.
        """
        try:
            message = self._messages.get(timeout=START_TIMEOUT)
        except queue.Empty:
            raise SubmitError(f"scheduler: not listening after {START_TIMEOUT:g} s. {self._why()}") from None
        match message:
            case {"event": "ready", "address": address, "versions": versions}:
                self._ready = Ready(address, versions)
                return self._ready
            case {"event": "failed", "error": error}:
                raise SubmitError(f"scheduler: {error}")
        raise SubmitError(f"scheduler: its process ended before it listened. {self._why()}")

    def ask(self, do: str, *args: object, timeout: float) -> Any:
        """Put a request and wait for its answer.

        Raises:
            FasthepValidateError: no answer in time, the request failed, or the process is gone.
        """
        number = next(self._numbers)
        answer = self._replies[number] = queue.Queue()
        try:
            self._write({"id": number, "do": do, "args": args})
            message = answer.get(timeout=timeout)
        except queue.Empty:
            raise FasthepValidateError(
                f"scheduler: no answer to '{do}' within {timeout:g} s. {self._why()}"
            ) from None
        finally:
            del self._replies[number]
        if "error" in message:
            raise FasthepValidateError(f"scheduler: '{do}' failed: {message['error']}. {self._why()}")
        return message["result"]

    def stop(self) -> None:
        """Ask the process to close all workers and the scheduler; returns at once."""
        if self._child.stdin is not None:
            with suppress(BrokenPipeError):
                self._child.stdin.close()

    def close(self, *, timeout: float) -> None:
        """Wait for the end of the process, which comes once the private folder has been removed.

        Args:
            timeout: seconds after which it is killed.
        """
        self.stop()
        try:
            self._child.wait(timeout)
        except subprocess.TimeoutExpired:
            process.kill_group(self._child)
            self._child.wait()
        self._reader.join(timeout=5)
        if self._child.stdout is not None:
            self._child.stdout.close()

    @property
    def alive(self) -> bool:
        """Whether the process answers."""
        return self._reader.is_alive()

    def _write(self, request: Mapping[str, object]) -> None:
        assert self._child.stdin is not None
        try:
            if not self.alive:
                raise BrokenPipeError
            self._child.stdin.write(json.dumps(request).encode() + b"\n")
            self._child.stdin.flush()
        except (OSError, ValueError) as error:
            raise FasthepValidateError(f"scheduler: it is gone. {self._why()}") from error

    def _read(self) -> None:
        """Sort what the process says; ends when it does."""
        assert self._child.stdout is not None
        for line in self._child.stdout:
            message = json.loads(line)
            match message:
                case {"reply": number}:
                    if number in self._replies:
                        self._replies[number].put(message)
                case {"event": "joined" | "left" as event, "worker": worker, "time": time}:
                    node = message.get("node", "")
                    self.registrations.put(Registration(worker, event == "joined", node, time))
                case _:
                    self._messages.put(message)
        gone = {"event": "gone", "error": "its process ended"}
        self._messages.put(gone)
        for answer in list(self._replies.values()):
            answer.put(gone)

    def _why(self) -> str:
        """The last words of the process, for a message."""
        try:
            lines = self.log.read_text(errors="replace").strip().splitlines()
        except OSError:
            return ""
        return f"Its last words: {lines[-1]}" if lines else "It said nothing."
