"""Fixtures of more than one module."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

from fasthep_validate.credentials.run_tls import RunTls, make_run_tls
from fasthep_validate.plan import dask_settings

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture(scope="session", autouse=True)
def _state_of_their_own(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Runs of tests are recorded in a folder of theirs: whatever the user's own runs left is not their matter."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_STATE_HOME", str(tmp_path_factory.mktemp("state")))
        yield


@dataclass(frozen=True)
class Private:
    """The private folder of a run, with its certificates."""

    path: Path
    tls: RunTls

    def hub_config(self, *, command: int, port: int = 0, last_port: int | None = None) -> dict[str, object]:
        """What a command with this process id tells its hub."""
        pairs = {"scheduler": self.tls.scheduler, "client": self.tls.client}
        files = {role: {"cert": str(pair.cert), "key": str(pair.key)} for role, pair in pairs.items()}
        return {
            "host": "127.0.0.1",
            "port": port,
            "last_port": last_port,
            "dashboard_port": None,
            "dask_yaml": str(self.path / "dask.yaml"),
            "tls": {"ca": str(self.tls.ca), **files},
            "timeout": 5.0,
            "at_once": 2,
            "grace": 5.0,
            "node_libraries": [],
            "modifier_sources": [],
            "modifiers": [],
            "folder": str(self.path),
            "guard": str(self.path / "removal.json"),
            "jobs": str(self.path / "jobs"),
            "command": command,
        }


@pytest.fixture
def private(tmp_path: Path) -> Private:
    path = tmp_path / "private"
    (path / "jobs").mkdir(parents=True)
    (path / "dask.yaml").write_text(dask_settings(str(path / "scratch")))
    return Private(path, make_run_tls(path))
