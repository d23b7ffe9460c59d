"""What has to be done before a program of an environment starts, as a part of the code layer.

The scripts of packages (``etc/conda/activate.d``) are in the base already; what the prefix keeps beside them
as variables, and what Pixi's manifest says, is written down for ``worker/activate.sh``.
"""

from __future__ import annotations

import posixpath
from typing import TYPE_CHECKING

from pydantic import BaseModel, RootModel, ValidationError

from fasthep_validate.errors import PackError
from fasthep_validate.models.packed import Activation
from fasthep_validate.pack.tree import Entry

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from fasthep_validate.pack import pixi
    from fasthep_validate.pack.code import Layer

FOLDER, PROJECT = "activation", "project"
FIRST, SCRIPTS, LAST = (f"{FOLDER}/{name}" for name in ("first.sh", "scripts", "last.sh"))
OF_PACKAGES = "etc/conda/activate.d"


class _State(BaseModel):
    """``conda-meta/state``."""

    env_vars: dict[str, str] = {}


class _Variables(RootModel[dict[str, str]]):
    """A file of ``etc/conda/env_vars.d``."""


def add(layer: Layer, prefix: Path, manifest: pixi.Activation | None) -> Activation:
    """Put what the worker needs into the layer; returns what it will do there.

    Raises:
        PackError: a script of the manifest is not there, or variables cannot be read.
    """
    conda = _of_prefix(prefix)
    pixi_variables = dict(manifest.variables) if manifest else {}
    if conda:
        layer.texts[FIRST] = _exports(conda, literal=True)
    if manifest:
        for script in manifest.scripts:
            _add_script(layer, manifest.root / script, posixpath.normpath(script))
    scripts = [posixpath.normpath(script) for script in manifest.scripts] if manifest else []
    if scripts:
        layer.texts[SCRIPTS] = "".join(f"{script}\n" for script in scripts)
    if pixi_variables:
        layer.texts[LAST] = _exports(pixi_variables, literal=False)
    of_packages = [f"activate.d/{file.name}" for file in sorted((prefix / OF_PACKAGES).glob("*.sh"))]
    return Activation(scripts=(*of_packages, *scripts), variables=tuple(sorted({**conda, **pixi_variables})))


def _add_script(layer: Layer, file: Path, name: str) -> None:
    if not file.is_file() or name.startswith(("..", "/")):
        raise PackError(
            f"{file}: [activation] of the manifest names it, and it is not there. Mend the manifest."
        )
    status = file.stat()
    path = f"{PROJECT}/{name}"
    layer.entries[path] = Entry(path, str(file), status.st_size, status.st_mtime_ns)


def _of_prefix(prefix: Path) -> dict[str, str]:
    """Variables that the prefix keeps: those of its packages, then those of the user."""
    found: dict[str, str] = {}
    file = prefix
    try:
        for file in sorted((prefix / "etc/conda/env_vars.d").glob("*.json")):
            found |= _Variables.model_validate_json(file.read_bytes()).root
        file = prefix / "conda-meta/state"
        if file.is_file():
            found |= _State.model_validate_json(file.read_bytes()).env_vars
    except ValidationError as error:
        raise PackError(f"{file}: {error.errors()[0]['msg']}. Install the environment again.") from None
    return found


def _exports(variables: Mapping[str, str], *, literal: bool) -> str:
    """Lines for a shell; unless they are literal, values may name other variables, as in Pixi."""
    special = '\\"`$' if literal else '\\"`'
    table = str.maketrans({character: f"\\{character}" for character in special})
    return "".join(f'export {name}="{value.translate(table)}"\n' for name, value in variables.items())
