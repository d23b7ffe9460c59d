"""The look at the node: run as the job runs it, and its parts on made-up trees."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fasthep_validate.models.evidence import NodeProbe
from fasthep_validate.worker import probe

if TYPE_CHECKING:
    from collections.abc import Mapping

PROGRAM = Path(probe.__file__)


def write_config(folder: Path, **given: object) -> Path:
    file = folder / "probe.json.in"
    known = {"root": sys.prefix, "required_imports": ["json"], "scheduler_host": "localhost", "scratch": "."}
    file.write_text(json.dumps({**known, **given}))
    return file


def start(folder: Path, env: Mapping[str, str] | None = None) -> subprocess.Popen[str]:
    command = [sys.executable, str(PROGRAM), "probe.json.in", "probe.json"]
    return subprocess.Popen(
        command, cwd=folder, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def look(folder: Path, env: Mapping[str, str] | None = None) -> NodeProbe:
    process = start(folder, env)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    assert out == ""
    text = (folder / "probe.json").read_text()
    assert text.count("\n") == 1
    return NodeProbe.model_validate_json(text)


def tree(folder: Path, files: Mapping[str, bytes]) -> Path:
    for name, data in files.items():
        file = folder / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(data)
    return folder


def test_a_healthy_node_has_every_section_and_no_problem(tmp_path: Path) -> None:
    root = tree(tmp_path / "env", {"bin/script": b"#!/bin/sh\n", "lib/data": b"12345"})
    write_config(tmp_path, root="env", required_imports=["json", "pytest"], future_key=1)
    seen = look(tmp_path)
    assert seen.problems == {}
    assert [name for name in NodeProbe.model_fields if getattr(seen, name) is None] == []
    assert seen.host
    assert seen.host.hostname == os.uname().nodename
    assert seen.python
    assert seen.python.prefix == sys.prefix
    assert str(tmp_path) not in seen.python.path
    assert str(PROGRAM.parent) not in seen.python.path
    assert seen.imports
    assert [(result.module, result.ok, result.version) for result in seen.imports] == [
        ("json", True, json.__version__),  # type: ignore[attr-defined]
        ("pytest", True, pytest.__version__),
    ]
    assert seen.versions
    assert seen.versions["pytest"] == pytest.__version__
    assert seen.provenance
    assert seen.provenance.root == str(root)
    assert str(PROGRAM) not in {item.path for item in seen.provenance.outside}
    assert any(item.path == json.__file__ for item in seen.provenance.outside)  # not in this tree
    assert seen.leftovers
    assert (seen.leftovers.count, seen.leftovers.size) == (2, 15)
    assert seen.scratch
    assert (seen.scratch.path, seen.scratch.writable, seen.scratch.can_exec) == (str(tmp_path), True, True)
    assert seen.scheduler_lookup
    assert seen.scheduler_lookup.addresses
    assert sorted(path.name for path in tmp_path.iterdir()) == ["env", "probe.json", "probe.json.in"]


MODULES = {
    "hangs.py": b"import time; time.sleep(60)",
    "crashes.py": b"import os, signal; os.kill(os.getpid(), signal.SIGSEGV)",
    "leaves.py": b"raise SystemExit('gone')",
    "chatters.py": b"print('{not json'); import sys; sys.stdout.flush()",
    "breaks.py": b"import nosuch_module_of_ours",
    "starts.py": b"import subprocess; print(subprocess.Popen(['sleep', '60']).pid, file=open('child', 'w'))",
}


@pytest.mark.parametrize(
    ("module", "problem"), [("hangs", "timed out after 2 s"), ("crashes", "exit -11 (SIGSEGV)")]
)
def test_an_import_that_hangs_or_crashes_is_a_finding_and_the_rest_comes_back(
    tmp_path: Path, module: str, problem: str
) -> None:
    tree(tmp_path / "modules", MODULES)
    write_config(tmp_path, required_imports=["starts", module, "json"], timeout=2)
    begun = time.monotonic()
    seen = look(tmp_path, {**os.environ, "PYTHONPATH": str(tmp_path / "modules")})
    assert time.monotonic() - begun < 15
    assert seen.problems == {"provenance": problem}
    assert seen.imports
    assert [(result.module, result.ok) for result in seen.imports] == [("starts", True), (module, False)]
    assert seen.imports[1].error == "the import did not return"
    assert seen.host
    assert seen.limits
    assert seen.leftovers
    assert dead(int((tmp_path / "child").read_text()))


def dead(pid: int) -> bool:
    deadline = time.monotonic() + 5
    while time.monotonic() < deadline:
        try:
            if ") Z " in Path(f"/proc/{pid}/stat").read_text():
                return True
        except OSError:
            return True
        time.sleep(0.02)
    return False


def test_imports_that_fail_say_why_and_what_modules_print_does_no_harm(tmp_path: Path) -> None:
    tree(tmp_path / "modules", MODULES)
    write_config(tmp_path, required_imports=["leaves", "chatters", "breaks"])
    seen = look(tmp_path, {**os.environ, "PYTHONPATH": str(tmp_path / "modules")})
    assert seen.problems == {}
    assert seen.imports
    assert [result.error for result in seen.imports] == [
        "SystemExit: gone",
        "",
        "ModuleNotFoundError: No module named 'nosuch_module_of_ours'",
    ]


def test_a_section_that_fails_is_a_problem_of_its_own(tmp_path: Path) -> None:
    write_config(tmp_path, root="nosuch", scratch="nowhere", scheduler_host="nosuch.invalid")
    seen = look(tmp_path)
    assert seen.leftovers is None
    assert seen.scratch is None
    assert sorted(seen.problems) == ["leftovers", "scratch"]
    assert "No such file or directory" in seen.problems["scratch"]
    assert seen.scheduler_lookup
    assert seen.scheduler_lookup.error


def test_a_signal_leaves_no_process_behind(tmp_path: Path) -> None:
    tree(tmp_path / "modules", MODULES)
    write_config(tmp_path, required_imports=["starts", "hangs"])
    process = start(tmp_path, {**os.environ, "PYTHONPATH": str(tmp_path / "modules")})
    child = tmp_path / "child"
    deadline = time.monotonic() + 30
    while not (child.exists() and child.read_text()):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    process.terminate()
    process.communicate(timeout=10)
    assert process.returncode == 128 + signal.SIGTERM
    assert dead(int(child.read_text()))


@pytest.mark.parametrize("content", [None, "{ no json", "[1]", "{}"])
def test_a_config_that_cannot_be_read_is_one_line_and_exit_2(tmp_path: Path, content: str | None) -> None:
    if content is not None:
        (tmp_path / "probe.json.in").write_text(content)
    process = start(tmp_path)
    _, err = process.communicate(timeout=30)
    assert process.returncode == 2
    assert err.startswith("probe.py: ")
    assert err.count("\n") == 1


def test_names_that_are_no_text_still_make_json(tmp_path: Path) -> None:
    name = os.fsdecode(b"bin/sh-\xff")
    root = tree(tmp_path / "env", {name: b"#!/old/place/bin/python\n"})
    write_config(tmp_path, root=str(root), relocations=["/old/place"])
    seen = look(tmp_path)
    assert seen.leftovers
    assert seen.leftovers.files == ("bin/sh-\ufffd",)


# ---- leftovers ------------------------------------------------------------------------------------


def leftover_files(
    root: Path, relocations: list[str], text_files: list[str] | None = None
) -> tuple[list[str], list[str]]:
    config = probe.Config(root=str(root), relocations=relocations, text_files=text_files or [])
    found = probe.leftovers(config)
    assert isinstance(found, dict)
    return found["files"], found["missing"]


def test_old_paths_are_found_where_they_matter(tmp_path: Path) -> None:
    root = tree(
        tmp_path / "env",
        {
            "bin/bad": b"#!/old/env/bin/python\n",
            "bin/good": b"#!/usr/bin/env python\n",
            "bin/program": b"\x7fELF\0/old/env/lib",
            "pyvenv.cfg": b"home = /old/env/bin\n",
            "lib/site-packages/x.pth": b"/old/env/src\n",
            "lib/site-packages/x.py": b"PREFIX = '/old/env'\n",
            "lib/site-packages/listed.py": b"PREFIX = '/old/env'\n",
            "lib/__pycache__/x.pyc": b"/old/env/lib/x.py",
        },
    )
    (root / "bin" / "link").symlink_to("bad")
    files, missing = leftover_files(root, ["/old/env"], ["lib/site-packages/listed.py", "lib/gone.py"])
    assert files == ["bin/bad", "lib/site-packages/listed.py", "lib/site-packages/x.pth", "pyvenv.cfg"]
    assert missing == ["lib/gone.py"]


def test_an_old_path_above_the_new_one_is_no_false_alarm(tmp_path: Path) -> None:
    root = tree(tmp_path / "run" / "env", {"bin/good": b"#!%b/run/env/bin/python" % os.fsencode(tmp_path)})
    assert leftover_files(root, [str(tmp_path)]) == ([], [])
    (root / "bin" / "bad").write_text(f"#!{tmp_path}/bin/python {root}")
    assert leftover_files(root, [str(tmp_path)]) == (["bin/bad"], [])
    (root / "bin" / "sibling").write_text(f"#!{root}2/bin/python")
    assert leftover_files(root, [str(tmp_path)]) == (["bin/bad", "bin/sibling"], [])


@given(
    before=st.sampled_from(["", "#!", "file://", "=", "\n", "-L", "\\n"]),
    after=st.sampled_from(["", "/bin", "\n", ":", '"']),
)
def test_a_whole_old_path_is_always_seen(before: str, after: str) -> None:
    old = probe.old_paths(["/home/me/env/"], ["/scratch/env"])
    assert old(f"{before}/home/me/env{after}".encode())
    assert not old(f"{before}/scratch/env{after}".encode())


@pytest.mark.parametrize("text", [b"/home/me/env2/bin", b"/data/home/me/env", b"/home/me/env-old", b""])
def test_a_part_of_another_path_is_not_an_old_path(text: bytes) -> None:
    assert not probe.old_paths(["/home/me/env"], [])(text)
    assert not probe.old_paths([], ["/x"])(b"anything /home/me/env")


# ---- provenance -----------------------------------------------------------------------------------


def test_libraries_come_from_the_maps_and_those_of_the_node_are_known(tmp_path: Path) -> None:
    maps = tmp_path / "maps"
    maps.write_text(
        "55d0-55d1 r-xp 00000000 fe:00 1   /usr/lib/libz.so.1.2.13\n"
        "55d1-55d2 r--p 00000000 fe:00 1   /usr/lib/libdata.so.1\n"
        "55d2-55d3 r-xp 00000000 fe:00 1   /opt/with space/libq.so (deleted)\n"
        "55d3-55d4 r-xp 00000000 00:00 0   [vdso]\n"
        "55d4-55d5 r-xp 00000000 00:05 9   /memfd:libffi (deleted)\n"
        "55d5-55d6 r-xp 00000000 00:00 0 \n"
    )
    assert probe.mapped_libraries(maps) == {"/usr/lib/libz.so.1.2.13", "/opt/with space/libq.so (deleted)"}


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        *[(name, True) for name in ("libc.so.6", "ld-linux-x86-64.so.2", "libm.so.6", "libpthread-2.28.so")],
        *[
            (name, True)
            for name in ("libnss_sss.so.2", "libcuda.so.550.54.14", "libnvidia-ptxjitcompiler.so.1")
        ],
        *[(name, False) for name in ("libcrypto.so.3", "libcudart.so.12", "libmagic.so.1", "libcrypt.so.1")],
        *[(name, False) for name in ("librtmp.so.1", "libutil-linux.so", "libmpi.so.40", "libdlt.so.2")],
    ],
)
def test_node_libraries(name: str, expected: bool) -> None:
    assert probe.matches(name, probe.NODE_LIBRARIES) is expected


def test_provenance_names_what_came_from_elsewhere(tmp_path: Path) -> None:
    everything = probe.provenance(probe.Config(root="/"))
    assert isinstance(everything, dict)
    assert everything["outside"] == []
    assert everything["modules"] > 50
    assert everything["libraries"] >= 2
    nothing = probe.provenance(probe.Config(root=str(tmp_path)))
    assert isinstance(nothing, dict)
    assert {item["kind"] for item in nothing["outside"]} == {"module", "library"}
    assert not any(Path(item["path"]).name.startswith("libc.so") for item in nothing["outside"])


# ---- environment ----------------------------------------------------------------------------------


def test_only_allowed_variables_without_secrets_are_recorded(monkeypatch: pytest.MonkeyPatch) -> None:
    canary = "canary-4711"
    for name in (
        "DASK_GATEWAY__AUTH__TOKEN",
        "AWS_SECRET_ACCESS_KEY",
        "MY_PASSWORD",
        "SOMETHING",
        "BEARER_TOKEN",
    ):
        monkeypatch.setenv(name, canary)
    for name in ("DASK_INTERNAL_INHERIT_CONFIG", "PYTHON_KEYRING_BACKEND", "SITE_TOKEN"):
        monkeypatch.setenv(name, canary)
    monkeypatch.setenv("DASK_X", f"{{'password': '{canary}'}}")
    monkeypatch.setenv("SITE_PROXY", f"http://me:{canary}@proxy:3128")
    monkeypatch.setenv("DASK_DISTRIBUTED__COMM__TIMEOUTS__CONNECT", "5s")
    monkeypatch.setenv("SITE_NAME", "here")
    monkeypatch.setenv("PATH", "/usr/monkey/bin:/bin")
    monkeypatch.setenv("BEARER_TOKEN_FILE", "/run/user/1/bt")
    monkeypatch.setenv("OMP_NUM_THREADS", "4")
    config = probe.Config(root=".", environment_allow=["SITE_NAME", "SITE_TOKEN", "SITE_PROXY"])
    seen = probe.environment(config)
    assert isinstance(seen, dict)
    assert canary not in json.dumps(seen)
    assert seen["DASK_DISTRIBUTED__COMM__TIMEOUTS__CONNECT"] == "5s"
    assert (seen["SITE_NAME"], seen["PATH"]) == ("here", "/usr/monkey/bin:/bin")
    assert seen["BEARER_TOKEN_FILE"] == "/run/user/1/bt"
    assert seen["OMP_NUM_THREADS"] == "4"
    assert probe.thread_variables(config) == {
        name: value for name, value in os.environ.items() if name in probe.THREAD_VARIABLES
    }


# ---- limits and mounts ----------------------------------------------------------------------------


def process_files(folder: Path, cgroup: str, mountinfo: str) -> Path:
    (folder / "cgroup").write_text(cgroup)
    (folder / "mountinfo").write_text(mountinfo)
    return folder


def group_limits(process: Path) -> tuple[float | None, float | None]:
    groups = list(probe.cgroup_directories(process))
    return (
        probe.smallest(map(probe.cgroup_memory, groups)),
        probe.smallest(map(probe.cgroup_cpus, groups)),
    )


def test_the_smallest_limit_up_the_tree_of_version_2(tmp_path: Path) -> None:
    top = tree(
        tmp_path / "cgroup two",
        {
            "slurm/memory.max": b"4000000000\n",
            "slurm/cpu.max": b"max 100000\n",
            "slurm/job_1/memory.max": b"2000000000\n",
            "slurm/job_1/cpu.max": b"150000 100000\n",
            "slurm/job_1/step_0/memory.max": b"max\n",
            "slurm/job_2/memory.max": b"1\n",
        },
    )
    mount = f"30 23 0:26 / {str(top).replace(' ', chr(92) + '040')} rw,nosuid shared:4 - cgroup2 cgroup2 rw\n"
    process = process_files(tmp_path, "0::/slurm/job_1/step_0\n", mount)
    assert group_limits(process) == (2_000_000_000, 1.5)


def test_the_limits_of_version_1_and_a_container_s_view_of_it(tmp_path: Path) -> None:
    tree(
        tmp_path,
        {
            "memory/memory.limit_in_bytes": b"3000000000\n",
            "memory/htcondor/memory.limit_in_bytes": b"9223372036854771712\n",
            "cpu/htcondor/cpu.cfs_quota_us": b"-1\n",
            "cpu/htcondor/cpu.cfs_period_us": b"100000\n",
            "cpu/cpu.cfs_quota_us": b"200000\n",
            "cpu/cpu.cfs_period_us": b"100000\n",
        },
    )
    mounts = (
        f"31 23 0:27 / {tmp_path}/memory rw - cgroup cgroup rw,memory\n"
        f"32 23 0:28 /docker/abc {tmp_path}/cpu rw - cgroup cgroup rw,cpu,cpuacct\n"
    )
    cgroups = "5:memory:/htcondor/nosuch\n4:cpu,cpuacct:/docker/abc/htcondor\n1:name=systemd:/x\n"
    assert group_limits(process_files(tmp_path, cgroups, mounts)) == (3_000_000_000, 2.0)
    outside = process_files(tmp_path, "4:cpu,cpuacct:/../elsewhere\n", mounts)
    assert group_limits(outside) == (None, 2.0)


def test_no_limit_is_none(tmp_path: Path) -> None:
    assert group_limits(process_files(tmp_path, "0::/\n", "")) == (None, None)


def test_soft_limits_are_those_of_the_process(tmp_path: Path) -> None:
    write_config(tmp_path)
    shell = (
        f"ulimit -S -n 333; ulimit -S -f unlimited; exec {sys.executable} {PROGRAM} probe.json.in probe.json"
    )
    subprocess.run(["sh", "-c", shell], cwd=tmp_path, check=True, timeout=60)
    seen = NodeProbe.model_validate_json((tmp_path / "probe.json").read_text())
    assert seen.limits
    assert (seen.limits.nofile, seen.limits.file_size) == (333, None)
    assert seen.limits.cpus == len(os.sched_getaffinity(0))
    assert seen.limits.memory
    assert seen.limits.memory > 10**8


def test_the_innermost_and_latest_mount_counts() -> None:
    mounts = [
        probe.Mount("/", "/", "ext4", "rw"),
        probe.Mount("/", "/scratch", "xfs", "rw"),
        probe.Mount("/", "/scratch/job", "nfs4", "rw"),
        probe.Mount("/", "/scratch/job", "tmpfs", "rw"),
        probe.Mount("/", "/scratch/jobs", "zfs", "rw"),
    ]
    assert probe.filesystem_of(Path("/scratch/job/a"), mounts) == "tmpfs"
    assert probe.filesystem_of(Path("/scratch/other"), mounts) == "xfs"
    assert probe.filesystem_of(Path("/home"), mounts) == "ext4"


def test_a_directory_that_cannot_be_written_is_seen() -> None:
    assert not probe.writable(Path("/proc"))
    assert not probe.can_exec(Path("/proc"))


def test_pretty_name(tmp_path: Path) -> None:
    (tmp_path / "os-release").write_text("NAME=x\nPRETTY_NAME=\"An OS 9 (Nine)\"\nVERSION='9'\n")
    assert probe.pretty_name(tmp_path / "os-release") == "An OS 9 (Nine)"
    assert probe.pretty_name(tmp_path / "nosuch") == ""


def test_lookup_of_a_name_and_of_nothing() -> None:
    found = probe.scheduler_lookup(probe.Config(root=".", scheduler_host="127.0.0.1"))
    assert isinstance(found, dict)
    assert (found["addresses"], found["error"]) == (["127.0.0.1"], "")
    lost = probe.scheduler_lookup(probe.Config(root=".", scheduler_host="nosuch.invalid"))
    assert isinstance(lost, dict)
    assert lost["addresses"] == []
    assert lost["error"]
    assert socket.has_ipv6 in {True, False}
