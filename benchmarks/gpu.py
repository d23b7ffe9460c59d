"""Runs every test that needs a GPU, and writes the figures for the documentation: ``python -m benchmarks.gpu``.

The Python that runs it is the one under test: it needs the extra ``gpu`` and the group ``test``. The figures go to
``docs/reference/gpu-figures.md``. On a machine without a GPU it says so and exits with 2; it writes nothing then.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from fasthep_validate import bundled
from fasthep_validate.models.probe import NodeProbe
from fasthep_validate.modifiers import registered
from fasthep_validate.plan import SHIPPED

if TYPE_CHECKING:
    from fasthep_validate.models.gpu import GpuEvidence

ROOT = Path(__file__).parents[1]
FIGURES = ROOT / "docs" / "reference" / "gpu-figures.md"
NEEDS = ("cupy", "numba", "awkward")


def device_missing() -> str:
    """Why there is no GPU to test with; empty if there is one."""
    if not Path("/proc/driver/nvidia/version").exists():
        return "needs an NVIDIA GPU, and this machine has no NVIDIA driver; python -m benchmarks.gpu runs it where there is one"
    return ""


def probed(job: Path) -> GpuEvidence:
    """What the probe sees of one GPU with this Python, in a folder as a job has it."""
    for name in SHIPPED:
        shutil.copy(bundled.worker_file(name), job / name)
    shutil.copy(bundled.worker_file("modified.py"), job / "modified.py")
    for name in ("gpu.preload", "cuda.jit"):
        source = registered()[name]
        (job / f"{source.impl.partition(':')[0]}.py").write_text(source.source or "", encoding="utf-8")
    settings = {"root": sys.prefix, "scratch": ".", "timeout": 120, "gpus": 1, "gpu_needs": NEEDS}
    (job / "in").write_text(json.dumps(settings), encoding="utf-8")
    environment = {"CUDA_VISIBLE_DEVICES": "0", **os.environ}
    subprocess.run([sys.executable, job / "probe.py", "in", "out"], cwd=job, env=environment, check=True)
    seen = NodeProbe.model_validate_json((job / "out").read_bytes())
    if seen.gpu is None:
        raise RuntimeError(f"the probe told nothing of GPUs: {seen.problems}")
    return seen.gpu


def page(seen: GpuEvidence) -> str:
    """The figures as Markdown."""
    device = next(iter(seen.cuda_devices), None)
    speed = seen.speed
    packages = ", ".join(f"{name} {version}" for name, version in sorted(seen.packages.items()))
    rows = {
        "device": f"{device.name}, compute capability {device.capability}" if device else "none was seen",
        "driver": f"{seen.user_driver}, CUDA {seen.driver_cuda}",
        "environment": f"CUDA {seen.environment_cuda or '?'}, NVRTC {seen.nvrtc or 'none'}; {packages}",
        "numba": seen.implementation,
        "Awkward's reducers": seen.reducer,
        "host to device": f"{speed.to_device / 1e9:.1f} GB/s" if speed else "not measured",
        "device to host": f"{speed.to_host / 1e9:.1f} GB/s" if speed else "not measured",
        "kernel, single precision": f"{speed.kernel / 1e9:.0f} GFLOP/s" if speed else "not measured",
    }
    steps = (
        f"| {step.name} | {step.seconds:.2f} s | {step.error or step.skipped or 'ok'} |"
        for step in seen.steps
    )
    return "\n".join(
        (
            "# Figures of a GPU",
            "",
            f"Written by `python -m benchmarks.gpu` on {datetime.now(UTC).date()}.",
            "",
            "| what | found |",
            "| --- | --- |",
            *(f"| {what} | {found} |" for what, found in rows.items()),
            "",
            "| question | time | answer |",
            "| --- | --- | --- |",
            *steps,
            "",
        )
    )


def main() -> int:
    """Run the tests and write the figures; the exit code is that of the tests."""
    if why := device_missing():
        print(f"benchmarks.gpu: {why}.", file=sys.stderr)
        return 2
    tests = subprocess.run([sys.executable, "-m", "pytest", "-m", "gpu", "tests/gpu"], cwd=ROOT, check=False)
    with tempfile.TemporaryDirectory(prefix="fasthep-gpu-") as folder:
        FIGURES.write_text(page(probed(Path(folder))), encoding="utf-8")
    print(f"figures: {FIGURES}")
    return tests.returncode


if __name__ == "__main__":
    sys.exit(main())
