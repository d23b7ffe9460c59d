"""The whole job script under three shells, with a small environment whose Python is a shell script."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import signal
import socket
import socketserver
import subprocess
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from fasthep_validate.bundled import worker_file
from fasthep_validate.plan import CREDENTIALS
from tests.job_script import SCRIPT, Job
from tests.processes import ends

if TYPE_CHECKING:
    from collections.abc import Iterator

SHELLS = {"dash": ["dash"], "bash": ["bash", "--posix"], "busybox": ["busybox", "sh"]}
NEEDED = (
    *("worker.args", "probe.json.in", "dask.yaml", "ca.pem", "worker.pem", "worker.key"),
    *(
        "extract.py",
        "node_cache.py",
        "relocate.py",
        "probe.py",
        "probe_code.py",
        "probe_config.py",
        "probe_node.py",
        "launch.py",
    ),
    *("probe_credentials.py", "probe_der.py", "probe_file.py", "probe_kerberos.py", "probe_token.py"),
    *("probe_trust.py", "probe_x509.py", "probe_storage.py", "storage_access.py", "storage_clients.py"),
    *("probe_gpu.py", "probe_cuda.py", "probe_gpu_work.py"),
)
# Besides these the script needs sha256sum and env.
USUAL = ("sh", "date", "tr", "df", "cat", "tail", "wc", "rm", "mkdir", "sleep", "tar", "gzip")


@pytest.fixture
def port() -> Iterator[int]:
    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), socketserver.BaseRequestHandler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        yield server.server_address[1]
        server.shutdown()
        thread.join()


@pytest.fixture(params=SHELLS)
def job(request: pytest.FixtureRequest, tmp_path: Path, port: int) -> Job:
    shell = SHELLS[request.param]
    if not shutil.which(shell[0]):
        pytest.skip(f"no {shell[0]} on this machine")
    directory = tmp_path / 'a job\'s "own" directory, größer'
    directory.mkdir()
    for name in NEEDED:
        (directory / name).write_text("something\n")
    shutil.copy(worker_file("activate.sh"), directory)
    (directory / "probe.answer").write_text('{"problems": {}}\n')
    (directory / "probe.code").write_text("0\n")
    (directory / "worker.sh").write_text("env >worker.env; exit 7\n")
    params = {
        "worker": 'a "pool"\\0',
        "archive": "env.tar.gz",
        "tree_size": "1000",
        "head_size": "0",
        "head_sha256": "",
        "index_size": "0",
        "index_sha256": "",
        "key": "0123456789abcdef",
        "node_cache": "",
        "node_cache_limit": "0",
        "code": "",
        "code_sha256": "",
        "code_size": "0",
        "root": "env",
        "python": "bin/python",
        "base_python": "bin/python",
        "scheduler_host": "127.0.0.1",
        "scheduler_port": str(port),
        "nthreads": "3",
        "start_timeout": "0",
        "remove_directory": "no",
        **dict.fromkeys(CREDENTIALS, ""),
        "some_later_key": "$(touch /tmp/never)",
    }
    made = Job(directory, shell, params)
    made.archive()
    return made


def test_every_phase_is_told_and_the_worker_s_exit_code_is_the_job_s(job: Job) -> None:
    ended = job.run()
    assert ended.code == 7
    assert ended.steps() == [
        *("transferred start", "transferred end", "preflight start", "preflight end"),
        *("extracted start", "extracted end", "credentials skip", "python start", "python end"),
        "exited fail",
    ]
    assert {event.worker for event in ended.events} == {'a "pool"\\0'}
    times = [event.time for event in ended.events]
    assert times == sorted(times)
    assert abs(times[0] - time.time()) < 60
    assert ended.events[-1].detail == "exit code 7"
    assert ended.out.splitlines() == ['FHV-PROBE {"problems": {}}']
    assert "a word from the probe" in ended.err
    assert (job.directory / "relocated").read_text() == f"{job.directory}/env\n"
    assert (job.directory / "env").stat().st_mode & 0o077 == 0
    assert not (job.directory / ".fasthep-step").exists()


def test_code_layer_lies_beside_the_environment(job: Job) -> None:
    job.code({"paths.txt": "paths\npaths/x y\n", "paths/x y/a.py": ""})
    ended = job.run()
    assert ended.code == 7
    assert "code.tar.gz: " in ended.events[1].detail
    root = f"{job.directory}/code"
    assert (job.directory / "code/paths/x y/a.py").exists()
    seen = (job.directory / "worker.env").read_text()
    assert f"FASTHEP_VALIDATE_CODE={root}\n" in seen
    assert "PYTHONPATH" not in seen  # the packed Python reads paths.txt itself

    python = job.directory / "env/bin/python"
    (job.directory / "events.jsonl").unlink()
    job.params.update(archive="", root=str(python.parent), python=str(python), base_python="")
    assert job.run().code == 7
    assert f"PYTHONPATH={root}/paths:{root}/paths/x y\n" in (job.directory / "worker.env").read_text()


def test_environment_is_activated_before_python_starts(job: Job) -> None:
    scripts = {
        "etc/conda/activate.d/b.sh": 'export FROM_B="$CONDA_PREFIX/$FIRST" OVERRULED=package\nfalse\n',
        "etc/conda/activate.d/a.sh": "export FIRST_OF=a\ntest $# -eq 0 || export LEAKED=yes\n",
    }
    job.archive(files=scripts)
    layer = {
        "paths.txt": "",
        "activation/first.sh": 'export FIRST="one \\"two\\""\n',
        "activation/scripts": "sub/setup x.sh\n",
        "activation/last.sh": 'export OVERRULED="manifest" ROOT="$PIXI_PROJECT_ROOT"\n',
        "project/sub/setup x.sh": "export OVERRULED=script SCRIPT=$FIRST_OF\nread line || true\n",
    }
    job.code(layer)
    ended = job.run()
    assert ended.code == 7, ended.err
    root = f"{job.directory}/env"
    for file in ("probe.env", "worker.env"):
        seen = (job.directory / file).read_text()
        assert f'FROM_B={root}/one "two"\n' in seen
        assert "OVERRULED=manifest\n" in seen
        assert "SCRIPT=a\n" in seen
        assert f"ROOT={job.directory}/code/project\n" in seen
        assert "LEAKED" not in seen
        names = "first.sh\nactivate.d/a.sh\nactivate.d/b.sh\nsub/setup x.sh\nlast.sh\n"
        assert f"FASTHEP_VALIDATE_ACTIVATED={names}" in seen
    assert "activate.sh: activate.d/b.sh ended with exit code 1" in ended.err


def test_damaged_code_layer_is_named(job: Job) -> None:
    job.code({"paths.txt": ""})
    job.params["code_sha256"] = "0" * 64
    ended = job.run()
    assert ended.code == 65
    assert ended.failure().code == "digest-mismatch"
    assert ended.failure().detail.startswith("code.tar.gz has sha256")


def test_nothing_of_the_node_s_python_or_dask_reaches_the_worker(job: Job) -> None:
    job.env.update(
        PYTHONPATH="/evil",
        PYTHONHOME="/evil",
        PYTHONSTARTUP="/evil",
        DASK_DISTRIBUTED__SCHEDULER__PORT="1",
        DASK_TWO_LINES="a\nDASK_x y=z",
        HARMLESS="kept 'as it' is",
        OMP_NUM_THREADS="64",
    )
    assert job.run().code == 7
    for file in ("probe.env", "worker.env"):
        seen = (job.directory / file).read_text()
        assert "evil" not in seen
        assert "DASK_" not in seen
        assert "PYTHONNOUSERSITE=1\n" in seen
        assert "HARMLESS=kept 'as it' is\n" in seen
        assert f"PATH={job.directory}/env/bin:/usr/local/bin:/usr/bin:/bin\n" in seen
        for library in ("OMP", "OPENBLAS", "MKL", "NUMEXPR"):
            assert f"{library}_NUM_THREADS=3\n" in seen


@pytest.mark.parametrize(
    ("key", "value"),
    [("scheduler_port", None), ("worker", ""), ("nthreads", "two"), ("archive_size", ""), ("root", "../up")],
)
def test_bad_parameters_are_exit_64_and_named(job: Job, key: str, value: str | None) -> None:
    if value is None:
        del job.params[key]
    else:
        job.params[key] = value
    ended = job.run()
    assert ended.code == 64
    assert ended.steps() == ["exited fail"]
    assert key in ended.events[0].detail


def test_a_params_file_that_is_not_there_is_exit_64(job: Job) -> None:
    command = [*job.shell, str(SCRIPT), "/nosuch/job.params"]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False, env=job.env)
    assert ended.returncode == 64
    assert "/nosuch/job.params" in ended.stderr


def corrupt(archive: Path) -> None:
    data = bytearray(archive.read_bytes())
    data[len(data) // 2] ^= 0xFF
    archive.write_bytes(data)


def truncate(archive: Path) -> None:
    archive.write_bytes(archive.read_bytes()[:-20])


@pytest.mark.parametrize(
    ("damage", "code"),
    [
        (Path.unlink, "missing-file"),
        (lambda archive: archive.write_bytes(b""), "missing-file"),
        (corrupt, "digest-mismatch"),
        (truncate, "archive-truncated"),
        (lambda archive: archive.with_name("worker.key").unlink(), "missing-file"),
    ],
)
def test_a_transfer_that_went_wrong_is_exit_65(job: Job, damage, code: str) -> None:  # type: ignore[no-untyped-def]
    damage(job.directory / "env.tar.gz")
    ended = job.run()
    assert ended.code == 65
    assert (ended.failure().phase, ended.failure().code) == ("transferred", code)
    assert not (job.directory / "env").exists()


def test_an_archive_that_tar_cannot_read_says_what_tar_said(job: Job) -> None:
    archive = job.directory / "env.tar.gz"
    truncate(archive)
    data = archive.read_bytes()
    job.params.update(sha256=hashlib.sha256(data).hexdigest(), archive_size=str(len(data)))
    ended = job.run()
    assert ended.code == 67
    assert (ended.failure().phase, ended.failure().code) == ("extracted", "extract-failed")
    assert "unexpected end of file" in ended.failure().detail


def test_a_disk_that_is_too_small_is_told_with_numbers(job: Job) -> None:
    job.params["tree_size"] = str(10**18)
    ended = job.run()
    assert ended.code == 66
    assert (ended.failure().phase, ended.failure().code) == ("preflight", "no-space")
    assert str(10**18 // 1024) in ended.failure().detail


def test_a_name_that_does_not_resolve(job: Job) -> None:
    job.params["scheduler_host"] = "nosuch.invalid"
    ended = job.run()
    assert ended.code == 66
    assert (ended.failure().phase, ended.failure().code) == ("preflight", "name-unresolved")
    assert "nosuch.invalid" in ended.failure().detail


def programs(job: Job, *extra: str) -> None:
    """A PATH with what the script may count on, and these programs, but no others."""
    folder = job.directory.with_name("programs")
    folder.mkdir()
    for name in (*USUAL, *extra):
        found = shutil.which(name, path="/usr/bin:/bin")
        if not found:
            pytest.skip(f"no {name} on this machine")
        (folder / name).symlink_to(found)
    for name in ("sha256sum", "env"):
        (folder / name).symlink_to(str(shutil.which(name)))
    job.shell = [str(shutil.which(job.shell[0])), *job.shell[1:]]
    job.env["PATH"] = str(folder)


@pytest.mark.parametrize("tool", ["bash", "perl", "python3", "nc", "curl"])
def test_every_tcp_program_tells_an_open_port_from_a_closed_one(job: Job, port: int, tool: str) -> None:
    programs(job, tool)
    ended = job.run()
    assert ended.code == 7
    end = next(event for event in ended.events if (event.phase, event.state) == ("preflight", "end"))
    assert tool in end.detail
    (job.directory / "events.jsonl").unlink()
    job.params["scheduler_port"] = str(closed_port())
    ended = job.run()
    assert ended.code == 66
    assert (ended.failure().phase, ended.failure().code) == ("preflight", "port-unreachable")
    assert job.params["scheduler_port"] in ended.failure().detail
    assert "refused" in ended.failure().detail or tool == "curl"


def closed_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


@pytest.mark.parametrize("useless", [[], ["busybox"]], ids=["none", "busybox-nc"])
def test_without_any_tcp_program_the_test_is_skipped_never_passed(job: Job, useless: list[str]) -> None:
    programs(job)
    for name in useless:  # its nc knows no -z
        (job.directory.with_name("programs") / "nc").symlink_to(str(shutil.which(name)))
    ended = job.run()
    assert ended.code == 7
    preflight = [event for event in ended.events if event.phase == "preflight"]
    assert [(event.state, event.code) for event in preflight] == [("start", ""), ("skip", "not-tested")]


def test_a_scheduler_that_comes_late_is_waited_for(job: Job) -> None:
    port = closed_port()
    job.params.update(scheduler_port=str(port), start_timeout="30.0")
    process = job.start()
    time.sleep(1)
    with socket.create_server(("127.0.0.1", port)):
        assert job.end(process).code == 7


def test_a_python_that_does_not_start(job: Job) -> None:
    job.archive("#!/nosuch/interpreter\n")
    ended = job.run()
    assert ended.code == 67
    assert (ended.failure().phase, ended.failure().code) == ("extracted", "cannot-start")
    assert "not found" in ended.failure().detail or "o such file" in ended.failure().detail


def test_a_relocation_that_fails(job: Job) -> None:
    (job.directory / "relocate.code").write_text("3")
    ended = job.run()
    assert ended.code == 67
    assert (ended.failure().phase, ended.failure().code) == ("extracted", "relocate-failed")


def test_a_probe_that_fails_says_its_last_line(job: Job) -> None:
    (job.directory / "probe.code").write_text("4")
    ended = job.run()
    assert ended.code == 69
    assert (ended.failure().phase, ended.failure().code) == ("python", "python-failed")
    assert ended.failure().detail == "exit code 4: a word from the probe"
    assert not (job.directory / "worker.env").exists(), "what waits for the probe does not become a worker"
    assert not (job.directory / ".fasthep-go").exists()


def test_a_shared_prefix_is_used_in_place(job: Job) -> None:
    python = job.directory.with_name("tree") / "bin" / "python"
    (job.directory / "relocate.py").unlink()
    job.params.update(archive="", sha256="", archive_size="0", tree_size="0", root="", base_python="")
    job.params["python"] = str(python)
    ended = job.run()
    assert ended.code == 7
    assert "extracted skip" in ended.steps()
    python.unlink()
    (job.directory / "events.jsonl").unlink()
    ended = job.run()
    assert ended.code == 67
    assert ended.failure().code == "prefix-not-visible"
    assert str(python) in ended.failure().detail


@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGUSR2, signal.SIGXCPU])
def test_a_signal_ends_the_worker_and_is_told(job: Job, signum: signal.Signals) -> None:
    (job.directory / "worker.sh").write_text(
        "trap 'echo ended >worker.end; exit 0' TERM\necho $$ >worker.pid\nwhile :; do sleep 0.05; done\n"
    )
    process = job.start()
    pid = wait_for(job.directory / "worker.pid")
    process.send_signal(signum)
    ended = job.end(process)
    assert ended.code == 128 + signum
    assert ended.events[-1].code == "signal"
    assert ended.events[-1].detail == f"signal {signum.name.removeprefix('SIG')}"
    assert (job.directory / "worker.end").exists()
    assert not Path(f"/proc/{pid}").exists()


def test_a_signal_during_an_earlier_phase_leaves_that_phase_open(job: Job) -> None:
    job.archive("#!/bin/sh\necho $$ >python.pid\nexec sleep 60\n")
    process = job.start()
    pid = wait_for(job.directory / "python.pid")
    process.terminate()
    ended = job.end(process)
    assert ended.code == 143
    assert ended.steps()[-2:] == ["extracted start", "exited fail"]
    assert not Path(f"/proc/{pid}").exists()


def wait_for(file: Path) -> str:
    deadline = time.monotonic() + 30
    while not (file.exists() and file.read_text().strip()):
        assert time.monotonic() < deadline, f"{file} never came"
        time.sleep(0.02)
    return file.read_text().strip()


def test_children_of_the_worker_s_group_do_not_outlive_it(job: Job) -> None:
    (job.directory / "worker.sh").write_text(
        "exec python3 -c '\n"
        "import os, subprocess\n"
        "os.setpgid(0, 0)\n"
        'print(subprocess.Popen(["sleep", "60"]).pid, file=open("child.pid", "w"))\n'
        "'\n"
    )
    assert job.run().code == 0
    pid = wait_for(job.directory / "child.pid")
    assert ends(int(pid))


@pytest.mark.parametrize(("marked", "asked"), [(True, "yes"), (True, "no"), (False, "yes")])
def test_the_directory_is_removed_only_when_asked_and_marked(job: Job, marked: bool, asked: str) -> None:
    job.params["remove_directory"] = asked
    if marked:
        (job.directory / ".fasthep-validate-job").touch()
    ended = job.run()
    assert ended.code == 7
    assert ended.events[-1].phase == "exited"
    assert job.directory.exists() is not (marked and asked == "yes")


@pytest.mark.skipif(os.geteuid() != 0, reason="mounting a file system needs root")
@pytest.mark.parametrize(
    ("options", "size", "code"),
    [("noexec", "20m", "noexec"), ("exec", "2m", "no-space")],
    ids=["noexec", "full"],
)
def test_scratch_that_cannot_hold_or_execute(job: Job, options: str, size: str, code: str) -> None:
    with (job.directory.with_name("tree") / "ballast").open("wb") as ballast:
        ballast.write(os.urandom(3_000_000 if code == "no-space" else 10))
    job.archive()
    scratch = job.directory.with_name("scratch")
    scratch.mkdir()
    (job.directory / "job.params").write_text(
        "".join(f"{key}={value}\n" for key, value in job.params.items())
    )
    os.link(job.directory / "env.tar.gz", scratch.with_name("env.tar.gz"))
    (job.directory / "env.tar.gz").unlink()
    (job.directory / "env.tar.gz").symlink_to(scratch.with_name("env.tar.gz"))
    mount = 'mount -t tmpfs -o "size=$1,$2" tmpfs "$3" && cp -a "$4"/. "$3" && shift 4 && exec "$@"'
    command = ["unshare", "-m", "sh", "-c", mount, "sh", size, options, str(scratch), str(job.directory)]
    command += [*job.shell, str(SCRIPT), f"{scratch}/job.params"]
    done = subprocess.run(command, env=job.env, capture_output=True, text=True, timeout=60, check=False)
    if "mount:" in done.stderr or "unshare:" in done.stderr:
        pytest.skip(f"no mount possible: {done.stderr}")
    told = [json.loads(line[10:]) for line in done.stderr.splitlines() if line.startswith("FHV-EVENT ")]
    assert done.returncode == 67
    assert (told[-2]["phase"], told[-2]["code"]) == ("extracted", code)


@pytest.mark.skipif(not shutil.which("shellcheck"), reason="no shellcheck on this machine")
def test_shellcheck_finds_nothing() -> None:
    done = subprocess.run(
        ["shellcheck", "-s", "sh", str(SCRIPT)], capture_output=True, text=True, check=False
    )
    assert done.stdout == ""
