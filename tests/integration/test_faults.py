"""Faults that are really there: each ends in one clear error, the right exit code, and nothing left."""

from __future__ import annotations

import os
import signal
import socket
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from fasthep_validate.models.packed import PackedEnv

from .conftest import FAST

if TYPE_CHECKING:
    from fasthep_validate.models.report import Report

    from .conftest import User

pytestmark = pytest.mark.pools
NO_WORKER = FAST.replace("timeouts:", "  config: {worker_extra_args: ['--no-such-option']}\ntimeouts:")


def outcomes(report: Report, check: str) -> dict[str, str]:
    return {result.worker: result.outcome for result in report.checks if result.id == check}


def test_scheduler_port_taken(user: User) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        done = user.run(
            "--site", user.site(FAST + f"network: {{scheduler: {{host: 127.0.0.1, port: {port}}}}}\n")
        )
    assert done.code == 4, done.everything
    assert str(port) in done.out
    assert "Traceback" not in done.everything
    assert user.report().verdict == "error"


def test_required_import_missing(user: User) -> None:
    """An environment that lacks what the profile requires is not even packed."""
    done = user.run(
        "--site", user.site(FAST + "checks: {required_imports: [dask, distributed, nosuchmodule]}\n")
    )
    assert done.code == 3, done.everything
    assert "nosuchmodule" in done.out
    assert user.report().verdict == "error"
    assert not list((user.run_folder() / "jobs").iterdir())


def test_no_worker_comes(user: User) -> None:
    started = time.monotonic()
    done = user.run("--site", user.site(NO_WORKER))
    assert done.code == 5, done.everything
    assert time.monotonic() - started < 30, "a job that is gone must not be waited for"
    report = user.report()
    assert outcomes(report, "worker_start.started") == {"default-0": "fail", "default-1": "fail"}
    failed = [result for result in report.checks if result.outcome == "fail" and result.worker == "default-0"]
    assert [result.id for result in failed] == ["worker_start.started"]
    assert failed[0].cause is not None
    assert any("no-such-option" in line for line in failed[0].cause.evidence)
    assert outcomes(report, "connectivity.first-task")["default-0"] == "blocked"


def test_one_of_two_workers_is_killed(user: User) -> None:
    """The one is judged, the other explained."""
    child = user.start("--site", user.site())
    user.wait_for("default-1 connected ok")
    victims = [int(path.name) for path in _processes(user, "bootstrap.sh", "default-1")]
    for victim in victims:
        os.killpg(victim, signal.SIGKILL)
    assert victims
    child.wait(60)
    done = user.done(child)
    assert done.code == 1, done.everything
    report = user.report()
    assert outcomes(report, "worker_start.started") == {"default-0": "pass", "default-1": "fail"}
    assert outcomes(report, "environment.versions-equal")["default-0"] == "pass"
    failure = next(
        result for result in report.checks if result.id == "worker_start.started" and result.outcome == "fail"
    )
    assert failure.cause is not None
    assert "SIGKILL" in failure.cause.title + failure.message + " ".join(failure.cause.evidence)


def _processes(user: User, script: str, worker: str) -> list[Path]:
    """Leaders of the job sessions of a worker."""
    found = []
    for path in Path("/proc").glob("[0-9]*"):
        try:
            words, cwd = (path / "cmdline").read_bytes().split(b"\0"), str((path / "cwd").readlink())
        except OSError:
            continue
        session = os.getsid(int(path.name)) == int(path.name)
        if (
            session
            and cwd.startswith(str(user.tmp))
            and cwd.endswith(worker)
            and any(script.encode() in w for w in words)
        ):
            found.append(path)
    return found


@pytest.mark.parametrize(("signum", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
@pytest.mark.parametrize(
    "moment", ["starting the scheduler", "default-0 matched ok", "default-0 connected ok"]
)
def test_interrupted(user: User, signum: int, code: int, moment: str) -> None:
    child = user.start("--site", user.site())
    user.wait_for(moment)
    child.send_signal(signum)
    child.send_signal(signum)  # the impatient press twice: cleaning goes on
    child.wait(60)
    done = user.done(child)
    assert done.code == code, done.everything
    assert "Traceback" not in done.everything
    report = user.report()
    assert report.verdict == "incomplete"
    assert report.exit_code == code
    assert user.left() == []


def test_corrupted_cached_pack_is_packed_anew(user: User, tmp_path: Path) -> None:
    user.cache = tmp_path / "cache of its own"
    first = user.run("pack", "--json")
    assert first.code == 0, first.everything
    packed = PackedEnv.model_validate_json(first.out)
    assert packed.base is not None
    with open(packed.base.path, "r+b") as archive:  # noqa: PTH123 - as plain as can be
        archive.seek(1_000_000)
        archive.write(b"corrupted")
    second = user.run("pack", "--json")
    again = PackedEnv.model_validate_json(second.out)
    assert second.code == 0
    assert not again.cached
    assert again.base == packed.base
    assert again.notes
    assert user.run("pack", "--json").out.find('"cached": true') > 0


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--site", "locl"], ["no site 'locl'", "Did you mean 'local'?"]),
        ([], ["no site is named"]),
        (["--site", "local", "--check", "enviroment"], ["Did you mean 'environment'?"]),
        (["--site", "local", "--pool", "defalt=2"], ["Did you mean 'default'?"]),
        (["--site", "local", "--pool", "default=0"], ["no pool"]),
        (["--site", "local", "--set", "stratgy=local"], ["Did you mean 'strategy'?"]),
        (["--site", "local", "--outdir", "/proc/nowhere"], ["/proc/nowhere"]),
        (["--site", "local", "--add-checks", "nowhere"], ["nowhere does not exist"]),
    ],
)
def test_usage(user: User, arguments: list[str], words: list[str]) -> None:
    done = user.run(*arguments)
    assert done.code == 2, done.everything
    assert [word for word in words if word not in done.err] == []
    assert "Traceback" not in done.err
    assert not (user.home / "fasthep-validate-results").exists()


def test_all_mistakes_of_a_profile(user: User) -> None:
    site = user.site(
        "site: bad\nexecution:\n  stratgy: local\n  pools:\n    default: {workers: none}\n  environment: {type: packed}\n"
    )
    done = user.run("--site", site)
    assert done.code == 2, done.everything
    for line, word in ((3, "strategy"), (5, "workers"), (6, "packed")):
        assert any(
            f"bad.yaml:{line}:" in text or (f":{line}:" in text and word in text)
            for text in done.err.splitlines()
        )


def test_checks_that_cannot_be_imported(user: User) -> None:
    broken = user.home / "test_broken.py"
    broken.write_text("import nosuchmodule\n")
    done = user.run("--site", user.site(), "--add-checks", broken)
    assert done.code == 6, done.everything
    assert "nosuchmodule" in done.err
    assert "Traceback" not in done.err
