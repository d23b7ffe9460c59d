"""What a key of ``config`` or ``resources`` is called in the words of a batch system.

A spelling is a mapping of directives; ``{}`` in them stands for the value, and a name in braces for the
value in a unit: ``{mib}`` of memory, ``{seconds}`` of a walltime. Sites differ in it, so a profile can
give its own.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Literal, get_args

if TYPE_CHECKING:
    from fasthep_validate.models.execution import Strategy

Key = Literal[
    "cpus", "memory", "disk", "gpus", "gpu_type", "gpu_capability", "gpu_memory",
    "walltime", "queue", "account", "accounting_group", "qos", "constraint", "os", "container",
]  # fmt: skip
KEYS: tuple[str, ...] = get_args(Key)
Spelling = Mapping[str, Mapping[str, str]]

# condor_submit(1) has memory in MiB and disk in KiB; sbatch(1) has memory in MiB. Both are rounded up.
# Slurm's `disk` is not asked for: most clusters do not say how much their nodes have, and `--tmp` fits none.
SPELLINGS: Mapping[Strategy, Spelling] = {
    "local": {},
    "htcondor": {
        "cpus": {"request_cpus": "{}"},
        "memory": {"request_memory": "{mib}"},
        "disk": {"request_disk": "{kib}"},
        "gpus": {"request_gpus": "{}"},
        "gpu_capability": {"gpus_minimum_capability": "{}"},
        "gpu_memory": {"gpus_minimum_memory": "{mib}"},
        "queue": {"+JobFlavour": '"{}"'},
        "accounting_group": {"accounting_group": "{}"},
        "container": {"universe": "container", "container_image": "{}"},
    },
    "slurm": {
        "cpus": {"--cpus-per-task": "{}"},
        "memory": {"--mem": "{mib}M"},
        "disk": {},
        "gpus": {"--gres": "gpu:{}"},
        "gpu_type": {"--gres": "gpu:{}:{gpus}"},
        "walltime": {"--time": "{time}"},
        "queue": {"--partition": "{}"},
        "account": {"--account": "{}"},
        "qos": {"--qos": "{}"},
        "constraint": {"--constraint": "{}"},
    },
}
PLACEHOLDER = re.compile(r"\{(\w*)\}")
_SIZES = ("mib", "kib", "mib_per_core")
# What may stand in braces in the spelling of a key, besides nothing and `cpus` and `gpus`.
UNITS: Mapping[str, tuple[str, ...]] = {
    "memory": _SIZES,
    "disk": _SIZES,
    "gpu_memory": _SIZES[:2],
    "walltime": ("seconds", "minutes", "time", "name"),
}


def placeholders(key: str) -> tuple[str, ...]:
    """The names that the spelling of a key can use."""
    return ("", "cpus", "gpus", *UNITS.get(key, ()))


def spelled(spelling: Mapping[str, str], values: Mapping[str, str]) -> dict[str, str]:
    """The directives of a spelling, with values for its placeholders."""
    return {name: PLACEHOLDER.sub(lambda found: values[found[1]], text) for name, text in spelling.items()}


def sizes(value: int, cpus: int) -> dict[str, str]:
    """Bytes in the units of batch systems, never less than asked for."""
    units = {"": value, "kib": -(-value // 2**10), "mib": -(-value // 2**20)}
    return {
        name: str(number) for name, number in {**units, "mib_per_core": -(-value // cpus // 2**20)}.items()
    }


def times(seconds: int, name: str = "") -> dict[str, str]:
    """A time limit in the ways in which sites take it; ``name`` is the site's word for it."""
    return {
        "": name or str(seconds),
        "seconds": str(seconds),
        "minutes": str(-(-seconds // 60)),
        "time": clock(seconds),
        "name": name,
    }


def clock(seconds: int) -> str:
    """``[days-]hours:minutes:seconds``, as sbatch(1) has it for ``--time``."""
    minutes, rest = divmod(seconds, 60)
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    return f"{f'{days}-{hours:02}' if days else hours}:{minutes:02}:{rest:02}"
