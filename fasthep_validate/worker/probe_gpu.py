"""The probe's questions about GPUs: what was granted, what the driver says, whether it computes.

``probe.py`` calls :func:`gpu` on nodes of a pool with GPUs. Each question is a process of its own with a time
limit (``python probe_gpu.py STEP``, facts so far on standard input), for CUDA may hang, does not survive a fork,
and is initialised once a process. After a question that fails no later one is put. Needs ``probe_cuda.py`` and
``probe_gpu_work.py`` beside it, the standard library alone, Python 3.9 or later, and Linux.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
import traceback
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING or __package__:
    from fasthep_validate.worker import probe_cuda, probe_gpu_work
    from fasthep_validate.worker.probe_config import Config
    from fasthep_validate.worker.probe_cuda import Wrong
else:
    import probe_cuda
    import probe_gpu_work
    from probe_config import Config
    from probe_cuda import Wrong

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    Facts = dict[str, Any]

VARIABLES = (
    "CUDA_VISIBLE_DEVICES", "CUDA_DEVICE_ORDER", "NVIDIA_VISIBLE_DEVICES", "GPU_DEVICE_ORDINAL",
    "SLURM_JOB_GPUS", "SLURM_STEP_GPUS", "SLURM_GPUS_ON_NODE", "_CONDOR_AssignedGPUs", "NUMBA_ENABLE_CUDASIM",
)  # fmt: skip
# A short UUID is HTCondor's (GPU-ddc1c098); a MIG device is MIG-<uuid> or, of old drivers, MIG-GPU-<uuid>/gi/ci.
FORMS = {
    "index": re.compile(r"\d{1,3}"),
    "uuid": re.compile(r"GPU-[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE),
    "short-uuid": re.compile(r"GPU-[0-9a-f]{4,}(-[0-9a-f]+)*", re.IGNORECASE),
    "mig": re.compile(r"MIG-[0-9a-fA-F/GPU-]+"),
}
# What batch systems write to hide all devices: HTCondor's poison is a number that no device has.
HIDDEN = ("", "-1", "none", "void", "nodevfiles", "10000")
QUERY = "index,uuid,name,memory.total,memory.free,mig.mode.current,compute_mode"
MIB = 2**20  # nvidia-smi's unit of memory
SMI_LIMIT = 25  # seconds; a driver that hangs is a finding
SIMULATED = ("numba", "preload", "jit")
LAST = 3000  # characters of an error that are kept


def grant(config: Config, _: Facts) -> Facts:
    """``GpuGrant``: what the batch system granted against what was asked for."""
    variables = {name: os.environ[name] for name in VARIABLES if name in os.environ}
    told = variables.get("CUDA_VISIBLE_DEVICES")
    found: Facts = {"requested": config.gpus, "variables": variables}
    if told is None:
        return {"grant": found}
    visible = [entry.strip() for entry in told.split(",")]
    found["visible"] = visible
    facts = {"grant": found}
    if told.strip().lower() in HIDDEN:
        raise Wrong(f"CUDA_VISIBLE_DEVICES={told!r} hides all GPUs; {config.gpus} asked for", facts)
    forms = [next((name for name, form in FORMS.items() if form.fullmatch(entry)), "") for entry in visible]
    if "" in forms:
        raise Wrong(f"CUDA_VISIBLE_DEVICES={told!r}: {visible[forms.index('')]!r} names no device", facts)
    found["forms"] = forms
    if len(set(visible)) < len(visible):
        raise Wrong(f"CUDA_VISIBLE_DEVICES={told!r} names a device twice", facts)
    if len(visible) != config.gpus:
        raise Wrong(
            f"CUDA_VISIBLE_DEVICES={told!r}: {len(visible)} GPUs granted, {config.gpus} asked for", facts
        )
    return facts


def driver(_: Config, found: Facts) -> Facts:
    """Kernel module, NVML, and what ``nvidia-smi`` lists; the devices that were granted must be among it."""
    facts: Facts = {"kernel_driver": probe_cuda.kernel_driver()}
    try:
        facts["user_driver"] = probe_cuda.nvml_driver()
    except Wrong as wrong:
        if not facts["kernel_driver"] and not Path("/dev/nvidiactl").exists():
            raise Wrong(f"no NVIDIA driver on this node: {wrong}", facts) from wrong
        raise Wrong(str(wrong), facts) from wrong
    facts["devices"] = devices = listed()
    facts["processes"] = processes()
    granted = (found.get("grant") or {}).get("visible") or []
    strange = [entry for entry in granted if devices and not any(same(entry, device) for device in devices)]
    if strange:
        raise Wrong(f"granted {strange[0]}, which nvidia-smi does not list on this node", facts)
    return facts


def same(entry: str, device: Facts) -> bool:
    """Whether an entry of ``CUDA_VISIBLE_DEVICES`` may be a device; a MIG device is not in the plain list."""
    if entry.isdigit():
        return int(entry) == int(device["index"])
    return entry.startswith("MIG-") or str(device["uuid"]).lower().startswith(entry.lower())


def smi(*arguments: str) -> list[list[str]]:
    """Rows that ``nvidia-smi`` prints; none where there is no such program.

    Raises:
        Wrong: it failed or hung.
    """
    command = ["nvidia-smi", *arguments, "--format=csv,noheader,nounits"]
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=SMI_LIMIT, check=False, stdin=subprocess.DEVNULL
        )
    except FileNotFoundError:
        return []
    except subprocess.TimeoutExpired as error:
        raise Wrong(f"nvidia-smi did not answer within {SMI_LIMIT} s") from error
    if done.returncode:
        raise Wrong(" ".join(f"{done.stdout} {done.stderr}".split()) or f"nvidia-smi: exit {done.returncode}")
    return [[cell.strip() for cell in line.split(",")] for line in done.stdout.splitlines() if line.strip()]


def listed() -> list[Facts]:
    """``GpuDevice`` for each row."""
    names = ("index", "uuid", "name", "memory", "free", "mig", "compute_mode")
    rows = [dict(zip(names, row)) for row in smi(f"--query-gpu={QUERY}") if len(row) == len(names)]
    return [
        {
            **row,
            "index": int(row["index"]),
            "memory": mib(row["memory"]),
            "free": mib(row["free"]),
            "mig": row["mig"] == "Enabled",
        }
        for row in rows
    ]


def processes() -> list[Facts]:
    """``GpuProcess`` for each that computes on a device."""
    rows = smi("--query-compute-apps=pid,gpu_uuid,used_memory")
    return [
        {"pid": int(row[0]), "uuid": row[1], "memory": mib(row[2])}
        for row in rows
        if len(row) == 3 and row[0].isdigit()
    ]


def mib(text: str) -> int:
    """Bytes; 0 for ``[N/A]``."""
    return int(text) * MIB if text.isdigit() else 0


STEPS: dict[str, Callable[[Config, Facts], Facts]] = {
    "grant": grant,
    "driver": driver,
    "libcuda": probe_cuda.libcuda,
    "runtime": probe_cuda.runtime,
    "compilers": probe_cuda.compilers,
    "capability": probe_cuda.capability,
    "memory": probe_cuda.memory,
    "cupy": probe_gpu_work.cupy_computes,
    "numba": probe_gpu_work.numba_launches,
    "awkward": probe_gpu_work.awkward_round_trip,
    "preload": probe_gpu_work.preload,
    "jit": probe_gpu_work.jit,
    "speed": probe_gpu_work.speed,
}
"""The questions in their order."""


# ---- one process for each question ----------------------------------------------------------------


def gpu(config: Config) -> Iterator[object]:
    """``GpuEvidence``, again after each question; ``None`` on a pool without GPUs."""
    if not config.gpus:
        yield None
        return
    found: Facts = {"steps": []}
    for name in STEPS:
        yield {**found, "steps": [*found["steps"], {"name": name, "ok": False, "error": "it did not return"}]}
        step, facts = asked(name, config, found)
        found = {**found, **facts, "steps": [*found["steps"], step]}
        yield found
        if not step["ok"]:
            return


def asked(name: str, config: Config, found: Facts) -> tuple[Facts, Facts]:
    """A question put to a process of its own: its ``GpuStep``, and the facts that it found."""
    if config.gpu_simulate and name not in SIMULATED:
        told = "no GPU was looked at: checks.gpu.simulate is set"
        return {"name": name, "ok": True, "simulated": True, "skipped": told}, {}
    begun = time.monotonic()
    answer = answered(
        [sys.executable, str(Path(__file__).resolve()), name], [vars(config), found], config.timeout
    )
    step = {"name": name, "seconds": time.monotonic() - begun, **answer.get("step", {})}
    return step, answer.get("facts", {})


def answered(argv: list[str], question: object, limit: float) -> Facts:
    """What a process writes to its file; how it ended when it wrote nothing. Nothing of it is left running."""
    with tempfile.TemporaryFile() as err, tempfile.TemporaryFile() as given, tempfile.TemporaryFile() as out:
        given.write(json.dumps(question).encode())
        given.seek(0)
        child = subprocess.Popen(
            [*argv, str(out.fileno())],
            stdin=given, stdout=err, stderr=err, pass_fds=[out.fileno()], start_new_session=True,
        )  # fmt: skip
        ended = None
        with contextlib.suppress(subprocess.TimeoutExpired):
            ended = child.wait(limit)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(child.pid, signal.SIGKILL)
        with contextlib.suppress(subprocess.TimeoutExpired):
            child.wait(1)  # one that hangs in the kernel does not die, and is left
        for file in (out, err):
            file.seek(0)
        text, words = out.read(), err.read().decode("utf-8", "replace").strip()
    if text and ended is not None:
        return dict(json.loads(text))
    last = words.rsplit("\n", 1)[-1]
    how = f"timed out after {limit:g} s" if ended is None else f"the process ended with code {ended}"
    return {"step": {"ok": False, "error": f"{how}: {last}" if last else how}}


def answer(name: str, config: Config, found: Facts) -> Facts:
    """The answer to one question: facts, and how it went."""
    try:
        facts = STEPS[name](config, found)
    except Wrong as wrong:
        return {"step": {"ok": False, "error": str(wrong)[:LAST], **wrong.step}, "facts": wrong.facts}
    except BaseException as error:  # libraries may do anything
        traceback.print_exc()
        return {
            "step": {"ok": False, "error": f"{type(error).__name__}: {' '.join(str(error).split())}"[:LAST]}
        }
    step = {"ok": True, **facts.pop("step", {})}
    return {"step": step, "facts": facts}


def main(argv: list[str]) -> None:
    """``STEP DESCRIPTOR``, with the question on standard input."""
    settings, found = json.load(sys.stdin)
    told = answer(argv[1], Config(**settings), found)
    with open(int(argv[2]), "w", encoding="utf-8") as out:  # noqa: PTH123 - a descriptor
        json.dump(told, out)
    sys.stderr.flush()
    os._exit(0)  # a driver that hangs at exit has said all that we wanted to know


if __name__ == "__main__":
    main(sys.argv)
