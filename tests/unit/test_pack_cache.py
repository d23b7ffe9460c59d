"""The cache of packs."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from fasthep_validate.errors import PackError
from fasthep_validate.models.packed import Archive, PackedEnv, PackManifest
from fasthep_validate.pack.cache import KEPT, Cache, Damaged, require_space

CONTENT = b"archive"


def packed(key: str) -> PackedEnv:
    manifest = PackManifest(
        type="packed-venv",
        key=key,
        python="venv/bin/python",
        base_python="base/bin/python3",
        site_packages=(),
        python_version="3.11.0",
        prefix="venv",
        base_prefix="base",
        machine="x86_64",
        files=0,
        size=0,
    )
    return PackedEnv(
        manifest=manifest,
        base=Archive(path="/x", sha256=hashlib.sha256(CONTENT).hexdigest(), size=len(CONTENT)),
        submit_python="/x/bin/python",
        submit_prefix="/x",
        cached=False,
        seconds=1.0,
    )


def store(cache: Cache, key: str) -> PackedEnv:
    with cache.workplace(key) as work:
        (work / "env.tar.gz").write_bytes(CONTENT)
        return cache.store(work, packed(key))


def fill(folder: Path) -> None:
    for number in range(KEPT + 2):
        store(Cache(folder), f"old{number}")
        os.utime(folder / f"old{number}", (number, number))


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()} - {"locks"}


def test_what_was_stored_is_found(tmp_path: Path) -> None:
    stored = store(Cache(tmp_path), "abc")
    assert stored.base
    assert stored.base.path == str(tmp_path / "abc/env.tar.gz")
    assert Cache(tmp_path).load("abc") == stored
    assert Cache(tmp_path).load("other") is None
    assert names(tmp_path) == {"abc"}


@pytest.mark.parametrize("name", ["env.tar.gz", "pack.json"])
@pytest.mark.parametrize("content", [b"", b"archivf", b"{}"])
def test_damage_is_told_and_cleared(tmp_path: Path, name: str, content: bytes) -> None:
    cache = Cache(tmp_path)
    store(cache, "abc")
    (tmp_path / "abc" / name).write_bytes(content)
    with pytest.raises(Damaged):
        cache.load("abc")
    assert cache.load("abc") is None
    assert names(tmp_path) == set()


def test_second_run_waits_and_says_so(tmp_path: Path) -> None:
    said: list[str] = []
    inside, waiting, after = threading.Event(), threading.Event(), threading.Event()

    def first() -> None:
        with Cache(tmp_path).lock("abc", said.append):
            inside.set()
            waiting.wait(10)
            after.set()

    def say(line: str) -> None:
        said.append(line)
        waiting.set()

    thread = threading.Thread(target=first)
    thread.start()
    assert inside.wait(10)
    with Cache(tmp_path).lock("abc", say):
        assert after.is_set()
    thread.join()
    assert said == ["waiting for another run that packs the same environment"]


def test_only_the_newest_stay_and_those_in_use(tmp_path: Path) -> None:
    """Packs of other processes are removed; packs of a living one, here this process, are not."""
    program = "import sys; from pathlib import Path; import test_pack_cache as t; t.fill(Path(sys.argv[1]))"
    words = [sys.executable, "-c", program, str(tmp_path)]
    subprocess.run(words, check=True, cwd=Path(__file__).parent)
    cache = Cache(tmp_path)
    assert cache.load("old2")
    os.utime(tmp_path / "old2", (1, 1))
    (tmp_path / "killed.partial").mkdir()
    store(cache, "new")
    assert names(tmp_path) == {"new", "old2", "old3", "old4", "old5", "old6"}


def test_workplace_is_removed_on_an_error(tmp_path: Path) -> None:
    cache = Cache(tmp_path)
    with pytest.raises(FileExistsError), cache.workplace("abc") as work:
        work.mkdir()
    assert names(tmp_path) == set()


def test_cache_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(PackError, match="file/cache: Not a directory"):
        Cache(tmp_path / "file/cache")


def test_too_little_room_names_path_and_bytes(tmp_path: Path) -> None:
    with pytest.raises(PackError, match=rf"{tmp_path}: .* MB are free .*\({10**18} bytes\)"):
        require_space(tmp_path, 10**18)
    require_space(tmp_path, 1)
