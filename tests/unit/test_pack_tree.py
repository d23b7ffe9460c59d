"""What ships of a directory, and what becomes of its links."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from fasthep_validate.models.packed import Relocation
from fasthep_validate.pack.tree import Part, Tree, collect, locate


def make(folder: Path, *names: str) -> Path:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(name)
    return folder


def tree_of(folder: Path, **skip: str) -> Tree:
    part = Part(str(folder), "env", {pattern.replace("_", "/"): why for pattern, why in skip.items()})
    return collect([part], [Relocation(old=str(folder), new="env")], {})


def test_files_and_reasons(tmp_path: Path) -> None:
    tree = tree_of(make(tmp_path, "a.py", "test/x.py", "lib/test/y.py"), test="tests")
    assert set(tree.entries) == {"env/a.py", "env/lib/test/y.py"}
    assert tree.left_out == {"env/test": "tests"}


@pytest.mark.parametrize("absolute", [True, False])
def test_link_inside_stays_a_link(tmp_path: Path, absolute: bool) -> None:
    env = make(tmp_path / "env", "lib/a", "bin/b")
    (env / "bin/link").symlink_to(env / "lib/a" if absolute else "../lib/a")
    (env / "lib64").symlink_to(env / "lib" if absolute else "lib")
    tree = tree_of(env)
    assert tree.entries["env/bin/link"].link == "../lib/a"
    assert tree.entries["env/lib64"].link == "lib"


def test_link_to_the_outside_becomes_what_it_leads_to(tmp_path: Path) -> None:
    outside = make(tmp_path / "outside", "file", "folder/x")
    (outside / "folder/inner").symlink_to("x")
    env = make(tmp_path / "env", "a")
    (env / "file").symlink_to(outside / "file")
    (env / "folder").symlink_to(outside / "folder")
    tree = tree_of(env)
    assert set(tree.entries) == {"env/a", "env/file", "env/folder/x", "env/folder/inner"}
    assert not any(entry.link for entry in tree.entries.values())
    assert tree.entries["env/file"].source == str(outside / "file")


def test_links_that_lead_nowhere_stay_behind(tmp_path: Path) -> None:
    env = make(tmp_path / "up/env", "a")
    (env / "broken").symlink_to("/no/such/file")
    (env / "self").symlink_to("self")
    (env / "up").symlink_to(tmp_path / "up")
    (env / "device").symlink_to("/dev/null")
    tree = tree_of(env)
    assert set(tree.entries) == {"env/a"}
    assert set(tree.left_out) == {"env/broken", "env/self", "env/up", "env/device"}


def test_link_to_what_is_left_out_is_followed(tmp_path: Path) -> None:
    env = make(tmp_path, "test/data", "a")
    (env / "data").symlink_to("test/data")
    tree = tree_of(env, test="tests")
    assert tree.entries["env/data"].source == str(env / "test/data")
    assert tree.entries["env/data"].link == ""


def test_name_that_is_not_utf8_stays_behind(tmp_path: Path) -> None:
    make(tmp_path, "a")
    Path(os.fsdecode(os.fsencode(tmp_path) + b"/\xff")).touch()
    tree = tree_of(tmp_path)
    assert set(tree.entries) == {"env/a"}
    assert list(tree.left_out.values()) == ["its name is not UTF-8"]


def test_locate_knows_whole_names_only() -> None:
    places = [Relocation(old="/opt/env", new="")]
    assert locate("/opt/env/bin/x", places) == "bin/x"
    assert locate("/opt/env", places) == ""
    assert locate("/opt/env2/bin", places) is None
