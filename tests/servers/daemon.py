"""A server as an ordinary process: started, waited for, ended by its id."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from fasthep_validate import process

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

READY_TIMEOUT = 20.0  # seconds; a fraction of one is usual
END_TIMEOUT = 5.0
SYSTEM_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
# Program -> Debian package, for reasons of skips; .ci/run has the same.
PACKAGE_OF = {
    "krb5kdc": "krb5-kdc",
    "kadmin.local": "krb5-admin-server",
    "kinit": "krb5-user",
    "xrootd": "xrootd-server",
    "xrdfs": "xrootd-client",
}


class ServerError(Exception):
    """A server did not start, or a command of it failed."""


def missing(*programs: str) -> list[str]:
    """Debian packages of those programs that are not there."""
    return [PACKAGE_OF[name] for name in programs if shutil.which(name, path=SYSTEM_PATH) is None]


def free_port(address: str = "127.0.0.1") -> int:
    """A TCP port that nobody listens on just now, nor on UDP."""
    with socket.socket() as stream:
        stream.bind((address, 0))
        port: int = stream.getsockname()[1]
        return port


def command(
    argv: Sequence[str | Path],
    *,
    env: Mapping[str, str] | None = None,
    input: str | None = None,
    timeout: float = 30,
) -> str:
    """What a command that must succeed says.

    Raises:
        ServerError: it failed.
    """
    given = {"PATH": SYSTEM_PATH, "LANG": "C.UTF-8", **(env or {})}
    done = process.run(argv, timeout=timeout, env=given, input=input)
    if not done.ok:
        words = " ".join(map(str, argv))
        raise ServerError(f"{words}: exit code {done.returncode}: {done.stdout}{done.stderr}")
    return done.stdout


@dataclass
class Daemon:
    """A server's process.

    Attributes:
        child: the process, which leads a session.
        log: what it says on its outputs.
    """

    child: subprocess.Popen[bytes]
    log: Path

    @classmethod
    def start(
        cls, argv: Sequence[str | Path], *, log: Path, env: Mapping[str, str], faketime: str = ""
    ) -> Daemon:
        """Start a server that ends with us, however we end.

        Args:
            argv: program and arguments.
            log: where its outputs go.
            env: its environment, besides ``PATH``.
            faketime: what its clock is off by, such as ``+15m``.
        """
        given = {"PATH": SYSTEM_PATH, "LANG": "C.UTF-8", **env}
        if faketime:
            argv = ["faketime", "-f", faketime, *argv]
            given |= {"FAKETIME_DONT_FAKE_MONOTONIC": "1", "FAKETIME_DISABLE_SHM": "1"}
        with log.open("ab") as sink:
            child = process.spawn(
                ["setpriv", "--pdeathsig", "KILL", *argv],
                env=given,
                cwd=log.parent,
                stdin=subprocess.DEVNULL,
                stdout=sink.fileno(),
                stderr=sink.fileno(),
            )
        return cls(child, log)

    def wait_for_port(self, address: str, port: int) -> None:
        """Wait until it listens.

        Raises:
            ServerError: it ended, or does not in time.
        """
        deadline = time.monotonic() + READY_TIMEOUT
        while self.child.poll() is None and time.monotonic() < deadline:
            with socket.socket() as stream:
                if stream.connect_ex((address, port)) == 0:
                    return
            time.sleep(0.02)
        self.stop()
        raise ServerError(f"{self.log.stem} does not listen at {address}:{port}:\n{self.last_words()}")

    def last_words(self) -> str:
        """The end of its log."""
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-30:])

    def pause(self, signum: int) -> None:
        """Send it a signal, such as SIGSTOP: it answers nobody until SIGCONT."""
        os.kill(self.child.pid, signum)

    def stop(self) -> None:
        """End it and all that it started; safe to call again."""
        if self.child.poll() is None:
            self.child.terminate()
            try:
                self.child.wait(END_TIMEOUT)
            except subprocess.TimeoutExpired:
                process.kill_group(self.child)
        process.kill_group(self.child)
        self.child.wait()
