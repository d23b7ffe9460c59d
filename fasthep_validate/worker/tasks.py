"""Questions put to a worker through Dask; each runs in the worker's or the nanny's own process.

They travel by value, so that the worker environment needs no package of ours. They return plain values
that fit ``models.evidence.DaskEvidence``.
"""

from __future__ import annotations

import fnmatch
import hashlib
import importlib
import os
import socket
import sys
import time
import types
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from fasthep_validate.worker.modified import Spec

    Facts = dict[str, object]

# What has to be the same on both ends: protocol, serialisation and compression of Dask's messages.
STACK = (
    "dask", "distributed", "msgpack", "cloudpickle", "tornado", "toolz",
    "lz4", "zstandard", "python-snappy", "cramjam", "blosc", "numpy", "pandas",
)  # fmt: skip


def describe() -> Facts:
    """Who and where this process is."""
    return {"hostname": socket.gethostname(), "pid": os.getpid(), "prefix": sys.prefix, "time": time.time()}


def address(_: int) -> str:
    """The address of the Dask worker that runs this as a task."""
    from distributed import get_worker

    return str(get_worker().address)


def versions() -> dict[str, str]:
    """Versions of Python and of the installed distributions of :data:`STACK`."""
    found = {"python": ".".join(map(str, sys.version_info[:3]))}
    for name in STACK:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


def provenance(node_libraries: Sequence[str]) -> Facts:
    """Where modules and shared libraries of this process came from.

    Args:
        node_libraries: patterns of libraries that are the node's own.
    """
    root = os.path.realpath(os.environ.get("FASTHEP_VALIDATE_ROOT") or sys.prefix)
    code = os.environ.get("FASTHEP_VALIDATE_CODE")
    own = (root, os.path.realpath(code)) if code else (root,)
    modules = _module_files()
    libraries = _mapped_libraries()
    outside = [{"path": path, "kind": "module"} for path in modules if not _below(path, own)]
    outside += [
        {"path": path, "kind": "library"}
        for path in libraries
        if not _below(path, own) and not _is_nodes(path, node_libraries)
    ]
    return {"root": root, "modules": len(modules), "libraries": len(libraries), "outside": outside}


def _module_files() -> list[str]:
    """Real paths of all modules with a file, the job's own scripts aside."""
    job = os.path.realpath(os.environ.get("FASTHEP_VALIDATE_JOB") or Path.cwd())
    files = {getattr(module, "__file__", None) for module in list(sys.modules.values())}
    paths = {os.path.realpath(file) for file in files if file}
    return sorted(path for path in paths if str(Path(path).parent) != job)


def _mapped_libraries() -> list[str]:
    """Real paths of the shared objects that are mapped into this process."""
    found = set()
    with Path("/proc/self/maps").open(encoding="utf-8", errors="replace") as lines:
        for line in lines:
            fields = line.rstrip("\n").split(maxsplit=5)
            if len(fields) == 6 and ".so" in Path(fields[5]).name:
                found.add(os.path.realpath(fields[5]))
    return sorted(found)


def _is_nodes(path: str, patterns: Iterable[str]) -> bool:
    name = Path(path).name
    return any(fnmatch.fnmatch(name, pattern) for pattern in patterns)


def _below(path: str, roots: Sequence[str]) -> bool:
    return any(path == root or path.startswith(root.rstrip("/") + "/") for root in roots)


def listeners() -> list[tuple[str, int]]:
    """TCP ports that this process listens on, as ``(ip, port)``."""
    import psutil

    process = psutil.Process()
    ask = getattr(process, "net_connections", None) or process.connections
    return sorted({(c.laddr.ip, c.laddr.port) for c in ask(kind="tcp") if c.status == psutil.CONN_LISTEN})


def block(size: int, seed: str) -> bytes:
    """Bytes that nobody can guess: ``size`` of them, made from ``seed``."""
    return hashlib.shake_128(seed.encode()).digest(size)


def digest(data: bytes) -> str:
    """SHA-256 of a block that was fetched from another worker."""
    return hashlib.sha256(data).hexdigest()


def example(specs: Sequence[Spec]) -> dict[str, Any]:
    """Inputs of the task that modifiers are tried around; the stream has every field that one of them names."""
    fields = {name for spec in specs for name in _named(spec, "fields")}
    return {"stream": {**{name: [1.0, 2.0, 3.0] for name in sorted(fields)}, "values": [1, 2, 3, 4]}}


def kernels(specs: Sequence[Spec]) -> list[str]:
    """Names of the functions that modifiers look for in the context."""
    return sorted({name for spec in specs for name in _named(spec, "functions")})


def _named(spec: Spec, key: str) -> list[str]:
    given = spec["params"].get(key)
    return [name for name in given if isinstance(name, str)] if isinstance(given, list) else []


def tripled(values: Any, out: Any) -> None:
    """A kernel; ``cuda`` is bound to the module that compiles it, where there is one."""
    index = cuda.grid(1)  # type: ignore[name-defined]  # noqa: F821
    if index < out.size:
        out[index] = 3 * values[index]


def kernel() -> Any:
    """:func:`tripled` with a ``cuda`` to see."""
    seen = {}
    for name in ("numba.cuda", "numba_cuda_mlir.cuda"):
        try:
            seen["cuda"] = importlib.import_module(name)
        except ImportError:
            continue
        break
    return types.FunctionType(tripled.__code__, seen, tripled.__name__)


def add(stream: Mapping[str, Any], ctx: Mapping[str, Any]) -> Any:
    """The task that modifiers are tried around: a sum over a small stream, and every kernel once."""
    for name, compiled in ctx.get("cuda_jit_compiled", {}).items():
        import numpy as np

        values, out = np.arange(100.0), np.zeros(100)
        compiled[4, 32](values, out)
        if not (out == 3 * values).all():
            raise ValueError(f"kernel {name!r} computes something else on the GPU")
    return int(sum(stream["values"]))


def modified(inputs: dict[str, Any], names: Sequence[str]) -> Facts:
    """Run :func:`add` in a worker with the installed modifiers around it, and say what happened."""
    from distributed import get_worker

    ctx = {"cuda_jit_functions": {name: kernel() for name in names}}
    plugin: Any = get_worker().plugins["fasthep-modifiers"]
    return tried(plugin.run, inputs, ctx)


def tried(
    run: Callable[..., tuple[Any, dict[str, Any]]], inputs: dict[str, Any], ctx: dict[str, Any]
) -> Facts:
    """:func:`add` through ``run``, and what came out of it."""
    facts = describe()
    try:
        result, ctx = run(add, inputs, node_id="fasthep-validate", ctx=ctx)
    except Exception as error:
        return {**facts, "error": f"{type(error).__name__}: {error}"}
    return {**facts, "result": result, "metadata": ctx["execution_modifier_metadata"]}
