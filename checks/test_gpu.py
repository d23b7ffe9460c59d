"""Whether a worker's GPUs are what its pool asks for, and compute."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fasthep_validate.outcomes import Blocked, not_applicable, simulated, warn
from fasthep_validate.worker.probe_cuda import as_numbers

if TYPE_CHECKING:
    from fasthep_validate.models.gpu import GpuEvidence, GpuStep
    from fasthep_validate.view import Worker

# The probe's questions, in its order, and the check that tells of each.
CHECKS = {
    "grant": "granted",
    "driver": "driver",
    "libcuda": "devices",
    "runtime": "driver-new-enough",
    "compilers": "compilers",
    "capability": "capability",
    "memory": "memory",
    "cupy": "cupy-computes",
    "numba": "numba-launches",
    "awkward": "awkward-round-trip",
    "preload": "preload",
    "jit": "jit",
    "speed": "speed",
}


def test_granted(worker: Worker) -> None:
    """The batch system granted as many GPUs as the pool asks for, and named them in a way that CUDA understands.

    Remedy: see the pool's ``gpus`` and what the batch system was told (``--dry-run``); a hidden GPU was not
    requested in a way that this site knows.
    """
    _answer(worker, "grant")


def test_driver(worker: Worker) -> None:
    """The node has an NVIDIA driver, of one version in kernel and libraries, and it lists what was granted.

    Remedy: have the node's driver looked at; after an update the node needs a restart. In a container the driver's
    libraries have to be brought in (``--nv``).
    """
    _answer(worker, "driver")


def test_devices(worker: Worker) -> None:
    """The job sees as many GPUs through the driver's library as it asked for, no more and no fewer.

    Remedy: more mean that the batch system does not confine jobs to their GPUs; fewer, or an error, that a device or
    the driver's library is missing in the job.
    """
    _answer(worker, "libcuda")


def test_driver_new_enough(worker: Worker) -> None:
    """The driver supports the CUDA that the environment brings, also what its conda packages ask of it (``__cuda``).

    Remedy: build the environment for the driver's CUDA (``cuda-version``, ``cupy-cuda12x``), or ask for nodes with a
    newer driver.
    """
    gpu = _answer(worker, "runtime")
    floor = worker.run.pack.manifest.floors.get("__cuda", "")
    assert as_numbers(gpu.driver_cuda) >= as_numbers(floor), (
        f"the pack needs __cuda >={floor}, the driver supports CUDA {gpu.driver_cuda or '(not known)'}"
    )


def test_compilers(worker: Worker) -> None:
    """The run-time compilers that packages of the environment need (NVRTC, nvJitLink) are in it.

    Remedy: install them: ``cupy-cuda12x[ctk]``, ``numba-cuda[cu12]``, or conda's ``cuda-nvrtc`` and ``libnvjitlink``.
    """
    _answer(worker, "compilers")


def test_capability(worker: Worker) -> None:
    """The environment's CUDA can compile for the GPU.

    Remedy: ask for newer GPUs, or build the environment for an older CUDA; CUDA 13 ended support for Volta (7.0).
    """
    _answer(worker, "capability")


def test_memory(worker: Worker) -> None:
    """The GPU can be opened, and has the free memory that the profile demands.

    Remedy: see whose processes use it (``gpu.exclusive``), or ask for a GPU with more memory.
    """
    _answer(worker, "memory")


def test_cupy_computes(worker: Worker) -> None:
    """CuPy compiles and computes on the GPU what NumPy computes.

    Remedy: see the error; CuPy, its CUDA and the driver have to fit each other.
    """
    _answer(worker, "cupy")


def test_numba_launches(worker: Worker) -> None:
    """Numba compiles a kernel and starts it on the GPU, and it computes what the CPU does.

    Remedy: see the error; numba-cuda, its CUDA and the driver have to fit each other.
    """
    _answer(worker, "numba")


def test_awkward_round_trip(worker: Worker) -> None:
    """An Awkward array goes to the GPU and comes back unchanged.

    Remedy: install CuPy beside Awkward; reducers on a GPU need ``cuda-cccl`` and ``numba-cuda`` as well.
    """
    gpu = _answer(worker, "awkward")
    if gpu.reducer != "ok":
        warn(f"reducers do not work on the GPU: {gpu.reducer}")


def test_preload(worker: Worker) -> None:
    """``gpu.preload`` moves what it is told, brings it back bit for bit, and leaves nothing on the GPU.

    Remedy: see the error; the modifier needs CuPy in the worker environment.
    """
    _answer(worker, "preload")


def test_jit(worker: Worker) -> None:
    """``cuda.jit`` compiles a function once a process, and it computes what the CPU does.

    Remedy: see the error; the modifier needs numba in the worker environment.
    """
    _answer(worker, "jit")


def test_exclusive(worker: Worker) -> None:
    """Nobody else uses the worker's GPUs: no process before it started, and no other worker of this run.

    Remedy: have the batch system confine jobs to their GPUs (HTCondor: assigned devices; Slurm: ``ConstrainDevices``).
    """
    gpu = _answer(worker, "libcuda")
    mine = {device.uuid for device in gpu.cuda_devices}
    others = [
        other.id
        for other in worker.run.workers.values()
        if other.id != worker.id and _on_same_node(worker, other) and mine & _devices(other)
    ]
    assert not others, f"{', '.join(others)} got the same GPU {', '.join(sorted(mine))}"
    used = [process for process in gpu.processes if process.uuid in mine]
    assert not used, f"used already by {', '.join(f'process {process.pid}' for process in used)}"


def test_speed(worker: Worker) -> None:
    """Transfers to and from the GPU, and a small kernel, are as fast as the profile's reference says.

    Remedy: compare with other nodes of the kind; a slow transfer is often a link of fewer lanes, a slow kernel a GPU
    that is too hot or shared.
    """
    gpu = _answer(worker, "speed")
    assert gpu.speed, "promised evidence speed is missing"
    settings = worker.run.site.checks.gpu
    figures = {
        "to the device": (gpu.speed.to_device, settings.reference.to_device, "GB/s"),
        "to the host": (gpu.speed.to_host, settings.reference.to_host, "GB/s"),
        "kernel": (gpu.speed.kernel, settings.reference.kernel, "GFLOP/s"),
    }
    told = ", ".join(f"{what} {found / 1e9:.1f} {unit}" for what, (found, _, unit) in figures.items())
    slow = [
        f"{what} {found / 1e9:.1f} {unit}, reference {expected / 1e9:.1f}"
        for what, (found, expected, unit) in figures.items()
        if expected and found < settings.tolerated * expected
    ]
    assert not slow, "; ".join(slow)
    if not any(expected for _, expected, _ in figures.values()):
        not_applicable(f"the profile has no reference; measured {told}")


def _answer(worker: Worker, name: str) -> GpuEvidence:
    """The evidence, if the answer to a question is as it should be; one failed question blocks all later ones."""
    if not worker.pool.resources.gpus:
        not_applicable("the pool asks for no GPU")
    gpu = worker.gpu
    step = gpu.step(name)
    if step is None:
        failed = next((step for step in gpu.steps if not step.ok), None)
        if failed:
            raise Blocked(by=f"gpu.{CHECKS[failed.name]}[{worker.id}]")
    assert step, (
        f"promised evidence gpu.{name} is missing: {worker.probe.problems.get('gpu', 'nothing was stored')}"
    )
    _judge(step)
    return gpu


def _judge(step: GpuStep) -> None:
    if step.simulated:
        assert step.ok, f"(simulated) {step.error}"
        simulated(
            step.skipped or "no GPU was used: numba's simulator and a copy in the host's memory stood in"
        )
    if step.skipped:
        not_applicable(step.skipped)
    assert step.ok, step.error


def _on_same_node(one: Worker, other: Worker) -> bool:
    return other.evidence.job.node == one.evidence.job.node


def _devices(worker: Worker) -> set[str]:
    probe = worker.evidence.probe
    return {device.uuid for device in probe.gpu.cuda_devices} if probe and probe.gpu else set()
