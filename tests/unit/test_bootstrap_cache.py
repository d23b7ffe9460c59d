"""The job script with archives in parts, and the copy of the environment that jobs of a node share."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from fasthep_validate.worker import node_cache
from tests.job_script import PYTHON, SCRIPT, Job
from tests.unit.test_bootstrap import job, port, programs, wait_for  # noqa: F401 - fixtures

if TYPE_CHECKING:
    from tests.job_script import Ended

USER = os.getuid()


@pytest.fixture
def parts(job: Job) -> Job:  # noqa: F811
    job.archive_in_parts()
    return job


@pytest.fixture
def scratch(parts: Job, tmp_path: Path) -> Path:
    """A scratch directory of the node, with a name that needs care."""
    folder = tmp_path / "node's scratch, größer"
    folder.mkdir()
    folder.chmod(0o1777)
    parts.params.update(node_cache=str(folder), node_cache_limit="20000000000")
    return folder


def own(scratch: Path) -> Path:
    return scratch / f"fasthep-validate-{USER}"


def place(parts: Job, scratch: Path) -> Path:
    return own(scratch) / parts.params["key"]


def again(job: Job, number: int = 2) -> Job:  # noqa: F811
    """Another job of the node."""
    directory = job.directory.with_name(f"{job.directory.name} {number}")
    shutil.copytree(
        job.directory, directory, ignore=shutil.ignore_patterns("env", "events.jsonl", "extractions")
    )
    return Job(directory, job.shell, dict(job.params), dict(job.env))


def told(ended: Ended) -> str:
    """What the end of the extraction says."""
    return next(event.detail for event in ended.events if (event.phase, event.state) == ("extracted", "end"))


def extractions(job: Job) -> list[str]:  # noqa: F811
    file = job.directory / "extractions"
    return [Path(line).name for line in file.read_text().splitlines()] if file.exists() else []


def test_parts_are_extracted_and_relocated(parts: Job) -> None:
    ended = parts.run()
    assert ended.code == 7, ended.err
    root = parts.directory / "env"
    assert (root / "etc/where").read_text() == f"at {root}/etc\n"
    assert (root / "lib/ballast").stat().st_size == 6_000_000
    assert root.stat().st_mode & 0o077 == 0
    assert (root / "lib/ballast").stat().st_mode & 0o077 == 0


@pytest.mark.parametrize("job", ["dash"], indirect=True)
@pytest.mark.parametrize("where", [0.001, 0.5, 0.9999], ids=["head", "chunks", "index"])
def test_a_wrong_byte_anywhere_is_a_transfer_that_went_wrong(parts: Job, where: float) -> None:
    archive = parts.directory / "env.tar.gz"
    data = bytearray(archive.read_bytes())
    data[int(where * len(data))] ^= 1
    archive.write_bytes(data)
    ended = parts.run()
    assert ended.code == 65
    assert (ended.failure().phase, ended.failure().code) == ("transferred", "digest-mismatch")
    assert not (parts.directory / "env").exists()


@pytest.mark.parametrize("job", ["dash"], indirect=True)
def test_a_file_that_cannot_be_relocated_is_named(parts: Job) -> None:
    relocate = parts.directory / "relocate.py"
    relocate.write_text(
        "import sys\ndef main(arguments):\n    sys.stderr.write('relocate: /x: too long\\n')\n    return 1\n"
    )
    ended = parts.run()
    assert ended.code == 67
    assert (ended.failure().code, ended.failure().detail) == ("relocate-failed", "relocate: /x: too long")


def test_the_second_job_of_a_node_extracts_nothing(parts: Job, scratch: Path) -> None:
    first, second = again(parts, 1), again(parts, 2)
    ended = first.run()
    assert ended.code == 7, ended.err
    root = place(parts, scratch)
    assert told(ended) == f"{root}: extracted once for all jobs of the node"
    assert (root / "etc/where").read_text() == f"at {root}/etc\n"
    assert own(scratch).stat().st_mode & 0o777 == 0o700
    os.utime(root / node_cache.WHOLE, (0, 0))
    ended = second.run()
    assert ended.code == 7
    assert told(ended) == f"{root}: found on the node"
    assert (extractions(first), extractions(second)) == (["extract.py"], [])
    assert not (second.directory / "env").exists()
    assert (root / node_cache.WHOLE).stat().st_mtime > 0  # used: not among the oldest any more
    assert f"FASTHEP_VALIDATE_ROOT={root}\n" in (second.directory / "worker.env").read_text()
    assert sorted(path.name for path in own(scratch).iterdir()) == [root.name, f"{root.name}.lock"]


@pytest.mark.parametrize("job", ["dash"], indirect=True)
@pytest.mark.parametrize("lock", ["flock", "directory"])
def test_eight_jobs_at_once_extract_once(parts: Job, scratch: Path, lock: str) -> None:
    programs(
        parts, *(["flock"] if lock == "flock" else []), "head", "id", "stat", "mv", "touch", "uname", "bash"
    )
    jobs = [again(parts, number) for number in range(8)]
    started = [(one, one.start()) for one in jobs]
    ended = [one.end(process) for one, process in started]
    assert [end.code for end in ended] == [7] * 8, [end.err for end in ended]
    assert [name for one in jobs for name in extractions(one)].count("extract.py") == 1
    assert not list(own(scratch).glob("*.partial.*"))
    assert not list(own(scratch).glob("*.lock.d"))


def test_a_job_killed_while_it_extracts_leaves_nothing_that_is_taken_for_whole(
    parts: Job, scratch: Path
) -> None:
    first, second = again(parts, 1), again(parts, 2)
    slow = PYTHON.replace('echo "$3" >>extractions;', "echo $$ >python.pid; exec sleep 60;")
    first.archive_in_parts(slow)
    first.params["key"] = parts.params["key"]
    process = first.start()
    pid = wait_for(first.directory / "python.pid")
    assert list(own(scratch).glob("*.partial.*"))
    process.kill()
    os.kill(int(pid), signal.SIGKILL)
    process.communicate(timeout=60)
    ended = second.run()
    assert ended.code == 7
    assert told(ended).endswith("extracted once for all jobs of the node")
    assert extractions(second) == ["extract.py", "node_cache.py"]


@pytest.mark.parametrize("job", ["dash"], indirect=True)
def test_a_job_ended_while_it_extracts_removes_what_it_wrote(parts: Job, scratch: Path) -> None:
    parts.archive_in_parts(PYTHON.replace('echo "$3" >>extractions;', "echo $$ >python.pid; exec sleep 60;"))
    process = parts.start()
    wait_for(parts.directory / "python.pid")
    process.terminate()
    assert parts.end(process).code == 143
    assert [path.name for path in own(scratch).iterdir()] == [f"{parts.params['key']}.lock"]


@pytest.mark.parametrize("job", ["dash"], indirect=True)
def test_what_was_extracted_before_the_node_started_anew_is_extracted_again(
    parts: Job, scratch: Path
) -> None:
    first, second = again(parts, 1), again(parts, 2)
    first.run()
    (place(parts, scratch) / node_cache.WHOLE).write_text("another-boot 6000000\n")
    assert told(second.run()).endswith("extracted once for all jobs of the node")
    assert extractions(second) == ["extract.py"]


def not_mine(scratch: Path) -> None:
    own(scratch).mkdir(mode=0o700)
    os.chown(own(scratch), 12345, 12345)


def open_to_others(scratch: Path) -> None:
    own(scratch).mkdir()
    own(scratch).chmod(0o755)


def a_link(scratch: Path) -> None:
    target = scratch.with_name("target")
    target.mkdir(mode=0o700)
    own(scratch).symlink_to(target)


def writable_without_sticky_bit(scratch: Path) -> None:
    scratch.chmod(0o777)


def of_another_user(scratch: Path) -> None:
    os.chown(scratch, 12345, 12345)


@pytest.mark.parametrize("job", ["dash"], indirect=True)
@pytest.mark.parametrize(
    ("make", "words"),
    [
        (Path.rmdir, "is not there"),
        (a_link, "is a link"),
        (open_to_others, "with mode 755"),
        (writable_without_sticky_bit, "others can rename"),
        pytest.param(
            not_mine, "belongs to user 12345", marks=pytest.mark.skipif(USER != 0, reason="needs root")
        ),
        pytest.param(
            of_another_user, "belongs to user 12345", marks=pytest.mark.skipif(USER != 0, reason="needs root")
        ),
    ],
)
def test_a_directory_that_cannot_be_trusted_is_not_used(parts: Job, scratch: Path, make, words: str) -> None:  # type: ignore[no-untyped-def]
    make(scratch)
    ended = parts.run()
    assert ended.code == 7, ended.err
    assert "the cache of the node was not used" in told(ended)
    assert words in told(ended)
    assert (parts.directory / "env/bin/python").exists()
    assert not place(parts, scratch).exists()


@pytest.mark.parametrize("job", ["dash"], indirect=True)
@pytest.mark.skipif(USER != 0, reason="mounting a file system needs root")
@pytest.mark.parametrize(
    ("options", "words"),
    [("size=100m,noexec", "programs cannot be executed"), ("size=1m", "KiB"), ("size=100m,ro", "")],
    ids=["noexec", "tiny", "read-only"],
)
def test_scratch_that_is_of_no_use_is_told_and_the_job_s_directory_serves(
    parts: Job, scratch: Path, options: str, words: str
) -> None:
    parts.end(parts.start())  # writes job.params
    shutil.rmtree(own(scratch))
    shutil.rmtree(parts.directory / "env", ignore_errors=True)
    (parts.directory / "events.jsonl").unlink()
    mount = 'mount -t tmpfs -o "mode=1777,$1" tmpfs "$2" && shift 2 && exec "$@"'
    command = ["unshare", "-m", "sh", "-c", mount, "sh", options, str(scratch)]
    command += [*parts.shell, str(SCRIPT), f"{parts.directory}/job.params"]
    done = subprocess.run(command, env=parts.env, capture_output=True, text=True, timeout=60, check=False)
    if "mount:" in done.stderr or "unshare:" in done.stderr:
        pytest.skip(f"no mount possible: {done.stderr}")
    events = [json.loads(line[10:]) for line in done.stderr.splitlines() if line.startswith("FHV-EVENT ")]
    end = next(event for event in events if (event["phase"], event["state"]) == ("extracted", "end"))
    assert done.returncode == 7
    assert "the cache of the node was not used" in end["detail"]
    assert words in end["detail"]


def entry(cache: Path, name: str, *, size: int, age: float) -> Path:
    folder = cache / name
    (folder / ".fasthep").mkdir(parents=True)
    (folder / node_cache.WHOLE).write_text(f"boot {size}\n")
    when = time.time() - age
    os.utime(folder / node_cache.WHOLE, (when, when))
    return folder


def test_the_oldest_go_and_none_that_is_in_use_or_new(tmp_path: Path) -> None:
    day = 86400.0
    names = {
        "used": entry(tmp_path, "used", size=10, age=9 * day),
        "oldest": entry(tmp_path, "oldest", size=10, age=8 * day),
        "old": entry(tmp_path, "old", size=10, age=7 * day),
        "recent": entry(tmp_path, "recent", size=10, age=10),
        "own": entry(tmp_path, "own", size=10, age=0),
    }
    left = tmp_path / "x.partial.node.1"
    left.mkdir()
    os.utime(left, (0, 0))
    (tmp_path / "y.partial.node.2").mkdir()  # of a job that runs
    (tmp_path / "own.lock.d").mkdir()
    hold = "import fcntl, sys, time; f = open(sys.argv[1]); fcntl.flock(f, fcntl.LOCK_SH); print('.', flush=True); time.sleep(60)"
    worker = subprocess.Popen(
        ["python3", "-c", hold, names["used"] / node_cache.WHOLE], stdout=subprocess.PIPE
    )
    assert worker.stdout
    worker.stdout.read(1)
    try:
        assert node_cache.trim(tmp_path, 40, "own") == ["x.partial.node.1", "oldest"]
        assert node_cache.trim(tmp_path, 1, "own") == ["old"]
    finally:
        worker.kill()
        worker.communicate()
    assert {path.name for path in tmp_path.iterdir()} == {
        "used",
        "recent",
        "own",
        "y.partial.node.2",
        "own.lock.d",
    }
    assert node_cache.trim(tmp_path, 1, "own") == ["used"]


def test_the_program_tells_what_it_removed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    entry(tmp_path, "old", size=10, age=86400)
    assert node_cache.main([str(tmp_path), "5", "own"]) == 0
    assert capsys.readouterr().err == "removed old\n"
    assert node_cache.main([str(tmp_path / "none"), "5", "own"]) == 1
    assert node_cache.main([]) == 2
