"""Prefixes that conda or Pixi installed: a small one, with records and padded placeholders."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from fasthep_validate.errors import PackError
from fasthep_validate.pack import conda
from fasthep_validate.pack.build import Job, build_pack
from fasthep_validate.pack.interpreter import Interpreter
from fasthep_validate.pack.key import content_key
from fasthep_validate.pack.tree import collect
from fasthep_validate.worker import relocate

if TYPE_CHECKING:
    from pathlib import Path

PLACEHOLDER = "/opt/placeholder_" + "placehold_" * 23 + "p" * 8


@pytest.fixture
def prefix(tmp_path: Path) -> Path:
    """As an installer leaves it: prefix in a script, in a record and, padded, in a binary file."""
    prefix = tmp_path / "envs/default"
    for name in ("bin", "lib/python3.11/site-packages", "lib/python3.11/test", "include", "conda-meta"):
        (prefix / name).mkdir(parents=True)
    shutil.copy(os.path.realpath(sys.executable), prefix / "bin/python3.11")
    (prefix / "bin/python").symlink_to("python3.11")
    (prefix / "bin/tool").write_text(f"#!{prefix}/bin/python\n")
    (prefix / "include/x.h").touch()
    (prefix / "lib/python3.11/os.py").write_text("x = 1\n")
    (prefix / "lib/python3.11/test/y.py").touch()
    text = os.fsencode(prefix) + b"/etc:" + os.fsencode(prefix) + b"/share"
    padding = bytes(2 * (len(PLACEHOLDER) - len(str(prefix))) + 1)
    (prefix / "lib/data.bin").write_bytes(b"\x01\0" + text + padding + b"end")
    paths = [
        {
            "_path": "lib/data.bin",
            "path": "lib/data.bin",
            "file_mode": "binary",
            "prefix_placeholder": PLACEHOLDER,
        },
        {"path": "bin/tool", "file_mode": "text", "prefix_placeholder": PLACEHOLDER},
        {"path": "include/x.h"},
    ]
    for item in paths:
        item["_path"] = item.pop("path")
    (prefix / "conda-meta/x-1-0.json").write_text(json.dumps({"name": "x", "paths_data": {"paths": paths}}))
    return prefix


def interpreter(prefix: Path) -> Interpreter:
    return Interpreter(
        executable=f"{prefix}/bin/python",
        base_executable=f"{prefix}/bin/python3.11",
        prefix=str(prefix),
        base_prefix=str(prefix),
        version="3.11.7",
        implementation="cpython",
        cache_tag="cpython-311",
        machine="x86_64",
        libc="glibc",
        stdlib=f"{prefix}/lib/python3.11",
        site_packages=(f"{prefix}/lib/python3.11/site-packages",),
        unusable=(),
        absent=(),
    )


def test_prefix_travels(prefix: Path, tmp_path: Path) -> None:
    layout = conda.layout(prefix, interpreter(prefix))
    tree = collect(layout.parts, layout.relocations, layout.links)
    (tmp_path / "work").mkdir()
    packed = build_pack(Job(layout, tree, content_key(tree, layout), tmp_path / "work"), print)

    manifest = packed.manifest
    assert (manifest.type, manifest.python, manifest.base_python) == (
        "packed-pixi",
        "bin/python",
        "bin/python3.11",
    )
    assert (manifest.prefix, manifest.base_prefix) == ("", "")
    assert manifest.binary_files == ("lib/data.bin",)
    assert manifest.text_files == ("bin/tool",)
    assert manifest.left_out == {"lib/python3.11/test": "tests of the standard library"}

    root = tmp_path / "root of the tree"
    root.mkdir()
    assert packed.base
    subprocess.run(["tar", "-xzf", packed.base.path, "-C", root], check=True)
    size = (prefix / "lib/data.bin").stat().st_size
    relocate.relocate(root, root)
    assert (root / "lib/data.bin").stat().st_size == size
    assert (
        (root / "lib/data.bin")
        .read_bytes()
        .startswith(b"\x01\0%b/etc:%b/share\0" % ((os.fsencode(root),) * 2))
    )
    assert f'"{root}/bin/python"' in (root / "bin/tool").read_text()
    assert (root / "include/x.h").exists()
    assert str((root / "bin/python").readlink()) == "python3.11"


def test_prefix_without_records(tmp_path: Path) -> None:
    with pytest.raises(PackError, match="has no conda-meta"):
        conda.layout(tmp_path, interpreter(tmp_path))


def test_broken_record_is_named(prefix: Path) -> None:
    (prefix / "conda-meta/y.json").write_text("{")
    with pytest.raises(PackError, match=r"y\.json: Invalid JSON"):
        conda.layout(prefix, interpreter(prefix))
