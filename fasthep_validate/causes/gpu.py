"""Causes of GPU failures: which words of a driver or a library show which."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from fasthep_validate.causes.entry import Entry
from fasthep_validate.models.report import Cause

if TYPE_CHECKING:
    from collections.abc import Iterator

GPU = (
    Entry(
        id="FHV-gpu-001",
        title="There is no NVIDIA driver on the node",
        meaning="Neither the kernel's module nor the driver's libraries are there, or the job cannot see them.",
        remedy="Ask the batch system for a GPU node; in a container bring the driver in (apptainer --nv).",
    ),
    Entry(
        id="FHV-gpu-002",
        title="The driver is older than the environment's CUDA",
        meaning="The environment brings a newer major version of CUDA than the node's driver supports.",
        remedy="Build the environment for the driver's CUDA (cuda-version, cupy-cuda12x), or have the driver updated.",
    ),
    Entry(
        id="FHV-gpu-003",
        title="No GPU is visible to the job",
        meaning="The driver works, and shows the job no device: none was granted, or it is hidden.",
        remedy="See CUDA_VISIBLE_DEVICES in the evidence, and what the batch system was asked for.",
    ),
    Entry(
        id="FHV-gpu-004",
        title="The driver's kernel module and libraries are of different versions",
        meaning="The driver was updated, and the node has not been restarted since.",
        remedy="Restart the node (or reload the nvidia module); Dask itself needs distributed.diagnostics.nvml: false there.",
        who="admin",
    ),
    Entry(
        id="FHV-gpu-005",
        title="NVRTC, the run-time compiler, is missing",
        meaning="A package compiles on the worker, and libnvrtc is not in the environment.",
        remedy="Install cupy-cuda12x[ctk] or cupy-cuda13x[ctk], numba-cuda[cu12], or conda's cuda-nvrtc.",
    ),
    Entry(
        id="FHV-gpu-006",
        title="nvJitLink is missing",
        meaning="The environment's CUDA is newer than the driver's within one major version, and linking then needs it.",
        remedy="Install nvidia-nvjitlink (wheels) or libnvjitlink (conda), or build for the driver's CUDA.",
    ),
    Entry(
        id="FHV-gpu-007",
        title="The compiler is newer than the driver",
        meaning="The driver cannot read the PTX that the environment's compiler writes.",
        remedy="Pin the environment to the driver's CUDA (conda: cuda-version=12.4), or install nvJitLink.",
    ),
    Entry(
        id="FHV-gpu-008",
        title="The GPU is too old for the environment's CUDA",
        meaning="The compiler no longer supports the device's compute capability; CUDA 13 needs 7.5 or newer.",
        remedy="Build the environment for an older CUDA (12 for V100 and P100), or ask for newer GPUs.",
    ),
    Entry(
        id="FHV-gpu-009",
        title="A package was not built for this GPU",
        meaning="It holds no code for the device's architecture (CUDA error 209).",
        remedy="Install a build that supports the GPU's compute capability.",
    ),
    Entry(
        id="FHV-gpu-010",
        title="The GPU is taken by another process",
        meaning="It is in exclusive mode and somebody has it, or its mode is Prohibited (CUDA error 46).",
        remedy="See whose process it is (nvidia-smi); one worker to a GPU, and no CUDA in a nanny's preload.",
        who="admin",
    ),
    Entry(
        id="FHV-gpu-011",
        title="The GPU has not enough memory left",
        meaning="An allocation failed, or less is free than is needed (CUDA error 2).",
        remedy="Use smaller partitions, set max_bytes of gpu.preload, ask for a larger GPU; see who else uses it.",
    ),
    Entry(
        id="FHV-gpu-012",
        title="The driver's parts do not fit each other",
        meaning="CUDA error 803 or 804: a compatibility library in the path of the loader, or a mixed installation.",
        remedy="Take cuda-compat out of LD_LIBRARY_PATH and of the environment; else have the driver reinstalled.",
        who="admin",
    ),
    Entry(
        id="FHV-gpu-013",
        title="The GPUs are not initialised",
        meaning="CUDA error 802: on nodes with NVSwitch the fabric manager does not run.",
        remedy="Start nvidia-fabricmanager on the node.",
        who="admin",
    ),
    Entry(
        id="FHV-gpu-014",
        title="The driver's PTX compiler is missing",
        meaning="CUDA error 221: libnvidia-ptxjitcompiler is not on the node, or not in the container.",
        remedy="Have the driver installed completely; in a container bring all of it in (apptainer --nv).",
        who="admin",
    ),
    Entry(
        id="FHV-gpu-015",
        title="A stub stands in for the driver's library",
        meaning="CUDA error 34: libcuda.so of the toolkit's stubs folder was loaded, which is only there to link against.",
        remedy="Take the stubs folder out of LD_LIBRARY_PATH.",
    ),
    Entry(
        id="FHV-gpu-016",
        title="CUDA's headers are missing",
        meaning="NVRTC is there and cannot compile: it does not find the toolkit's headers or built-in functions.",
        remedy="Install cupy-cuda12x[ctk], or conda's cuda-cudart-dev and cuda-nvrtc; let CUDA_PATH not point elsewhere.",
    ),
    Entry(
        id="FHV-gpu-017",
        title="CUDA was used before a fork",
        meaning="A process that had started CUDA made a copy of itself; the copy cannot use the GPU.",
        remedy="Import GPU packages in tasks and not in preloads; use spawn for processes of your own.",
    ),
    Entry(
        id="FHV-gpu-018",
        title="A GPU package is missing in the environment",
        meaning="A modifier or a check needs CuPy, numba or the CUDA bindings, and the worker cannot import it.",
        remedy="Add it to the environment: cupy-cuda12x or cupy-cuda13x, numba, numba-cuda[cu12].",
    ),
    Entry(
        id="FHV-gpu-019",
        title="numba has CUDA switched off",
        meaning="NUMBA_DISABLE_CUDA=1 is set in the job.",
        remedy="See which profile script or module of the site sets it.",
    ),
    Entry(
        id="FHV-gpu-020",
        title="The batch system granted something else than was asked for",
        meaning="Another number of GPUs, a name that is no device's, or a device that is not on the node.",
        remedy="Compare the pool's gpus with the job's directives (--dry-run) and with CUDA_VISIBLE_DEVICES in the evidence.",
    ),
    Entry(
        id="FHV-gpu-021",
        title="The driver hangs",
        meaning="nvidia-smi or the first call of CUDA did not come back in time.",
        remedy="Have the node looked at: a GPU that fell off the bus (Xid 79) hangs so.",
        who="admin",
    ),
    Entry(
        id="FHV-gpu-022",
        title="CUDA_VISIBLE_DEVICES names no device that there is",
        meaning="CUDA error 101, or a value that Dask and CUDA do not understand.",
        remedy="See CUDA_VISIBLE_DEVICES in the evidence; numbers count within the job where devices are confined.",
    ),
    Entry(
        id="FHV-gpu-023",
        title="Two CuPy packages are installed",
        meaning="Their files overwrite each other's.",
        remedy="Leave one of cupy, cupy-cuda12x and cupy-cuda13x in the environment.",
    ),
    Entry(
        id="FHV-gpu-024",
        title="numba-cuda does not work with this NumPy",
        meaning="numba-cuda 0.30 uses functions that NumPy 2.5 has no longer.",
        remedy="Pin numpy<2.5, as Awkward does, or use numba-cuda's successor.",
    ),
    Entry(
        id="FHV-gpu-026",
        title="CUDA's run-time library is missing",
        meaning="numba-cuda needs libcudart, which plain numba-cuda does not bring.",
        remedy="Install numba-cuda[cu12] or numba-cuda[cu13], or conda's cuda-cudart.",
    ),
    Entry(
        id="FHV-gpu-025",
        title="The GPU computes something else",
        meaning="A kernel ran, and its result is not the CPU's.",
        remedy="Take the node out of use; have the GPU's memory tested (dcgmi diag -r 3).",
        who="admin",
    ),
)

# Words -> entry; the first that is found decides. Those of CUDA are cuGetErrorString's and cudaGetErrorString's.
_WORDS = tuple(
    (re.compile(pattern), f"FHV-gpu-{number:03}")
    for pattern, number in (
        (r"did not answer within|^timed out after|it did not return", 21),
        (
            r"no NVIDIA driver on this node|CUDA driver library cannot be found|NVML Shared Library Not Found",
            1,
        ),
        (r"[Dd]river [Nn]ot [Ll]oaded", 1),
        (
            r"RM/NVML version mismatch|Driver/library version mismatch|RM has detected an NVML/RM version mismatch",
            4,
        ),
        (r"NVML_ERROR_LIB_RM_VERSION_MISMATCH|LibRmVersionMismatch", 4),
        (r"NUMBA_DISABLE_CUDA", 19),
        (r"CUDA initialized before forking", 17),
        (r"multiple CuPy packages", 23),
        (r"row_stack", 24),
        (
            r"UNSUPPORTED_PTX_VERSION|Unsupported \.version|unsupported toolchain|NVJITLINK_ERROR_PTX_COMPILE",
            7,
        ),
        (r"libnvJitLink", 6),
        (r"libcudart", 26),
        (r"libnvrtc|failed to load NVRTC", 5),
        (r"failed to load builtins|cannot open source file|Cannot find include path", 16),
        (r"NVIDIA CUDA Python bindings not found|you must install cupy|CuPy is not in the worker", 18),
        (r"requires CuPy|requires numba|numba has no CUDA|No module named '?(cupy|numba|cuda|numpy)\b", 18),
        (r"compute capability .* is less than the minimum|is lower than the minimum", 8),
        (r"no kernel image is available|NO_BINARY_FOR_GPU", 9),
        (r"busy or unavailable|DEVICE_UNAVAILABLE|compute mode of the GPU is Prohibited", 10),
        (r"out of memory|OutOfMemoryError|OUT_OF_MEMORY|GB free on the GPU|the device has room for", 11),
        (
            r"unsupported display driver|forward compatibility was attempted|SYSTEM_DRIVER_MISMATCH|COMPAT_NOT_SUPPORTED",
            12,
        ),
        (r"system not yet initialized|SYSTEM_NOT_READY", 13),
        (r"PTX JIT compiler library not found|JIT_COMPILER_NOT_FOUND", 14),
        (r"CUDA driver is a stub library|STUB_LIBRARY", 15),
        (r"driver, runtime: 0|driverGetVersion.* 0\b", 1),
        (r"driver version is insufficient|cudaErrorInsufficientDriver|needs __cuda >=", 2),
        (r"no CUDA-capable device is detected|NO_DEVICE|hides all GPUs|^0 GPUs are visible", 3),
        (r"invalid device ordinal|INVALID_DEVICE|names no device|must be comma-separated integers", 22),
        (r"granted|GPUs are visible to the job|names a device twice", 20),
        (r"differs from the CPU's|is not what (was sent|it moved)|computes something else", 25),
    )
)
_ENTRIES = {entry.id: entry for entry in GPU}


def explain(message: str) -> Cause | None:
    """The cause that a message of a check of GPUs or modifiers shows; ``None`` if it is not known."""
    for entry in _matching(message):
        return Cause(id=entry.id, title=entry.title, evidence=(message,), remedy=entry.remedy, who=entry.who)
    return None


def _matching(message: str) -> Iterator[Entry]:
    yield from (_ENTRIES[entry] for words, entry in _WORDS if words.search(message))
