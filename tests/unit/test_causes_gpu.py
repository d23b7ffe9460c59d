"""Every error text that is known of drivers and GPU libraries ends in its own cause and remedy."""

from __future__ import annotations

import pytest

from fasthep_validate.causes import CATALOGUE
from fasthep_validate.causes.gpu import GPU, explain

# As printed by numba 0.68, numba-cuda 0.30, CuPy 14, NVML, nvidia-smi and the driver, or told by their sources.
TEXTS = [
    ("001", "CudaSupportError: Error at driver init: CUDA driver library cannot be found. Ensure that a compatible NVIDIA"),
    ("001", "CudaSupportError: Error at driver init: CUDA driver library cannot be found. If you are sure that a CUDA"),
    ("001", "no NVIDIA driver on this node: NVML Shared Library Not Found (libnvidia-ml.so.1: cannot open)"),
    ("001", "NVMLError_DriverNotLoaded: Driver Not Loaded"),
    ("001", "CUDA driver library cannot be found: libcuda.so.1: cannot open shared object file"),
    ("002", "CUDARuntimeError: cudaErrorInsufficientDriver: CUDA driver version is insufficient for CUDA runtime version"),
    ("002", "cudnn needs __cuda >=12.6, the driver supports CUDA 12.4"),
    ("003", "cuInit: CUDA_ERROR_NO_DEVICE (100): no CUDA-capable device is detected"),
    ("003", "Error at driver init: Call to cuInit results in CUDA_ERROR_NO_DEVICE (100)"),
    ("003", "CUDA_VISIBLE_DEVICES='NoDevFiles' hides all GPUs; 1 asked for"),
    ("004", "Failed to initialize NVML: Driver/library version mismatch NVML library version: 580.126"),
    ("004", "NVMLError_LibRmVersionMismatch: RM has detected an NVML/RM version mismatch."),
    ("004", "NVML: Driver/library version mismatch (18)"),
    ("005", 'DynamicLibNotFoundError: Failure finding "libnvrtc.so.13 or libnvrtc.so.12": No such file'),
    ("026", 'DynamicLibNotFoundError: Failure finding "libcudart.so.13 or libcudart.so.12": No such file: libcudart.so.13'),
    ("006", 'Failure finding "libnvJitLink.so": NVRTC 12.8 is newer than the driver\'s CUDA 12.4, so it is needed to link'),
    ("007", "LinkerError: [222] Call to cuLinkAddData results in CUDA_ERROR_UNSUPPORTED_PTX_VERSION"),
    ("007", "ptxas application ptx input, line 9; fatal   : Unsupported .version 8.7; current version is '8.4'"),
    ("007", "NVJITLINK_ERROR_PTX_COMPILE"),
    ("007", "the provided PTX was compiled with an unsupported toolchain."),
    ("008", "RuntimeError: Device compute capability 7.0 is less than the minimum supported by NVRTC 7.5"),
    ("009", "cudaErrorNoKernelImageForDevice: no kernel image is available for execution on the device"),
    ("010", "cuDevicePrimaryCtxRetain: CUDA_ERROR_DEVICE_UNAVAILABLE (46): CUDA-capable device(s) is/are busy or unavailable"),
    ("010", "the compute mode of the GPU is Prohibited: nobody may open it"),
    ("011", "OutOfMemoryError: Out of memory allocating 1,024 bytes"),
    ("011", "CUDA_ERROR_OUT_OF_MEMORY (2): out of memory"),
    ("011", "the fields take 8000 bytes, the device has room for 4500. Use smaller partitions."),
    ("012", "(803): system has unsupported display driver / cuda driver combination"),
    ("012", "(804): forward compatibility was attempted on non supported HW"),
    ("013", "(802): system not yet initialized"),
    ("014", "(221): PTX JIT compiler library not found"),
    ("015", "(34): CUDA driver is a stub library"),
    ("016", 'NVRTC_ERROR_COMPILATION (6) catastrophic error: cannot open source file "vector_types.h"'),
    ("016", "nvrtc: error: failed to load builtins for compute_80"),
    ("017", "CudaDriverError: CUDA initialized before forking"),
    ("018", "ImportError: NVIDIA CUDA Python bindings not found. Install the 'cuda' package"),
    ("018", "ModuleNotFoundError: to use Awkward Arrays with CUDA, you must install cupy:"),
    ("018", "ModifierError: gpu.preload: before_node of task 'n' failed: RuntimeError: CuPy is not in the worker environment"),
    ("018", "numba has no CUDA in the worker environment (numba.cuda: No module named 'numba')"),
    ("019", "CUDA is disabled due to setting NUMBA_DISABLE_CUDA=1 in the environment, or because CUDA is unsupported"),
    ("020", "CUDA_VISIBLE_DEVICES='0,1': 2 GPUs granted, 1 asked for"),
    ("020", "4 GPUs are visible to the job, 1 asked for"),
    ("021", "nvidia-smi did not answer within 25 s"),
    ("021", "timed out after 30 s"),
    ("022", "cudaErrorInvalidDevice: invalid device ordinal"),
    ("022", "ValueError: Devices in CUDA_VISIBLE_DEVICES must be comma-separated integers or strings beginning with 'GPU-'"),
    ("023", "CuPy may not function correctly because multiple CuPy packages are installed"),
    ("024", "AttributeError: `np.row_stack` was removed in the NumPy 2.5 release"),
    ("025", "a kernel of CuPy differs from the CPU's by up to 2: the GPU computes something else"),
]  # fmt: skip


@pytest.mark.parametrize(("number", "text"), TEXTS)
def test_text_ends_in_its_own_cause(number: str, text: str) -> None:
    cause = explain(text)
    assert cause is not None
    assert cause.id == f"FHV-gpu-{number}"
    assert cause.evidence == (text,)
    assert cause.remedy == CATALOGUE[cause.id].remedy


def test_every_cause_has_a_text() -> None:
    assert {f"FHV-gpu-{number}" for number, _ in TEXTS} == {entry.id for entry in GPU}


@pytest.mark.parametrize("text", ["", "KeyError: 'pt'", "the modifiers ran in another order"])
def test_unknown_text_has_no_cause(text: str) -> None:
    assert explain(text) is None
