"""What the probe is to look at, as the submit host wrote it down."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Config:
    """What to look at.

    Attributes:
        root: the extracted tree, or the prefix used in place.
        code: the extracted code layer; empty without one.
        activation_variables: names of variables that the activation sets.
        relocations: absolute paths of the submit host that must be gone from the tree.
        text_files: files below the tree that held one of them.
        required_imports: modules that must be importable.
        scheduler_host: name to be resolved.
        node_libraries: names or patterns of libraries that are left to the node.
        scratch: directory to be tried.
        timeout: seconds for each group of sections.
        environment_allow: variables to be recorded besides the usual ones.
        credentials: kinds of credentials that the profile asks for.
        storage: endpoints of the profile, each with its ``name``.
        storage_timeout: seconds for each of them.
        gpus: GPUs that the pool asks for; 0 for no question about GPUs.
        gpu_simulate: whether numba's simulator stands in for them.
        gpu_min_free: bytes that must be free on the first.
        gpu_needs: packages that the run needs on them.
        imported: file in which the process that becomes the worker tells what it has imported; empty without one.
        ahead: id of that process.
    """

    root: str
    code: str = ""
    activation_variables: list[str] = field(default_factory=list)
    relocations: list[str] = field(default_factory=list)
    text_files: list[str] = field(default_factory=list)
    required_imports: list[str] = field(default_factory=list)
    scheduler_host: str = ""
    node_libraries: list[str] = field(default_factory=list)
    scratch: str = "."
    timeout: float = 30.0
    environment_allow: list[str] = field(default_factory=list)
    credentials: list[str] = field(default_factory=list)
    storage: list[dict[str, Any]] = field(default_factory=list)
    storage_timeout: float = 60.0
    gpus: int = 0
    gpu_simulate: bool = False
    gpu_min_free: int = 0
    gpu_needs: list[str] = field(default_factory=list)
    imported: str = ""
    ahead: int = 0


def read_config(path: str) -> Config:
    """Keys that are not known are left alone: an older probe serves a newer command.

    ``bootstrap.sh`` knows better than the submit host where the environment is: in the job's directory, or in the
    cache of the node.
    """
    given = json.loads(Path(path).read_text(encoding="utf-8"))
    root = os.environ.get("FASTHEP_VALIDATE_ROOT")
    given = {**dict(given), **({"root": root} if root else {})}
    return Config(**{item.name: given[item.name] for item in fields(Config) if item.name in given})
