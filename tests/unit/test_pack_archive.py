"""The archive writer and the search for old paths."""

from __future__ import annotations

import gzip
import hashlib
import os
import shutil
import subprocess
import tarfile
from typing import TYPE_CHECKING

import pytest

from fasthep_validate.errors import PackError
from fasthep_validate.models.packed import Relocation
from fasthep_validate.pack.archive import BLOCK, Archive
from fasthep_validate.pack.search import Search
from fasthep_validate.pack.tree import Entry

if TYPE_CHECKING:
    from pathlib import Path

BIG = os.urandom(BLOCK) * 3 + b"tail"
LONG = "d" * 120 + "/" + "f" * 130


@pytest.fixture
def entries(tmp_path: Path) -> list[Entry]:
    (tmp_path / "big").write_bytes(BIG)
    (tmp_path / "empty").touch()
    return [
        Entry("bin/big", str(tmp_path / "big"), 0, 1_600_000_000_123_456_789, executable=True),
        Entry("bin/link", "", 0, 0, link="big"),
        Entry("lib/größe", str(tmp_path / "empty"), 0, 0),
        Entry(LONG, str(tmp_path / "empty"), 0, 0),
    ]


def write(path: Path, entries: list[Entry]) -> Archive:
    with Archive(path) as archive:
        for entry in entries:
            for _ in archive.add(entry):
                pass
    return archive


def test_digest_size_and_bytes_are_the_same_each_time(tmp_path: Path, entries: list[Entry]) -> None:
    first, second = write(tmp_path / "1.tgz", entries), write(tmp_path / "2.tgz", entries)
    data = first.path.read_bytes()
    assert data == second.path.read_bytes()
    assert (first.size, first.sha256) == (len(data), hashlib.sha256(data).hexdigest())


@pytest.mark.parametrize("tar", [["tar"], ["busybox", "tar"]], ids=["gnu", "busybox"])
def test_any_tar_opens_it(tmp_path: Path, entries: list[Entry], tar: list[str]) -> None:
    if not shutil.which(tar[0]):
        pytest.skip(f"no {tar[0]} here")
    archive = write(tmp_path / "env.tgz", entries)
    out = tmp_path / "out"
    out.mkdir()
    subprocess.run([*tar, "-xzf", archive.path, "-C", out], check=True)
    big = out / "bin/big"
    assert big.read_bytes() == BIG
    assert (big.stat().st_mode & 0o777, big.stat().st_mtime) == (0o755, 1_600_000_000)
    assert str((out / "bin/link").readlink()) == "big"
    assert (out / "lib/größe").stat().st_size == 0
    assert (out / LONG).is_file()


def test_members_belong_to_nobody_in_particular(tmp_path: Path, entries: list[Entry]) -> None:
    archive = write(tmp_path / "env.tgz", entries)
    with tarfile.open(fileobj=gzip.open(archive.path)) as tar:
        assert {(m.uid, m.gid, m.uname, m.gname) for m in tar} == {(0, 0, "", "")}
        assert tar.getnames()[:3] == ["bin", "bin/big", "bin/link"]


def test_nothing_is_left_of_an_archive_that_failed(tmp_path: Path, entries: list[Entry]) -> None:
    gone = Entry("gone", str(tmp_path / "gone"), 0, 0)
    with pytest.raises(PackError, match="gone: No such file"):
        write(tmp_path / "env.tgz", [*entries, gone])
    assert not (tmp_path / "env.tgz").exists()


@pytest.mark.parametrize(
    ("blocks", "found"),
    [
        ([b"home = /opt/env/bin"], True),
        ([b" " * 50 + b"/opt/", b"env/bin"], True),
        ([b"/opt/environment"], False),
        ([b"/opt/env/", b"\0"], False),
        ([b"\x7fELF /opt/env/"], False),
        ([], False),
    ],
)
def test_search(blocks: list[bytes], found: bool) -> None:
    assert Search([Relocation(old="/opt/env", new="")]).in_text(iter(blocks)) is found
