"""What only a GPU can show; ``python -m benchmarks.gpu`` runs these on a machine that has one.

The Python that runs them is the worker environment: install ``fasthep-validate[gpu]`` there.
"""

from __future__ import annotations

import json
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from benchmarks.gpu import device_missing, probed
from fasthep_validate.models.report import Report

if TYPE_CHECKING:
    from pathlib import Path

    from fasthep_validate.models.gpu import GpuEvidence

MISSING = device_missing()
pytestmark = [pytest.mark.gpu, pytest.mark.skipif(bool(MISSING), reason=MISSING or "there is a GPU")]

SITE = """\
site: gpu
execution:
  pools: {gpu: {resources: {cpus: 1, memory: 4 GB, gpus: 1}, workers: 1}}
  environment: {type: shared-prefix, prefix: current}
  modifiers:
    - {name: gpu.preload, params: {fields: [pt]}}
    - {name: cuda.jit, params: {functions: [tripled]}}
"""


@pytest.fixture(scope="module")
def seen(tmp_path_factory: pytest.TempPathFactory) -> GpuEvidence:
    return probed(tmp_path_factory.mktemp("job"))


@pytest.mark.parametrize(
    "name",
    [
        *("grant", "driver", "libcuda", "runtime", "compilers", "capability", "memory"),
        *("cupy", "numba", "awkward", "preload", "jit", "speed"),
    ],
)
def test_question_is_answered(seen: GpuEvidence, name: str) -> None:
    step = seen.step(name)
    assert step is not None, f"not asked: {seen.steps[-1].name} failed before: {seen.steps[-1].error}"
    assert step.ok, step.error
    assert not step.simulated
    assert not step.skipped, "the environment needs all packages of the extra 'gpu'"


def test_memory_stays_bounded_over_many_tasks() -> None:
    """A thousand tasks of 80 MB each on one device, as a worker would run them one after the other."""
    np = pytest.importorskip("numpy", reason="NumPy is not installed (extra 'gpu')")
    cupy = pytest.importorskip("cupy", reason="CuPy is not installed (extra 'gpu')")
    from fasthep_validate.modifiers.gpu_preload import GpuPreload
    from fasthep_validate.worker.modified import Node

    modifier, stream = GpuPreload(fields=["pt"]), {"pt": np.ones(10_000_000)}
    for _ in range(1000):
        inputs = {"stream": stream}
        modifier.before_node(node=Node("n"), inputs=inputs, ctx={})
        modifier.after_node(inputs=inputs, outputs={})
    assert cupy.get_default_memory_pool().total_bytes() == 0


def test_site_with_a_gpu_is_certified(tmp_path: Path) -> None:
    profile = tmp_path / "gpu.yaml"
    profile.write_text(SITE)
    argv = [sys.executable, "-m", "fasthep_validate", "--site", str(profile)]
    done = subprocess.run(argv, cwd=tmp_path, capture_output=True, text=True, timeout=500, check=False)
    (path,) = tmp_path.glob("fasthep-validate-results/gpu/latest/debug/distributed/results/report.json")
    report = Report.model_validate(json.loads(path.read_text()))
    assert done.returncode == 0, done.stdout + done.stderr
    assert report.verdict == "pass"
    assert not [check.id for check in report.checks if check.outcome == "simulated"]
    assert {check.outcome for check in report.checks if check.family == "modifiers"} == {"pass"}
