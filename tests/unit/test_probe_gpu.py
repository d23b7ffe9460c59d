"""The probe's questions about GPUs, on a machine that need not have one.

The failing side is real: no driver, no library, a program that hangs. What a driver would answer is played by
a script in the place of ``nvidia-smi`` and by an object in the place of its library, and only to see that an
answer is read and judged as it should be; nothing here says that a GPU works.
"""

from __future__ import annotations

import ctypes
import json
import os
import shutil
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from checks import test_gpu as checks
from fasthep_validate import bundled, process
from fasthep_validate.causes import explain_gpu
from fasthep_validate.models.gpu import GpuEvidence
from fasthep_validate.models.probe import NodeProbe
from fasthep_validate.plan import SHIPPED
from fasthep_validate.testing import changed, compute, good_pack, good_run, good_site, good_worker
from fasthep_validate.worker import probe_cuda, probe_gpu, probe_gpu_work
from fasthep_validate.worker.probe_config import Config
from fasthep_validate.worker.probe_cuda import Wrong

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from fasthep_validate.view import Worker

UUID = "GPU-ddc1c098-2b3a-4c5d-8e9f-0123456789ab"
OTHER = "GPU-00000000-2b3a-4c5d-8e9f-0123456789ab"
HAS_DRIVER = Path("/proc/driver/nvidia/version").exists()
no_driver = pytest.mark.skipif(HAS_DRIVER, reason="this machine has an NVIDIA driver")


def config(**changes: Any) -> Config:
    return Config(**{"root": "/", "gpus": 1, **changes})


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch) -> Callable[[dict[str, str]], None]:
    def put(variables: dict[str, str]) -> None:
        for name in probe_gpu.VARIABLES:
            monkeypatch.delenv(name, raising=False)
        for name, value in variables.items():
            monkeypatch.setenv(name, value)

    return put


# --- what was granted


@pytest.mark.parametrize(
    ("told", "gpus", "forms"),
    [
        ("0", 1, ["index"]),
        ("0,3", 2, ["index", "index"]),
        (UUID, 1, ["uuid"]),
        ("GPU-ddc1c098", 1, ["short-uuid"]),
        ("MIG-1c9d8bce-4b6a-5c3f-9e0e-0f1e2d3c4b5a", 1, ["mig"]),
        (f"MIG-{UUID}/7/0", 1, ["mig"]),
    ],
)
def test_granted(
    environment: Callable[[dict[str, str]], None], told: str, gpus: int, forms: list[str]
) -> None:
    environment({"CUDA_VISIBLE_DEVICES": told, "SLURM_JOB_GPUS": "5"})
    seen = probe_gpu.grant(config(gpus=gpus), {})["grant"]
    assert seen["forms"] == forms
    assert seen["visible"] == told.split(",")
    assert seen["variables"]["SLURM_JOB_GPUS"] == "5"


def test_nothing_said_is_no_failure(environment: Callable[[dict[str, str]], None]) -> None:
    """What is visible is then seen through the driver's library."""
    environment({})
    assert probe_gpu.grant(config(), {}) == {"grant": {"requested": 1, "variables": {}}}


@pytest.mark.parametrize(
    ("told", "words"),
    [
        ("", "hides all GPUs; 1 asked for"),
        ("-1", "hides all GPUs"),
        ("NoDevFiles", "hides all GPUs"),
        ("10000", "hides all GPUs"),
        ("0,1", "2 GPUs granted, 1 asked for"),
        ("0,0", "names a device twice"),
        ("CUDA0", "'CUDA0' names no device"),
        ("0,", "'' names no device"),
    ],
)
def test_grants_that_are_wrong(environment: Callable[[dict[str, str]], None], told: str, words: str) -> None:
    environment({"CUDA_VISIBLE_DEVICES": told})
    with pytest.raises(Wrong, match=words) as wrong:
        probe_gpu.grant(config(), {})
    assert wrong.value.facts["grant"]["variables"] == {"CUDA_VISIBLE_DEVICES": told}


# --- nvidia-smi, played by a script


@pytest.fixture
def fake_nvidia_smi(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """A script in the place of ``nvidia-smi``."""

    def put(text: str) -> None:
        program = tmp_path / "nvidia-smi"
        program.write_text(f"#!/bin/sh\n{text}\n")
        program.chmod(0o700)
        monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")

    return put


def test_rows_are_read(fake_nvidia_smi: Callable[[str], None]) -> None:
    fake_nvidia_smi(
        f"""case $1 in
        --query-gpu=*) echo '0, {UUID}, NVIDIA A100-SXM4-40GB, 40960, 40333, [N/A], Default'
            echo '1, {OTHER}, NVIDIA A100-SXM4-40GB, 40960, 12, Enabled, Exclusive_Process';;
        *) echo '4242, {OTHER}, 1024';;
        esac"""
    )
    first, second = probe_gpu.listed()
    assert (first["uuid"], first["memory"], first["free"], first["mig"]) == (
        UUID,
        40960 * 2**20,
        40333 * 2**20,
        False,
    )
    assert (second["mig"], second["compute_mode"]) == (True, "Exclusive_Process")
    assert probe_gpu.processes() == [{"pid": 4242, "uuid": OTHER, "memory": 2**30}]


def test_words_of_a_program_that_fails(fake_nvidia_smi: Callable[[str], None]) -> None:
    fake_nvidia_smi(
        "echo 'Failed to initialize NVML: Driver/library version mismatch'; "
        "echo 'NVML library version: 580.126'; exit 18"
    )
    with pytest.raises(Wrong, match=r"Driver/library version mismatch NVML library version: 580\.126"):
        probe_gpu.listed()


def test_program_that_hangs(fake_nvidia_smi: Callable[[str], None], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(probe_gpu, "SMI_LIMIT", 0.3)  # seconds are too long to wait here
    fake_nvidia_smi("exec sleep 60")
    with pytest.raises(Wrong, match="did not answer within"):
        probe_gpu.listed()


def test_no_such_program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert probe_gpu.listed() == []


@pytest.mark.parametrize(
    ("entry", "found"),
    [
        ("0", True),
        ("1", False),
        (UUID, True),
        ("GPU-ddc1c098", True),
        ("GPU-ddc1c099", False),
        ("MIG-1c9d", True),
    ],
)
def test_which_device_is_meant(entry: str, found: bool) -> None:
    assert probe_gpu.same(entry, {"index": 0, "uuid": UUID}) is found


# --- the driver's library, played by an object


class FakeDriver:
    """In the place of libcuda.so.1: functions by name, with the codes that they return."""

    def __init__(self, *, count: int = 1, version: int = 12040, mode: int = 0, **codes: int) -> None:
        self.values = {"cuDriverGetVersion": version, "cuDeviceGetCount": count, "cuDeviceGet": 0}
        self.attributes = {probe_cuda.COMPUTE_MODE: mode, probe_cuda.MAJOR: 8, probe_cuda.MINOR: 0}
        self.codes = codes

    def __getattr__(self, name: str) -> Callable[..., int]:
        def call(*arguments: Any) -> int:
            if name == "cuGetErrorName":
                arguments[1]._obj.value = b"CUDA_ERROR_PLAYED"
            if name in self.values and not self.codes.get(name):
                arguments[0]._obj.value = self.values[name]
            if name == "cuDeviceGetAttribute":
                arguments[0]._obj.value = self.attributes[arguments[1]]
            if name == "cuMemGetInfo_v2":
                arguments[0]._obj.value = 5_000_000_000
            return self.codes.get(name, 0)

        return call


@pytest.fixture
def driver(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    def put(**changes: int) -> None:
        monkeypatch.setattr(ctypes, "CDLL", lambda name: FakeDriver(**changes))  # there is no GPU to answer

    return put


def test_driver_is_read(driver: Callable[..., None]) -> None:
    driver()
    facts = probe_cuda.libcuda(config(), {})
    assert facts["driver_cuda"] == "12.4"
    assert facts["cuda_devices"][0]["capability"] == "8.0"
    assert GpuEvidence.model_validate(facts).cuda_devices[0].compute_mode == "Default"


class FakeNvml:
    """In the place of libnvidia-ml.so.1, with the code that its start returns."""

    def __init__(self, code: int) -> None:
        def words(_: int) -> bytes:
            return b"RM has detected an NVML/RM version mismatch."

        def version(text: Any, _: int) -> int:
            text.value = b"580.126"
            return 0

        self.nvmlErrorString = words
        self.nvmlSystemGetDriverVersion = version
        self.nvmlInit_v2 = lambda: code
        self.nvmlShutdown = lambda: 0


def test_driver_that_was_updated_under_the_kernel(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ctypes, "CDLL", lambda name: FakeNvml(0))  # there is no driver to answer
    assert probe_cuda.nvml_driver() == "580.126"
    monkeypatch.setattr(ctypes, "CDLL", lambda name: FakeNvml(18))  # nor one that was updated
    with pytest.raises(Wrong) as wrong:
        probe_cuda.nvml_driver()
    known = explain_gpu(str(wrong.value))
    assert known is not None
    assert known.id == "FHV-gpu-004"


def test_more_devices_than_asked_for(driver: Callable[..., None]) -> None:
    driver(count=4)
    with pytest.raises(Wrong, match="4 GPUs are visible to the job, 1 asked for") as wrong:
        probe_cuda.libcuda(config(), {})
    assert len(wrong.value.facts["cuda_devices"]) == 4


def test_errors_of_the_driver_are_told_by_name(driver: Callable[..., None]) -> None:
    driver(cuInit=100)
    with pytest.raises(Wrong, match=r"^cuInit: CUDA_ERROR_PLAYED \(100\)$"):
        probe_cuda.libcuda(config(), {})


def test_memory(driver: Callable[..., None]) -> None:
    driver()
    assert probe_cuda.memory(config(gpu_min_free=5_000_000_000), {}) == {"free": 5_000_000_000}
    with pytest.raises(Wrong, match=r"5\.00 GB free on the GPU, 6\.00 GB needed"):
        probe_cuda.memory(config(gpu_min_free=6_000_000_000), {})
    with pytest.raises(Wrong, match="Prohibited"):
        probe_cuda.memory(config(), {"cuda_devices": [{"compute_mode": "Prohibited"}]})
    driver(cuDevicePrimaryCtxRetain=46)
    with pytest.raises(Wrong, match=r"cuDevicePrimaryCtxRetain: CUDA_ERROR_PLAYED \(46\)"):
        probe_cuda.memory(config(), {})


# --- the environment against the driver


@pytest.mark.parametrize(
    ("packages", "cuda"),
    [
        ({"cupy-cuda12x": "14.2.0"}, "12"),
        ({"cupy-cuda12x": "14.2.0", "nvidia-cuda-runtime-cu12": "12.8.57"}, "12.8"),
        ({"cuda-version": "12.4", "cupy": "14.2.0"}, "12.4"),
        ({"nvidia-cuda-runtime": "13.0.48", "cupy-cuda13x": "14.2.0"}, "13.0"),
        ({"numpy": "2.2"}, ""),
    ],
)
def test_cuda_of_the_environment(packages: dict[str, str], cuda: str) -> None:
    assert probe_cuda.environment_cuda(packages) == cuda


@pytest.mark.parametrize(
    ("driver_cuda", "packages", "words"),
    [
        ("12.4", {"cuda-version": "12.8"}, ""),
        ("13.0", {"cuda-version": "12.8"}, ""),
        (
            "12.4",
            {"cupy-cuda13x": "14.2.0"},
            "insufficient .*: the driver supports CUDA 12.4, the environment brings 13",
        ),
        ("11.8", {"cuda-version": "12.0"}, "supports CUDA 11.8"),
        ("12.4", {}, ""),
    ],
)
def test_driver_new_enough(
    monkeypatch: pytest.MonkeyPatch, driver_cuda: str, packages: dict[str, str], words: str
) -> None:
    monkeypatch.setattr(probe_cuda, "installed", lambda: packages)  # this environment has none of them
    assert answered(lambda: probe_cuda.runtime(config(), {"driver_cuda": driver_cuda}), words)


def test_floor_of_conda_packages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    records = tmp_path / "conda-meta"
    records.mkdir()
    for name, needs in (
        ("cupy-core", ["__cuda >=12.0", "python"]),
        ("cudnn", ["__cuda >=12.6,<14"]),
        ("zlib", []),
    ):
        (records / f"{name}-1-0.json").write_text(
            json.dumps({"name": name, "version": "1", "depends": needs})
        )
    (records / "broken-1-0.json").write_text("{")
    monkeypatch.setattr(sys, "prefix", str(tmp_path))  # a conda environment, which this one is not
    assert probe_cuda.cuda_floor() == ("12.6", "cudnn")
    with pytest.raises(Wrong, match=r"cudnn needs __cuda >=12\.6, the driver supports CUDA 12\.4") as wrong:
        probe_cuda.runtime(config(), {"driver_cuda": "12.4"})
    assert wrong.value.facts["floor_from"] == "cudnn"
    assert probe_cuda.runtime(config(), {"driver_cuda": "12.6"})["cuda_floor"] == "12.6"


@no_driver
def test_compilers_that_are_not_there() -> None:
    with pytest.raises(Wrong, match=r'Failure finding "libnvrtc\.so": cupy-cuda12x compiles with it'):
        probe_cuda.compilers(config(), {"packages": {"cupy-cuda12x": "14.2.0"}})
    assert probe_cuda.compilers(config(), {"packages": {"numba": "0.68.1"}}) == {"nvrtc": "", "nvjitlink": ""}


def test_run_time_library_that_numba_cuda_needs(monkeypatch: pytest.MonkeyPatch) -> None:
    """As after a plain ``pip install numba-cuda``, where something else brings NVRTC."""

    class Nvrtc:
        def nvrtcVersion(self, major: Any, minor: Any) -> int:
            major._obj.value, minor._obj.value = 12, 4
            return 0

    monkeypatch.setattr(probe_cuda, "loaded", {"libnvrtc": Nvrtc()}.get)  # this machine has no CUDA
    with pytest.raises(Wrong, match=r'Failure finding "libcudart\.so": numba-cuda needs it') as wrong:
        probe_cuda.compilers(config(), {"packages": {"numba-cuda": "0.30.4"}, "driver_cuda": "12.4"})
    assert wrong.value.facts["nvrtc"] == "12.4"
    with pytest.raises(Wrong, match=r"nvJitLink.*NVRTC 12\.4 is newer"):
        probe_cuda.compilers(config(), {"packages": {"cupy": "14"}, "driver_cuda": "12.2"})


@pytest.mark.parametrize(
    ("capability", "found", "words"),
    [
        ("8.0", {"architectures": [75, 80, 90]}, ""),
        ("7.0", {"architectures": [75, 80, 90]}, r"capability 7\.0 \(Tesla\) is less than the minimum 7\.5"),
        ("7.0", {"environment_cuda": "13.0"}, r"minimum 7\.5 that the environment's CUDA 13\.0"),
        ("7.0", {"environment_cuda": "12.8"}, ""),
        ("10.0", {"environment_cuda": "13.0"}, ""),
        ("3.5", {}, ""),
    ],
)
def test_capability(capability: str, found: dict[str, Any], words: str) -> None:
    devices = [{"capability": capability, "name": "Tesla"}]
    assert answered(lambda: probe_cuda.capability(config(), {**found, "cuda_devices": devices}), words)


def answered(ask: Callable[[], object], words: str) -> bool:
    if not words:
        ask()
        return True
    with pytest.raises(Wrong, match=words):
        ask()
    return True


# --- packages that are not there


@pytest.mark.parametrize(
    ("question", "package"),
    [
        (probe_gpu_work.cupy_computes, "cupy"),
        (probe_gpu_work.preload, "cupy"),
        (probe_gpu_work.speed, "cupy"),
        (probe_gpu_work.jit, "numba"),
    ],
)
def test_package_that_is_missing(
    question: Callable[..., object], package: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("cupy", "numba"):
        monkeypatch.setitem(sys.modules, name, None)  # as if it were not installed
    with pytest.raises(probe_gpu_work.Skipped) as skipped:
        question(config(), {})
    assert skipped.value.step["ok"] is True
    assert package in str(skipped.value.step["skipped"])
    with pytest.raises(Wrong, match=f"the run needs {package} on its GPUs"):
        question(config(gpu_needs=[package]), {})


# --- the whole, as on a node


@pytest.fixture
def job(tmp_path: Path) -> Path:
    folder = tmp_path / "job"
    folder.mkdir()
    for name in SHIPPED:
        shutil.copy(bundled.worker_file(name), folder / name)
    return folder


def probed(job: Path, env: Mapping[str, str] | None = None, **changes: Any) -> NodeProbe:
    settings = {"root": sys.prefix, "scratch": ".", "timeout": 30, "gpus": 1, **changes}
    (job / "in").write_text(json.dumps(settings))
    argv = [sys.executable, str(job / "probe.py"), "in", "out"]
    done = process.run(argv, timeout=100, cwd=job, env={**os.environ, **(env or {})})
    assert done.ok, done.stderr
    return NodeProbe.model_validate_json((job / "out").read_bytes())


@no_driver
def test_node_without_a_driver(job: Path) -> None:
    seen = probed(job).gpu
    assert seen is not None
    assert [(step.name, step.ok) for step in seen.steps] == [("grant", True), ("driver", False)]
    assert seen.steps[-1].error.startswith("no NVIDIA driver on this node: NVML Shared Library Not Found")


@pytest.mark.parametrize(
    ("told", "check", "cause"),
    [
        pytest.param("0", checks.test_driver, "FHV-gpu-001", marks=no_driver),
        ("NoDevFiles", checks.test_granted, "FHV-gpu-003"),
        ("0,1", checks.test_granted, "FHV-gpu-020"),
        ("CUDA0", checks.test_granted, "FHV-gpu-022"),
    ],
)
def test_node_that_lacks_something_is_judged(
    job: Path, tmp_path: Path, told: str, check: Callable[[Worker], None], cause: str
) -> None:
    """The real probe on this machine, with the pack of a GPU environment, and the cause that the report has."""
    seen = probed(job, {"CUDA_VISIBLE_DEVICES": told})
    (pool,) = good_site().execution.pools
    resources = pool.resources.model_copy(update={"gpus": 1})
    site = changed(good_site(), "execution.pools", (pool.model_copy(update={"resources": resources}),))
    pack = changed(good_pack(), "manifest.floors", {"__cuda": "12.6"})
    workers = [changed(good_worker(), "probe.gpu", seen.gpu)]
    worker = good_run(tmp_path / "run", site=site, pack=pack, workers=workers).workers["default-0"]
    found = compute(check, worker)
    known = explain_gpu(found.message)
    assert (found.outcome, known and known.id) == ("fail", cause), found.message
    later = compute(checks.test_driver_new_enough, worker)
    assert (later.outcome, later.blocked_by.startswith("gpu.")) == ("blocked", True)


def test_no_question_where_no_gpu_is_asked_for(job: Path) -> None:
    assert probed(job, gpus=0).gpu is None


@pytest.mark.parametrize(
    ("script", "limit", "words"),
    [
        ("import time; time.sleep(60)", 0.5, "timed out after 0.5 s"),
        (
            "import os, sys; print('Xid 79', file=sys.stderr); os.abort()",
            10,
            "the process ended with code -6: Xid 79",
        ),
        ("import os; os._exit(0)", 10, "the process ended with code 0"),
    ],
)
def test_question_that_breaks_is_a_finding(script: str, limit: float, words: str) -> None:
    begun = time.monotonic()
    told = probe_gpu.answered([sys.executable, "-c", script], {}, limit)
    assert told == {"step": {"ok": False, "error": words}}
    assert time.monotonic() - begun < 20


def test_nothing_is_left_of_a_question_that_hangs(tmp_path: Path) -> None:
    note = tmp_path / "pid"
    script = f"""import pathlib, subprocess
child = subprocess.Popen(['sleep', '61'])
pathlib.Path({str(note)!r}).write_text(str(child.pid))
child.wait()"""
    probe_gpu.answered([sys.executable, "-c", script], {}, 5)
    state = Path("/proc", note.read_text(), "stat")
    deadline = time.monotonic() + 5
    while state.exists() and state.read_text().rpartition(")")[2].split()[0] != "Z":
        assert time.monotonic() < deadline, "a child of the question is still there"
        time.sleep(0.05)


def test_answers_stop_at_the_first_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is known is told after each question, so that a crash of the whole leaves what came before."""

    def asked(name: str, *_: object) -> tuple[dict[str, Any], dict[str, Any]]:
        return {"name": name, "ok": name != "libcuda"}, {"kernel_driver": "535.104.05"}

    monkeypatch.setattr(probe_gpu, "asked", asked)  # no GPU can be asked here
    told: list[Any] = list(probe_gpu.gpu(config()))
    assert [step["name"] for step in told[-1]["steps"]] == ["grant", "driver", "libcuda"]
    assert told[0]["steps"] == [{"name": "grant", "ok": False, "error": "it did not return"}]
    assert GpuEvidence.model_validate(told[-1]).kernel_driver == "535.104.05"


def test_simulated_answers_say_so() -> None:
    step, facts = probe_gpu.asked("libcuda", config(gpu_simulate=True), {})
    assert step == {
        "name": "libcuda",
        "ok": True,
        "simulated": True,
        "skipped": "no GPU was looked at: checks.gpu.simulate is set",
    }
    assert facts == {}
