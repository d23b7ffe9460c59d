"""Fixtures of more than one module."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.servers.fixtures import realm

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, for a user who has no settings."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    return tmp_path


__all__ = ["realm"]
