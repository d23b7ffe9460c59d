"""Relocation of an extracted tree on the worker."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fasthep_validate.worker import relocate

if TYPE_CHECKING:
    from pathlib import Path

OLD = b"/opt/build/env"


def make_tree(root: Path, **changes: object) -> Path:
    """A tree as it comes out of the archive, with one script, one padded binary and a virtualenv's settings."""
    (root / ".fasthep").mkdir(parents=True)
    (root / "venv/bin").mkdir(parents=True)
    (root / "venv/bin/tool").write_bytes(b"#!/opt/build/env/bin/python\nprint('/opt/build/env/share')\n")
    (root / "venv/bin/tool").chmod(0o755)
    (root / "venv/lib.so").write_bytes(b"\x7fELF\0/opt/build/env/etc\0" + bytes(300) + b"end")
    (root / "venv/pyvenv.cfg").write_text(
        "home = /usr/bin\nversion = 3.11.2\nexecutable = /usr/bin/python3.11\n"
    )
    manifest = {
        "relocations": [{"old": "/opt/build/env", "new": "venv"}],
        "text_files": ["venv/bin/tool"],
        "binary_files": ["venv/lib.so"],
        "placeholder": 255,
        "prefix": "venv",
        "base_prefix": "base",
        "base_python": "base/bin/python3.11",
    }
    (root / relocate.MANIFEST).write_text(json.dumps({**manifest, **changes}))
    return root


def snapshot(root: Path) -> dict[str, tuple[bytes, int]]:
    return {str(p): (p.read_bytes(), p.stat().st_mtime_ns) for p in root.rglob("*") if p.is_file()}


def run(root: Path) -> subprocess.CompletedProcess[str]:
    words = [sys.executable, "-I", "-S", relocate.__file__, str(root)]
    return subprocess.run(words, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("name", ["plain", "with space", "größe"])
def test_tree_is_relocated_once_and_for_all(tmp_path: Path, name: str) -> None:
    root = make_tree(tmp_path / name)
    os.utime(root / "venv/bin/tool", (1e9, 1e9))

    assert run(root).returncode == 0

    tool = root / "venv/bin/tool"
    assert str(root / "venv/share") in tool.read_text()
    assert "/opt/build" not in tool.read_text()
    assert (tool.stat().st_mode & 0o777, tool.stat().st_mtime) == (0o755, 1e9)
    assert f"home = {root}/base/bin\n" in (root / "venv/pyvenv.cfg").read_text()
    assert f"executable = {root}/base/bin/python3.11\n" in (root / "venv/pyvenv.cfg").read_text()
    before = snapshot(root)
    assert run(root).returncode == 0
    assert snapshot(root) == before


def test_binary_keeps_its_length(tmp_path: Path) -> None:
    root = make_tree(tmp_path / "a-much-longer-name-than-the-original")
    size = (root / "venv/lib.so").stat().st_size
    assert run(root).returncode == 0
    data = (root / "venv/lib.so").read_bytes()
    assert len(data) == size
    assert data.startswith(b"\x7fELF\0" + os.fsencode(root / "venv/etc") + b"\0")
    assert data.endswith(b"\0end")


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"text_files": ["venv/gone"]}, "venv/gone: No such file"),
        ({"placeholder": 20}, "venv/lib.so: a path of"),
        ({"relocations": "x"}, "manifest.json: "),
    ],
)
def test_error_names_the_file(tmp_path: Path, changes: dict[str, object], words: str) -> None:
    done = run(make_tree(tmp_path / "tree", **changes))
    assert done.returncode == 1
    assert words in done.stderr
    assert done.stderr.count("\n") == 1


def test_no_manifest_is_an_error(tmp_path: Path) -> None:
    assert "manifest.json: No such file" in run(tmp_path).stderr


@pytest.mark.parametrize(
    ("text", "found"),
    [
        (b"/opt/build/env", True),
        (b"-L/opt/build/env/lib", True),
        (b"file:///opt/build/env.", True),
        (b"x=/opt/build/env:/usr", True),
        (b"'a\\n/opt/build/env'", True),
        (b"'./opt/build/env'", True),
        (b"../opt/build/env", False),
        (b"/opt/build/env2/lib", False),
        (b"/opt/build/env-old", False),
        (b"/opt/build/env.bak", False),
        (b"/mnt/opt/build/env", False),
        (b"/opt/build/env\xc3\xa9", False),
    ],
)
def test_only_whole_paths_are_found(text: bytes, found: bool) -> None:
    assert bool(relocate.path_pattern([OLD]).search(text)) is found


def test_longer_path_goes_first() -> None:
    new = {b"/a": b"/X", b"/a/b": b"/Y"}
    assert relocate.replace_text(b"/a/b/c:/a/c", new) == b"/Y/c:/X/c"


@given(
    words=st.lists(st.sampled_from([b"/old", b"/old/sub", b"/older", b" ", b":", b"/x", b"\n"]), max_size=12),
    root=st.sampled_from(["/new", "/old/tree", "/", "/o", "/old"]),
)
def test_second_run_changes_nothing(words: list[bytes], root: str) -> None:
    new = relocate.targets(root, [{"old": "/old", "new": "t"}])
    once = relocate.replace_text(b"".join(words), new)
    assert relocate.replace_text(once, new) == once


@given(
    strings=st.lists(st.sampled_from([b"/old/a", b"/old:/old/b", b"other", b""]), max_size=6),
    new=st.sampled_from([b"/n", b"/old/new", b"/a/quite/long/path/of/the/worker"]),
)
def test_padded_strings_keep_their_places(strings: list[bytes], new: bytes) -> None:
    room = 40

    def padded(path: bytes) -> list[bytes]:
        filled = [(s.replace(b"/old", path), s.replace(b"/old", b"P" * room)) for s in strings]
        return [text.ljust(len(longest) + 1, b"\0") for text, longest in filled]

    data = relocate.replace_padded(b"\0".join(padded(b"/old")), {b"/old": new}, room)
    assert data == b"\0".join(padded(new))


def test_no_room_is_said() -> None:
    with pytest.raises(relocate.RelocationError, match="no NUL bytes"):
        relocate.replace_padded(b"/old\0next", {b"/old": b"/longer"}, 255)


@pytest.mark.parametrize("folder", ["d" * 140, "with space", "bin/x y"])
def test_script_runs_whatever_the_path(tmp_path: Path, folder: str) -> None:
    """The kernel cuts long first lines and splits at spaces; the script has to run all the same."""
    home = tmp_path / folder / "bin"
    home.mkdir(parents=True)
    (home / "python").symlink_to(sys.executable)
    script = home / "tool"
    text = relocate.replace_text(
        b"#!/opt/build/env/bin/python -I\nimport sys\nprint(sys.argv[1:], sys.flags.isolated)\n",
        {OLD: os.fsencode(home.parent)},
    )
    script.write_bytes(text)
    script.chmod(0o755)
    done = subprocess.run([script, "a b"], capture_output=True, text=True, check=True)
    assert done.stdout == "['a b'] 1\n"


def test_long_line_of_another_interpreter() -> None:
    new = {OLD: b"/w" * 80}
    assert relocate.replace_text(b"#!/opt/build/env/bin/perl -w\n1;\n", new) == b"#!/usr/bin/env perl\n1;\n"
