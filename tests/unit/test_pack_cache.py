"""The cache of packs."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from fasthep_validate.errors import PackError
from fasthep_validate.models.packed import Archive, PackedEnv, PackManifest
from fasthep_validate.pack import bounded
from fasthep_validate.pack.cache import KEPT, Cache, Damaged, require_space
from fasthep_validate.pack.prefixes import FOLDER, kept_prefix

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


# ---- runs that are killed --------------------------------------------------------------------------


def half_a_pack(folder: Path) -> None:
    with Cache(folder).lock("abc", print), Cache(folder).workplace("abc") as work:
        (work / "env.tar.gz").write_bytes(CONTENT[:3])
        wait_to_be_killed()


def half_a_prefix(folder: Path) -> None:
    def make(work: Path, final: Path) -> None:
        del final
        work.mkdir()
        (work / "half").touch()
        wait_to_be_killed()

    kept_prefix(folder, "abc", make)


def wait_to_be_killed() -> None:
    print("here", flush=True)
    time.sleep(60)


def kill_in_the_middle(function: str, folder: Path) -> None:
    program = (
        f"import sys; from pathlib import Path; import test_pack_cache as t; t.{function}(Path(sys.argv[1]))"
    )
    words = [sys.executable, "-c", program, str(folder)]
    with subprocess.Popen(words, cwd=Path(__file__).parent, stdout=subprocess.PIPE) as process:
        assert process.stdout
        assert process.stdout.readline() == b"here\n"
        process.kill()


def test_a_run_killed_while_it_packs_leaves_nothing_that_is_taken_for_a_pack(tmp_path: Path) -> None:
    kill_in_the_middle("half_a_pack", tmp_path)
    cache = Cache(tmp_path)
    with cache.lock("abc", pytest.fail):  # the lock has gone with the process
        assert cache.load("abc") is None
        store(cache, "abc")
    assert names(tmp_path) == {"abc"}


@pytest.mark.parametrize("next_key", ["abc", "other"])
def test_a_run_killed_while_it_installs_leaves_nothing_that_is_taken_for_a_prefix(
    tmp_path: Path, next_key: str
) -> None:
    kill_in_the_middle("half_a_prefix", tmp_path)

    def make(work: Path, final: Path) -> None:
        del final
        work.mkdir()
        (work / "whole").touch()

    prefix = kept_prefix(tmp_path, next_key, make)
    assert [file.name for file in prefix.iterdir()] == ["whole"]
    folders = {path.name for path in (tmp_path / FOLDER).iterdir() if path.is_dir()}
    assert folders == {next_key}


# ---- what others made ------------------------------------------------------------------------------


def test_what_was_used_longest_ago_goes_first_and_nothing_that_was_used_within_the_hour(
    tmp_path: Path,
) -> None:
    for age, name in enumerate(("new", "older", "oldest", "used")):
        item = tmp_path / name
        item.mkdir()
        (item / "file").write_bytes(bytes(1000))
        os.utime(item, (time.time() - age * 4000,) * 2)
    bounded.trim(tmp_path, 3000 + 4 * 4096, tmp_path / "used")
    assert names(tmp_path) == {"new", "older", "oldest", "used"}
    bounded.trim(tmp_path, 3000, tmp_path / "used")
    assert names(tmp_path) == {"new", "older", "used"}
    bounded.trim(tmp_path, 0, tmp_path / "used")
    assert names(tmp_path) == {"new", "used"}
