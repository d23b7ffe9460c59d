"""Sections of the probe on the Python under test: the interpreter, its variables, where code comes from."""

from __future__ import annotations

import contextlib
import fnmatch
import hashlib
import importlib
import json
import os
import platform
import re
import stat
import sys
import sysconfig
import time
import traceback
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from fasthep_validate.worker.probe_config import Config

OWN = ("probe*.py", "launch.py")  # of what lies beside this file
INSTALLED = ("bin", "conda-meta")  # folders of a prefix whose files tell what is installed
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


# ---- the interpreter and its variables ------------------------------------------------------------


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


def activation(config: Config) -> object:
    """``Activated``: what ``activate.sh`` read, and which variables are set now; never their values."""
    read = os.environ.get("FASTHEP_VALIDATE_ACTIVATED", "").splitlines()
    wanted = config.activation_variables
    return {"scripts": read, "variables": [name for name in wanted if name in os.environ]}


def prefix(_: Config) -> object:
    """``Prefix``: a digest of names and sizes of what is installed, the same wherever the same prefix is seen."""
    digest = hashlib.sha256()
    count = 0
    for folder in (
        sysconfig.get_path("purelib"),
        sysconfig.get_path("platlib"),
        *(f"{sys.prefix}/{name}" for name in INSTALLED),
    ):
        for name, size in listing(folder):
            digest.update(os.fsencode(f"{folder}/{name} {size}") + b"\0")
            count += 1
    return {"path": os.path.realpath(sys.prefix), "entries": count, "digest": digest.hexdigest()}


def listing(folder: str) -> list[tuple[str, int]]:
    """Names in a folder with the sizes of files, sorted; caches aside, for any run may add one."""
    if not Path(folder).is_dir():
        return []
    with os.scandir(folder) as entries:
        found = [(entry.name, entry.stat().st_size if entry.is_file() else 0) for entry in entries]
    return sorted(item for item in found if item[0] != "__pycache__")


# ---- imports and where code came from -------------------------------------------------------------


def imports(config: Config) -> Iterator[object]:
    """An ``ImportResult`` for each required module; one that never returns is on record before it starts."""
    results: list[dict[str, object]] = []
    known: dict[str, dict[str, object]] | None = None
    for module in config.required_imports:
        yield [*results, {"module": module, "ok": False, "error": "the import did not return"}]
        if known is None:
            told = handed_over(config, config.timeout / 2)
            known = {result["module"]: result for result in told["imports"]}
        results.append(known.get(module) or try_import(module))
    yield results


def handed_over(config: Config, patience: float = 0.0) -> dict[str, Any]:
    """What the process that becomes the worker has imported (``launch.py: imported``).

    Nothing if it does not say so: then the modules are imported here, where one that hangs or kills is a finding.
    """
    deadline = time.monotonic() + patience
    while config.imported:
        lives = is_alive(config.ahead)  # asked first: what it wrote last must not be missed
        with contextlib.suppress(FileNotFoundError):
            return dict(json.loads(Path(config.imported).read_text(encoding="utf-8")))
        if not lives or time.monotonic() > deadline:
            break
        time.sleep(0.005)
    return {"imports": [], "modules": [], "libraries": []}


def is_alive(pid: int) -> bool:
    """Whether a process runs; one that its parent has not waited for does not."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return False
    return text.rpartition(")")[2].split()[0] not in "ZX"  # proc_pid_stat(5)


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
    """``Provenance`` of this process, and of the one that becomes the worker."""
    told = handed_over(config)
    root = os.path.realpath(config.root)
    own = tuple(os.path.realpath(tree) for tree in (config.root, config.code) if tree)
    allowed = (*NODE_LIBRARIES, *config.node_libraries)
    modules = sorted(module_files() | set(told["modules"]))
    libraries = sorted(mapped_libraries(Path("/proc/self/maps")) | set(told["libraries"]))
    outside = [{"path": path, "kind": "module"} for path in modules if not below(path, own)]
    outside += [
        {"path": path, "kind": "library"}
        for path in libraries
        if not below(path, own) and not matches(Path(path).name, allowed)
    ]
    return {"root": root, "modules": len(modules), "libraries": len(libraries), "outside": outside}


def module_files() -> set[str]:
    """Files of all modules, the job's own aside."""
    files = {getattr(module, "__file__", None) for module in list(sys.modules.values())}
    own = {os.path.realpath(file) for name in OWN for file in Path(__file__).parent.glob(name)}
    return {os.path.realpath(file) for file in files if isinstance(file, str)} - own


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


def below(path: str, roots: Iterable[str]) -> bool:
    """Whether a file lies in one of the trees, links resolved."""
    return os.path.realpath(path).startswith(tuple(root.rstrip("/") + "/" for root in roots))


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
