"""The run folder on a real filesystem."""

from __future__ import annotations

import os
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from fasthep_validate.errors import ConfigError, JudgeError
from fasthep_validate.models.job import JobStatus
from fasthep_validate.store import RunFolder, new_run, read_model, rejudged, write_model, write_text


def test_layout(tmp_path: Path) -> None:
    folder = new_run(tmp_path, "here")
    assert folder.path.parent == tmp_path / "here"
    for path in (folder.jobs, folder.events, folder.evidence, folder.results):
        assert path.is_dir()
    assert {path.name for path in folder.debug.iterdir()} == {"logs", "out", "err", "results"}
    assert folder.log("log", "default-0") == folder.debug / "logs" / "default-0.log"
    assert folder.log("err", "default-0") == folder.debug / "err" / "default-0.err"


def test_many_runs_within_one_second_have_folders_of_their_own(tmp_path: Path) -> None:
    with ThreadPoolExecutor(8) as threads:
        folders = list(threads.map(lambda _: new_run(tmp_path, "here").path, range(16)))
    assert len(set(folders)) == 16
    assert (tmp_path / "here" / "latest").resolve() in folders
    assert {path.name for path in (tmp_path / "here").iterdir()} == {path.name for path in folders} | {
        "latest"
    }


def test_latest_points_at_the_newest(tmp_path: Path) -> None:
    new_run(tmp_path, "here")
    newest = new_run(tmp_path, "here")
    assert (tmp_path / "here" / "latest").readlink().name == newest.path.name


def test_folder_called_latest_is_left_alone(tmp_path: Path) -> None:
    latest = tmp_path / "here" / "latest"
    latest.mkdir(parents=True)
    (latest / "precious").touch()
    folder = new_run(tmp_path, "here")
    assert (latest / "precious").exists()
    assert {path.name for path in latest.parent.iterdir()} == {"latest", folder.path.name}


def test_outdir_that_is_a_file(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(
        ConfigError, match=r"^--outdir: results cannot be written to .*file/here: Not a directory"
    ):
        new_run(tmp_path / "file", "here")


def test_outdir_that_cannot_be_written() -> None:
    with pytest.raises(ConfigError, match="--outdir: results cannot be written to /proc/results"):
        new_run(Path("/proc/results"), "here")


def test_judged_again(tmp_path: Path) -> None:
    folder = new_run(tmp_path, "here")
    assert len({rejudged(folder) for _ in range(3)}) == 3
    assert {path.parent for path in (folder.results / "rejudged").iterdir()} == {folder.results / "rejudged"}


def test_run_that_cannot_be_judged_again(tmp_path: Path) -> None:
    with pytest.raises(JudgeError, match="Copy the run to a folder of yours"):
        rejudged(RunFolder(tmp_path / "nowhere"))


def test_write_text_obeys_mode_and_umask(tmp_path: Path) -> None:
    before = os.umask(0o027)
    try:
        write_text(tmp_path / "open", "text")
        write_text(tmp_path / "private", "text", mode=0o600)
    finally:
        os.umask(before)
    assert (tmp_path / "open").stat().st_mode & 0o777 == 0o640
    assert (tmp_path / "private").stat().st_mode & 0o777 == 0o600


def test_write_text_that_fails_leaves_the_old_text(tmp_path: Path) -> None:
    path = tmp_path / "file"
    write_text(path, "old")
    with pytest.raises(UnicodeEncodeError):
        write_text(path, "new \udcff")
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_reader_never_sees_a_part(tmp_path: Path) -> None:
    path = tmp_path / "file"
    texts = ["a" * 100_000, "b" * 100_000]
    write_text(path, texts[0])
    done = threading.Event()

    def write() -> None:
        for turn in range(50):
            write_text(path, texts[turn % 2])
        done.set()

    writer = threading.Thread(target=write)
    writer.start()
    while not done.is_set():
        assert path.read_text() in texts
    writer.join()


def test_model_there_and_back(tmp_path: Path) -> None:
    status = JobStatus(job_id="1", state="exited", exit_code=0, reason="ä")
    write_model(tmp_path / "status.json", status)
    assert read_model(tmp_path / "status.json", JobStatus) == status


def test_model_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(JudgeError, match="evidence cannot be read: No such file"):
        read_model(tmp_path / "status.json", JobStatus)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('{"job_id": "1", "state": "asleep"}', "state: Input should be"),
        ('{"job_id": "1"}', "state: Field required"),
        ('{"job_id": "1", "sta', "the file: Invalid JSON"),
        ('{"job_id": "1", "state": "running", "mood": "good"}', "mood"),
    ],
)
def test_model_that_is_damaged(tmp_path: Path, text: str, words: str) -> None:
    (tmp_path / "status.json").write_text(text)
    with pytest.raises(JudgeError) as error:
        read_model(tmp_path / "status.json", JobStatus)
    assert words in str(error.value)
    assert "status.json" in str(error.value)
