"""Packs as files, and the commands that make, show, compare and verify them."""

from __future__ import annotations

import json
import shutil
import subprocess
import venv
from typing import TYPE_CHECKING

import pytest
from typer.testing import CliRunner

from fasthep_validate.cli import app
from fasthep_validate.errors import ConfigError, PackError
from fasthep_validate.models.execution import EnvironmentSpec
from fasthep_validate.models.packed import Package, PackedEnv
from fasthep_validate.pack import files, pack
from fasthep_validate.pack.meter import Meter
from fasthep_validate.testing import good_pack
from tests.trees import tree

if TYPE_CHECKING:
    from pathlib import Path

    from typer.testing import Result


@pytest.fixture(scope="module")
def env(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("submit") / "env"
    venv.create(folder, with_pip=False)
    site = next(folder.glob("lib/python3*/site-packages"))
    for name in ("dask", "distributed"):
        metadata = f"Name: {name}\nVersion: 1.0\n".encode()
        tree(site, {f"{name}/__init__.py": b"", f"{name}-1.0.dist-info/METADATA": metadata})
    return folder


@pytest.fixture
def cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path_factory.getbasetemp() / "packs"
    monkeypatch.setenv("XDG_CACHE_HOME", str(folder))
    return folder


def run(*words: str | Path) -> Result:
    return CliRunner().invoke(app, ["pack", *map(str, words)])


def test_pack_is_written_and_read_again(env: Path, cache: Path, tmp_path: Path) -> None:
    target = tmp_path / "out/env.pack"
    written = run("--prefix", env, "--output", target)
    assert written.exit_code == 0, written.output
    assert {path.name for path in target.parent.iterdir()} == {"env.pack", "env.pack.json"}
    plain = run("--prefix", env, "--format", "tar.gz", "--json")
    base = PackedEnv.model_validate_json(plain.stdout).base
    assert base
    assert base.format == "tar.gz"
    listed = subprocess.run(["tar", "-tzf", base.path], check=True, capture_output=True, text=True).stdout
    assert "venv/bin/python" in listed.splitlines()
    shutil.move(target.parent, tmp_path / "moved")

    shown = run("inspect", tmp_path / "moved/env.pack")
    assert "dask" in shown.output
    assert str(tmp_path / "moved/env.pack") in shown.output
    told = PackedEnv.model_validate_json(run("inspect", tmp_path / "moved/env.pack", "--json").stdout)
    assert [(item.kind, item.name, item.version) for item in told.manifest.packages] == [
        ("pypi", "dask", "1.0"),
        ("pypi", "distributed", "1.0"),
    ]
    assert run("verify", tmp_path / "moved/env.pack").output.endswith("env.pack: whole, and runs here\n")

    with (tmp_path / "moved/env.pack").open("r+b") as archive:
        archive.seek(1000)
        archive.write(b"\0\0\0\0")
    with pytest.raises(PackError, match=r"has sha256 .* was packed"):
        files.verify(files.read(tmp_path / "moved/env.pack"), (), print)


def test_pack_that_does_not_start_is_not_verified(env: Path, tmp_path: Path) -> None:
    packed = pack(EnvironmentSpec(prefix=str(env)), cache=tmp_path)
    with pytest.raises(PackError, match="does not run here: ModuleNotFoundError: No module named 'nosuch'"):
        files.verify(packed, ("dask", "nosuch"), print)


def test_difference_of_two_packs(tmp_path: Path) -> None:
    first = good_pack()
    packages = (
        Package(kind="pypi", name="numpy", version="2.0"),
        Package(kind="conda", name="root", version="6"),
    )
    manifest = first.manifest.model_copy(update={"packages": packages, "python_version": "3.13.1"})
    second = first.model_copy(update={"manifest": manifest})
    assert files.compare(first, first) == []
    assert files.compare(first, second) == [
        ("python", "3.12.4", "3.13.1"),
        ("pypi numpy", "", "2.0"),
        ("conda root", "", "6"),
    ]
    for name, packed in (("a", first), ("b", second)):
        (tmp_path / name).mkdir()
        (tmp_path / name / "pack.json").write_text(packed.to_json())
    told = run("diff", tmp_path / "a", tmp_path / "b", "--json")
    assert told.exit_code == 1
    assert json.loads(told.stdout)[0] == {"what": "python", "first": "3.12.4", "second": "3.13.1"}
    same = run("diff", tmp_path / "a", tmp_path / "a/pack.json")
    assert (same.exit_code, same.output) == (0, "no difference\n")


def test_what_is_no_pack(tmp_path: Path) -> None:
    (tmp_path / "x.json").write_text("{}")
    with pytest.raises(PackError, match=r"x\.json: does not describe a pack"):
        files.read(tmp_path / "x.json")
    with pytest.raises(PackError, match=r"env\.tar: has no description env\.tar\.json or pack\.json"):
        files.read(tmp_path / "env.tar")


def test_options_that_contradict_each_other(env: Path, cache: Path) -> None:
    failed = run("--prefix", env, "--lock", "pixi.lock")
    assert isinstance(failed.exception, ConfigError)
    assert "--prefix: has no meaning for mode lock" in str(failed.exception)


def test_progress_has_bytes_and_time() -> None:
    now = [0.0]
    said: list[str] = []
    meter = Meter("packing", 10_000_000, said.append, clock=lambda: now[0])
    for seconds in (0.5, 2.0, 2.5, 4.0):
        now[0] = seconds
        meter.add(2_000_000)
    assert said == ["packing: 4 of 10 MB, about 3 s left", "packing: 8 of 10 MB, about 1 s left"]
