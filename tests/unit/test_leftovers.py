"""What is noted of runs, and what is done about those whose command was killed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from fasthep_validate import leftovers, living, records
from fasthep_validate.models.record import Head, Left, Process
from fasthep_validate.records import Record
from fasthep_validate.store import new_run, write_text

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fasthep_validate.store import RunFolder


@pytest.fixture(autouse=True)
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    return tmp_path / "state" / "fasthep-validate"


@pytest.fixture
def folder(tmp_path: Path) -> RunFolder:
    return new_run(tmp_path / "out", "here")


@contextmanager
def sleeper(cwd: Path) -> Iterator[subprocess.Popen[bytes]]:
    with subprocess.Popen(["sleep", "60"], cwd=cwd, start_new_session=True) as child:
        yield child
        child.kill()


def dead_process() -> Process:
    with subprocess.Popen(["sleep", "0.2"]) as child:
        return living.process(child.pid)


def dead(folder: RunFolder, *left: Left, strategy: str = "local", command: Process | None = None) -> Path:
    """The record of a run whose command is gone."""
    head = Head(
        run=str(folder.path), site="here", strategy=strategy, command=command or dead_process(), begun="x"
    )
    path = records.state_folder() / "runs" / f"{folder.path.name}.jsonl"
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = [head.model_dump_json(), *(item.model_dump_json() for item in left)]
    write_text(path, "\n".join(lines) + "\n")
    return path


def cleaned() -> list[str]:
    said: list[str] = []
    leftovers.clean(said.append)
    return said


def test_process_is_not_taken_for_a_later_one() -> None:
    known = living.process(os.getpid())
    assert living.here(known)
    assert living.alive(known)
    assert not living.alive(known.model_copy(update={"started": known.started - 1}))
    assert not living.alive(known.model_copy(update={"boot": "another"}))
    assert living.here(known.model_copy(update={"boot": "another"})), "the machine was started again"
    assert not living.here(known.model_copy(update={"host": "another"}))
    assert not living.here(known.model_copy(update={"space": 1})), "a container has ids of its own"
    assert not living.alive(dead_process())


def test_zombie_is_dead() -> None:
    with subprocess.Popen(["true"]) as child:
        known = living.process(child.pid)
        while living.alive(known):
            time.sleep(0.01)
        assert Path(f"/proc/{child.pid}").exists()


def test_record_is_private_and_goes_with_the_run(folder: RunFolder, state: Path) -> None:
    record = Record.begin(folder, site="here", strategy="slurm")
    assert record.path
    assert record.path.stat().st_mode & 0o077 == 0
    assert record.path.parent.stat().st_mode & 0o077 == 0
    record.folder(Path("/tmp/fasthep-validate-x"))
    record.helper(os.getpid())
    record.helper(2**22 + 1)  # there is no such process
    record.submitting("default-0", ("--clusters=a",))
    record.job("default-0", "12", ("--clusters=a",))
    (known,) = records.known()
    assert known.alive
    assert known.run == folder.path
    assert known.folders == (Path("/tmp/fasthep-validate-x"),)
    assert known.jobs == {"12": Left(worker="default-0", job="12", address=("--clusters=a",))}
    assert [helper.pid for helper in known.helpers] == [os.getpid()]
    assert records.of_run(folder.path.parent / "latest") == known
    record.end()
    assert list(records.known()) == []
    assert records.newest() == folder.path


def test_line_that_was_never_finished_is_left_out(folder: RunFolder) -> None:
    path = dead(folder, Left(worker="default-0", job="1"))
    with path.open("a") as stream:
        stream.write('{"worker": "default-1", "jo')
    (known,) = records.known()
    assert list(known.jobs) == ["1"]
    path.write_text("not a record")
    assert list(records.known()) == []


def test_run_without_a_place_for_its_record_goes_on(folder: RunFolder, state: Path) -> None:
    state.parent.mkdir()
    state.write_text("a file where a folder should be")
    record = Record.begin(folder, site="here", strategy="local")
    assert str(state) in record.problem
    record.folder(Path("/tmp/x"))
    record.end()
    assert records.newest() is None


def test_dead_run_is_cleaned_up(folder: RunFolder, tmp_path: Path) -> None:
    private = tmp_path / "fasthep-validate-abc"
    work = private / "jobs" / "default-0"
    work.mkdir(parents=True)
    (folder.path / "connection.json").write_text("{}")
    with sleeper(work) as job, sleeper(tmp_path) as hub, sleeper(tmp_path) as other:
        path = dead(folder, Left(folder=str(private)), Left(helper=living.process(hub.pid)))
        (said,) = cleaned()
        assert f"process {hub.pid}, job {job.pid} (running), {private}: removed" in said
        assert job.wait(5) < 0
        assert hub.wait(5) < 0
        assert other.poll() is None
    assert not private.exists()
    assert not path.exists()
    assert not (folder.path / "connection.json").exists()
    assert cleaned() == []


def test_living_run_is_left_alone(folder: RunFolder, tmp_path: Path) -> None:
    private = tmp_path / "fasthep-validate-abc"
    private.mkdir()
    record = Record.begin(folder, site="here", strategy="local")
    record.folder(private)
    assert cleaned() == []
    assert private.exists()
    assert record.path
    assert record.path.exists()


@pytest.mark.parametrize("change", [{"host": "another"}, {"space": 1}])
def test_run_of_another_machine_is_left_alone(
    folder: RunFolder, tmp_path: Path, change: dict[str, object]
) -> None:
    private = tmp_path / "fasthep-validate-abc"
    private.mkdir()
    path = dead(folder, Left(folder=str(private)), command=dead_process().model_copy(update=change))
    assert cleaned() == []
    assert private.exists()
    assert path.exists()


def test_only_private_folders_of_ours_are_removed(folder: RunFolder, tmp_path: Path) -> None:
    precious = tmp_path / "precious"
    precious.mkdir()
    link = tmp_path / "fasthep-validate-link"
    link.symlink_to(precious)
    dead(folder, Left(folder=str(precious)), Left(folder=str(link)))
    cleaned()
    assert precious.exists()


@pytest.fixture
def tools(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Batch systems that list what is in ``<name>.txt`` and note what they are told in ``told``."""
    for name in ("condor_q", "condor_rm", "squeue", "scancel"):
        (tmp_path / f"{name}.txt").touch()
        program = tmp_path / name
        program.write_text(f'#!/bin/sh\necho "{name} $*" >>{tmp_path}/told\ncat {tmp_path}/{name}.txt\n')
        program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    return tmp_path


def test_jobs_of_htcondor_are_removed_also_the_one_whose_id_nobody_noted(
    folder: RunFolder, tools: Path
) -> None:
    log = str(folder.log("log", "default-1"))
    ads = [
        {"ClusterId": 7, "ProcId": 0, "JobStatus": 2, "UserLog": "/spool/log"},
        {"ClusterId": 8, "ProcId": 0, "JobStatus": 1, "UserLog": log},
        {"ClusterId": 9, "ProcId": 0, "JobStatus": 1, "UserLog": "/home/alice/other/log"},
        {"ClusterId": 10, "ProcId": 0, "JobStatus": 3, "UserLog": log},
    ]
    (tools / "condor_q.txt").write_text(json.dumps(ads))
    address = ("-name", "bigbird")
    left = [Left(worker="default-0", job="7.0", address=address), Left(worker="default-1", address=address)]
    dead(folder, *left, strategy="htcondor")
    (said,) = cleaned()
    assert "left job 7.0 (running), job 8.0 (idle): removed" in said
    told = (tools / "told").read_text().splitlines()
    assert [line for line in told if "condor_rm" in line] == [
        "condor_rm -name bigbird 7.0",
        "condor_rm -name bigbird 8.0",
    ]


def test_jobs_of_slurm_are_removed(folder: RunFolder, tools: Path) -> None:
    (tools / "squeue.txt").write_text("11|PENDING\n12|RUNNING\n13|RUNNING\n")
    dead(folder, *(Left(worker=f"w-{job}", job=job) for job in ("11", "12", "99")), strategy="slurm")
    (said,) = cleaned()
    assert "left job 11 (pending), job 12 (running): removed" in said
    assert "scancel 11\nscancel 12\n" in (tools / "told").read_text()


def test_batch_system_that_does_not_answer_is_asked_again_next_time(folder: RunFolder, tools: Path) -> None:
    (tools / "squeue").write_text("#!/bin/sh\necho 'no controller' >&2\nexit 1\n")
    path = dead(folder, Left(worker="w-0", job="11"), strategy="slurm")
    assert cleaned() == [
        f"the run {folder.path}, whose command was killed, may have left jobs 11: squeue: no controller"
    ]
    assert path.exists()


def test_two_starts_at_once_do_not_clean_at_once(folder: RunFolder, tmp_path: Path) -> None:
    path = dead(folder)
    text = "import sys; from filelock import FileLock\nwith FileLock(sys.argv[1]): print(flush=True); sys.stdin.read()"
    lock = records.state_folder() / "clean.lock"
    argv = [sys.executable, "-c", text, str(lock)]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        assert other.stdout
        other.stdout.readline()
        assert cleaned() == []
        assert path.exists()
        other.communicate(b"")
    assert "left nothing" in cleaned()[0]


def test_newest_run_that_is_gone_is_none(folder: RunFolder) -> None:
    Record.begin(folder, site="here", strategy="local").end()
    folder.path.rename(folder.path.with_name("elsewhere"))
    assert records.newest() is None
