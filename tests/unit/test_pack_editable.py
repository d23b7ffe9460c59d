"""Editable installs: how they are found, and what of them ships."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from fasthep_validate.errors import PackError
from fasthep_validate.models.packed import Relocation
from fasthep_validate.pack import editable
from fasthep_validate.pack.tree import collect

if TYPE_CHECKING:
    from pathlib import Path


def put(path: Path, text: str = "") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def find(site: Path, *inside: Path) -> list[str]:
    return [item.path for item in editable.find([str(site)], map(str, inside))]


def ships(path: Path) -> set[str]:
    part, relocation = editable.part(editable.Editable(str(path), path), "editable/0")
    return {name.removeprefix("editable/0/") for name in collect([part], [relocation], {}).entries}


def test_pth_files(tmp_path: Path) -> None:
    source = tmp_path / "project/src"
    source.mkdir(parents=True)
    put(tmp_path / "site/x.pth", f"# comment\nimport sys\n{source}\n\n../site\n")
    assert find(tmp_path / "site", tmp_path / "site") == [str(source)]


def test_finder_of_setuptools(tmp_path: Path) -> None:
    put(tmp_path / "src/pkg/__init__.py")
    put(tmp_path / "src/single.py")
    mapping = {"pkg": str(tmp_path / "src/pkg"), "single": str(tmp_path / "src/single")}
    put(
        tmp_path / "site/__editable___x_finder.py",
        f"import sys\nMAPPING: dict[str, str] = {mapping!r}\nNAMESPACES: dict[str, list[str]] = {{}}\n",
    )
    assert find(tmp_path / "site") == sorted(mapping.values())
    assert ships(tmp_path / "src/single") == {"single.py"}


def test_one_below_another_ships_once(tmp_path: Path) -> None:
    (tmp_path / "src/sub").mkdir(parents=True)
    put(tmp_path / "site/x.pth", f"{tmp_path}/src\n{tmp_path}/src/sub\n")
    assert find(tmp_path / "site") == [str(tmp_path / "src")]


def test_folder_that_is_gone(tmp_path: Path) -> None:
    put(tmp_path / "site/x.pth", "/no/such/folder\n")
    with pytest.raises(PackError, match=r"x\.pth: names /no/such/folder, which is not a directory"):
        find(tmp_path / "site")


def test_checkout_ships_what_git_knows_and_what_was_built(tmp_path: Path) -> None:
    for name in (
        "pkg/__init__.py",
        "pkg/_version.py",
        "pkg/fast.so",
        "pkg/gone.py",
        "notes.txt",
        "out/data.py",
    ):
        put(tmp_path / name)
    put(tmp_path / ".gitignore", "_version.py\n*.so\nout/\n")
    git = ["git", "-C", str(tmp_path)]
    subprocess.run([*git, "init", "-q"], check=True)
    subprocess.run([*git, "add", "pkg"], check=True)
    (tmp_path / "pkg/gone.py").unlink()
    assert ships(tmp_path) == {".gitignore", "notes.txt", "pkg/__init__.py", "pkg/_version.py", "pkg/fast.so"}


def test_plain_folder_ships_without_its_environments(tmp_path: Path) -> None:
    for name in (
        "pkg/a.py",
        ".venv/x.py",
        "envs/one/pyvenv.cfg",
        "node_modules/x.js",
        "pkg/__pycache__/a.pyc",
    ):
        put(tmp_path / name)
    (tmp_path / "conda/conda-meta").mkdir(parents=True)
    assert ships(tmp_path) == {"pkg/a.py"}


def test_pth_file_in_another_place(tmp_path: Path) -> None:
    project = tmp_path / "project"
    file = put(tmp_path / "env/site/x.pth", f"import sys\n{project}/src\n./inside\n/else/where\n")
    relocations = [Relocation(old=str(project), new="editable/0")]
    text = editable.moved_pth(file, relocations, "site", str(tmp_path / "env"))
    assert text.splitlines() == [
        "import sys",
        "../editable/0/src",
        "import os, sys; sys.path.append(os.path.join(sys.prefix, 'site/inside'))",
        "# /else/where",
    ]


def test_finder_of_scikit_build_core(tmp_path: Path) -> None:
    """It names files; the package that they are of ships."""
    module = put(tmp_path / "src/pkg/__init__.py")
    text = f"def install(known):\n    return known\n\nFOUND = install({{'pkg': {str(module)!r}}})\n"
    finder = put(tmp_path / "site/_pkg_editable.py", text)
    assert find(tmp_path / "site") == [str(module.parent)]

    moved = editable.moved_finder(finder, [Relocation(old=str(module.parent), new="editable/0")], "LAYER")
    put(tmp_path / "job/finder.py", moved)
    words = [sys.executable, "-c", "import finder; print(finder.FOUND)"]
    done = subprocess.run(
        words, cwd=tmp_path / "job", env={"LAYER": "/job/code"}, check=True, capture_output=True, text=True
    )
    assert done.stdout == "{'pkg': '/job/code/editable/0/__init__.py'}\n"
