"""The archive: its writer, what opens it, and the search for old paths."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fasthep_validate.errors import PackError
from fasthep_validate.models.packed import Archive, Relocation
from fasthep_validate.pack import archive as archive_module
from fasthep_validate.pack import tar
from fasthep_validate.pack.archive import CHUNK, Writer
from fasthep_validate.pack.search import Search
from fasthep_validate.pack.tree import Entry
from fasthep_validate.worker import extract

if TYPE_CHECKING:
    from fasthep_validate.models.packed import ArchiveFormat

BIG = os.urandom(1 << 20) * 9 + b"tail"  # in three chunks
LONG = "d" * 120 + "/" + "f" * 130
SEARCH = Search([Relocation(old="/opt/env", new="")])
FORMATS: list[ArchiveFormat] = ["tar.gz", "tar.zst"]


@pytest.fixture
def entries(tmp_path: Path) -> list[Entry]:
    (tmp_path / "big").write_bytes(BIG)
    (tmp_path / "empty").touch()
    (tmp_path / "text").write_text("home = /opt/env/bin\n")
    return [
        Entry("bin/big", str(tmp_path / "big"), len(BIG), 1_600_000_000_123_456_789, executable=True),
        Entry("bin/link", "", 0, 0, link="big"),
        Entry("lib/größe", str(tmp_path / "empty"), 0, 0),
        Entry("lib/new/directory/text", str(tmp_path / "text"), 20, 0),
        Entry(LONG, str(tmp_path / "empty"), 0, 0),
    ]


def write(path: Path, entries: list[Entry], format: ArchiveFormat = "tar.zst", *, head: int = 0) -> Archive:
    with Writer(path, format, SEARCH) as writer:
        if head:
            writer.add_head(entries[:head])
        writer.add(entries[head:])
        return writer.finish(zstd=libzstd() if format == "tar.zst" else "")


def libzstd() -> str:
    found = sorted(Path("/usr/lib").glob("*/libzstd.so.1")) + sorted(Path("/usr/lib64").glob("libzstd.so.1"))
    if not found:
        pytest.skip("no libzstd on this machine")
    return str(found[0])


def unpack(archive: Archive, root: Path, processes: int = 2) -> int:
    """Everything with the extractor, also what is in the head."""
    root.mkdir()
    with Path(archive.path).open("rb") as stream:
        assert archive.parts
        stream.seek(-archive.parts.index_size, os.SEEK_END)
        index = extract.parse_index(stream.read(), archive.parts.index_sha256)
        here = Path.cwd()
        os.chdir(root)
        try:
            extract.make_directories(index.directories)
            code = extract.extract_chunks(stream.fileno(), index._replace(head=0), processes)
            extract.make_links(index.links)
        finally:
            os.chdir(here)
    return code


@pytest.mark.parametrize("format", FORMATS)
def test_digests_sizes_and_bytes_are_the_same_each_time(
    tmp_path: Path, entries: list[Entry], format: ArchiveFormat
) -> None:
    first, second = (write(tmp_path / name, entries, format, head=2) for name in "12")
    data = Path(first.path).read_bytes()
    assert data == Path(second.path).read_bytes()
    assert (first.size, first.sha256) == (len(data), hashlib.sha256(data).hexdigest())
    parts = first.parts
    assert parts
    assert hashlib.sha256(data[: parts.head_size]).hexdigest() == parts.head_sha256
    assert hashlib.sha256(data[-parts.index_size :]).hexdigest() == parts.index_sha256


@pytest.mark.parametrize("program", [["tar"], ["busybox", "tar"]], ids=["gnu", "busybox"])
def test_any_tar_opens_it_where_all_is_gzip(tmp_path: Path, entries: list[Entry], program: list[str]) -> None:
    if not shutil.which(program[0]):
        pytest.skip(f"no {program[0]} here")
    archive = write(tmp_path / "env.tgz", entries, "tar.gz", head=2)
    out = tmp_path / "out"
    out.mkdir()
    subprocess.run([*program, "-xzf", archive.path, "-C", out], check=True)
    same(out)


@pytest.mark.parametrize("program", [["tar"], ["busybox", "tar"]], ids=["gnu", "busybox"])
def test_any_tar_opens_the_head_and_is_silent_about_its_end(
    tmp_path: Path, entries: list[Entry], program: list[str]
) -> None:
    if not shutil.which(program[0]):
        pytest.skip(f"no {program[0]} here")
    archive = write(tmp_path / "env.tgz", entries, "tar.zst", head=4)
    out = tmp_path / "out"
    out.mkdir()
    assert archive.parts
    head = Path(archive.path).read_bytes()[: archive.parts.head_size]
    done = subprocess.run([*program, "-xzf", "-", "-C", out], input=head, check=True, capture_output=True)
    assert done.stderr == b""
    assert (out / "bin/big").read_bytes() == BIG
    assert not (out / LONG).exists()


@pytest.mark.skipif(not shutil.which("zstd"), reason="no zstd here")
def test_tar_and_zstd_open_what_is_behind_the_head(tmp_path: Path, entries: list[Entry]) -> None:
    archive = write(tmp_path / "env", entries, head=1)
    assert archive.parts
    data = Path(archive.path).read_bytes()[archive.parts.head_size : -archive.parts.index_size]
    out = tmp_path / "out"
    out.mkdir()
    stream = subprocess.run(["zstd", "-dc"], input=data, check=True, capture_output=True).stdout
    subprocess.run(["tar", "-xf", "-", "-C", out], input=stream, check=True)
    assert (out / "lib/new/directory/text").read_text() == "home = /opt/env/bin\n"


@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.parametrize("processes", [1, 3])
def test_the_extractor_gives_back_what_went_in(
    tmp_path: Path, entries: list[Entry], format: ArchiveFormat, processes: int
) -> None:
    assert unpack(write(tmp_path / "env", entries, format, head=1), tmp_path / "out", processes) == 0
    same(tmp_path / "out")
    assert (tmp_path / "out/bin/link").read_bytes() == BIG


def same(out: Path) -> None:
    big = out / "bin/big"
    assert big.read_bytes() == BIG
    assert big.stat().st_mode & 0o777 == 0o755
    assert (out / "lib/größe").stat().st_mode & 0o777 == 0o644
    assert str((out / "bin/link").readlink()) == "big"
    assert (out / "lib/größe").stat().st_size == 0
    assert (out / "lib/new/directory/text").read_text() == "home = /opt/env/bin\n"
    assert (out / LONG).is_file()


def test_members_belong_to_nobody_in_particular(tmp_path: Path, entries: list[Entry]) -> None:
    archive = write(tmp_path / "env.tgz", entries, "tar.gz", head=1)
    with tarfile.open(archive.path, "r:gz") as members:
        assert {(m.uid, m.gid, m.uname, m.gname) for m in members} == {(0, 0, "", "")}
        names = members.getnames()
    assert names[:2] == ["bin", "bin/big"]
    assert names[-1] == extract.INDEX
    assert all(name.rpartition("/")[0] in {"", *names[:at]} for at, name in enumerate(names[:-1]))


@pytest.mark.parametrize("where", [0.3, 0.6, 0.999])
def test_one_wrong_byte_is_found_and_nothing_of_its_chunk_is_written(
    tmp_path: Path, entries: list[Entry], where: float, capfd: pytest.CaptureFixture[str]
) -> None:
    archive = write(tmp_path / "env", entries, head=1)
    data = bytearray(Path(archive.path).read_bytes())
    data[int(where * len(data))] ^= 1
    Path(archive.path).write_bytes(data)
    try:
        assert unpack(archive, tmp_path / "out") == extract.DAMAGED
        assert "the archive is damaged between bytes" in capfd.readouterr().err
    except extract.DamagedError as error:
        assert "index" in str(error)  # noqa: PT017


def test_text_with_an_old_path_is_told_and_what_is_stale_stays_behind(
    tmp_path: Path, entries: list[Entry]
) -> None:
    with Writer(tmp_path / "env", "tar.gz", SEARCH) as writer:
        writer.add_head(entries)
        assert writer.text == ["lib/new/directory/text"]
        archive = writer.finish(stale=[LONG])
    assert unpack(archive, tmp_path / "out") == 0
    assert not (tmp_path / "out" / LONG).exists()


def test_nothing_is_left_of_an_archive_that_failed(tmp_path: Path, entries: list[Entry]) -> None:
    gone = Entry("gone", str(tmp_path / "gone"), 1, 0)
    with pytest.raises(PackError, match="gone: No such file"):
        write(tmp_path / "env.tgz", [*entries, gone])
    assert not (tmp_path / "env.tgz").exists()


def test_a_file_that_became_shorter_is_named(tmp_path: Path, entries: list[Entry]) -> None:
    short = Entry("short", str(tmp_path / "text"), 21, 0)
    with pytest.raises(PackError, match="text: became shorter while it was packed"):
        write(tmp_path / "env.tgz", [*entries, short])


def test_a_file_that_grew_is_named_and_a_compiled_module_is_left_out(
    tmp_path: Path, entries: list[Entry]
) -> None:
    grown = Entry("grown", str(tmp_path / "text"), 19, 0)
    with pytest.raises(PackError, match="text: became longer while it was packed"):
        write(tmp_path / "env.tgz", [*entries, grown])
    with Writer(tmp_path / "env", "tar.gz", SEARCH) as writer:
        writer.add_head([*entries, Entry("x.pyc", str(tmp_path / "text"), 19, 0)])
        assert writer.changed == ["x.pyc"]
        archive = writer.finish(stale=writer.changed)
    assert unpack(archive, tmp_path / "out") == 0
    assert not (tmp_path / "out/x.pyc").exists()
    with tarfile.open(archive.path, "r:gz") as members:  # the head is extracted by tar, which knows no index
        assert "x.pyc" not in members.getnames()


def test_a_full_disk_stops_the_extractor_with_the_name_of_the_file(
    tmp_path: Path, entries: list[Entry], monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    archive = write(tmp_path / "env", entries, "tar.gz", head=1)

    def full(*_: object) -> int:
        raise OSError(28, "No space left on device", "bin/big")

    monkeypatch.setattr(os, "pwrite", full)  # a disk cannot be filled at a given moment
    assert unpack(archive, tmp_path / "out") == 1
    assert "No space left on device: 'bin/big'" in capfd.readouterr().err


names = st.text(st.characters(exclude_characters="/\0", exclude_categories=["Cs"]), min_size=1, max_size=40)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.lists(names.filter(lambda name: name not in {".", ".."}), min_size=1, max_size=9),
            st.binary(max_size=9000),
            st.booleans(),
        ),
        max_size=12,
    ),
    st.integers(0, 12),
)
def test_any_tree_comes_back(
    tmp_path_factory: pytest.TempPathFactory,
    files: list[tuple[list[str], bytes, bool]],
    head: int,
) -> None:
    folder = tmp_path_factory.mktemp("tree")
    found: dict[str, Entry] = {}
    data: dict[str, bytes] = {}
    for number, (path, content, executable) in enumerate(files):
        name = "/".join([f"{number}", *path])
        if any(len(part.encode()) > 120 for part in path):
            continue
        (folder / f"{number}").write_bytes(content)
        found[name] = Entry(name, str(folder / f"{number}"), len(content), number, executable)
        data[name] = content
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(archive_module, "CHUNK", 4096)  # many chunks, files across their borders
        archive = write(folder / "archive", [*found.values()], "tar.gz", head=head or 1)
    if not found:
        return
    assert unpack(archive, folder / "out") == 0
    for name, content in data.items():
        assert (folder / "out" / name).read_bytes() == content
        assert bool((folder / "out" / name).stat().st_mode & 0o100) == found[name].executable
    with tarfile.open(archive.path, "r:gz") as members:
        assert {*data} <= {*members.getnames()}


@pytest.mark.parametrize("entry", [
    Entry("a", "", 0, 0),
    Entry("lib/a file", "", 12345, 1_600_000_000 * 10**9, executable=True),
    Entry("x" * 100, "", 8**11 - 1, 10**18),
    Entry("x" * 101, "", 1, 1),
    Entry("huge", "", 8**11, 1),
    Entry("größe", "", 1, 1),
    Entry("link", "", 0, 5, link="target" * 30),
    Entry("old", "", 1, -5 * 10**9),
])  # fmt: skip
def test_headers_are_those_of_tarfile(entry: Entry) -> None:
    info = tarfile.TarInfo(entry.name)
    info.size, info.mtime = entry.size, max(entry.mtime_ns, 0) // 10**9
    info.mode = 0o777 if entry.link else 0o755 if entry.executable else 0o644
    if entry.link:
        info.type, info.linkname = tarfile.SYMTYPE, entry.link
    assert tar.header(entry) == info.tobuf(tarfile.GNU_FORMAT, "utf-8", "surrogateescape")


def test_the_extractor_takes_no_more_than_the_job_may_use() -> None:
    cores = len(os.sched_getaffinity(0))
    assert extract.processes(1) == min(cores, 2)
    assert extract.processes(64) == min(cores, 8)


def test_a_chunk_is_a_part_of_what_one_core_can_take(tmp_path: Path, entries: list[Entry]) -> None:
    archive = write(tmp_path / "env", entries, "tar.gz", head=5)
    assert archive.parts
    index = extract.parse_index(
        Path(archive.path).read_bytes()[-archive.parts.index_size :], archive.parts.index_sha256
    )
    assert len(index.chunks) == 3
    assert all(chunk.raw <= CHUNK + 1024 * (len(chunk.pieces) + 4) for chunk in index.chunks)


@pytest.fixture
def arguments(tmp_path: Path) -> list[str]:
    return [
        sys.executable,
        "-I",
        "-S",
        extract.__file__,
        str(tmp_path / "none"),
        str(tmp_path),
        str(tmp_path),
    ]


def test_the_program_says_what_is_wrong_in_one_line(arguments: list[str]) -> None:
    done = subprocess.run([*arguments, "1", "0", "1"], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr.count("\n")) == (1, 1)
    assert "No such file" in done.stderr
    done = subprocess.run(arguments, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr[:5]) == (2, "usage")


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
    assert SEARCH.in_text(iter(blocks)) is found
