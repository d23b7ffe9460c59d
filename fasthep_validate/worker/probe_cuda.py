"""What the NVIDIA driver and the compilers of the environment say, by ``ctypes``: no GPU package is needed."""

from __future__ import annotations

import ctypes
import json
import os
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fasthep_validate.worker.probe_config import Config

    Facts = dict[str, Any]

KERNEL = Path("/proc/driver/nvidia/version")
VERSION = re.compile(r"\b\d{3,}\.\d+(?:\.\d+)?\b")
# Attributes of cuda.h's CUdevice_attribute.
COMPUTE_MODE, MAJOR, MINOR = 20, 75, 76
COMPUTE_MODES = {0: "Default", 2: "Prohibited", 3: "Exclusive_Process"}
NVML_DRIVER = 80  # NVML_SYSTEM_DRIVER_VERSION_BUFFER_SIZE of nvml.h
# Oldest compute capability of a CUDA release, where the compiler does not tell (its release notes).
OLDEST = {11: 35, 12: 50, 13: 75}
# Packages that say by their name or version which CUDA they are for.
MADE_FOR = re.compile(r"cupy-cuda(\d\d)x|nvidia-cuda-(?:runtime|nvrtc)-cu(\d\d)")
BY_VERSION = (
    "cuda-version",
    "nvidia-cuda-runtime",
    "nvidia-cuda-runtime-cu12",
    "nvidia-cuda-runtime-cu11",
    "cudatoolkit",
)
PACKAGES = re.compile(
    r"cupy(-cuda\w+|-core)?|numba(-cuda(-mlir)?)?|awkward|cuda-\w+|cudatoolkit|nvidia-(cuda|nvjitlink)\S*"
)
FLOOR = re.compile(r"__cuda\s*>=\s*([\d.]+)")


class Wrong(Exception):
    """What was found is not as it should be.

    Attributes:
        facts: what is known all the same.
        step: what else is to be said of the question.
    """

    def __init__(self, what: str, facts: Facts | None = None, **step: object) -> None:
        super().__init__(what)
        self.facts = facts or {}
        self.step = step


def version(number: int) -> str:
    """``12040`` is 12.4."""
    return f"{number // 1000}.{number % 1000 // 10}"


def as_numbers(text: str) -> tuple[int, ...]:
    """``12.4`` as numbers that can be compared."""
    return tuple(int(part) for part in text.split(".")[:2] if part.isdigit())


# ---- the driver -----------------------------------------------------------------------------------


def kernel_driver() -> str:
    """Version of the kernel's module; empty without one."""
    try:
        text = KERNEL.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
    found = VERSION.search(text.partition("\n")[0])
    return found[0] if found else ""


def nvml_driver() -> str:
    """Version of the driver by NVML; empty where NVML is not installed but the driver may be.

    Raises:
        Wrong: NVML cannot be used, in its own words.
    """
    try:
        nvml = ctypes.CDLL("libnvidia-ml.so.1")
    except OSError as error:
        raise Wrong(f"NVML Shared Library Not Found ({error})") from error
    nvml.nvmlErrorString.restype = ctypes.c_char_p
    code = nvml.nvmlInit_v2()
    if code:
        raise Wrong(f"NVML: {nvml.nvmlErrorString(code).decode()} ({code})")
    text = ctypes.create_string_buffer(NVML_DRIVER)
    code = nvml.nvmlSystemGetDriverVersion(text, NVML_DRIVER)
    nvml.nvmlShutdown()
    return "" if code else text.value.decode()


class Cuda:
    """The driver's library, started.

    Raises:
        Wrong: it is not there or does not start.
    """

    def __init__(self) -> None:
        try:
            self.library = ctypes.CDLL("libcuda.so.1")
        except OSError as error:
            raise Wrong(f"CUDA driver library cannot be found: {error}") from error
        self.call("cuInit", 0)

    def call(self, name: str, *arguments: Any) -> None:
        """Call one of its functions.

        Raises:
            Wrong: it gave an error, told by name and in words.
        """
        code = getattr(self.library, name)(*arguments)
        if code:
            told = [self._told("cuGetErrorName", code), self._told("cuGetErrorString", code)]
            raise Wrong(f"{name}: {told[0] or code} ({code}): {told[1]}".rstrip(": "))

    def _told(self, function: str, code: int) -> str:
        text = ctypes.c_char_p()
        getattr(self.library, function)(code, ctypes.byref(text))
        return (text.value or b"").decode()

    def number(self, name: str, *arguments: Any) -> int:
        """The number that a function gives."""
        value = ctypes.c_int()
        self.call(name, ctypes.byref(value), *arguments)
        return value.value

    def device(self, index: int) -> Facts:
        """``GpuDevice``."""
        handle = self.number("cuDeviceGet", index)
        name, uuid, total = ctypes.create_string_buffer(128), (ctypes.c_ubyte * 16)(), ctypes.c_size_t()
        self.call("cuDeviceGetName", name, 128, handle)
        self.call("cuDeviceTotalMem_v2", ctypes.byref(total), handle)
        # The newer function gives the id of a MIG device, where the older has that of the whole.
        newer = hasattr(self.library, "cuDeviceGetUuid_v2")
        self.call("cuDeviceGetUuid_v2" if newer else "cuDeviceGetUuid", ctypes.byref(uuid), handle)
        major, minor, mode = (
            self.number("cuDeviceGetAttribute", attribute, handle)
            for attribute in (MAJOR, MINOR, COMPUTE_MODE)
        )
        return {
            "index": index,
            "uuid": f"GPU-{dashed(bytes(uuid).hex())}",
            "name": name.value.decode(),
            "capability": f"{major}.{minor}",
            "memory": total.value,
            "compute_mode": COMPUTE_MODES.get(mode, str(mode)),
        }

    def free(self) -> int:
        """Free bytes of the first device, which is opened for it."""
        context, free, total = ctypes.c_void_p(), ctypes.c_size_t(), ctypes.c_size_t()
        handle = self.number("cuDeviceGet", 0)
        self.call("cuDevicePrimaryCtxRetain", ctypes.byref(context), handle)
        self.call("cuCtxSetCurrent", context)
        self.call("cuMemGetInfo_v2", ctypes.byref(free), ctypes.byref(total))
        return free.value


def dashed(text: str) -> str:
    """32 hexadecimal digits as a UUID."""
    return "-".join((text[:8], text[8:12], text[12:16], text[16:20], text[20:]))


def libcuda(config: Config, _: Facts) -> Facts:
    """What the driver's library gives to the job: as many devices as the pool asks for."""
    cuda = Cuda()
    facts: Facts = {"driver_cuda": version(cuda.number("cuDriverGetVersion"))}
    count = cuda.number("cuDeviceGetCount")
    facts["cuda_devices"] = [cuda.device(index) for index in range(count)]
    if count != config.gpus:
        raise Wrong(f"{count} GPUs are visible to the job, {config.gpus} asked for", facts)
    return facts


def memory(config: Config, found: Facts) -> Facts:
    """The device can be opened, and has memory free."""
    mode = (found.get("cuda_devices") or [{}])[0].get("compute_mode", "")
    if mode == "Prohibited":
        raise Wrong("the compute mode of the GPU is Prohibited: nobody may open it")
    free = Cuda().free()
    if free < config.gpu_min_free:
        raise Wrong(
            f"{free / 1e9:.2f} GB free on the GPU, {config.gpu_min_free / 1e9:.2f} GB needed", {"free": free}
        )
    return {"free": free}


# ---- the environment against the driver -----------------------------------------------------------


def runtime(_: Config, found: Facts) -> Facts:
    """The CUDA that the environment brings is one that the driver supports.

    Within a major version an older driver runs what a newer toolkit made, but for what is compiled on the way
    (NVIDIA: CUDA minor version compatibility); a newer major version needs a newer driver.
    """
    packages = installed()
    floor, package = cuda_floor()
    facts: Facts = {
        "packages": {name: told for name, told in sorted(packages.items()) if PACKAGES.fullmatch(name)},
        "environment_cuda": environment_cuda(packages),
        "cuda_floor": floor,
        "floor_from": package,
    }
    theirs = as_numbers(found.get("driver_cuda", ""))
    ours = as_numbers(facts["environment_cuda"])
    if theirs and ours and ours[0] > theirs[0]:
        what = f"the driver supports CUDA {found['driver_cuda']}, the environment brings {facts['environment_cuda']}"
        raise Wrong(f"CUDA driver version is insufficient for CUDA runtime version: {what}", facts)
    if theirs and floor and as_numbers(floor) > theirs:
        raise Wrong(
            f"{package} needs __cuda >={floor}, the driver supports CUDA {found['driver_cuda']}", facts
        )
    return facts


def installed() -> dict[str, str]:
    """Package -> version, of distributions and of conda's records."""
    import importlib.metadata

    found = {str(each.metadata["Name"]).lower(): each.version for each in importlib.metadata.distributions()}
    return {**{str(record["name"]): str(record["version"]) for record in conda_records()}, **found}


def conda_records() -> Iterator[Facts]:
    """What conda wrote down of each package of the environment; nothing in a virtualenv."""
    for path in sorted(Path(sys.prefix, "conda-meta").glob("*.json")):
        try:
            yield dict(json.loads(path.read_bytes()))
        except (OSError, ValueError):
            continue


def environment_cuda(packages: dict[str, str]) -> str:
    """The CUDA that the packages are for: to the minor version where one of them tells, else the major one."""
    for name in BY_VERSION:
        if name in packages:
            return ".".join(packages[name].split(".")[:2])
    named = (MADE_FOR.fullmatch(name) for name in packages)
    majors = [next(filter(None, match.groups())) for match in named if match]
    return max(majors, key=int, default="")


def cuda_floor() -> tuple[str, str]:
    """The newest CUDA that a conda package asks the driver for, and the package."""
    floors = [
        (found[1], str(record["name"]))
        for record in conda_records()
        for need in (*record.get("depends", ()), *record.get("constrains", ()))
        if (found := FLOOR.search(need))
    ]
    return max(floors, key=lambda floor: as_numbers(floor[0]), default=("", ""))


def compilers(_: Config, found: Facts) -> Facts:
    """NVRTC and nvJitLink can be loaded, where a package of the environment compiles with them."""
    packages = found.get("packages", {})
    nvrtc, nvjitlink = loaded("libnvrtc"), loaded("libnvJitLink")
    major, minor = ctypes.c_int(), ctypes.c_int()
    facts: Facts = {"nvrtc": "", "nvjitlink": ""}
    if nvjitlink is not None:
        has_version = hasattr(nvjitlink, "nvJitLinkVersion")  # since CUDA 12.4
        if has_version and not nvjitlink.nvJitLinkVersion(ctypes.byref(major), ctypes.byref(minor)):
            facts["nvjitlink"] = f"{major.value}.{minor.value}"
        facts["nvjitlink"] = facts["nvjitlink"] or "there"
    if nvrtc is not None and not nvrtc.nvrtcVersion(ctypes.byref(major), ctypes.byref(minor)):
        facts["nvrtc"] = f"{major.value}.{minor.value}"
        facts["architectures"] = architectures(nvrtc)
    users = [
        name for name in packages if name.startswith("cupy") or name in ("numba-cuda", "numba-cuda-mlir")
    ]
    if users and not facts["nvrtc"]:
        raise Wrong(f'Failure finding "libnvrtc.so": {users[0]} compiles with it', facts)
    if "numba-cuda" in packages and loaded("libcudart") is None:
        raise Wrong('Failure finding "libcudart.so": numba-cuda needs it', facts)
    ours, theirs = as_numbers(facts["nvrtc"]), as_numbers(found.get("driver_cuda", ""))
    if users and ours > theirs and ours[:1] == theirs[:1] and not facts["nvjitlink"]:
        what = f"NVRTC {facts['nvrtc']} is newer than the driver's CUDA {found['driver_cuda']}"
        raise Wrong(f'Failure finding "libnvJitLink.so": {what}, so it is needed to link', facts)
    return facts


def architectures(nvrtc: Any) -> list[int]:
    """What NVRTC can compile for; empty where it is too old to tell."""
    count = ctypes.c_int()
    if not hasattr(nvrtc, "nvrtcGetSupportedArchs") or nvrtc.nvrtcGetNumSupportedArchs(ctypes.byref(count)):
        return []
    known = (ctypes.c_int * count.value)()
    return [] if nvrtc.nvrtcGetSupportedArchs(known) else list(known)


def loaded(name: str) -> Any:
    """A library of the CUDA toolkit: of the environment, else wherever the loader finds it; ``None`` if nowhere."""
    for path in (
        *sorted(map(str, places(name)), reverse=True),
        *(f"{name}.so.{major}" for major in (13, 12)),
    ):
        try:
            return ctypes.CDLL(path)
        except OSError:
            continue
    return None


def places(name: str) -> Iterator[Path]:
    """Where conda and the wheels put a library of the toolkit."""
    roots = {sys.prefix, os.environ.get("CUDA_HOME", ""), os.environ.get("CUDA_PATH", "")} - {""}
    for root in sorted(roots):
        for folder in ("lib", "lib64", "targets/x86_64-linux/lib"):
            yield from Path(root, folder).glob(f"{name}.so.1[0-9]*")
    for entry in sys.path:
        yield from Path(entry, "nvidia").glob(f"*/lib/{name}.so.1[0-9]*")


def capability(_: Config, found: Facts) -> Facts:
    """The packages can compile for the device."""
    known = found.get("architectures") or []
    cuda = as_numbers(found.get("environment_cuda", ""))
    oldest = min(known) if known else OLDEST.get(cuda[0], 0) if cuda else 0
    for device in found.get("cuda_devices", []):
        major, _, minor = device["capability"].partition(".")
        if int(major) * 10 + int(minor) < oldest:
            raise Wrong(
                f"Device compute capability {device['capability']} ({device['name']}) is less than the minimum "
                f"{oldest // 10}.{oldest % 10} that the environment's CUDA {found.get('environment_cuda', '')} supports"
            )
    return {}
