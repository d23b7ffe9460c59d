"""The part ``environment:`` of FAST-HEP's ``execution:`` block as people write it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, ClassVar, Self

from pydantic import model_validator

from fasthep_validate.models.execution import CODE_LIMIT, EnvironmentMode, EnvironmentType, PixiPackOptions
from fasthep_validate.models.written import Memory, Text, Written, mistake, mistakes

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fasthep_validate.models.written import Found

# type -> mode -> keys that have a meaning; the first mode is that of a block without ``mode``.
KEYS: Mapping[EnvironmentType, Mapping[EnvironmentMode, frozenset[str]]] = {
    "packed-venv": {"prefix": frozenset({"source"})},
    "packed-pixi": {
        # FAST-HEP's default
        "self-extracting": frozenset({"manifest", "environment", "platform", "archive_path", "pixi_pack"}),
        "prefix": frozenset({"source", "manifest", "environment"}),
        "lock": frozenset({"lock", "environment", "platform"}),
        "archive": frozenset({"archive"}),
    },
    "shared-prefix": {"shared": frozenset({"prefix"})},
}
COMMON = frozenset({"type", "mode", "code", "code_limit"})
# Keys that name files: a path that is not absolute starts at the folder of the profile.
PATHS = ("manifest", "lock", "archive", "archive_path")


class Environment(Written):
    """Which software the workers get."""

    refused: ClassVar[Mapping[str, str]] = {
        "worker_env_dir": "where an environment lies on the worker is decided when it is packed"
    }

    type: EnvironmentType
    """``packed-venv``, ``packed-pixi`` or ``shared-prefix``."""
    mode: EnvironmentMode | None = None
    """Of ``packed-pixi``: ``self-extracting`` (the default), ``prefix``, ``lock`` or ``archive``; ``lock`` and
    ``archive`` are also meant by their keys. Others have one."""
    source: Text | None = None
    """What is packed: ``current``, or the absolute path of an installed environment."""
    prefix: Text | None = None
    """What is shared: ``current``, or the absolute path of an environment that workers can read."""
    manifest: Text | None = None
    """Pixi's ``pixi.toml`` or ``pyproject.toml``, or the folder with one of them."""
    environment: Text | None = None
    """Name of the Pixi environment; ``default`` without it."""
    lock: Text | None = None
    """Pixi's lock file, ``pixi.lock``."""
    platform: Text | None = None
    """What workers are, such as ``linux-aarch64``; this machine's without it."""
    archive: Text | None = None
    """An archive that pixi-pack or conda-pack made."""
    archive_path: Text | None = None
    """Where the self-extracting archive goes to; one that is newer than the lock file is used as it is."""
    pixi_pack: PixiPackOptions = PixiPackOptions()
    """What pixi-pack is told."""
    code: tuple[Text, ...] = ()
    """Folders and files beside the profile that workers can import; what git ignores is left out."""
    code_limit: Memory = CODE_LIMIT
    """Most that editable installs and ``code`` may have together, such as ``500 MB``."""

    @property
    def path(self) -> str:
        """``current`` or the absolute path of the environment."""
        return self.source or self.prefix or "current"

    @property
    def way(self) -> EnvironmentMode:
        """The mode, also where it is not written."""
        named: dict[EnvironmentMode, str | None] = {"lock": self.lock, "archive": self.archive}
        modes = KEYS[self.type]
        meant = [mode for mode, path in named.items() if path and mode in modes]
        return self.mode or [*meant, *modes][0]

    @model_validator(mode="after")
    def _has_meaning(self) -> Self:
        mistakes("Environment", self._mistakes())
        return self

    def _mistakes(self) -> Iterator[Found]:
        modes, mode = KEYS[self.type], self.way
        if mode not in modes:
            yield ("mode",), mistake(f"type {self.type} has no mode {mode!r}", f"Write {_either(modes)}.")
            return
        meant = modes[mode] | COMMON
        for key in sorted(self.model_fields_set - meant):
            where = f"type {self.type}" if len(modes) == 1 else f"mode {mode}"
            yield (key,), mistake(f"has no meaning for {where}", _hint(self.type, mode, key))
        for key in ("source", "prefix"):
            if key in meant and self.path != "current" and not PurePosixPath(self.path).is_absolute():
                yield (key,), mistake(f"expected 'current' or an absolute path, got {self.path!r}")
        if mode == "archive" and self.archive is None:
            yield ("archive",), mistake("no archive is named", "Write 'archive: PATH'.")
        yield from self._contradictions(mode)

    def _contradictions(self, mode: EnvironmentMode) -> Iterator[Found]:
        if mode != "prefix":
            return
        if self.source and self.manifest:
            yield ("manifest",), mistake("given beside 'source', which is another environment", "Remove one.")
        if self.environment and not self.manifest:
            hint = "Write 'manifest: pixi.toml', or 'source: current' alone."
            yield ("environment",), mistake("mode prefix needs the manifest that it is of", hint)


def _either(modes: Mapping[EnvironmentMode, object]) -> str:
    return " or ".join(repr(mode) for mode in modes)


def _hint(type: EnvironmentType, mode: EnvironmentMode, key: str) -> str:
    """What may have been meant by a key that has no meaning."""
    others = [other for other, keys in KEYS[type].items() if key in keys and other != mode]
    if others:
        return f"It is for mode {_either(dict.fromkeys(others))}."
    keys = KEYS[type][mode]
    return f"Write {min(keys)!r}." if len(keys) == 1 else ""
