"""Extracts a pack as the job script does."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING

from fasthep_validate.bundled import worker_file

if TYPE_CHECKING:
    from pathlib import Path

    from fasthep_validate.models.packed import PackedEnv


def unpack(packed: PackedEnv, root: Path) -> None:
    """Extract and relocate in an empty directory, with nothing but what a node has and the pack itself."""
    assert packed.base
    root.mkdir()
    python = root / packed.manifest.base_python
    parts = packed.base.parts
    if parts is None:
        subprocess.run(["tar", "-xzf", packed.base.path, "-C", root], check=True)
        program, words = "relocate.py", [str(root), str(root)]
    else:
        with open(packed.base.path, "rb") as stream:  # noqa: PTH123
            subprocess.run(["tar", "-xzf", "-", "-C", root], input=stream.read(parts.head_size), check=True)
        index = [str(parts.index_size), parts.index_sha256]
        program, words = "extract.py", [packed.base.path, str(root), str(root), *index, "1"]
    subprocess.run([python, "-I", "-S", worker_file(program), *words], check=True, env={})
