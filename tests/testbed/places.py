"""Where a testbed keeps its things."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

FILES = Path(__file__).resolve().parent / "files"
CHECKOUT = FILES.parents[2]


@dataclass(frozen=True)
class Places:
    """The directories of one testbed; two testbeds with two of them do not meet.

    Attributes:
        run: what is up; it exists only as long as the testbed does.
        cache: images, kept.
    """

    run: Path
    cache: Path

    @classmethod
    def of_user(cls) -> Places:
        """Where the environment says, else ``/run`` and the home directory."""
        run = os.environ.get("FASTHEP_TESTBED_DIR") or "/run/fasthep-testbed"
        home = Path.home() / ".cache" / "fasthep-validate" / "testbed"
        cache = os.environ.get("FASTHEP_TESTBED_CACHE") or home
        return cls(Path(run).absolute(), Path(cache).absolute())

    @property
    def state(self) -> Path:
        """The file with what is up."""
        return self.run / "state.json"

    @property
    def filesystems(self) -> Path:
        """Mount point of what the nodes write; mounted in the hub's namespace alone."""
        return self.run / "fs"

    def spec(self, node: str) -> Path:
        """What is special about a node, for it to read at its start."""
        return self.run / "nodes" / node

    def log(self, name: str) -> Path:
        """What a node, the hub or the supervisor says on its outputs."""
        return self.run / "log" / f"{name}.log"
