"""What comes out on the worker equals what went in, file by file, whatever the tree looks like: both layers."""

from __future__ import annotations

import contextlib
import os
import subprocess
import tempfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from fasthep_validate.models.execution import EnvironmentSpec
from fasthep_validate.models.packed import Relocation
from fasthep_validate.pack import archive as archive_module
from fasthep_validate.pack import code, code_archive
from fasthep_validate.pack.archive import Writer
from fasthep_validate.pack.search import Search
from fasthep_validate.pack.tree import Part, collect
from fasthep_validate.worker import extract

# Whatever a file may be called. What is hidden, and what these names stand for, stays where it is.
LEFT = {"node_modules", "__pycache__", "conda-meta", "pyvenv.cfg"}
names = st.text(
    st.characters(exclude_categories=["Cs"], exclude_characters="/\0"), min_size=1, max_size=60
).filter(lambda name: not name.startswith(".") and name not in LEFT and len(name.encode()) < 250)
paths = st.lists(names, min_size=1, max_size=4).map("/".join)
contents = st.binary(max_size=200) | st.integers(0, 300_000).map(bytes)
files = st.dictionaries(paths, st.tuples(contents, st.booleans()), min_size=1, max_size=8)
links = st.dictionaries(paths, paths, max_size=3)


def build(folder: Path, tree: dict[str, tuple[bytes, bool]], pointing: dict[str, str]) -> None:
    """Whatever can be made of it: a path may already be a file, a folder or a link."""
    for name, (data, executable) in tree.items():
        try:
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_bytes(data)
            (folder / name).chmod(0o755 if executable else 0o644)
        except OSError:
            continue
    for name, target in pointing.items():
        try:
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).symlink_to(os.path.relpath(folder / target, (folder / name).parent))
        except OSError:
            continue


def described(folder: Path) -> dict[str, tuple[str, bytes]]:
    """Path -> mode or target, and contents; links that lead nowhere are not there."""
    found = {}
    for path in folder.rglob("*"):
        name = str(path.relative_to(folder))
        if path.is_symlink():
            if path.exists():
                found[name] = (f"-> {path.resolve().relative_to(folder.resolve())}", b"")
        elif path.is_file():
            found[name] = (oct(path.stat().st_mode & 0o111), path.read_bytes())
    return found


def extracted(folder: Path, work: Path) -> Path:
    layer = code.lay_out(EnvironmentSpec(code=(str(folder),)), None, folder)
    stored = code_archive.store(layer, work / "cache")
    root = work / "root"
    root.mkdir()
    words = ["tar", "--no-same-owner", "--no-same-permissions", "-xzf", stored.archive.path, "-C", str(root)]
    subprocess.run(words, check=True)
    return root / "paths" / folder.name


def times(folder: Path) -> dict[str, int]:
    """Times of the files: compiled modules hold those of their sources."""
    files = (path for path in folder.rglob("*") if path.is_file() and not path.is_symlink())
    return {str(path.relative_to(folder)): path.stat().st_mtime_ns for path in files}


def directories(folder: Path) -> set[str]:
    """Directories, but those that hold nothing but links that lead nowhere."""
    found = [path for path in folder.rglob("*") if path.is_dir() and not path.is_symlink()]
    kept = {path for path in found if not any(path.iterdir())}
    kept |= {folder / name for name in described(folder)}
    return {
        str(path.relative_to(folder)) for path in found if any(path in (one, *one.parents) for one in kept)
    }


def through_base(folder: Path, work: Path, head: int) -> Path:
    """The base layer's way: listed, written with some files in the head, and extracted as a worker does it."""
    tree = collect([Part(str(folder), "")], [Relocation(old=str(folder), new="")], {})
    ordered = sorted(tree.entries.values(), key=lambda entry: entry.name)
    with Writer(work / "env.tar.gz", "tar.gz", Search([Relocation(old=str(folder), new="")])) as writer:
        writer.add_head(ordered[:head])
        writer.add(ordered[head:])
        writer.add_directories(sorted(tree.empty))
        parts = writer.finish().parts
    root = work / "root"
    root.mkdir()
    if parts is None:  # nothing is in the head: tar extracts the whole
        words = ["tar", "-xzf", str(work / "env.tar.gz"), "-C", str(root), "--exclude=.fasthep"]
        subprocess.run(words, check=True)
        return root
    with (work / "env.tar.gz").open("rb") as stream:
        data = stream.read(parts.head_size)
    subprocess.run(["tar", "-xzf", "-", "-C", root], input=data, check=True)
    here = Path.cwd()
    try:
        assert (
            extract.extract(str(work / "env.tar.gz"), str(root), parts.index_size, parts.index_sha256, 2) == 0
        )
    finally:
        os.chdir(here)
    return root


def same(root: Path, folder: Path) -> None:
    assert described(root) == described(folder)
    assert directories(root) == directories(folder)


@settings(max_examples=40, deadline=None, database=None, suppress_health_check=[HealthCheck.too_slow])
@given(files, links, st.lists(paths, max_size=3), st.integers(0, 8))
@example({"a": (b"", True)}, {"loop": "loop", "b": "c", "c": "b", "up/down": "up"}, ["empty"], 1)
@example({"x" * 60 + "/" + "y" * 60 + "/" + "ü" * 60: (b"deep", False)}, {"to": "hollow"}, ["hollow"], 0)
@example({"new\nline": (b"1", False), "-rf": (b"2", True), "sp ace\\t": (b"3", False)}, {}, ["a/b/c"], 2)
def test_base_comes_out_as_it_went_in(
    tree: dict[str, tuple[bytes, bool]], pointing: dict[str, str], hollow: list[str], head: int
) -> None:
    with tempfile.TemporaryDirectory(prefix="fhv-") as work, pytest.MonkeyPatch.context() as patch:
        patch.setattr(archive_module, "CHUNK", 65536)  # many chunks, files across their borders
        folder = Path(work, "env")
        folder.mkdir()
        build(folder, tree, pointing)
        for name in hollow:
            with contextlib.suppress(OSError):
                (folder / name).mkdir(parents=True)
        same(through_base(folder, Path(work), head), folder)


def test_base_keeps_contents_of_hard_links_and_holes_and_the_times(tmp_path: Path) -> None:
    folder = tmp_path / "env"
    (folder / "lib").mkdir(parents=True)
    (folder / "lib/one").write_bytes(b"same")
    (folder / "lib/two").hardlink_to(folder / "lib/one")
    (folder / "lib/big").write_bytes(os.urandom(1 << 20) * 9)
    with (folder / "holes").open("wb") as file:
        file.seek(20_000_000)
        file.write(b"end")
    os.utime(folder / "lib/big", ns=(1, 1_600_000_000_123_456_789))
    root = through_base(folder, tmp_path, 1)
    same(root, folder)
    assert times(root)["lib/big"] == times(folder)["lib/big"] == 1_600_000_000_123_456_789


@settings(max_examples=60, deadline=None, database=None, suppress_health_check=[HealthCheck.too_slow])
@given(files, links)
@example({"a": (b"", True)}, {"loop": "loop", "b": "c", "c": "b"})
@example({"x" * 60 + "/" + "y" * 60 + "/" + "ü" * 60: (b"deep", False)}, {})
@example({"d/a": (b"1", False)}, {"folder": "d", "d/up": "d"})
@example({"new\nline": (b"1", False), "-rf": (b"2", True), "sp ace\\t": (b"3", False)}, {})
def test_code_layer_comes_out_as_it_went_in(
    tree: dict[str, tuple[bytes, bool]], pointing: dict[str, str]
) -> None:
    with tempfile.TemporaryDirectory(prefix="fhv-") as work:
        folder = Path(work, "code")
        folder.mkdir()
        build(folder, tree, pointing)
        assert described(extracted(folder, Path(work))) == described(folder)


def test_hard_links_and_sparse_files_come_out_as_files(tmp_path: Path) -> None:
    folder = tmp_path / "code"
    folder.mkdir()
    (folder / "one").write_bytes(b"same")
    (folder / "two").hardlink_to(folder / "one")
    with (folder / "sparse").open("wb") as file:
        file.truncate(5_000_000)
    assert described(extracted(folder, tmp_path)) == described(folder)


def test_same_contents_give_the_same_archive(tmp_path: Path) -> None:
    folder = tmp_path / "code"
    folder.mkdir()
    build(folder, {name: (name.encode(), False) for name in ("b", "a", "c/d")}, {"e": "c"})
    layers = [code.lay_out(EnvironmentSpec(code=(str(folder),)), None, folder) for _ in range(2)]
    first, second = (code_archive.store(layer, tmp_path / str(n)) for n, layer in enumerate(layers))
    assert first.archive.sha256 == second.archive.sha256
