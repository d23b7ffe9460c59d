"""The look at the node, run as the job runs it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from fasthep_validate.bundled import worker_file
from fasthep_validate.models.probe import NodeProbe
from tests.processes import ends
from tests.trees import tree

if TYPE_CHECKING:
    from collections.abc import Mapping

PROGRAM = worker_file("probe.py")


def write_config(folder: Path, **given: object) -> Path:
    file = folder / "probe.json.in"
    known = {"root": sys.prefix, "required_imports": ["json"], "scheduler_host": "localhost", "scratch": "."}
    file.write_text(json.dumps({**known, **given}))
    return file


def start(folder: Path, env: Mapping[str, str] | None = None, *more: str) -> subprocess.Popen[str]:
    command = [sys.executable, str(PROGRAM), "probe.json.in", "probe.json", *more]
    return subprocess.Popen(
        command, cwd=folder, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def look(folder: Path, env: Mapping[str, str] | None = None, *more: str) -> NodeProbe:
    process = start(folder, env, *more)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    assert out == ""
    text = (folder / "probe.json").read_text()
    assert text.count("\n") == 1
    return NodeProbe.model_validate_json(text)


def test_a_healthy_node_has_every_section_and_no_problem(tmp_path: Path) -> None:
    root = tree(tmp_path / "env", {"bin/script": b"#!/bin/sh\n", "lib/data": b"12345"})
    write_config(tmp_path, root="env", required_imports=["json", "pytest"], future_key=1)
    seen = look(tmp_path)
    assert seen.problems == {}
    assert [name for name in NodeProbe.model_fields if getattr(seen, name) is None] == ["gpu"]
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
    assert not any(Path(item.path).parent == PROGRAM.parent for item in seen.provenance.outside)
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
    ("module", "problem"), [("hangs", "timed out after 8 s"), ("crashes", "exit -11 (SIGSEGV)")]
)
def test_an_import_that_hangs_or_crashes_is_a_finding_and_the_rest_comes_back(
    tmp_path: Path, module: str, problem: str
) -> None:
    tree(tmp_path / "modules", MODULES)
    write_config(tmp_path, required_imports=["starts", module, "json"], timeout=8)
    begun = time.monotonic()
    seen = look(tmp_path, {**os.environ, "PYTHONPATH": str(tmp_path / "modules")})
    assert time.monotonic() - begun < 40
    assert seen.problems == {"provenance": problem}
    assert seen.imports
    assert [(result.module, result.ok) for result in seen.imports] == [("starts", True), (module, False)]
    assert seen.imports[1].error == "the import did not return"
    assert seen.host
    assert seen.limits
    assert seen.leftovers
    assert ends(int((tmp_path / "child").read_text()))


IMPORTED = {
    "imports": [{"module": "hangs", "ok": True, "file": "/x.py", "version": "1", "seconds": 0.5}],
    "modules": ["/elsewhere/x.py"],
    "libraries": ["/elsewhere/libx.so"],
}


def test_what_the_worker_has_imported_is_not_imported_again(tmp_path: Path) -> None:
    (tmp_path / "imported").write_text(json.dumps(IMPORTED))
    write_config(tmp_path, required_imports=["hangs", "json"])
    seen = look(tmp_path, None, "imported", str(os.getpid()))
    assert seen.problems == {}
    assert seen.imports
    assert [(result.module, result.ok) for result in seen.imports] == [("hangs", True), ("json", True)]
    assert seen.imports[0].version == "1"
    assert seen.provenance
    outside = {item.path: item.kind for item in seen.provenance.outside}
    assert outside["/elsewhere/x.py"] == "module"
    assert outside["/elsewhere/libx.so"] == "library"


def test_a_worker_that_tells_while_it_is_waited_for(tmp_path: Path) -> None:
    write_config(tmp_path, required_imports=["hangs"])
    process = start(tmp_path, None, "imported", str(os.getpid()))
    time.sleep(1)
    (tmp_path / "new").write_text(json.dumps(IMPORTED))
    (tmp_path / "new").rename(tmp_path / "imported")
    process.communicate(timeout=60)
    seen = NodeProbe.model_validate_json((tmp_path / "probe.json").read_text())
    assert seen.imports
    assert seen.imports[0].ok


@pytest.mark.parametrize(("lives", "timeout"), [(True, 8), (False, 60)])
def test_a_worker_that_does_not_tell_is_not_waited_for(tmp_path: Path, lives: bool, timeout: int) -> None:
    """Not for long if it lives, for it may hang in an import, and not at all if it died of one."""
    tree(tmp_path / "modules", MODULES)
    write_config(tmp_path, required_imports=["json", "breaks"], timeout=timeout)
    command = [sys.executable, "-c", "import sys; sys.stdin.read()"]
    with subprocess.Popen(command, stdin=subprocess.PIPE) as worker:
        if not lives:
            worker.kill()  # and not waited for: a zombie
        begun = time.monotonic()
        seen = look(
            tmp_path, {**os.environ, "PYTHONPATH": str(tmp_path / "modules")}, "imported", str(worker.pid)
        )
        assert (time.monotonic() - begun > timeout / 2) == lives
    assert seen.problems == {}
    assert seen.imports
    assert [(result.module, result.ok) for result in seen.imports] == [("json", True), ("breaks", False)]


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
    assert ends(int(child.read_text()))


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
