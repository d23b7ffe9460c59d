"""Work for a GPU, checked against the CPU: CuPy, numba, Awkward, the two modifiers, and how fast it is.

Each is a question of ``probe_gpu.py`` and runs in a process of its own. A package that is not installed is a
finding where the run needs it, and else no question.
"""

from __future__ import annotations

import importlib
import os
import time
from types import FunctionType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING or __package__:
    from fasthep_validate.worker.probe_cuda import Wrong
else:
    from probe_cuda import Wrong

if TYPE_CHECKING:
    from collections.abc import Callable

    from fasthep_validate.worker.probe_config import Config

    Facts = dict[str, Any]

SIZE = 100_000  # elements; enough for many blocks, done in no time
TOLERANCE = 1e-6  # relative, in single precision: 24 bits, and an operation may be fused
BLOCK = 2**28  # bytes of a transfer that is timed
REPEATS = 5
STEPS_OF_KERNEL = 1000  # fused multiply-adds of each thread
# Modules as they lie beside this file in the job's directory.
IMPLEMENTATIONS = {
    "gpu.preload": "fasthep_validate_gpu_preload:GpuPreload",
    "cuda.jit": "fasthep_validate_cuda_jit:CudaJit",
}
SIMULATOR = "NUMBA_ENABLE_CUDASIM"


class Skipped(Wrong):
    """Nothing to ask: the environment has no such package, and the run does not need it."""

    def __init__(self, why: str) -> None:
        super().__init__("", None, ok=True, error="", skipped=why)


def needed(package: str, module: str, config: Config) -> Any:
    """A module of a package.

    Raises:
        Skipped: it is not installed, and not needed.
        Wrong: it is needed and cannot be imported.
    """
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        if package in config.gpu_needs:
            raise Wrong(f"{type(error).__name__}: {error}: the run needs {package} on its GPUs") from error
        raise Skipped(f"{package} is not in the environment, and no modifier of the run needs it") from error


def close(got: Any, expected: Any, what: str) -> None:
    """Compare with what the CPU computes.

    Raises:
        Wrong: they differ by more than the tolerance.
    """
    np = importlib.import_module("numpy")
    if not np.allclose(got, expected, rtol=TOLERANCE, atol=0):
        worst = float(np.max(np.abs(got - expected)))
        raise Wrong(f"{what} differs from the CPU's by up to {worst:g}: the GPU computes something else")


# ---- libraries ------------------------------------------------------------------------------------

RAW = """
extern "C" __global__ void scaled(const float* values, float* out, float factor, int size) {
    int index = blockDim.x * blockIdx.x + threadIdx.x;
    if (index < size) out[index] = factor * values[index] + 1.0f;
}
"""


def cupy_computes(config: Config, _: Facts) -> Facts:
    """CuPy allocates, compiles a kernel of its own and one of ours, and computes what NumPy does."""
    cupy = needed("cupy", "cupy", config)
    np = importlib.import_module("numpy")
    versions = [cupy.cuda.runtime.driverGetVersion(), cupy.cuda.runtime.runtimeGetVersion()]
    values = np.linspace(1, 2, SIZE, dtype="f4")
    there = cupy.asarray(values)
    out = cupy.empty_like(there)
    block = 256
    cupy.RawKernel(RAW, "scaled")((-(-SIZE // block),), (block,), (there, out, np.float32(3), np.int32(SIZE)))
    close(cupy.asnumpy(out), 3 * values + 1, "a kernel of CuPy")
    close(cupy.asnumpy(cupy.sqrt(there)), np.sqrt(values), "CuPy's square root")
    if cupy.asnumpy(there).tobytes() != values.tobytes():
        raise Wrong("data that went to the GPU and back is not what was sent")
    return {"packages": {"cupy": cupy.__version__, "cupy: driver, runtime": " ".join(map(str, versions))}}


def scaled(values: Any, out: Any) -> None:
    """A kernel for numba; ``cuda`` is bound to the module that compiles it."""
    index = cuda.grid(1)  # type: ignore[name-defined]  # noqa: F821
    if index < out.size:
        out[index] = 3 * values[index] + 1


def kernel_for(module: Any) -> Callable[..., None]:
    """:func:`scaled`, to be compiled by a module."""
    return FunctionType(scaled.__code__, {"cuda": module}, "scaled")


def needs_numba(config: Config, found: Facts) -> None:
    """Numba is there, or its successor, which does without it."""
    if "numba-cuda-mlir" not in found.get("packages", {}):
        needed("numba", "numba", config)


def numba_launches(config: Config, found: Facts) -> Facts:
    """Numba compiles a kernel, starts it, and it computes what the CPU does."""
    if config.gpu_simulate:
        os.environ[SIMULATOR] = "1"
    np = importlib.import_module("numpy")
    modifier = importlib.import_module("fasthep_validate_cuda_jit")
    needs_numba(config, found)
    cuda = modifier.cuda_module()
    modifier.needs_device(cuda)
    size = 1000 if modifier.is_simulator(cuda) else SIZE
    values, out = np.linspace(1, 2, size, dtype="f4"), np.zeros(size, dtype="f4")
    cuda.jit(kernel_for(cuda))[-(-size // 128), 128](values, out)
    cuda.synchronize()
    close(out, 3 * values + 1, "a kernel of numba")
    implementation = f"{cuda.__name__} ({getattr(cuda, 'implementation', 'Built-in')})"
    return {"implementation": implementation, "step": {"simulated": modifier.is_simulator(cuda)}}


def awkward_round_trip(config: Config, _: Facts) -> Facts:
    """An Awkward array goes to the GPU and comes back the same; whether a reducer works there is noted."""
    awkward = needed("awkward", "awkward", config)
    needed("cupy", "cupy", config)
    given = awkward.Array([[1.5, 2.5], [], [3.5]])
    there = awkward.to_backend(given, "cuda")
    if awkward.backend(there) != "cuda" or awkward.to_backend(there, "cpu").to_list() != given.to_list():
        raise Wrong("an Awkward array that went to the GPU and back is not what was sent")
    try:  # needs cuda-cccl and numba-cuda besides, which few environments have
        awkward.sum(there, axis=1)
    except Exception as error:
        return {"reducer": f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"}
    return {"reducer": "ok"}


# ---- the modifiers --------------------------------------------------------------------------------


def around(
    name: str, params: Facts, task: Callable[..., Any], inputs: Facts, ctx: Facts
) -> tuple[Any, Facts]:
    """A task with one of our modifiers around it: its result, and what the modifier recorded."""
    modified = importlib.import_module("modified")
    spec = {"name": name, "impl": IMPLEMENTATIONS[name], "source": None, "params": params}
    result, ctx = modified.run(task, inputs, node_id="probe", specs=[spec], ctx=ctx)
    return result, ctx["execution_modifier_metadata"][name][0]


def preload(config: Config, _: Facts) -> Facts:
    """``gpu.preload`` moves a field, leaves another, and what comes back is the same bit for bit."""
    if not config.gpu_simulate:
        needed("cupy", "cupy", config)
    np = importlib.import_module("numpy")
    stream = {"moved": np.linspace(0, 1, SIZE), "kept": np.arange(SIZE)}
    stream["moved"][:3] = [np.nan, -0.0, 5e-324]
    params = {"fields": ["moved"], "backend": "simulated" if config.gpu_simulate else "cupy"}

    def task(stream: Any) -> Any:
        there = type(stream["moved"]).__module__ + "." + type(stream["moved"]).__name__
        return {"back": stream["moved"], "there": there, "kept": stream["kept"]}

    result, entry = around("gpu.preload", params, task, {"stream": stream}, {})
    if result["back"].tobytes() != stream["moved"].tobytes() or type(result["back"]) is not np.ndarray:
        raise Wrong("what gpu.preload brought back is not what it moved")
    if result["kept"] is not stream["kept"]:
        raise Wrong("gpu.preload touched a field that was not named")
    if entry["in_use_after"]:
        raise Wrong(f"gpu.preload left {entry['in_use_after']} bytes on the GPU")
    return {"step": {"simulated": entry["simulated"]}}


def jit(config: Config, found: Facts) -> Facts:
    """``cuda.jit`` compiles a function once, and it computes what the CPU does."""
    needs_numba(config, found)
    np = importlib.import_module("numpy")
    modifier = importlib.import_module("fasthep_validate_cuda_jit")
    params = {"functions": ["scaled"], "simulate": config.gpu_simulate}
    modifier.CudaJit(**params).install()
    ctx = {"cuda_jit_functions": {"scaled": kernel_for(modifier.cuda_module())}}
    size = 1000 if config.gpu_simulate else SIZE

    def task(ctx: Any) -> Any:
        values, out = np.linspace(1, 2, size, dtype="f4"), np.zeros(size, dtype="f4")
        ctx["cuda_jit_launch"]("scaled", size, values, out)
        close(out, 3 * values + 1, "a kernel of cuda.jit")

    _, first = around("cuda.jit", params, task, {}, dict(ctx))
    _, second = around("cuda.jit", params, task, {}, dict(ctx))
    if (first["compiled_count"], second["compiled_count"]) != (1, 0):
        raise Wrong("cuda.jit compiled a function twice in one process")
    return {"step": {"simulated": first["simulated"]}}


# ---- how fast -------------------------------------------------------------------------------------

FMA = """
extern "C" __global__ void fma_rate(float* out, int steps) {
    float a = threadIdx.x * 1e-3f, b = 1.000001f, c = 0.5f;
    for (int step = 0; step < steps; ++step) { a = a * b + c; c = c * b + a; }
    out[blockDim.x * blockIdx.x + threadIdx.x] = a + c;
}
"""
THREADS, BLOCKS = 256, 4096


def speed(config: Config, _: Facts) -> Facts:
    """``GpuSpeed``: the best of some transfers of 256 MiB, and of some runs of a kernel without memory access."""
    cupy = needed("cupy", "cupy", config)
    np = importlib.import_module("numpy")
    pinned = cupy.cuda.alloc_pinned_memory(BLOCK)
    host = np.frombuffer(pinned, "u1", BLOCK)
    device = cupy.empty(BLOCK, "u1")
    kernel, out = cupy.RawKernel(FMA, "fma_rate"), cupy.empty(THREADS * BLOCKS, "f4")
    work = 4 * STEPS_OF_KERNEL * THREADS * BLOCKS  # two multiply-adds a step, two operations each
    return {
        "speed": {
            "to_device": BLOCK / best(lambda: device.set(host), cupy),
            "to_host": BLOCK / best(lambda: device.get(out=host), cupy),
            "kernel": work
            / best(lambda: kernel((BLOCKS,), (THREADS,), (out, np.int32(STEPS_OF_KERNEL))), cupy),
        }
    }


def best(work: Callable[[], object], cupy: Any) -> float:
    """Seconds of the fastest of some runs, after one to warm up."""
    times = []
    for _ in range(REPEATS + 1):
        cupy.cuda.Device().synchronize()
        begun = time.perf_counter()
        work()
        cupy.cuda.Device().synchronize()
        times.append(time.perf_counter() - begun)
    return min(times[1:])
