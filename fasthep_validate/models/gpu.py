"""What the probe saw of the GPUs of a job, step by step; see ``worker/probe_gpu.py``."""

from __future__ import annotations

from fasthep_validate.models.base import Model


class GpuStep(Model):
    """One question, answered by a process of its own; no later one is asked once one has failed.

    Attributes:
        name: the question, such as ``libcuda``.
        ok: whether the answer is as it should be.
        seconds: time it took.
        error: what is wrong, in the words of the driver or the library.
        skipped: why it was not asked; empty if it was.
        simulated: whether no GPU was behind the answer.
    """

    name: str
    ok: bool
    seconds: float = 0.0
    error: str = ""
    skipped: str = ""
    simulated: bool = False


class GpuGrant(Model):
    """What the batch system gave to the job.

    Attributes:
        requested: GPUs that the pool asks for.
        visible: entries of ``CUDA_VISIBLE_DEVICES``; ``None`` if it is not set.
        forms: their forms: ``index``, ``uuid``, ``short-uuid`` or ``mig``.
        variables: what the batch system set about GPUs.
    """

    requested: int
    visible: tuple[str, ...] | None = None
    forms: tuple[str, ...] = ()
    variables: dict[str, str] = {}


class GpuDevice(Model):
    """A device, as ``nvidia-smi`` or the driver's library has it; what one of them does not tell is empty.

    Attributes:
        index: its number there.
        uuid: ``GPU-...`` or ``MIG-...``.
        name: its model.
        capability: compute capability, such as ``8.0``.
        memory: bytes.
        free: bytes that were free.
        mig: whether it is divided.
        compute_mode: such as ``Default`` or ``Exclusive_Process``.
    """

    index: int
    uuid: str
    name: str = ""
    capability: str = ""
    memory: int = 0
    free: int = 0
    mig: bool = False
    compute_mode: str = ""


class GpuProcess(Model):
    """A process that used a GPU before the worker started.

    Attributes:
        pid: its id; in a container it may be another's.
        uuid: of the device.
        memory: bytes on the device.
    """

    pid: int
    uuid: str
    memory: int = 0


class GpuSpeed(Model):
    """How fast the device is, seen from Python.

    Attributes:
        to_device: bytes per second from the host's page-locked memory.
        to_host: bytes per second back.
        kernel: floating-point operations per second of a small kernel in single precision.
    """

    to_device: float
    to_host: float
    kernel: float


class GpuEvidence(Model):
    """All that was seen of the GPUs of a job.

    Attributes:
        steps: the questions in their order.
        grant: what the batch system gave.
        kernel_driver: version of the kernel's module.
        user_driver: version of the driver's libraries, as NVML has it.
        devices: what ``nvidia-smi`` lists.
        processes: who used the devices already.
        driver_cuda: newest CUDA that the driver supports, such as ``12.4``.
        cuda_devices: what the driver's library gives to the job.
        environment_cuda: CUDA that the environment brings, such as ``12.8``; empty if none.
        cuda_floor: newest CUDA that a package asks the driver for (conda's ``__cuda``); empty if none does.
        floor_from: that package.
        nvrtc: version of the run-time compiler; empty if there is none.
        nvjitlink: version of the linker; empty if there is none.
        architectures: compute capabilities that the compiler can compile for, ``80`` for 8.0.
        free: bytes free on the first device.
        packages: GPU packages of the environment, name -> version.
        implementation: which compiler numba used.
        reducer: what an Awkward reducer on the device ended with; ``ok`` or its error.
        speed: transfer and kernel rates.
    """

    steps: tuple[GpuStep, ...] = ()
    grant: GpuGrant | None = None
    kernel_driver: str = ""
    user_driver: str = ""
    devices: tuple[GpuDevice, ...] = ()
    processes: tuple[GpuProcess, ...] = ()
    driver_cuda: str = ""
    cuda_devices: tuple[GpuDevice, ...] = ()
    environment_cuda: str = ""
    cuda_floor: str = ""
    floor_from: str = ""
    nvrtc: str = ""
    nvjitlink: str = ""
    architectures: tuple[int, ...] = ()
    free: int = 0
    packages: dict[str, str] = {}
    implementation: str = ""
    reducer: str = ""
    speed: GpuSpeed | None = None

    def step(self, name: str) -> GpuStep | None:
        """A question by its name; ``None`` if it was not put."""
        return next((step for step in self.steps if step.name == name), None)
