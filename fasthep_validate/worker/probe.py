"""Look at a worker node with the Python under test: ``python probe.py CONFIG OUT``.

``CONFIG`` is JSON with the fields of :class:`Config`; ``OUT`` becomes JSON with one key a section, as
in ``NodeProbe``. Every group of sections runs in a process of its own with a time limit, so that a
hung mount or a crash is a finding under ``problems`` and the other sections still come back. Needs
the standard library alone, Python 3.9 or later, and Linux.
"""

from __future__ import annotations

import contextlib
import fnmatch
import importlib
import json
import os
import platform
import re
import resource
import shlex
import signal
import socket
import stat
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Iterator
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

AT_ONCE = 3
PROBLEM = "problem: "  # before the name of a section that failed
LOOK_INTO = 1_000_000  # bytes; larger files outside the pack's list are not text
THREAD_VARIABLES = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "NUMEXPR_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
    "BLIS_NUM_THREADS",
    "NUMBA_NUM_THREADS",
)
ENVIRONMENT = (
    *THREAD_VARIABLES,
    *("PATH", "HOME", "TMPDIR", "LANG", "LC_ALL", "HOSTNAME", "USER", "LD_LIBRARY_PATH", "LD_PRELOAD"),
    *("CUDA_VISIBLE_DEVICES", "NVIDIA_VISIBLE_DEVICES", "_CONDOR_SCRATCH_DIR", "_CONDOR_SLOT"),
    *("SLURM_JOB_ID", "SLURM_JOB_PARTITION", "SLURM_CPUS_PER_TASK", "SLURM_JOB_GPUS"),
    *("X509_CERT_DIR", "PYTHON*", "DASK_*"),
)
PATHS_OF_SECRETS = ("X509_USER_PROXY", "KRB5CCNAME", "BEARER_TOKEN_FILE")
SECRET_NAME = re.compile(r"TOKEN|SECRET|PASSW|KEY|CREDENTIAL|INHERIT_CONFIG")
SECRET_VALUE = re.compile(r"://[^/\s]*@|token|secret|passw", re.IGNORECASE)
GLIBC = (
    "libc libm libmvec libpthread libdl librt libutil libresolv libanl libnsl libBrokenLocale libthread_db"
)
# What glibc brings (before 2.34 as libc-2.28.so), what its name service loads, the GPU driver's.
NODE_LIBRARIES = (
    *(name + form for name in GLIBC.split() for form in (".so*", "-2.*.so")),
    *("ld-linux*.so*", "ld-2.*.so", "ld64.so*", "libnss_*"),
    *("libcuda.so*", "libnvidia-*", "libcudadebugger.so*", "libnvcuvid.so*", "libnvoptix.so*"),
)


@dataclass(frozen=True)
class Config:
    """What to look at.

    Attributes:
        root: the extracted tree, or the prefix used in place.
        relocations: absolute paths of the submit host that must be gone from the tree.
        text_files: files below the tree that held one of them.
        required_imports: modules that must be importable.
        scheduler_host: name to be resolved.
        node_libraries: names or patterns of libraries that are left to the node.
        scratch: directory to be tried.
        timeout: seconds for each group of sections.
        environment_allow: variables to be recorded besides the usual ones.
    """

    root: str
    relocations: list[str] = field(default_factory=list)
    text_files: list[str] = field(default_factory=list)
    required_imports: list[str] = field(default_factory=list)
    scheduler_host: str = ""
    node_libraries: list[str] = field(default_factory=list)
    scratch: str = "."
    timeout: float = 30.0
    environment_allow: list[str] = field(default_factory=list)


def read_config(path: str) -> Config:
    """Keys that are not known are left alone: an older probe serves a newer command."""
    given = json.loads(Path(path).read_text(encoding="utf-8"))
    return Config(**{item.name: given[item.name] for item in fields(Config) if item.name in given})


# ---- the node and the interpreter -----------------------------------------------------------------


def host(_: Config) -> object:
    """``HostInfo``."""
    name = os.uname()
    return {
        "hostname": name.nodename,
        "fqdn": socket.getfqdn(),
        "machine": name.machine,
        "os": pretty_name(Path("/etc/os-release")),
        "kernel": name.release,
        "glibc": glibc_version(),
        "uid": os.getuid(),
        "time": time.time(),
    }


def pretty_name(release: Path) -> str:
    """``PRETTY_NAME`` of an os-release file; empty if there is none."""
    with contextlib.suppress(OSError):
        for line in release.read_text(encoding="utf-8", errors="replace").splitlines():
            if line.startswith("PRETTY_NAME="):
                return " ".join(shlex.split(line.partition("=")[2]))
    return ""


def glibc_version() -> str:
    """Such as ``2.36``; empty with another C library."""
    try:
        return (os.confstr("CS_GNU_LIBC_VERSION") or "").rpartition(" ")[2]
    except (ValueError, OSError):
        return ""


def python(_: Config) -> object:
    """``PythonInfo``."""
    return {
        "executable": sys.executable,
        "version": platform.python_version(),
        "implementation": sys.implementation.name,
        "prefix": sys.prefix,
        "base_prefix": sys.base_prefix,
        "path": sys.path,
    }


def versions(_: Config) -> object:
    """Distribution -> version; of two with one name the first on ``sys.path`` counts, as in an import."""
    import importlib.metadata  # takes as long as all the rest of this program

    found: dict[str, str] = {}
    for distribution in importlib.metadata.distributions():
        told = distribution.metadata
        name = told["Name"] if told else None
        if name:
            found.setdefault(str(name), str(told["Version"]))
    return found


def thread_variables(_: Config) -> object:
    """Those that are set."""
    return {name: os.environ[name] for name in THREAD_VARIABLES if name in os.environ}


def environment(config: Config) -> object:
    """The variables of the allow-list that hold no secret."""
    wanted = (*ENVIRONMENT, *config.environment_allow)
    return {
        name: value
        for name, value in sorted(os.environ.items())
        if name in PATHS_OF_SECRETS or (matches(name, wanted) and not secret(name, value))
    }


def matches(name: str, patterns: Iterable[str]) -> bool:
    """Whether one of the patterns is the name's."""
    return any(fnmatch.fnmatchcase(name, pattern) for pattern in patterns)


def secret(name: str, value: str) -> bool:
    """Whether a variable may hold a secret, going by its name; of the open-ended ones also by their value."""
    open_ended = name.startswith(("PYTHON", "DASK_")) or "://" in value
    return bool(SECRET_NAME.search(name.upper()) or (open_ended and SECRET_VALUE.search(value)))


def scheduler_lookup(config: Config) -> object:
    """``Lookup`` of the scheduler's host."""
    begun = time.perf_counter()
    addresses: list[str] = []
    error = ""
    try:
        found = socket.getaddrinfo(config.scheduler_host, None, type=socket.SOCK_STREAM)
        addresses = list(dict.fromkeys(str(entry[4][0]) for entry in found))
    except OSError as refused:
        error = str(refused)
    seconds = time.perf_counter() - begun
    return {"name": config.scheduler_host, "addresses": addresses, "error": error, "seconds": seconds}


# ---- limits ---------------------------------------------------------------------------------------


def limits(_: Config) -> object:
    """``Limits``."""
    groups = list(cgroup_directories(Path("/proc/self")))
    return {
        "cpus": len(os.sched_getaffinity(0)),
        "cgroup_cpus": smallest(map(cgroup_cpus, groups)),
        "memory": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
        "cgroup_memory": smallest(map(cgroup_memory, groups)),
        "nofile": soft_limit(resource.RLIMIT_NOFILE),
        "nproc": soft_limit(resource.RLIMIT_NPROC),
        "stack": soft_limit(resource.RLIMIT_STACK),
        "address_space": soft_limit(resource.RLIMIT_AS),
        "file_size": soft_limit(resource.RLIMIT_FSIZE),
    }


def soft_limit(kind: int) -> int | None:
    """``None`` for unlimited."""
    soft = resource.getrlimit(kind)[0]
    return None if soft == resource.RLIM_INFINITY else soft


def smallest(values: Iterable[float | None]) -> float | None:
    """The smallest that is known."""
    return min((value for value in values if value is not None), default=None)


def cgroup_directories(process: Path) -> Iterator[Path]:
    """The process's cgroups and all above them, of version 2 and of version 1's memory and cpu."""
    places = {}
    for line in (process / "cgroup").read_text(encoding="utf-8").splitlines():
        _, controllers, place = line.split(":", 2)
        places.update(dict.fromkeys(controllers.split(","), place))  # version 2 has no controllers: ""
    for mount in mounts(process):
        options = mount.options.split(",")
        if mount.kind == "cgroup2" and "" in places:
            yield from cgroup_parents(mount, places[""])
        for controller in ("memory", "cpu"):
            if mount.kind == "cgroup" and controller in options and controller in places:
                yield from cgroup_parents(mount, places[controller])


def cgroup_parents(mount: Mount, place: str) -> Iterator[Path]:
    """From the process's own group up to the mount point; those that a container cannot see are skipped."""
    top = Path(mount.point)
    inside = [part for part in os.path.relpath(place, mount.root).split("/") if part not in {"..", "."}]
    for depth in range(len(inside), -1, -1):
        directory = top.joinpath(*inside[:depth])
        if directory.is_dir():
            yield directory


def cgroup_memory(group: Path) -> int | None:
    """Bytes; ``None`` for no limit (version 1 writes a number close to 2**63)."""
    for name in ("memory.max", "memory.limit_in_bytes"):
        words = first_words(group / name)
        if words and words[0].isdigit() and int(words[0]) < 2**60:
            return int(words[0])
    return None


def cgroup_cpus(group: Path) -> float | None:
    """Cores by quota and period."""
    words = first_words(group / "cpu.max") or [
        *first_words(group / "cpu.cfs_quota_us"),
        *first_words(group / "cpu.cfs_period_us"),
    ]
    if len(words) == 2 and all(word.isdigit() for word in words):
        return int(words[0]) / int(words[1])
    return None


def first_words(file: Path) -> list[str]:
    """The words of a small file; none if it cannot be read."""
    try:
        return file.read_text(encoding="utf-8").split()
    except OSError:
        return []


@dataclass(frozen=True)
class Mount:
    """A line of ``/proc/self/mountinfo`` (proc(5)); ``options`` are those of the filesystem itself."""

    root: str
    point: str
    kind: str
    options: str


def mounts(process: Path) -> Iterator[Mount]:
    """All mounts, later ones on top of earlier ones."""
    for line in (process / "mountinfo").read_text(encoding="utf-8", errors="surrogateescape").splitlines():
        mine, _, filesystem = line.partition(" - ")
        root, point = (unescape(word) for word in mine.split(" ")[3:5])
        words = filesystem.split(" ")
        yield Mount(root, point, words[0], words[-1])


def unescape(text: str) -> str:
    r"""``\040`` is a space, and so on."""
    return re.sub(r"\\([0-7]{3})", lambda found: chr(int(found[1], 8)), text)


# ---- the job's directory --------------------------------------------------------------------------


def scratch(config: Config) -> object:
    """``Scratch``."""
    directory = Path(config.scratch).resolve()
    filesystem = os.statvfs(directory)
    return {
        "path": str(directory),
        "filesystem": filesystem_of(directory, mounts(Path("/proc/self"))),
        "total": filesystem.f_frsize * filesystem.f_blocks,
        "free": filesystem.f_frsize * filesystem.f_bavail,
        "free_inodes": filesystem.f_favail if filesystem.f_files else 0,
        "noexec": bool(filesystem.f_flag & os.ST_NOEXEC),
        "can_exec": can_exec(directory),
        "writable": writable(directory),
    }


def filesystem_of(directory: Path, all_mounts: Iterable[Mount]) -> str:
    """Type of the innermost mount that holds the directory; the last one where they are stacked."""
    kind, depth = "", 0
    for mount in all_mounts:
        point = Path(mount.point)
        if len(point.parts) >= depth and (point == directory or point in directory.parents):
            kind, depth = mount.kind, len(point.parts)
    return kind


def can_exec(directory: Path) -> bool:
    """Whether a program written there can be started."""
    try:
        with tempfile.TemporaryDirectory(dir=directory, prefix=".fasthep-") as folder:
            program = Path(folder, "program")
            program.write_text("#!/bin/sh\nexit 0\n", encoding="ascii")
            program.chmod(0o700)
            return subprocess.run([str(program)], check=False, stdin=subprocess.DEVNULL).returncode == 0
    except OSError:
        return False


def writable(directory: Path) -> bool:
    """Whether a file there can be written, synced and read back."""
    data = os.urandom(65536)
    try:
        with tempfile.NamedTemporaryFile(dir=directory, prefix=".fasthep-") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
            return Path(file.name).read_bytes() == data
    except OSError:
        return False


# ---- imports and where code came from -------------------------------------------------------------


def imports(config: Config) -> Iterator[object]:
    """An ``ImportResult`` for each required module; one that never returns is on record before it starts."""
    results: list[dict[str, object]] = []
    for module in config.required_imports:
        yield [*results, {"module": module, "ok": False, "error": "the import did not return"}]
        results.append(try_import(module))
    yield results


def try_import(module: str) -> dict[str, object]:
    """One ``ImportResult``."""
    begun = time.perf_counter()
    try:
        loaded = importlib.import_module(module)
    except BaseException as error:  # a module may do anything, leave the interpreter too
        words = traceback.format_exception_only(type(error), error)[-1].strip()
        return {"module": module, "ok": False, "error": words, "seconds": time.perf_counter() - begun}
    seconds = time.perf_counter() - begun
    file = str(getattr(loaded, "__file__", None) or "")
    return {"module": module, "ok": True, "file": file, "version": version_of(loaded), "seconds": seconds}


def version_of(module: Any) -> str:
    """``__version__``, else that of the distribution with the module's name, else empty."""
    version = getattr(module, "__version__", None)
    if isinstance(version, str):
        return version
    import importlib.metadata

    try:
        return importlib.metadata.version(module.__name__.partition(".")[0])
    except importlib.metadata.PackageNotFoundError:
        return ""


def provenance(config: Config) -> object:
    """``Provenance`` of this process."""
    root = os.path.realpath(config.root)
    allowed = (*NODE_LIBRARIES, *config.node_libraries)
    modules = sorted(module_files())
    libraries = sorted(mapped_libraries(Path("/proc/self/maps")))
    outside = [{"path": path, "kind": "module"} for path in modules if not below(path, root)]
    outside += [
        {"path": path, "kind": "library"}
        for path in libraries
        if not below(path, root) and not matches(Path(path).name, allowed)
    ]
    return {"root": root, "modules": len(modules), "libraries": len(libraries), "outside": outside}


def module_files() -> set[str]:
    """Files of all modules, this program aside."""
    files = {getattr(module, "__file__", None) for module in list(sys.modules.values())}
    return {os.path.realpath(file) for file in files if isinstance(file, str)} - {os.path.realpath(__file__)}


def mapped_libraries(maps: Path) -> set[str]:
    """Shared libraries, and the interpreter itself, that are mapped for execution."""
    executable = os.path.realpath(sys.executable)
    found = set()
    for line in maps.read_text(encoding="utf-8", errors="surrogateescape").splitlines():
        words = line.split(None, 5)
        path = words[5] if len(words) == 6 else ""
        code = "x" in words[1] and path.startswith("/")
        if code and (".so" in Path(path).name or path == executable):
            found.add(path)
    return found


def below(path: str, root: str) -> bool:
    """Whether a file lies in a tree, links resolved."""
    return os.path.realpath(path).startswith(root.rstrip("/") + "/")


# ---- what relocation left -------------------------------------------------------------------------


def leftovers(config: Config) -> object:
    """``Leftovers``."""
    root = os.path.realpath(config.root)
    old = old_paths(config.relocations, {root, str(Path.cwd() / config.root)})
    missing = [name for name in config.text_files if not Path(root, name).is_file()]
    listed = set(config.text_files).difference(missing)
    count = size = 0
    for entry in walk(root):
        count += 1
        told = entry.stat(follow_symlinks=False)
        size += 0 if entry.is_symlink() else told.st_size  # as the pack counts
        if stat.S_ISREG(told.st_mode) and told.st_size <= LOOK_INTO and may_hold_paths(entry.path):
            listed.add(os.path.relpath(entry.path, root))
    files = [name for name in sorted(listed) if old(Path(root, name).read_bytes())]
    return {"scanned": len(listed), "files": files, "missing": missing, "count": count, "size": size}


def walk(directory: str) -> Iterator[os.DirEntry[str]]:
    """Files and links of a tree; links are not followed."""
    with os.scandir(directory) as entries:
        for entry in entries:
            if entry.is_dir(follow_symlinks=False):
                yield from walk(entry.path)
            else:
                yield entry


def may_hold_paths(path: str) -> bool:
    """Scripts and settings: the files that hold a prefix besides those that the pack listed."""
    if path.endswith((".pth", ".cfg")):
        return True
    if path.split("/")[-2] != "bin":
        return False
    with Path(path).open("rb") as file:
        return b"\0" not in file.read(1024)


def old_paths(relocations: Iterable[str], roots: Iterable[str]) -> Callable[[bytes], bool]:
    """A test whether data holds an old path.

    An old path counts where it stands by itself (``/a/env`` does not occur in ``/a/env2``). Paths of
    the tree's new place are no leftovers, though it may lie below an old one.
    """
    old = [os.fsencode(path.rstrip("/")) for path in relocations if path.rstrip("/")]
    new = [os.fsencode(path) for path in roots]
    is_old, is_new = any_of(old), any_of(new)
    return lambda data: bool(old) and is_old.search(is_new.sub(b"", data)) is not None


def any_of(paths: Iterable[bytes]) -> re.Pattern[bytes]:
    """One of the paths, not as a part of a longer one; what ``relocate.py`` replaces (``-L/a/env`` too)."""
    before = rb"(?:(?<![\w.~\x80-\xff-])|(?<=-[A-Za-z])|(?<=\\[nrt]))"
    after = rb"(?![\w~\x80-\xff-]|\.\w)"
    return re.compile(before + b"(?:" + b"|".join(map(re.escape, paths)) + b")" + after)


# ---- one process a group --------------------------------------------------------------------------

# Slowest first. Sections of a group share a process, and a fate.
GROUPS: dict[str, tuple[str, ...]] = {
    "imports": ("imports", "provenance"),
    "node": ("python", "limits", "environment", "thread_variables", "versions"),
    "leftovers": ("leftovers",),
    "scratch": ("scratch",),
    "host": ("host",),
    "scheduler_lookup": ("scheduler_lookup",),
}
SECTIONS: dict[str, Callable[[Config], object]] = {
    "imports": imports,
    "python": python,
    "limits": limits,
    "environment": environment,
    "thread_variables": thread_variables,
    "versions": versions,
    "leftovers": leftovers,
    "scratch": scratch,
    "host": host,
    "scheduler_lookup": scheduler_lookup,
    "provenance": provenance,
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


class Child:
    """A process that looks at one group; a fork, which starts at once and shares nothing that matters.

    It leads a process group of its own, and writes to files in memory: no disk, which may be full or hang,
    and no pipe, which whatever it leaves running would hold open.
    """

    def __init__(self, group: str, config: Config) -> None:
        self.group = group
        self.deadline = time.monotonic() + config.timeout
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
        self.waiting = list(GROUPS)
        self.running: list[Child] = []
        self.found: dict[str, object] = {}
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
            self.take(child.group, out, f"timed out after {self.config.timeout:g} s")
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
    """``CONFIG OUT``; exit code 2 when the one cannot be read or the other not be written."""
    if len(argv) != 3:
        sys.stderr.write("usage: probe.py CONFIG OUT\n")
        return 2
    if not getattr(sys.flags, "safe_path", False):
        del sys.path[0]  # the job's directory: where this file lies, not a place to import from
    try:
        run = Run(read_config(argv[1]))
        signal.signal(signal.SIGTERM, run.end)
        signal.signal(signal.SIGINT, run.end)
        Path(argv[2]).write_text(to_json(run.until_done()) + "\n", encoding="utf-8")
    except (OSError, ValueError, TypeError) as error:
        sys.stderr.write(f"probe.py: {error}\n")
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv))
