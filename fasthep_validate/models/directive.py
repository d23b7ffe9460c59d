"""Directives of batch systems by name: one name for each, and layers of them laid over each other."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from fasthep_validate.models.execution import Strategy

# Short options of sbatch(1) and their long names.
SLURM: Mapping[str, str] = {
    "-A": "--account", "-b": "--begin", "-c": "--cpus-per-task", "-C": "--constraint", "-d": "--dependency",
    "-D": "--chdir", "-e": "--error", "-G": "--gpus", "-H": "--hold", "-J": "--job-name", "-L": "--licenses",
    "-M": "--clusters", "-m": "--distribution", "-n": "--ntasks", "-N": "--nodes", "-o": "--output",
    "-p": "--partition", "-q": "--qos", "-s": "--oversubscribe", "-t": "--time", "-w": "--nodelist",
    "-x": "--exclude",
}  # fmt: skip


def _htcondor(name: str) -> str:
    """Submit commands know no case, and ``+Name`` is short for ``MY.Name``; see condor_submit(1)."""
    name = name.strip().lower()
    return f"my.{name[1:]}" if name.startswith("+") else name


def _slurm(name: str) -> str:
    return SLURM.get(name.strip(), name.strip())


NAMES: Mapping[Strategy, Callable[[str], str]] = {"local": str, "htcondor": _htcondor, "slurm": _slurm}


def same(strategy: Strategy, one: str, other: str) -> bool:
    """Whether two names are those of one directive."""
    name = NAMES[strategy]
    return name(one) == name(other)


def overlaid(strategy: Strategy, *layers: Mapping[str, str]) -> dict[str, str]:
    """Directives laid over each other: the last one of a name counts, however it is written."""
    name = NAMES[strategy]
    written: dict[str, tuple[str, str]] = {}
    for layer in layers:
        written |= {name(key): (key, value) for key, value in layer.items()}
    return dict(written.values())


def without(strategy: Strategy, directives: Mapping[str, str], skipped: Iterable[str]) -> dict[str, str]:
    """Directives but for those that are skipped, by their whole names."""
    name = NAMES[strategy]
    left_out = {name(key) for key in skipped}
    return {key: value for key, value in directives.items() if name(key) not in left_out}
