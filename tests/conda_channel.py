"""Conda packages, a channel of them on this machine, and lock files: made here, no channel is asked."""

from __future__ import annotations

import asyncio
import hashlib
import io
import json
import re
import shutil
import sys
import tarfile
import venv
import zipfile
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from typing import TYPE_CHECKING

import yaml

from fasthep_validate.models.execution import EnvironmentSpec
from fasthep_validate.pack import pack
from tests.unpacking import unpack

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

PLACEHOLDER = "/opt/" + "placehold_" * 24 + "placehold"  # as long as conda's
VERSION = ".".join(map(str, sys.version_info[:3]))
SITE = f"lib/python{VERSION.rpartition('.')[0]}/site-packages"


@dataclass(frozen=True)
class Made:
    """A conda package."""

    name: str
    subdir: str
    path: Path
    index: dict[str, object]

    @property
    def sha256(self) -> str:
        return hashlib.sha256(self.path.read_bytes()).hexdigest()

    @property
    def md5(self) -> str:
        return hashlib.md5(self.path.read_bytes(), usedforsecurity=False).hexdigest()


@dataclass
class Channel:
    """A folder of conda packages with an index."""

    folder: Path
    packages: list[Made] = field(default_factory=list)

    @property
    def url(self) -> str:
        return self.folder.as_uri()

    def add(
        self,
        name: str,
        files: Mapping[str, bytes | Path],
        *,
        subdir: str = "linux-64",
        version: str = "1.0",
        depends: Sequence[str] = (),
        links: Mapping[str, str] | None = None,
    ) -> Made:
        """Make a package; a file that holds the placeholder is marked, as binary where it holds a NUL byte."""
        noarch = subdir == "noarch"
        index: dict[str, object] = {
            "name": name,
            "version": version,
            "build": "h0_0",
            "build_number": 0,
            "depends": list(depends),
            "subdir": subdir,
            **({"noarch": "generic"} if noarch else {}),
        }
        path = self.folder / subdir / f"{name}-{version}-h0_0.tar.bz2"
        path.parent.mkdir(parents=True, exist_ok=True)
        paths = []
        with tarfile.open(path, "w:bz2", compresslevel=1) as tar:
            for file, content in files.items():
                data = content.read_bytes() if isinstance(content, Path) else content
                paths.append(_described(file, data))
                _put(tar, file, data, executable=file.startswith("bin/") or ".so" in file)
            for file, target in (links or {}).items():
                info = tarfile.TarInfo(file)
                info.type, info.linkname = tarfile.SYMTYPE, target
                tar.addfile(info)
                paths.append({"_path": file, "path_type": "softlink"})
            _put(tar, "info/index.json", json.dumps(index).encode())
            _put(tar, "info/paths.json", json.dumps({"paths": paths, "paths_version": 1}).encode())
        made = Made(name, subdir, path, index)
        self.packages.append(made)
        return made

    def index(self) -> None:
        """Write ``repodata.json``."""
        from rattler.index import index_fs

        (self.folder / "noarch").mkdir(exist_ok=True)
        asyncio.run(index_fs(self.folder))


def _described(file: str, data: bytes) -> dict[str, object]:
    entry: dict[str, object] = {
        "_path": file,
        "path_type": "hardlink",
        "sha256": hashlib.sha256(data).hexdigest(),
        "size_in_bytes": len(data),
    }
    if PLACEHOLDER.encode() in data:
        entry |= {"prefix_placeholder": PLACEHOLDER, "file_mode": "binary" if b"\0" in data else "text"}
    return entry


def _put(tar: tarfile.TarFile, name: str, data: bytes, *, executable: bool = False) -> None:
    info = tarfile.TarInfo(name)
    info.size, info.mode = len(data), 0o755 if executable else 0o644
    tar.addfile(info, io.BytesIO(data))


def add_python(channel: Channel, work: Path) -> Made:
    """A conda package of the Python that runs the tests, with the libraries that it needs."""
    venv.create(work / "env", with_pip=False)
    site = next((work / "env").glob("lib/python3*/site-packages"))
    for name in ("dask", "distributed"):
        (site / name).mkdir()
        (site / name / "__init__.py").touch()
    packed = pack(EnvironmentSpec(prefix=str(work / "env")), cache=work / "cache")
    assert packed.base
    root = Path(f"{work}/{'stage_' * 30}")
    unpack(packed, root)
    base = root / "base"
    files = {
        str(path.relative_to(base)): path.read_bytes().replace(str(base).encode(), PLACEHOLDER.encode())
        for path in base.rglob("*")
        if path.is_file() and not path.is_symlink() and path.suffix != ".pyc"
    }
    links = {
        str(path.relative_to(base)): str(path.readlink()) for path in base.rglob("*") if path.is_symlink()
    }
    made = channel.add("python", files, version=VERSION, links=links, depends=["__glibc >=2.17"])
    shutil.rmtree(root)
    return made


def add_installed(channel: Channel, *names: str) -> Made:
    """A conda package of distributions of the running Python, with all that they require."""
    files: dict[str, bytes | Path] = {}
    todo, seen = list(names), set()
    while todo:
        name = re.split(r"[^A-Za-z0-9_.-]", todo.pop())[0]
        if name.lower() in seen:
            continue
        seen.add(name.lower())
        try:
            found = distribution(name)
        except PackageNotFoundError:  # only needed elsewhere
            continue
        todo += [word for word in found.requires or () if "extra ==" not in word]
        paths = (path for path in found.files or () if ".." not in path.parts and path.suffix != ".pyc")
        files |= {f"{SITE}/{path}": Path(str(path.locate())) for path in paths}
    return channel.add("stack", files)


def add_foreign(channel: Channel, made: Made, machine: int) -> Made:
    """A package again for ``linux-aarch64``: its ELF files say that they are for that machine."""
    files: dict[str, bytes | Path] = {}
    links = {}
    with tarfile.open(made.path) as tar:
        for member in tar:
            stream = tar.extractfile(member) if member.isfile() else None
            if member.issym():
                links[member.name] = member.linkname
            elif stream and not member.name.startswith("info/"):
                data = bytearray(stream.read())
                if data[:4] == b"\x7fELF":
                    data[18:20] = machine.to_bytes(2, "little")  # e_machine
                files[member.name] = bytes(data)
    version = str(made.index["version"])
    return channel.add(made.name, files, subdir="linux-aarch64", version=version, links=links)


def lock_6(channel: Channel, *, pypi: Sequence[Mapping[str, str]] = ()) -> str:
    """``pixi.lock``, version 6, of all packages of a channel; ``pypi`` are entries of linux-64."""
    conda = [
        {
            "conda": made.path.as_uri(),
            "name": made.name,
            "version": str(made.index["version"]),
            "build": "h0_0",
            "build_number": 0,
            "subdir": made.subdir,
            "sha256": made.sha256,
            "md5": made.md5,
            "depends": made.index["depends"],
            "channel": channel.url,
        }
        for made in channel.packages
    ]
    platforms: dict[str, list[dict[str, str]]] = {}
    for made in channel.packages:
        platforms.setdefault(made.subdir, []).append({"conda": made.path.as_uri()})
    platforms["linux-64"] += [{"pypi": entry["pypi"]} for entry in pypi]
    environment = {"channels": [{"url": channel.url}], "packages": platforms}
    environment |= {"indexes": ["https://index.example.org/simple"]} if pypi else {}
    return yaml.safe_dump(
        {"version": 6, "environments": {"default": environment}, "packages": [*conda, *map(dict, pypi)]},
        sort_keys=False,
    )


def write_lock_7(path: Path, channel: Channel, *, platform: str = "linux-64") -> None:
    """``pixi.lock``, version 7, as py-rattler writes it."""
    from rattler import LockChannel, LockFile, LockPlatform, PackageRecord, RepoDataRecord

    entry = LockPlatform(platform)
    lock = LockFile([entry])
    lock.set_channels("default", [LockChannel(channel.url)])
    for made in channel.packages:
        index = path.with_name(f"{made.name}.index.json")
        index.write_text(json.dumps(made.index))
        record = PackageRecord.from_index_json(index, sha256=made.sha256, md5=made.md5)
        lock.add_conda_package(
            "default", entry, RepoDataRecord(record, made.path.name, made.path.as_uri(), channel.url)
        )
        index.unlink()
    lock.to_path(path)


def wheel(folder: Path, name: str = "pure", *, extra: Mapping[str, str] | None = None) -> Path:
    """A wheel with a module and a script."""
    info = f"{name}-1.0.dist-info"
    files = {
        f"{name}/__init__.py": "def main():\n    print('pure')\n",
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: tests\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        f"{info}/entry_points.txt": f"[console_scripts]\n{name}-script = {name}:main\n",
        **(extra or {}),
    }
    rows = [f"{file},," for file in files] + [f"{info}/RECORD,,"]
    path = folder / f"{name}-1.0-py3-none-any.whl"
    folder.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, "w") as archive:
        for file, text in {**files, f"{info}/RECORD": "\n".join(rows) + "\n"}.items():
            archive.writestr(file, text)
    return path
