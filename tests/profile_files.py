"""Profiles written to the current folder, and loaded."""

from __future__ import annotations

from pathlib import Path
from textwrap import dedent
from typing import TYPE_CHECKING

import pytest

from fasthep_validate.errors import ConfigError
from fasthep_validate.models.execution import ModifierSource
from fasthep_validate.profiles import load_site, parse_overrides

if TYPE_CHECKING:
    from fasthep_validate.models.profile import SiteProfile

TRACE = {
    "fasthep.trace": ModifierSource(name="fasthep.trace", impl="trace:Trace", source="class Trace: ...\n")
}
POOL = "execution: {pools: {default: {resources: default, workers: 1}}}\n"


def load(text: str, *, pool: list[str] | None = None, changes: list[str] | None = None) -> SiteProfile:
    """The profile with this text and these overrides."""
    Path("p.yaml").write_text(dedent(text), encoding="utf-8")
    return load_site("p.yaml", builtin=TRACE, overrides=parse_overrides(pool or [], changes or []))


def mistakes(text: str, *, pool: list[str] | None = None, changes: list[str] | None = None) -> list[str]:
    """What is told about it, mistake by mistake."""
    with pytest.raises(ConfigError) as caught:
        load(text, pool=pool, changes=changes)
    return [str(problem) for problem in caught.value.problems]


def write(path: str, text: str) -> Path:
    """A file with this text, in folders that are made."""
    file = Path(path)
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(dedent(text), encoding="utf-8")
    return file
