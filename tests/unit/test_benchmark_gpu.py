"""The command that runs all GPU tests: how it ends where there is no GPU, and the page that it writes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from benchmarks import gpu
from fasthep_validate.models.gpu import GpuDevice, GpuEvidence, GpuSpeed, GpuStep

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.skipif(bool(not gpu.device_missing()), reason="this machine has an NVIDIA driver")
def test_without_a_gpu_it_says_so_and_writes_nothing(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gpu, "FIGURES", tmp_path / "figures.md")  # the real one is part of the docs
    assert gpu.main() == 2
    assert capsys.readouterr().err == f"benchmarks.gpu: {gpu.device_missing()}.\n"
    assert "this machine has no NVIDIA driver" in gpu.device_missing()
    assert list(tmp_path.iterdir()) == []


def test_page_has_the_figures_and_what_failed() -> None:
    seen = GpuEvidence(
        steps=(
            GpuStep(name="cupy", ok=True, seconds=1.25),
            GpuStep(name="numba", ok=False, error="no kernel image"),
        ),
        user_driver="580.126",
        driver_cuda="13.0",
        cuda_devices=(GpuDevice(index=0, uuid="GPU-a", name="A100", capability="8.0"),),
        speed=GpuSpeed(to_device=20e9, to_host=21e9, kernel=15e12),
    )
    lines = gpu.page(seen).splitlines()
    assert "| device | A100, compute capability 8.0 |" in lines
    assert "| driver | 580.126, CUDA 13.0 |" in lines
    assert "| host to device | 20.0 GB/s |" in lines
    assert "| cupy | 1.25 s | ok |" in lines
    assert "| numba | 0.00 s | no kernel image |" in lines
    assert "| host to device | not measured |" in gpu.page(GpuEvidence()).splitlines()
