"""Start the Dask worker of a job: ``python launch.py worker.args [GO IMPORTED]``.

``worker.args`` holds one argument of ``dask worker`` a line, the scheduler's address first. The run's certificates
(``ca.pem``, ``worker.pem``, ``worker.key``) and Dask's settings (``dask.yaml``) lie beside this file.
Three steps: set aside every Dask setting that is not the run's, see whether the scheduler can be
reached over TLS (phase ``connected``), become the worker. With ``GO`` and ``IMPORTED``, two files, Dask is imported first, what
came of it goes to the second one, for the probe, and nothing else is done before the first one is there.

Exit codes: 64 usage, 70 the scheduler could not be reached, else those of ``dask worker``.
"""

from __future__ import annotations

import contextlib
import fcntl
import importlib
import json
import os
import signal
import socket
import ssl
import subprocess
import sys
import time
from pathlib import Path
from urllib.parse import urlsplit

HERE = Path(__file__).resolve().parent
USAGE, UNREACHABLE = 64, 70
ATTEMPT = 5.0  # seconds for one attempt to connect, and again for its handshake
REPLY = 2.0  # seconds for the scheduler's first byte
DEATH_TIMEOUT = 60.0  # seconds, when worker.args does not say
CHIRPED = 950  # letters; HTCondor cuts what is longer than about a thousand
AHEAD = ("dask", "distributed")  # of what a probe may be asked for
NEEDED = ("distributed.cli.dask_worker", "distributed.nanny")
WHOLE = ".fasthep/whole"  # in a cached environment, see node_cache.py
PR_SET_PDEATHSIG = 1  # linux/prctl.h


def isolate_dask(settings: Path) -> None:
    """Make ``settings`` the only file and variable that Dask is configured by, in this process.

    Dask reads its files and variables while it is imported, and again in the child of a nanny. Paths
    are therefore set aside during the import, and Dask's own list of them is changed in place: it is
    the default argument of ``refresh``. To be called before anything imports ``distributed``.
    """
    for name in [name for name in os.environ if name.startswith("DASK_")]:
        del os.environ[name]
    nowhere = str(settings.parent / ".no-dask-settings")
    home = os.environ.get("HOME")
    os.environ.update(HOME=nowhere, DASK_ROOT_CONFIG=nowhere)
    try:
        import dask.config
    finally:
        del os.environ["DASK_ROOT_CONFIG"], os.environ["HOME"]
        if home is not None:
            os.environ["HOME"] = home
    dask.config.paths[:] = [str(settings)]
    dask.config.refresh(env={})


class Refused(Exception):
    """The scheduler cannot be used; ``final`` when trying again cannot help."""

    def __init__(self, code: str, words: str, *, final: bool = False) -> None:
        self.code = code
        self.final = final
        super().__init__(words)


def tls_context(directory: Path) -> ssl.SSLContext:
    """What Dask itself makes of the run's certificates: both sides prove themselves, names do not count."""
    context = ssl.create_default_context(ssl.Purpose.SERVER_AUTH, cafile=str(directory / "ca.pem"))
    context.check_hostname = False
    context.verify_flags &= ~ssl.VERIFY_X509_STRICT  # on since Python 3.13
    context.load_cert_chain(directory / "worker.pem", directory / "worker.key")
    return context


def greet(host: str, port: int, directory: Path) -> str:
    """Connect and shake hands once; returns the TLS version.

    With TLS 1.3 a server that turns our certificate down says so after the handshake, so the first
    byte of its greeting is awaited too.
    """
    with (
        socket.create_connection((host, port), timeout=ATTEMPT) as plain,
        tls_context(directory).wrap_socket(plain, server_hostname=host) as secure,
    ):
        secure.settimeout(REPLY)
        with contextlib.suppress(TimeoutError, socket.timeout):
            if not secure.recv(1):
                raise Refused("tls-failed", "the scheduler closed the connection after the handshake")
        return secure.version() or ""


def reach(host: str, port: int, directory: Path) -> str:
    """:func:`greet`, with every failure as a :class:`Refused`."""
    try:
        return greet(host, port, directory)
    except socket.gaierror as error:
        raise Refused("name-unresolved", str(error)) from error
    except ConnectionRefusedError as error:
        raise Refused("refused", str(error)) from error
    except (TimeoutError, socket.timeout) as error:  # two classes in Python 3.9
        raise Refused("timed-out", str(error)) from error
    except (ssl.SSLEOFError, ssl.SSLZeroReturnError, ConnectionResetError) as error:
        raise Refused("tls-failed", str(error)) from error
    except ssl.SSLError as error:
        raise Refused("tls-failed", str(error), final=True) from error
    except OSError as error:
        raise Refused("unreachable", str(error)) from error


def reach_until(deadline: float, host: str, port: int, directory: Path) -> str:
    """Try every second until ``deadline`` (monotonic clock)."""
    while True:
        try:
            return reach(host, port, directory)
        except Refused as refused:
            if refused.final or time.monotonic() + 1 > deadline:
                raise
        time.sleep(1)


def tell(worker: str, state: str, code: str = "", detail: str = "") -> None:
    """Write an event of phase ``connected`` to the event file and to stderr."""
    event = {"worker": worker, "phase": "connected", "state": state, "time": time.time(), "source": "worker"}
    line = json.dumps({**event, "code": code, "detail": " ".join(detail.split())}) + "\n"
    sys.stderr.write("FHV-EVENT " + line)
    sys.stderr.flush()
    with contextlib.suppress(OSError), (HERE / "events.jsonl").open("a", encoding="utf-8") as file:
        file.write(line)
    relay(line)


def relay(line: str) -> None:
    """Hand an event to HTCondor's chirp, as ``bootstrap.sh`` does, where that has found one; not waited for."""
    chirp = os.environ.get("FASTHEP_VALIDATE_CHIRP", "")
    if chirp and len(line) < CHIRPED:
        nowhere = subprocess.DEVNULL
        with contextlib.suppress(OSError):
            subprocess.Popen(
                [chirp, "ulog", "FHV-EVENT " + line.rstrip()], stdin=nowhere, stdout=nowhere, stderr=nowhere
            )


def option(args: list[str], name: str, default: str) -> str:
    """The value of ``--name value`` or ``--name=value``."""
    for index, arg in enumerate(args):
        if arg.startswith(name + "="):
            return arg[len(name) + 1 :]
        if arg == name and index + 1 < len(args):
            return args[index + 1]
    return default


def connect(args: list[str]) -> bool:
    """The phase ``connected``; ``False`` when the scheduler could not be reached."""
    address = urlsplit(args[0])
    host, port = address.hostname or "", address.port or 0
    worker = option(args, "--name", "")
    patience = float(option(args, "--death-timeout", str(DEATH_TIMEOUT)).rstrip(" s"))
    tell(worker, "start")
    try:
        version = reach_until(time.monotonic() + patience, host, port, HERE)
    except Refused as refused:
        tell(worker, "fail", refused.code, f"{args[0]}: {refused}")
        return False
    tell(worker, "end", detail=f"{args[0]} speaks {version}")
    return True


def lead_group() -> None:
    """Lead a process group, so that all of the worker can be ended, and end with the job script."""
    if os.getpgrp() != os.getpid():
        os.setpgid(0, 0)
    with contextlib.suppress(ImportError, OSError, AttributeError):
        import ctypes  # a Python built without libffi has none

        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def hold_environment() -> None:
    """Share a lock on a cached environment (``node_cache.py``) as long as this process lives."""
    with contextlib.suppress(OSError):
        handle = os.open(Path(os.environ.get("FASTHEP_VALIDATE_ROOT", ""), WHOLE), os.O_RDONLY)
        fcntl.flock(handle, fcntl.LOCK_SH)


def import_until(go: Path, told: Path) -> None:
    """Import what the worker needs, tell what came of it, and wait for a file."""
    parent = os.getppid()
    with contextlib.suppress(OSError):  # no room on the disk: the probe then imports by itself
        new = told.with_name(told.name + "-")
        new.write_text(json.dumps(imported()), encoding="utf-8")
        new.replace(told)
    while not go.exists():
        if os.getppid() != parent:
            raise SystemExit(USAGE)
        time.sleep(0.01)


def imported() -> dict[str, object]:
    """Import what the worker needs: what came of it, and the files that the modules are from, for ``probe_code.py``."""
    probe_code = importlib.import_module("probe_code")
    results = [probe_code.try_import(module) for module in AHEAD]
    for module in NEEDED:
        with contextlib.suppress(Exception):  # told once it is needed
            importlib.import_module(module)
    modules, libraries = probe_code.module_files(), probe_code.mapped_libraries(Path("/proc/self/maps"))
    return {"imports": results, "modules": sorted(modules), "libraries": sorted(libraries)}


def main(argv: list[str]) -> int:
    """Run the worker; returns an exit code, or leaves by ``SystemExit`` from Dask's own command."""
    if len(argv) not in {2, 4}:
        sys.stderr.write("usage: launch.py worker.args [GO IMPORTED]\n")
        return USAGE
    args = Path(argv[1]).read_text(encoding="utf-8").splitlines()
    lead_group()
    hold_environment()
    if argv[2:]:
        import_until(Path(argv[2]), Path(argv[3]))
    if not connect(args):
        return UNREACHABLE
    from distributed.cli.dask_worker import main as dask_worker

    dask_worker(args=args, prog_name="dask worker")
    return 0


# The child of a nanny imports this file as __mp_main__ before it imports distributed.
if __name__ in {"__main__", "__mp_main__"}:
    isolate_dask(HERE / "dask.yaml")
if __name__ == "__main__":
    sys.exit(main(sys.argv))
