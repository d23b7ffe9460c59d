"""Environments from a lock file alone, from archives that others made, and by pixi-pack."""

from __future__ import annotations

import base64
import hashlib
import io
import json
import os
import shutil
import subprocess
import tarfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from fasthep_validate.errors import PackError
from fasthep_validate.models.execution import EnvironmentSpec, PixiPackOptions
from fasthep_validate.pack import activation, archives, code, lock, packages, pixi_pack, sources
from fasthep_validate.pack import pack as pack_environment
from fasthep_validate.pack.pixi import read
from tests.conda_channel import (
    PLACEHOLDER,
    SITE,
    Channel,
    add_foreign,
    add_python,
    lock_6,
    wheel,
    write_lock_7,
)
from tests.trees import tree
from tests.unpacking import unpack

if TYPE_CHECKING:
    from collections.abc import Iterator

pytest.importorskip("rattler", reason="py-rattler is not installed (extra 'lock')")
pytest.importorskip("installer", reason="installer is not installed (extra 'lock')")

PIXI = b"""
[workspace]
channels = []
platforms = ["linux-64"]
[environments]
other = []
"""


def quiet(line: str) -> None:
    del line


@pytest.fixture(scope="module", autouse=True)
def own_cache_of_rattler(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """The packages made here have names of real ones, and must not be found by anybody else."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RATTLER_CACHE_DIR", str(tmp_path_factory.mktemp("rattler")))
        yield


@pytest.fixture(scope="module")
def channel(tmp_path_factory: pytest.TempPathFactory) -> Channel:
    """Python and packages with paths in text, in a binary, and in a script."""
    folder = tmp_path_factory.mktemp("channel")
    made = Channel(folder / "channel")
    add_python(made, folder)
    info = {f"{SITE}/dask-1.0.dist-info/METADATA": b"Name: dask\nVersion: 1.0\n"}
    made.add("dask", {f"{SITE}/dask/__init__.py": b"", **info})
    made.add("distributed", {f"{SITE}/distributed/__init__.py": b""}, depends=["__cuda >=12.1", "__cuda >=9"])
    files = {
        "bin/tool": b"#!%b/bin/python\nprint('tool')\n" % PLACEHOLDER.encode(),
        "lib/data.bin": b"\1\0%b/share\0" % PLACEHOLDER.encode() + bytes(300),
        "etc/tool.conf": b"home = %b/share\n" % PLACEHOLDER.encode(),
        f"{SITE}/tool.pth": b"%b/share/modules\n" % PLACEHOLDER.encode(),
        "share/modules/from_pth.py": b"WHERE = __file__\n",
    }
    made.add("tool", files)
    made.index()
    return made


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


def entry(path: Path) -> dict[str, str]:
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    return {"pypi": path.as_uri(), "name": "pure", "version": "1.0", "sha256": digest}


@pytest.fixture(scope="module")
def project(channel: Channel, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a manifest and a lock file of version 6."""
    folder = tmp_path_factory.mktemp("project")
    tree(folder, {"pixi.toml": PIXI})
    (folder / "pixi.lock").write_text(lock_6(channel, pypi=[entry(wheel(folder / "wheels"))]))
    return folder


def spec(project: Path, **changes: object) -> EnvironmentSpec:
    first = EnvironmentSpec(
        type="packed-pixi", mode="lock", lock=str(project / "pixi.lock"), required_imports=()
    )
    return first.model_copy(update=changes)


def test_pack_of_a_lock_file_runs_elsewhere(project: Path, cache: Path, tmp_path: Path) -> None:
    said: list[str] = []
    packed = pack_environment(spec(project), cache=cache, say=said.append)
    assert said[0] == "installing 5 packages for linux-64"
    assert packed.base
    root = tmp_path / "a job's directory" / ("longer-than-a-kernel-reads-" * 5)  # 127 bytes of a line
    root.parent.mkdir()
    unpack(packed, root)
    words = [
        str(root / "bin/python"),
        "-I",
        "-c",
        "import sys, dask, pure, ssl, from_pth; print(sys.prefix, pure.__file__, from_pth.WHERE)",
    ]
    out = subprocess.run(words, check=True, capture_output=True, text=True, env={}).stdout
    assert out == f"{root} {root}/{SITE}/pure/__init__.py {root}/share/modules/from_pth.py\n"
    assert subprocess.run([root / "bin/tool"], check=True, capture_output=True).stdout == b"tool\n"
    assert subprocess.run([root / "bin/pure-script"], check=True, capture_output=True).stdout == b"pure\n"
    assert (root / "lib/data.bin").read_bytes().startswith(b"\1\0%b/share\0" % os.fsencode(root))
    assert (root / "etc/tool.conf").read_text() == f"home = {root}/share\n"

    found = {(item.kind, item.name, item.version) for item in packed.manifest.packages}
    assert found >= {("conda", "dask", "1.0"), ("conda", "tool", "1.0"), ("pypi", "pure", "1.0")}
    assert ("pypi", "dask", "1.0") not in found
    assert packed.manifest.floors == {"__cuda": "12.1", "__glibc": "2.17"}
    assert packed.submit_prefix.startswith(str(cache / "prefixes"))
    assert pack_environment(spec(project), cache=cache).cached


def test_two_runs_at_once_install_once(channel: Channel, tmp_path: Path) -> None:
    (tmp_path / "pixi.lock").write_text(lock_6(channel))
    said: list[str] = []
    with ThreadPoolExecutor(2) as pool:
        runs = [
            pool.submit(sources.WAYS["lock"], spec(tmp_path), tmp_path / "cache", said.append)
            for _ in range(2)
        ]
    assert len({run.result().prefix for run in runs}) == 1
    assert said == ["installing 4 packages for linux-64"]


def test_version_7_is_the_same_environment(channel: Channel, project: Path, tmp_path: Path) -> None:
    write_lock_7(tmp_path / "pixi.lock", channel)
    seven = lock.read(tmp_path / "pixi.lock", "default", "linux-64")
    six = lock.read(project / "pixi.lock", "default", "linux-64")
    assert [(item.name.normalized, item.sha256) for item in seven.records] == [
        (item.name.normalized, item.sha256) for item in six.records
    ]
    assert [item.name for item in six.wheels] == ["pure-1.0-py3-none-any.whl"]


def test_package_that_is_not_what_was_locked(channel: Channel, tmp_path: Path) -> None:
    good = wheel(tmp_path)
    (tmp_path / "pixi.lock").write_text(lock_6(channel, pypi=[{**entry(good), "sha256": "0" * 64}]))
    contents = lock.read(tmp_path / "pixi.lock", "default", "linux-64")
    with pytest.raises(PackError, match=r"and 0000.* was locked"):
        packages.install(contents, tmp_path / "cache", quiet)

    text = lock_6(channel)
    (tmp_path / "pixi.lock").write_text(text.replace(channel.packages[-1].sha256, "a" * 64))
    contents = lock.read(tmp_path / "pixi.lock", "default", "linux-64")
    with pytest.raises(PackError, match=r"tool-1\.0.* was locked"):
        packages.install(contents, tmp_path / "cache", quiet)
    assert not list((tmp_path / "cache/prefixes").glob("*/*"))


@pytest.mark.parametrize(
    ("location", "message"),
    [
        ("https://index.example.org/pure-1.0.tar.gz", "pure is a source distribution"),
        ("./folder", "pure is a folder"),
    ],
)
def test_what_would_have_to_be_built_is_named(
    channel: Channel, tmp_path: Path, location: str, message: str
) -> None:
    (tmp_path / "folder").mkdir()
    text = lock_6(channel, pypi=[{"pypi": location, "name": "pure", "version": "1.0"}])
    (tmp_path / "pixi.lock").write_text(text)
    with pytest.raises(PackError, match=message):
        lock.read(tmp_path / "pixi.lock", "default", "linux-64")


def test_what_is_not_in_the_lock_file(project: Path, tmp_path: Path) -> None:
    with pytest.raises(PackError, match=r"has no environment 'defalt'\. Did you mean 'default'"):
        lock.read(project / "pixi.lock", "defalt", "linux-64")
    with pytest.raises(PackError, match=r"no packages for osx-64\. .*linux-64"):
        lock.read(project / "pixi.lock", "default", "osx-64")
    with pytest.raises(PackError, match="is not there"):
        lock.read(tmp_path / "pixi.lock", "default", "linux-64")
    tree(tmp_path, {"pixi.lock": b"version: 99\n"})
    with pytest.raises(PackError, match="is no lock file that can be read"):
        lock.read(tmp_path / "pixi.lock", "default", "linux-64")


def test_pack_for_another_machine(channel: Channel, cache: Path, tmp_path: Path) -> None:
    """Its files cannot be run here: they are those of this machine, and only say that they are for the other."""
    both = Channel(channel.folder, list(channel.packages))
    for made in channel.packages:
        add_foreign(both, made, machine=183)  # EM_AARCH64
    (tmp_path / "pixi.lock").write_text(lock_6(both))
    packed = pack_environment(spec(tmp_path, platform="linux-aarch64"), cache=cache)
    assert packed.manifest.machine == "aarch64"
    assert set(packed.manifest.carried) == set()
    assert starts(Path(packed.submit_prefix))
    assert packed.submit_python.startswith(packed.submit_prefix)
    asked = spec(tmp_path, platform="linux-aarch64", required_imports=("nosuch",))
    with pytest.raises(PackError, match="nosuch cannot be found there"):
        pack_environment(asked, cache=cache)


# ---- archives of others ---------------------------------------------------------------------------


def pixi_pack_archive(channel: Channel, folder: Path) -> Path:
    """An archive in pixi-pack's format, made here: the program itself cannot be had everywhere."""
    metadata = {"version": "1", "pixi-pack-version": "0.7.0", "platform": "linux-64"}
    path = folder / "environment.tar"
    with tarfile.open(path, "w") as tar:
        for subdir in ("noarch", "linux-64"):
            for file in sorted((channel.folder / subdir).glob("*")):
                if file.name == "repodata.json" or file.name.endswith(".tar.bz2"):
                    tar.add(file, f"channel/{subdir}/{file.name}")
        tar.add(wheel(folder / "wheels"), "pypi/pure-1.0-py3-none-any.whl")
        for name, data in (
            ("pixi-pack.json", json.dumps(metadata).encode()),
            ("environment.yml", b"channels: []\n"),
        ):
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return path


def self_extracting(archive: Path) -> Path:
    """The same as a script, as ``--create-executable`` writes it."""
    path = archive.with_suffix(".sh")
    header = b"#!/usr/bin/env bash\nset -euo pipefail\nexit 0\n# shellcheck disable=SC2317\n@@END_HEADER@@\n"
    path.write_bytes(
        header
        + b"\n"
        + base64.b64encode(archive.read_bytes())
        + b"\n@@END_ARCHIVE@@\n"
        + base64.b64encode(b"\x7fELF")
    )
    return path


def starts(prefix: Path) -> bool:
    words = [str(prefix / "bin/python"), "-I", "-c", "import sys, dask; print(sys.prefix)"]
    done = subprocess.run(words, capture_output=True, text=True, check=True, env={})
    return done.stdout == f"{prefix}\n"


def test_archives_of_pixi_pack(channel: Channel, tmp_path: Path) -> None:
    """They are known by what is in them, whatever they are called."""
    archive = pixi_pack_archive(channel, tmp_path)
    script = self_extracting(archive).rename(tmp_path / "some name.bin")
    for file in (archive, script):
        prefix = archives.open_archive(file, tmp_path / "cache", quiet)
        assert starts(prefix)
        assert (
            subprocess.run([prefix / "bin/pure-script"], check=True, capture_output=True).stdout == b"pure\n"
        )
    said: list[str] = []
    archives.open_archive(archive, tmp_path / "cache", said.append)
    assert said == []


def test_archive_of_conda_pack(project: Path, cache: Path, tmp_path: Path) -> None:
    """Its own program has to be run; this one does what conda-pack's does, and says where it was."""
    prefix = sources.WAYS["lock"](spec(project), cache, quiet).prefix
    copy = tmp_path / "copy"
    shutil.copytree(prefix, copy, symlinks=True)
    script = (
        "#!/usr/bin/env python\nimport pathlib, sys\nroot = pathlib.Path(__file__).resolve().parents[1]\n"
        "(root / 'unpacked').write_text(str(root))\n"
    )
    (copy / "bin/conda-unpack").write_text(script)
    with tarfile.open(tmp_path / "packed.tar.gz", "w:gz", compresslevel=1) as tar:
        tar.add(copy, ".")
    opened = archives.open_archive(tmp_path / "packed.tar.gz", tmp_path / "cache", quiet)
    assert starts(opened)
    assert (opened / "unpacked").read_text() == str(opened)


def test_other_archives_are_refused(tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "x.tar", "w") as tar:
        tar.add(__file__, "x")
    tree(tmp_path, {"x.sh": b"#!/bin/sh\n", "x.bin": b"junk"})
    for name, message in (
        ("x.tar", "neither an archive of pixi-pack nor one of conda-pack"),
        ("x.sh", "is a script, but none that pixi-pack made"),
        ("x.bin", "cannot be opened"),
        ("nosuch", "No such file"),
    ):
        with pytest.raises(PackError, match=message):
            archives.open_archive(tmp_path / name, tmp_path / "cache", quiet)
    assert not list((tmp_path / "cache/prefixes").glob("*/*"))


# ---- pixi-pack ------------------------------------------------------------------------------------


def self_extracting_spec(project: Path, **changes: object) -> EnvironmentSpec:
    return spec(project, mode="self-extracting", lock=None, manifest=str(project), **changes)


def test_without_pixi_pack_the_lock_file_serves(
    project: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", "/usr/bin:/bin")
    found = sources.WAYS["self-extracting"](self_extracting_spec(project), cache, quiet)
    assert starts(found.prefix)
    assert found.notes[0].startswith(
        "pixi-pack is not installed; the pack was made from environment default of"
    )
    with pytest.raises(PackError, match="has no environment 'nosuch'"):
        sources.WAYS["self-extracting"](self_extracting_spec(project, environment="nosuch"), cache, quiet)
    options = PixiPackOptions(inject=("x.conda",))
    with pytest.raises(
        PackError, match=r"inject is for pixi-pack, which is not installed\. Install it with: pixi"
    ):
        sources.WAYS["self-extracting"](self_extracting_spec(project, pixi_pack=options), cache, quiet)


def test_command_line_of_pixi_pack(
    channel: Channel, project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A recorder in place of pixi-pack: it writes down its arguments and leaves an archive made here."""
    script = self_extracting(pixi_pack_archive(channel, tmp_path))
    recorder = tmp_path / "bin/pixi-pack"
    recorder.parent.mkdir()
    recorder.write_text(
        f"#!/bin/sh\nprintf '%s\\n' \"$@\" >>{tmp_path}/arguments\n"
        f'while [ "$1" != --output-file ]; do shift; done\ncp {script} "$2"\n'
    )
    recorder.chmod(0o755)
    monkeypatch.setenv("PATH", f"{recorder.parent}:/usr/bin:/bin")
    options = PixiPackOptions(
        unpack_source="/opt/pixi-unpack", config="mirrors.toml", cache="/cache", inject=("a.conda", "b.conda")
    )
    asked = self_extracting_spec(project, pixi_pack=options, archive_path=str(tmp_path / "out/env.sh"))
    for _ in range(2):  # the second time the archive is newer than the lock file
        found = sources.WAYS["self-extracting"](asked, tmp_path / "cache", quiet)
    assert starts(found.prefix)
    assert (tmp_path / "arguments").read_text().splitlines() == [
        *("--environment", "default", "--platform", "linux-64", "--create-executable"),
        *(
            "--output-file",
            f"{tmp_path}/out/env.sh.{os.getpid()}.partial.sh",
            "--pixi-unpack-source",
            "/opt/pixi-unpack",
        ),
        *("--config", "mirrors.toml", "--use-cache", "/cache", "--inject=a.conda", "--inject=b.conda"),
        f"{project}/pixi.toml",
    ]
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["env.sh"]

    recorder.write_text("#!/bin/sh\necho 'no such platform' >&2; exit 1\n")
    other = asked.model_copy(update={"archive_path": str(tmp_path / "other.sh")})
    with pytest.raises(PackError, match="pixi-pack: no such platform"):
        sources.WAYS["self-extracting"](other, tmp_path / "cache", quiet)


@pytest.mark.skipif(pixi_pack.find() is None, reason="pixi-pack is not installed here")
def test_the_real_pixi_pack(project: Path, tmp_path: Path) -> None:
    asked = self_extracting_spec(project, archive_path=str(tmp_path / "env.sh"))
    assert starts(sources.WAYS["self-extracting"](asked, tmp_path / "cache", quiet).prefix)


# ---- manifests ------------------------------------------------------------------------------------


def test_environments_by_manifest_and_name(tmp_path: Path) -> None:
    tree(
        tmp_path,
        {"pyproject.toml": b"[tool.pixi.environments]\ntest = ['a']\n", "plain/pyproject.toml": b"[x]\n"},
    )
    manifest = read(tmp_path)
    assert manifest.environments() == ["default", "test"]
    asked = EnvironmentSpec(type="packed-pixi", manifest=str(tmp_path), environment="test")
    with pytest.raises(
        PackError, match=r"envs/test: is not installed\. Run `pixi install --environment test`"
    ):
        sources.WAYS["prefix"](asked, tmp_path, quiet)
    (tmp_path / ".pixi/envs/test/conda-meta").mkdir(parents=True)
    assert sources.WAYS["prefix"](asked, tmp_path, quiet).prefix == tmp_path / ".pixi/envs/test"
    with pytest.raises(PackError, match="is no manifest of Pixi"):
        read(tmp_path / "plain")


def test_activation_of_features_and_targets(tmp_path: Path) -> None:
    text = b"""
    [activation]
    scripts = ["all.sh"]
    env = {A = "1", B = "1"}
    [target.linux-64.activation]
    env = {B = "2"}
    [feature.gpu.activation]
    scripts = ["gpu.sh"]
    [feature.gpu.target.unix.activation]
    env = {A = "3"}
    [feature.mac.target.osx.activation]
    env = {A = "4"}
    [environments]
    both = ["gpu", "mac"]
    alone = {features = ["gpu"], no-default-feature = true}
    """
    tree(tmp_path, {"pixi.toml": text})
    manifest = read(tmp_path)
    default, both, alone = (manifest.activation(name, "linux-64") for name in ("default", "both", "alone"))
    assert (default.scripts, default.variables) == (("all.sh",), {"A": "1", "B": "2"})
    assert (both.scripts, both.variables) == (("all.sh", "gpu.sh"), {"A": "3", "B": "2"})
    assert (alone.scripts, alone.variables) == (("gpu.sh",), {"A": "3"})


def test_activation_travels_in_the_code_layer(tmp_path: Path) -> None:
    """Values of the manifest may name other variables; those of the prefix are taken as they stand."""
    prefix = tree(
        tmp_path / ".pixi/envs/default",
        {
            "conda-meta/state": b'{"env_vars": {"PLAIN": "a $b \\"c\\""}}',
            "etc/conda/env_vars.d/x.json": b'{"OF_PACKAGE": "1"}',
            "etc/conda/activate.d/x.sh": b"",
        },
    )
    text = b"[activation]\nscripts = ['./sub/setup.sh']\nenv = {HOME_OF = '$CONDA_PREFIX/share'}\n"
    tree(tmp_path, {"pixi.toml": text, "sub/setup.sh": b"export SET=1\n"})
    manifest = read(tmp_path).activation("default", "linux-64")
    layer = code.Layer()
    told = activation.add(layer, prefix, manifest)
    assert told.scripts == ("activate.d/x.sh", "sub/setup.sh")
    assert told.variables == ("HOME_OF", "OF_PACKAGE", "PLAIN")
    assert layer.texts == {
        "activation/first.sh": 'export OF_PACKAGE="1"\nexport PLAIN="a \\$b \\"c\\""\n',
        "activation/scripts": "sub/setup.sh\n",
        "activation/last.sh": 'export HOME_OF="$CONDA_PREFIX/share"\n',
    }
    assert layer.entries.keys() == {"project/sub/setup.sh"}
    (tmp_path / "sub/setup.sh").unlink()
    with pytest.raises(PackError, match=r"setup\.sh: \[activation\] of the manifest names it"):
        activation.add(layer, prefix, manifest)
