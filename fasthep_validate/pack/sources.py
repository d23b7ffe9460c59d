"""The ways to an installed environment: each ends in a prefix of this machine that can be packed."""

from __future__ import annotations

import hashlib
import os
import platform as machine
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from fasthep_validate.errors import PackError
from fasthep_validate.pack import archives, bounded, lock, packages, pixi, pixi_pack
from fasthep_validate.pack.foreign import platform_of
from fasthep_validate.pack.interpreter import is_conda, resolve_prefix

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from fasthep_validate.models.execution import EnvironmentMode, EnvironmentSpec
    from fasthep_validate.pack.pixi import Activation, Manifest

ARCHIVES = 5_000_000_000  # bytes of archives by pixi-pack that are kept


@dataclass(frozen=True)
class Source:
    """An installed environment.

    Attributes:
        prefix: where it is.
        submit: the same for this machine, where the prefix is for another; otherwise the prefix.
        platform: what the prefix is for, if it is not this machine's; empty otherwise.
        origin: where it came from, in words.
        activation: what Pixi does before a program of it starts; ``None`` where Pixi did not make it.
        notes: what a user should know.
    """

    prefix: Path
    submit: Path
    origin: str
    platform: str = ""
    activation: Activation | None = None
    notes: tuple[str, ...] = ()


class Way(Protocol):
    """One way to a prefix."""

    def __call__(self, spec: EnvironmentSpec, cache: Path, say: Callable[[str], None]) -> Source:
        """Find or install the environment.

        Raises:
            PackError: it cannot be had.
        """
        ...


def installed(spec: EnvironmentSpec, cache: Path, say: Callable[[str], None]) -> Source:
    """An environment that is installed: current, by its path, or by manifest and name."""
    del cache, say
    if spec.manifest is None:
        prefix = resolve_prefix(spec.prefix)
        found = pixi.of_prefix(prefix)
        return Source(prefix, prefix, f"prefix {prefix}", activation=found and _activation(*found))
    manifest = pixi.read(Path(spec.manifest))
    manifest.require(spec.environment)
    prefix = manifest.prefix(spec.environment)
    if not is_conda(prefix):
        raise PackError(
            f"{prefix}: is not installed. Run `pixi install --environment {spec.environment}` there, or write "
            "'mode: lock'."
        )
    return Source(prefix, prefix, f"prefix {prefix}", activation=_activation(manifest, spec.environment))


def locked(spec: EnvironmentSpec, cache: Path, say: Callable[[str], None]) -> Source:
    """What a lock file says, installed here; for another platform also what it says for this one."""
    path = Path(spec.lock or pixi.LOCK).absolute()
    here = packages.this_platform()
    platform = spec.platform or here
    prefix = packages.install(lock.read(path, spec.environment, platform), cache, say)
    submit = (
        prefix if platform == here else packages.install(lock.read(path, spec.environment, here), cache, say)
    )
    manifest = pixi.of_lock(path)
    return Source(
        prefix,
        submit,
        f"environment {spec.environment} of {path}",
        platform="" if platform == here else platform,
        activation=_activation(manifest, spec.environment, platform) if manifest else None,
    )


def archived(spec: EnvironmentSpec, cache: Path, say: Callable[[str], None]) -> Source:
    """What is in an archive that others made."""
    path = Path(spec.archive or "").absolute()
    prefix = archives.open_archive(path, cache, say)
    return Source(prefix, prefix, f"archive {path}")


def self_extracting(spec: EnvironmentSpec, cache: Path, say: Callable[[str], None]) -> Source:
    """What pixi-pack packs; where it is not installed, the same environment in another way."""
    manifest = pixi.read(Path(spec.manifest or os.environ.get("PIXI_PROJECT_MANIFEST") or ".").absolute())
    manifest.require(spec.environment)
    target = Path(spec.archive_path) if spec.archive_path else _place(cache, spec, manifest)
    if pixi_pack.find() or target.exists():
        platform = spec.platform or packages.this_platform()
        pixi_pack.make(spec, manifest, platform, target, say)
        if not spec.archive_path:
            bounded.trim(target.parent, ARCHIVES, target)
        found = archived(spec.model_copy(update={"archive": str(target)}), cache, say)
        return Source(
            found.prefix,
            found.prefix,
            found.origin,
            activation=_activation(manifest, spec.environment, platform),
        )
    found = _without_pixi_pack(spec, manifest, cache, say)
    note = f"{pixi_pack.PROGRAM} is not installed; the pack was made from {found.origin}. {pixi_pack.HOW}"
    return Source(found.prefix, found.submit, found.origin, found.platform, found.activation, (note,))


def _without_pixi_pack(
    spec: EnvironmentSpec, manifest: Manifest, cache: Path, say: Callable[[str], None]
) -> Source:
    asked = spec.pixi_pack.model_fields_set
    if asked:
        names = ", ".join(sorted(asked))
        raise PackError(
            f"environment.pixi_pack: {names} is for pixi-pack, which is not installed. {pixi_pack.HOW}"
        )
    if not spec.platform and is_conda(manifest.prefix(spec.environment)):
        return installed(spec.model_copy(update={"manifest": str(manifest.path)}), cache, say)
    if manifest.lock.is_file():
        return locked(spec.model_copy(update={"lock": str(manifest.lock)}), cache, say)
    raise PackError(
        f"{pixi_pack.PROGRAM}: is not installed, and {manifest.path} has neither an installed environment "
        f"{spec.environment!r} nor a lock file. Run `pixi install`, or: {pixi_pack.HOW.partition(': ')[2]}"
    )


def _place(cache: Path, spec: EnvironmentSpec, manifest: Manifest) -> Path:
    words = f"{manifest.path} {spec.environment} {spec.platform} {spec.pixi_pack.model_dump_json()}"
    return cache.absolute() / "pixi-pack" / f"{hashlib.sha256(words.encode()).hexdigest()[:32]}.sh"


def _activation(manifest: Manifest, environment: str, platform: str = "") -> Activation:
    return manifest.activation(environment, platform or platform_of(machine.machine()))


WAYS: Mapping[EnvironmentMode, Way] = {
    "prefix": installed,
    "shared": installed,
    "lock": locked,
    "archive": archived,
    "self-extracting": self_extracting,
}
