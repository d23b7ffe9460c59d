"""Look at a worker node with the Python under test: ``python probe.py CONFIG OUT [IMPORTED PID]``.

``CONFIG`` is JSON with the fields of ``probe_config.Config``; ``OUT`` becomes JSON with one key a
section, as in ``NodeProbe``. ``IMPORTED`` is what the process ``PID`` writes (``launch.py``) once it has imported Dask, so
that it is imported once for both. Every group of sections runs in a process of its own with a time limit, so
that a hung mount or a crash is a finding under ``problems`` and the other sections still come back. Needs
``probe_*.py`` beside it, the standard library alone, Python 3.9 or later, and Linux.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import sys
import time
import traceback
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import IO, TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from fasthep_validate.worker import probe_code, probe_credentials, probe_gpu, probe_node, probe_storage
    from fasthep_validate.worker.probe_config import Config, read_config
else:
    import probe_code
    import probe_credentials
    import probe_gpu
    import probe_node
    import probe_storage
    from probe_config import read_config

AT_ONCE = 3
PROBLEM = "problem: "  # before the name of a section that failed

# Slowest first. Sections of a group share a process, and a fate.
GROUPS: dict[str, tuple[str, ...]] = {
    "gpu": ("gpu",),
    "storage": ("storage",),
    "imports": ("imports", "provenance"),
    "node": ("python", "limits", "environment", "thread_variables", "activation", "prefix", "versions"),
    "leftovers": ("leftovers",),
    "scratch": ("scratch",),
    "host": ("host",),
    "scheduler_lookup": ("scheduler_lookup",),
    "credentials": ("credentials",),
}
SECTIONS: dict[str, Callable[[Config], object]] = {
    "imports": probe_code.imports,
    "python": probe_code.python,
    "limits": probe_node.limits,
    "environment": probe_code.environment,
    "thread_variables": probe_code.thread_variables,
    "activation": probe_code.activation,
    "prefix": probe_code.prefix,
    "versions": probe_code.versions,
    "leftovers": probe_code.leftovers,
    "scratch": probe_node.scratch,
    "host": probe_node.host,
    "scheduler_lookup": probe_node.scheduler_lookup,
    "gpu": probe_gpu.gpu,
    "credentials": probe_credentials.credentials,
    "storage": probe_storage.storage,
    "provenance": probe_code.provenance,
}


def look(group: str, config: Config, sink: IO[bytes]) -> None:
    """Write the sections of a group to ``sink``, one JSON object a line; later ones take the place of earlier."""

    def emit(section: str, value: object) -> None:
        sink.write((to_json({section: value}) + "\n").encode())

    for section in GROUPS[group]:
        problem = look_at(section, config, emit)
        if problem:
            emit(PROBLEM + section, problem)


def look_at(section: str, config: Config, emit: Callable[[str, object], None]) -> str:
    """Hand a section to ``emit``, one that comes in steps at every step; returns what went wrong."""
    try:
        value = SECTIONS[section](config)
        for step in value if isinstance(value, Iterator) else (value,):
            emit(section, step)
    except Exception as error:  # a finding, and the next section may work
        traceback.print_exc()
        return f"{type(error).__name__}: {error}"
    return ""


def to_json(value: object) -> str:
    """One line; bytes of file names that are no text are replaced, or nobody could read the JSON."""
    text = json.dumps(value, ensure_ascii=False, allow_nan=False)
    return text.encode("utf-8", "surrogateescape").decode("utf-8", "replace")


def limit_of(group: str, config: Config) -> float:
    """Seconds that a group may take in all; some put many questions, each with a limit of its own."""
    limits = {"storage": probe_storage.limit(config), "gpu": config.timeout * (len(probe_gpu.STEPS) + 1)}
    return limits.get(group, config.timeout)


class Child:
    """A process that looks at one group; a fork, which starts at once and shares nothing that matters.

    It leads a process group of its own, and writes to files in memory: no disk, which may be full or hang,
    and no pipe, which whatever it leaves running would hold open.
    """

    def __init__(self, group: str, config: Config) -> None:
        self.group = group
        self.limit = limit_of(group, config)
        self.deadline = time.monotonic() + self.limit
        self.out, self.err = memory_file(), memory_file()
        self.pid = os.fork()
        if self.pid == 0:
            self.look(config)
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.setpgid(self.pid, self.pid)  # here and there: whoever comes first

    def look(self, config: Config) -> None:
        """What the child does; never returns."""
        code = 1
        try:
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
            signal.signal(signal.SIGINT, signal.SIG_DFL)
            os.setpgid(0, 0)
            for descriptor in (1, 2):  # what modules print on import is no result
                os.dup2(self.err.fileno(), descriptor)
            look(self.group, config, self.out)
            code = 0
        finally:
            sys.stderr.flush()
            os._exit(code)

    def status(self) -> int | None:
        """Wait status; ``None`` while it runs."""
        pid, status = os.waitpid(self.pid, os.WNOHANG)
        return status if pid else None

    def kill(self) -> None:
        """Kill all that is left of its group."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)

    def finish(self, reason: str) -> tuple[bytes, str]:
        """Its results, and ``reason`` with its last words: why they are not complete."""
        self.kill()
        out, err = contents(self.out), contents(self.err).decode("utf-8", "replace")
        sys.stderr.write(err)
        last = next((line.strip() for line in reversed(err.split("\n")) if line.strip()), "")
        return out, f"{reason}: {last}" if reason and last else reason


def memory_file() -> IO[bytes]:
    """A file without a name or a disk."""
    return os.fdopen(os.memfd_create("probe"), "w+b", buffering=0)


def contents(file: IO[bytes]) -> bytes:
    """All of a file, which is closed."""
    with file:
        file.seek(0)
        return file.read()


def exit_words(status: int) -> str:
    """Such as ``exit -11 (SIGSEGV)``; empty for 0."""
    code = os.waitstatus_to_exitcode(status)
    if code == 0:
        return ""
    return f"exit {code} ({signal.Signals(-code).name})" if code < 0 else f"exit {code}"


class Run:
    """All groups, :data:`AT_ONCE` at a time."""

    def __init__(self, config: Config) -> None:
        self.config = config
        self.waiting = [group for group in GROUPS if group != "storage" or config.storage]
        self.running: list[Child] = []
        self.found: dict[str, object] = {} if config.storage else {"storage": []}
        self.problems: dict[str, str] = {}

    def until_done(self) -> dict[str, object]:
        """Every section that came, and ``problems``."""
        while self.waiting or self.running:
            while self.waiting and len(self.running) < AT_ONCE:
                self.running.append(Child(self.waiting.pop(0), self.config))
            self.running = [child for child in self.running if not self.settle(child)]
            time.sleep(0.005)
        return {**self.found, "problems": self.problems}

    def settle(self, child: Child) -> bool:
        """Take the results of a child that ended or ran out of time; ``False`` while it may run."""
        status = child.status()
        if status is not None:
            self.take(child.group, *child.finish(exit_words(status)))
        elif time.monotonic() > child.deadline:
            child.kill()
            out, _ = child.finish("")
            self.take(child.group, out, f"timed out after {child.limit:g} s")
            time.sleep(0.01)
            child.status()  # one that hangs in the kernel does not die, and is left
        else:
            return False
        return True

    def take(self, group: str, out: bytes, reason: str) -> None:
        """Sort results from problems."""
        for line in out.splitlines(keepends=True):
            if not line.endswith(b"\n"):
                continue  # cut off
            for section, value in json.loads(line).items():
                if section.startswith(PROBLEM):
                    self.problems[section[len(PROBLEM) :]] = value
                else:
                    self.found[section] = value
        if reason:
            told = {*self.found, *self.problems}
            missing = [section for section in GROUPS[group] if section not in told]
            self.problems.update(dict.fromkeys(missing or [group], reason))

    def end(self, signum: int, _: object) -> None:
        """Leave at once, with nothing left behind; a signal handler."""
        for child in self.running:
            child.kill()
        os._exit(128 + signum)


def main(argv: list[str]) -> int:
    """``CONFIG OUT [IMPORTED PID]``; exit code 2 when the one cannot be read or the other not be written."""
    if len(argv) not in {3, 5}:
        sys.stderr.write("usage: probe.py CONFIG OUT [IMPORTED PID]\n")
        return 2
    del sys.path[0]  # the job's directory: where the probe lies, not a place to import from
    try:
        config = read_config(argv[1])
        if argv[3:]:
            config = replace(config, imported=argv[3], ahead=int(argv[4]))
        run = Run(config)
        signal.signal(signal.SIGTERM, run.end)
        signal.signal(signal.SIGINT, run.end)
        Path(argv[2]).write_text(to_json(run.until_done()) + "\n", encoding="utf-8")
    except (OSError, ValueError, TypeError) as error:
        sys.stderr.write(f"probe.py: {error}\n")
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv))
