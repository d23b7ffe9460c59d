"""Reads Pixi's manifest: where an environment is installed, and what its activation does."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from fasthep_validate.errors import PackError
from fasthep_validate.models.written import nearest

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

NAMES = ("pixi.toml", "pyproject.toml")
LOCK = "pixi.lock"
# Names of targets that a platform has, from the general to the particular, as Pixi applies them.
FAMILIES = {"linux": ("unix", "linux"), "osx": ("unix", "osx"), "win": ("win",)}


@dataclass(frozen=True)
class Activation:
    """What ``[activation]`` of a manifest says for one environment and platform.

    Attributes:
        root: folder of the manifest, which scripts are named from.
        scripts: paths below the root, in their order.
        variables: environment variables; values may name others, such as ``$CONDA_PREFIX``.
    """

    root: Path
    scripts: tuple[str, ...]
    variables: dict[str, str]


@dataclass(frozen=True)
class Manifest:
    """A manifest of Pixi.

    Attributes:
        path: its file.
        table: what Pixi reads of it.
    """

    path: Path
    table: dict[str, Any]

    @property
    def lock(self) -> Path:
        """The lock file beside it."""
        return self.path.with_name(LOCK)

    def environments(self) -> list[str]:
        """Names of the environments."""
        return ["default", *(name for name in self.table.get("environments", {}) if name != "default")]

    def require(self, environment: str) -> None:
        """Make sure that there is such an environment.

        Raises:
            PackError: there is none.
        """
        if environment not in self.environments():
            raise PackError(
                f"{self.path}: has no environment {environment!r}. {nearest(environment, self.environments())}"
            )

    def prefix(self, environment: str) -> Path:
        """Where Pixi installs an environment."""
        return self.path.parent / ".pixi" / "envs" / environment

    def activation(self, environment: str, platform: str) -> Activation:
        """What is to be done before a program of an environment starts."""
        scripts: list[str] = []
        variables: dict[str, str] = {}
        for table in self._activations(environment, platform):
            scripts += [script for script in table.get("scripts", []) if script not in scripts]
            variables |= {name: str(value) for name, value in table.get("env", {}).items()}
        return Activation(self.path.parent, tuple(scripts), variables)

    def _activations(self, environment: str, platform: str) -> Iterator[dict[str, Any]]:
        """Tables from the general to the particular: the default feature first, and targets last."""
        for feature in self._features(environment):
            yield feature.get("activation", {})
            family = FAMILIES.get(platform.partition("-")[0], ())
            for target in (*family, platform):
                yield feature.get("target", {}).get(target, {}).get("activation", {})

    def _features(self, environment: str) -> Iterator[dict[str, Any]]:
        entry = self.table.get("environments", {}).get(environment, [])
        names = entry.get("features", []) if isinstance(entry, dict) else entry
        if not (isinstance(entry, dict) and entry.get("no-default-feature")):
            yield self.table
        for name in names:
            yield self.table.get("feature", {}).get(name, {})


def read(path: Path) -> Manifest:
    """The manifest in a file or folder.

    Raises:
        PackError: there is none, or it cannot be read.
    """
    files = [path / name for name in NAMES] if path.is_dir() else [path]
    for file in files:
        if not file.is_file():
            continue
        try:
            table = tomllib.loads(file.read_text(encoding="utf-8"))
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise PackError(f"{file}: is not valid TOML ({error}). Mend it.") from None
        table = table if file.name != "pyproject.toml" else table.get("tool", {}).get("pixi", {})
        if table:
            return Manifest(file, table)
    raise PackError(
        f"{path}: is no manifest of Pixi. Name a pixi.toml, or a pyproject.toml with [tool.pixi]."
    )


def of_prefix(prefix: Path) -> tuple[Manifest, str] | None:
    """Manifest and name of an environment that Pixi installed; ``None`` for other prefixes."""
    project = (
        prefix.parents[2] if prefix.parent.name == "envs" and prefix.parent.parent.name == ".pixi" else None
    )
    if project is None or not any((project / name).is_file() for name in NAMES):
        return None
    try:
        return read(project), prefix.name
    except PackError:
        return None


def of_lock(lock: Path) -> Manifest | None:
    """The manifest beside a lock file; ``None`` where there is none."""
    try:
        return read(lock.parent)
    except PackError:
        return None
