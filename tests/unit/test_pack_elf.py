"""The reader of ELF files, held against pyelftools."""

from __future__ import annotations

import sys
import sysconfig
from pathlib import Path

import pytest
from elftools.elf.dynamic import DynamicSegment
from elftools.elf.elffile import ELFFile
from elftools.elf.gnuversions import GNUVerNeedSection
from hypothesis import given, settings
from hypothesis import strategies as st

from fasthep_validate.pack import elf

PROGRAM = Path(sys.executable).resolve()
FILES = [PROGRAM, *sorted(Path(sysconfig.get_path("stdlib"), "lib-dynload").glob("*.so"))]


def by_elftools(path: Path) -> tuple[str, tuple[str, ...], set[str]]:
    with path.open("rb") as stream:
        file = ELFFile(stream)
        dynamic = next(file.iter_segments("PT_DYNAMIC"))
        assert isinstance(dynamic, DynamicSegment)
        needed = tuple(str(getattr(tag, "needed")) for tag in dynamic.iter_tags("DT_NEEDED"))  # noqa: B009 - untyped
        section = file.get_section_by_name(".gnu.version_r")
        names = set()
        if isinstance(section, GNUVerNeedSection):
            names = {version.name for _, versions in section.iter_versions() for version in versions}
        return f"{file.header.e_machine}/{file.elfclass}", needed, names


@pytest.mark.parametrize("path", FILES[:12], ids=lambda path: path.name)
def test_libraries_and_glibc_are_those_that_pyelftools_finds(path: Path) -> None:
    found = elf.read(str(path))
    machine, needed, versions = by_elftools(path)
    assert found
    assert found.needed == needed
    assert found.machine.partition("/")[2] == machine.partition("/")[2]
    numbers = [tuple(map(int, name[6:].split("."))) for name in versions if name.startswith("GLIBC_2")]
    assert found.glibc == max(numbers, default=(0,))


def test_a_program_names_its_loader_and_a_library_has_none() -> None:
    program, library = elf.read(str(PROGRAM)), elf.read(str(FILES[-1]))
    assert program
    assert library
    assert program.interpreter.startswith("/lib")
    assert not library.interpreter


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_damaged_files_are_never_more_than_not_elf(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    whole = min(FILES, key=lambda path: path.stat().st_size).read_bytes()
    cut = data.draw(st.integers(0, len(whole)))
    damaged = bytearray(whole[:cut])
    for _ in range(data.draw(st.integers(0, 8))):
        if damaged:
            damaged[data.draw(st.integers(0, min(len(damaged), 1024) - 1))] = data.draw(st.integers(0, 255))
    path = tmp_path_factory.mktemp("elf") / "file"
    path.write_bytes(damaged)
    elf.read(str(path))  # whatever it gives, it does not raise
