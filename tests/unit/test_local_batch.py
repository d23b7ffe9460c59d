"""Jobs as processes of this machine, with real scripts."""

from __future__ import annotations

import signal
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from fasthep_validate.batch import BATCHES, local
from fasthep_validate.errors import SubmitError
from fasthep_validate.models.job import JobSpec, JobStatus
from fasthep_validate.testing import good_site
from tests.batches import submit
from tests.processes import runs

if TYPE_CHECKING:
    from collections.abc import Callable


@pytest.fixture
def batch(tmp_path: Path) -> local.LocalBatch:
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    return local.LocalBatch(scratch)


@pytest.fixture
def job(tmp_path: Path) -> Callable[[str], JobSpec]:
    def make(script: str) -> JobSpec:
        (tmp_path / "job.sh").write_text(script)
        (tmp_path / "input").write_text("given\n")
        return JobSpec(
            worker="default-0",
            pool="default",
            executable=str(tmp_path / "job.sh"),
            arguments=("one word", "$HOME"),
            directives=BATCHES["local"].directives(good_site().execution.pools[0]),
            transfer={str(tmp_path / "job.sh"): "job.sh", str(tmp_path / "input"): "renamed"},
            out=str(tmp_path / "out"),
            err=str(tmp_path / "err"),
            log=str(tmp_path / "log"),
        )

    return make


def finish(batch: local.LocalBatch, job_id: str) -> JobStatus:
    deadline = time.monotonic() + 5
    while (status := batch.status([job_id])[job_id]).state == "running" and time.monotonic() < deadline:
        time.sleep(0.01)
    return status


def test_job_runs_in_a_directory_of_its_own(
    batch: local.LocalBatch, job: Callable[[str], JobSpec], tmp_path: Path
) -> None:
    script = 'pwd -P; ls -A | tr "\\n" " "; cat renamed; printf "%s\\n" "$@"; cat; echo oops >&2'
    job_id = submit(batch, job(script))
    status = finish(batch, job_id)
    home = tmp_path / "scratch" / "default-0"
    assert (status.state, status.exit_code, status.reason) == ("exited", 0, "exit code 0")
    out = (tmp_path / "out").read_text()
    assert out == f"{home.resolve()}\n{local.MARKER} job.sh renamed given\none word\n$HOME\n"
    assert (tmp_path / "err").read_text() == "oops\n"
    assert home.stat().st_mode & 0o777 == 0o700
    log = (tmp_path / "log").read_text().splitlines()
    assert f"submitted as process {job_id} in {home}" in log[0]
    assert log[1].endswith("exit code 0")


@pytest.mark.parametrize("where", ["here", "/dev/shm"])
def test_an_archive_is_linked_where_that_is_possible(
    job: Callable[[str], JobSpec], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    """And what is small is copied: a job may do with it what it likes."""
    # An archive of real size would take its time; the input has six bytes, and the script fewer.
    monkeypatch.setattr(local, "LINKED", 6)
    with tempfile.TemporaryDirectory(dir=tmp_path if where == "here" else where) as scratch:
        batch = local.LocalBatch(Path(scratch))
        assert finish(batch, submit(batch, job(":"))).exit_code == 0
        home = Path(scratch) / "default-0"
        assert (home / "renamed").read_text() == "given\n"
        same = home.stat().st_dev == tmp_path.stat().st_dev
        assert (home / "renamed").samefile(tmp_path / "input") == same
        assert not (home / "job.sh").samefile(tmp_path / "job.sh")


def test_environment_is_scrubbed(
    batch: local.LocalBatch, job: Callable[[str], JobSpec], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPATH", "/somewhere")
    finish(batch, submit(batch, job("exec env")))
    names = {line.partition("=")[0] for line in (tmp_path / "out").read_text().splitlines()}
    assert names - {"PWD", "OLDPWD", "SHLVL", "_"} == {"PATH", "LANG", "HOME", "TMPDIR"}


@pytest.mark.parametrize(
    ("script", "code", "reason"),
    [("exit 65", 65, "exit code 65"), ("kill -9 $$", -9, "ended by SIGKILL")],
)
def test_exit_codes(
    batch: local.LocalBatch, job: Callable[[str], JobSpec], script: str, code: int, reason: str
) -> None:
    status = finish(batch, submit(batch, job(script)))
    assert (status.exit_code, status.reason) == (code, reason)


def test_end_is_logged_once(batch: local.LocalBatch, job: Callable[[str], JobSpec], tmp_path: Path) -> None:
    job_id = submit(batch, job("exit 0"))
    finish(batch, job_id)
    batch.cancel([job_id])
    assert (tmp_path / "log").read_text().count("exit code") == 1


def test_cancel_waits_for_an_orderly_end(
    batch: local.LocalBatch, job: Callable[[str], JobSpec], tmp_path: Path
) -> None:
    job_id = submit(batch, job('trap "echo bye; exit 143" TERM; echo ready; while :; do sleep 0.05; done'))
    wait_for(tmp_path / "out", "ready")
    batch.cancel([job_id])
    assert batch.status([job_id])[job_id].exit_code == 143
    assert (tmp_path / "out").read_text() == "ready\nbye\n"


def test_cancel_kills_who_ignores_it(
    batch: local.LocalBatch, job: Callable[[str], JobSpec], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With all of its children."""
    monkeypatch.setattr(local, "GRACE", 0.2)  # ten seconds are too long to wait here
    job_id = submit(batch, job('trap "" TERM; sleep 60 & echo "$!" ready; while :; do sleep 0.05; done'))
    child = int(wait_for(tmp_path / "out", "ready").split()[0])
    started = time.monotonic()
    batch.cancel([job_id])
    assert time.monotonic() - started < 2
    assert batch.status([job_id])[job_id].exit_code == -signal.SIGKILL
    deadline = time.monotonic() + 2
    while runs(child) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert not runs(child)


def test_directory_that_is_taken(
    batch: local.LocalBatch, job: Callable[[str], JobSpec], tmp_path: Path
) -> None:
    (tmp_path / "scratch" / "default-0").mkdir()
    with pytest.raises(SubmitError, match=r"^default-0: the job could not be started in .*File exists"):
        submit(batch, job("exit 0"))


def test_file_that_is_missing(batch: local.LocalBatch, job: Callable[[str], JobSpec], tmp_path: Path) -> None:
    spec = job("exit 0")
    (tmp_path / "input").unlink()
    with pytest.raises(SubmitError, match="No such file"):
        submit(batch, spec)


def wait_for(path: Path, text: str) -> str:
    deadline = time.monotonic() + 5
    while not (path.exists() and text in path.read_text()):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    return path.read_text()
