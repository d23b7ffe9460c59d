"""Sections of the probe on the node: the machine, the scheduler's name, limits, the job's directory."""

from __future__ import annotations

import contextlib
import os
import re
import resource
import shlex
import socket
import subprocess
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from fasthep_validate.worker.probe_config import Config

# ---- the machine ----------------------------------------------------------------------------------


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
        **granted(os.environ),
    }


def granted(environment: Mapping[str, str]) -> dict[str, int]:
    """What the batch system says that the job was given; empty where it says nothing.

    Slurm sets variables (srun(1), memory in MiB); HTCondor writes the ClassAd of the slot to a file (manual,
    "Environment and services for a running job"; ``Memory`` is in MiB).
    """
    facts = dict(environment)
    machine = environment.get("_CONDOR_MACHINE_AD", "")
    if machine:
        text = Path(machine).read_text(encoding="utf-8", errors="replace")
        facts.update((key.strip(), value.strip()) for key, _, value in map(_pair, text.splitlines()))
        keys = ("Cpus", "Memory", "GPUs")
    else:
        keys = ("SLURM_CPUS_ON_NODE", "SLURM_MEM_PER_NODE", "SLURM_GPUS_ON_NODE")
    names = (("granted_cpus", 1), ("granted_memory", 2**20), ("granted_gpus", 1))
    known = [(name, unit, facts.get(key, "")) for (name, unit), key in zip(names, keys)]
    return {name: unit * int(value) for name, unit, value in known if value.isdigit()}


def _pair(line: str) -> tuple[str, str, str]:
    return line.partition("=")


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
