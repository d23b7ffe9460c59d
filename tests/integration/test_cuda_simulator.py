"""Modifiers and GPU checks on real pools with numba's CUDA simulator in place of a GPU.

The worker environment is one of the test's own: Dask, numba, Awkward and FAST-HEP's modifiers, and no package of
ours. What is shown is that modifiers, probe and checks are put together rightly, and that a simulated run is never
taken for a certified one. That a GPU works is shown by the tests with marker ``gpu``.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import venv
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from filelock import FileLock

from fasthep_validate import process
from fasthep_validate.causes import explain_gpu
from fasthep_validate.modifiers import registered
from fasthep_validate.worker import modified

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.integration.conftest import User

pytestmark = [pytest.mark.pools, pytest.mark.slow, pytest.mark.timeout(600)]
HAS_DRIVER = Path("/proc/driver/nvidia/version").exists()
PACKAGES = ("dask", "distributed", "fasthep-flow", "fasthep-carpenter", "numba==0.68.1")


@pytest.fixture(scope="session")
def simulator(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An environment with numba, made once for all processes of pytest-xdist."""
    base = tmp_path_factory.getbasetemp()
    shared = base.parent if os.environ.get("PYTEST_XDIST_WORKER") else base
    home = shared / "simulator"
    with FileLock(shared / "simulator.lock"):
        if not (home / "done").exists():
            venv.create(home, with_pip=False, symlinks=True)
            same = home / "constraints.txt"  # as here: a client of ours is to connect
            same.write_text("".join(f"{each.name}=={each.version}\n" for each in metadata.distributions()))
            pip: list[str | Path] = [sys.executable, "-m", "pip", "-q", "--python", home / "bin" / "python"]
            subprocess.run([*pip, "install", "-c", same, *PACKAGES], check=True)
            (home / "done").touch()
    return home


SITE = """\
site: simulated
execution:
  pools: {{gpu: {{resources: {{cpus: 1, memory: 1 GB, gpus: 1}}, workers: 1}}}}
  environment: {{type: shared-prefix, prefix: {source}}}
  modifiers:
    - name: gpu.preload
      params: {{fields: [pt], backend: simulated}}
    - name: cuda.jit
      params: {{functions: [tripled], simulate: true}}
    - fasthep.trace
checks:
  required_imports: [numba, awkward]
  gpu: {{simulate: true}}
"""


def test_simulated_run_is_never_taken_for_a_certified_one(user: User, simulator: Path) -> None:
    profile = user.home / "simulated.yaml"
    profile.write_text(SITE.format(source=simulator))
    done = user.run("--site", str(profile), timeout=500)
    report = user.report("simulated")
    outcomes = {check.id: check.outcome for check in report.checks}
    assert done.code == 1, done.everything
    assert report.verdict == "simulated"
    assert {name for name, outcome in outcomes.items() if outcome in {"fail", "blocked"}} == set(), (
        done.everything
    )
    for name in ("numba-launches", "preload", "jit", "granted", "cupy-computes", "speed", "exclusive"):
        assert outcomes[f"gpu.{name}"] == "simulated"
    assert outcomes["modifiers.ran-around-task"] == outcomes["modifiers.result-right"] == "simulated"
    assert "Site simulated is not certified" in done.out
    results = user.run_folder("simulated") / "debug" / "distributed" / "results"
    assert 'type="simulated"' in (results / "junit.xml").read_text()
    assert "not certified" in (results / "summary.txt").read_text()
    evidence = json.loads((user.run_folder("simulated") / "evidence" / "gpu-0.json").read_text())
    asked = {step["name"]: step for step in evidence["probe"]["gpu"]["steps"]}
    assert asked["jit"]["simulated"]
    assert not asked["jit"]["skipped"]
    record = evidence["dask"]["modifier_run"]["metadata"]["cuda.jit"][0]
    assert (record["functions"], record["simulated"]) == (["tripled"], True)


TASKS = """\
import sys
from fasthep_validate import open_pools
from fasthep_validate.campaign import load_profile
from fasthep_validate.modifiers import with_modifiers

def kind(stream):
    return type(stream["pt"]).__name__

def names(stream, ctx):
    return sorted(ctx["execution_modifier_metadata"])

def ours():
    import importlib.util
    return importlib.util.find_spec("fasthep_validate") is not None

preload = ("gpu.preload", {"fields": ["pt"], "backend": "simulated"})
with open_pools(load_profile(sys.argv[1]), outdir=sys.argv[2]) as pools:
    ask = lambda task: pools.client.submit(task, stream={"pt": [1.0, 2.0]}, pure=False).result(timeout=60)
    print("package of ours:", pools.client.submit(ours).result(timeout=60))
    print("run-wide:", ask(with_modifiers(names)))
    print("of a stage:", ask(with_modifiers(kind, modifiers=[preload])))
    for wrong in (
        ["gpu.prelaod"], [("gpu.preload", {"field": ["pt"]})], [("gpu.preload", {"fields": ["eta"]})], ["gone"],
    ):
        try:
            ask(with_modifiers(kind, node="stage.A", modifiers=wrong))
        except Exception as error:
            print("wrong:", type(error).__name__, error)
    pools.scale("default", 2)
    late = lambda task: pools.client.submit(
        task, stream={"pt": [1.0, 2.0]}, pure=False, workers=["default-1"]
    ).result(timeout=60)
    print("late:", late(with_modifiers(kind, modifiers=[preload])), late(with_modifiers(names)))
    print("late, package of ours:", pools.client.submit(ours, workers=["default-1"], pure=False).result(timeout=60))
    pools.client.restart(timeout=120)  # new worker processes of the same jobs
    print("after a restart:", ask(with_modifiers(kind, modifiers=[preload])), ask(with_modifiers(names)))
"""


def test_modifiers_around_tasks_of_ones_own(user: User, simulator: Path) -> None:
    """Also in a worker that is started later or again, and with no package of ours in their environment."""
    profile = user.home / "plain.yaml"
    profile.write_text(
        "site: plain\nexecution:\n  pools: {default: {resources: {cpus: 1}, workers: 1}}\n"
        f"  environment: {{type: shared-prefix, prefix: {simulator}}}\n  modifiers: [fasthep.trace]\n"
        "execution_modifiers: {gone: {impl: 'nowhere_to_be_found:Gone'}}\n"
    )
    script = user.home / "tasks.py"
    script.write_text(TASKS)
    environment = {**os.environ, "TMPDIR": str(user.tmp), "XDG_CACHE_HOME": str(user.cache)}
    done = process.run(
        [sys.executable, script, profile, user.home / "out"], timeout=400, cwd=user.home, env=environment
    )
    assert done.ok, done.stderr
    told = done.stdout.splitlines()
    assert told[:3] == ["package of ours: False", "run-wide: ['fasthep.trace']", "of a stage: SimulatedArray"]
    assert (
        told[3]
        == "wrong: ModifierError gpu.prelaod: no such modifier is registered. Did you mean 'gpu.preload'?"
    )
    assert told[4].startswith(
        "wrong: ModifierError gpu.preload: fasthep_validate_gpu_preload:GpuPreload cannot be made: "
    )
    assert "unexpected keyword argument 'field'" in told[4]
    assert told[5].startswith(
        "wrong: ModifierError gpu.preload: before_node of task 'stage.A' failed: KeyError: "
    )
    assert told[6].startswith(
        "wrong: ModifierError gone: nowhere_to_be_found:Gone cannot be made: ModuleNotFound"
    )
    assert told[7:9] == ["late: SimulatedArray ['fasthep.trace']", "late, package of ours: False"]
    assert told[9] == "after a restart: SimulatedArray ['fasthep.trace']"


# --- cuda.jit with a compiler, in that environment


KERNELS = """\
import json, sys
sys.path.insert(0, sys.argv[1])
import cuda_jit
modifier = cuda_jit.CudaJit(**json.loads(sys.argv[2]))
modifier.install()
import numpy as np
from types import SimpleNamespace
from numba import cuda

def energy(px, py, mass, out):
    i = cuda.grid(1)
    if i < out.size:
        out[i] = (px[i] ** 2 + py[i] ** 2 + mass[i] ** 2) ** 0.5

def task(kernel_ctx):
    rng = np.random.default_rng(1)
    px, py, mass = rng.normal(size=(3, 1000))
    out = np.zeros(1000)
    kernel_ctx["cuda_jit_launch"]("energy", out.size, px, py, mass, out)
    return float(np.max(np.abs(out - np.sqrt(px**2 + py**2 + mass**2)) / out))

for _ in range(2):
    ctx = {"cuda_jit_functions": {"energy": energy}}
    modifier.before_node(node=SimpleNamespace(id="stage.A"), inputs={}, ctx=ctx)
    record = ctx["execution_modifier_metadata"]["cuda.jit"][0]
    ctx["cuda_jit_launch"]("energy", 0)
    print(json.dumps([task(ctx), record]))
"""


@pytest.fixture
def python(simulator: Path, tmp_path: Path) -> Callable[..., Any]:
    def run(script: str, *arguments: str) -> Any:
        return process.run(
            [simulator / "bin" / "python", "-c", script, *arguments], timeout=120, cwd=tmp_path
        )

    return run


def shipped(tmp_path: Path) -> str:
    """A folder with our modifiers as they travel."""
    for name in ("gpu.preload", "cuda.jit"):
        source = registered()[name]
        module = source.impl.partition(":")[0].removeprefix("fasthep_validate_")
        (tmp_path / f"{module}.py").write_text(source.source or "")
    return str(tmp_path)


def test_compiled_once_and_equal_to_the_cpu(python: Callable[..., Any], tmp_path: Path) -> None:
    done = python(KERNELS, shipped(tmp_path), json.dumps({"functions": ["energy"], "simulate": True}))
    assert done.ok, done.stderr
    (worst, first), (again, second) = map(json.loads, done.stdout.splitlines())
    assert max(worst, again) <= 1e-12, "double precision agrees with the CPU to 1e-12"
    assert (first["compiled_count"], first["cache_misses"], first["simulated"]) == (1, ["energy"], True)
    assert (second["compiled_count"], second["cache_hits"]) == (0, ["energy"])
    assert second["backend"] == "numba.cuda"


def test_no_gpu_is_an_error_in_the_drivers_words(python: Callable[..., Any], tmp_path: Path) -> None:
    done = python(KERNELS, shipped(tmp_path), json.dumps({"functions": ["energy"]}))
    assert not done.ok
    assert "no GPU that numba.cuda can use: CudaSupportError: Error at driver init" in done.stderr


# --- numba-cuda in the place of numba's own target


NUMBA_CUDA = (
    "numba-cuda==0.30.4", "cuda-bindings==13.*", "cuda-core", "cuda-pathfinder", "nvidia-cuda-runtime==13.*", "packaging",
)  # fmt: skip
COMPILERS = """\
import sys
sys.path.insert(0, sys.argv[1])
import probe_cuda
from probe_config import Config
found = probe_cuda.runtime(Config(root=sys.prefix, gpus=1), {"driver_cuda": "13.0"})
print(found["packages"]["numba-cuda"], found["environment_cuda"].partition(".")[0])
probe_cuda.compilers(Config(root=sys.prefix, gpus=1), found)
"""


@pytest.fixture(scope="session")
def numba_cuda(simulator: Path) -> Path:
    """The environment with numba, and numba-cuda over it; NVRTC is left out."""
    home = simulator.parent / "numba-cuda"
    with FileLock(simulator.parent / "numba-cuda.lock"):
        if not (home / "done").exists():
            venv.create(home, with_pip=False, symlinks=True)
            (below,) = simulator.glob("lib/python3*/site-packages")
            (site,) = home.glob("lib/python3*/site-packages")
            (site / "below.pth").write_text(f"{below}\n")
            pip: list[str | Path] = [sys.executable, "-m", "pip", "-q", "--python", home / "bin" / "python"]
            subprocess.run([*pip, "install", "--no-deps", *NUMBA_CUDA], check=True)
            (home / "done").touch()
    return home / "bin" / "python"


def test_numba_cuda_compiles_where_it_is_installed(numba_cuda: Path, tmp_path: Path) -> None:
    words = json.dumps({"functions": ["energy"], "simulate": True})
    done = process.run([numba_cuda, "-c", KERNELS, shipped(tmp_path), words], timeout=120, cwd=tmp_path)
    assert done.ok, done.stderr
    (worst, first), (_, second) = map(json.loads, done.stdout.splitlines())
    assert worst <= 1e-12
    assert (first["implementation"], first["simulated"]) == ("NVIDIA", True)
    assert second["cache_hits"] == ["energy"]


@pytest.mark.skipif(HAS_DRIVER, reason="this machine has an NVIDIA driver")
def test_numba_cuda_without_a_driver_and_without_nvrtc(numba_cuda: Path, tmp_path: Path) -> None:
    words = json.dumps({"functions": ["energy"]})
    done = process.run([numba_cuda, "-c", KERNELS, shipped(tmp_path), words], timeout=120, cwd=tmp_path)
    assert cause_of(done) == "FHV-gpu-001"
    worker = os.path.dirname(modified.__file__)  # noqa: PTH120 - text for an argument
    done = process.run([numba_cuda, "-c", COMPILERS, worker], timeout=60, cwd=tmp_path)
    assert done.stdout.split() == ["0.30.4", "13"]
    assert cause_of(done) == "FHV-gpu-005"


def cause_of(done: process.Completed) -> str:
    """The cause that the last line of a traceback shows."""
    assert not done.ok
    cause = explain_gpu(done.stderr.strip().rpartition("\n")[2])
    assert cause is not None, done.stderr
    return cause.id


CARPENTER = """\
import json, os, sys
os.environ["NUMBA_ENABLE_CUDASIM"] = "1"
sys.path.insert(0, sys.argv[1])
import modified
from numba import cuda
import numpy as np

def double(values, out):
    i = cuda.grid(1)
    if i < out.size:
        out[i] = 2 * values[i]

def task(stream, ctx):
    out = np.zeros(100)
    ctx["cuda_jit_compiled"]["double"][4, 32](stream["pt"], out)
    return bool((out == 2 * stream["pt"]).all())

impl = "fasthep_carpenter.runtime.modifiers.cuda_jit:CUDAJitModifier"
spec = {"name": "cuda.jit", "impl": impl, "source": None, "params": {"functions": ["double"]}}
result, ctx = modified.run(
    task, {"stream": {"pt": np.arange(100.0)}}, node_id="stage.A", specs=[spec],
    ctx={"cuda_jit_functions": {"double": double}},
)
print(json.dumps([result, ctx["execution_modifier_metadata"]["cuda.jit"]]))
"""


def test_carpenters_jit_runs_unchanged_here(python: Callable[..., Any]) -> None:
    done = python(CARPENTER, os.path.dirname(modified.__file__))  # noqa: PTH120 - text for an argument
    assert done.ok, done.stderr
    result, records = json.loads(done.stdout)
    assert result is True
    assert records[0]["compiled_count"] == 1


FLOW = """\
import json, os, sys
os.environ["NUMBA_ENABLE_CUDASIM"] = "1"
sys.path.insert(0, sys.argv[1])
from types import SimpleNamespace
from hepflow.runtime.hooks.manager import HookManager
from numba import cuda
import numpy as np

def double(values, out):
    i = cuda.grid(1)
    if i < out.size:
        out[i] = 2 * values[i]

registry = {"cuda.jit": {"impl": "cuda_jit:CudaJit"}, "gpu.preload": {"impl": "gpu_preload:GpuPreload"}}
modifiers = [
    {"name": "gpu.preload", "params": {"fields": ["pt"], "backend": "simulated"}},
    {"name": "cuda.jit", "params": {"functions": ["double"]}},
]
node = SimpleNamespace(id="stage.A", meta={"execution": {"modifiers": modifiers}})
manager = HookManager(registry_cfg={"execution_modifiers": registry})
ctx = {"cuda_jit_functions": {"double": double}}
inputs = {"stream": {"pt": np.arange(100.0)}}
with manager.around_node(node=node, inputs=inputs, ctx=ctx):
    manager.before_node(node=node, inputs=inputs, ctx=ctx)
    out = np.zeros(100)
    ctx["cuda_jit_launch"]("double", 100, np.asarray(inputs["stream"]["pt"]), out)
    manager.after_node(node=node, inputs=inputs, outputs={"out": out}, ctx=ctx)
print(json.dumps([bool((out == 2 * np.arange(100.0)).all()), sorted(ctx["execution_modifier_metadata"])]))
"""


def test_ours_run_in_flow(python: Callable[..., Any], tmp_path: Path) -> None:
    done = python(FLOW, shipped(tmp_path))
    assert done.ok, done.stderr
    assert json.loads(done.stdout) == [True, ["cuda.jit", "gpu.preload"]]
