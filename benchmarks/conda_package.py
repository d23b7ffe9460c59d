"""Build a conda package of the running CPython and install it as a prefix, with no channel at hand.

Run with a Python that has py-rattler and py-rattler-build: ``python conda_package.py WORK PREFIX``. The
package holds its prefix as conda packages do, as a placeholder in text files, and the prefix gets the records that
conda-pack and Pixi look for.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

from rattler import MatchSpec, VirtualPackage, install, solve
from rattler.index import index_fs
from rattler_build import Stage0Recipe

LIBRARIES = (
    "ssl", "crypto", "ffi", "sqlite3", "readline", "tinfo", "ncursesw", "panelw", "bz2", "lzma", "z", "expat",
    "uuid", "zstd", "crypt",
)  # fmt: skip
LEFT_OUT = shutil.ignore_patterns("site-packages", "test", "_tkinter*", "idlelib", "config-*")
ORIGIN = {"bin": "$ORIGIN/../lib", "lib": "$ORIGIN", "lib-dynload": "$ORIGIN/../.."}


def stage(folder: Path) -> Path:
    """A copy of the base installation of this Python with the libraries that it needs."""
    base = Path(sys.base_prefix)
    name = f"python{sysconfig.get_python_version()}"
    (folder / "bin").mkdir(parents=True)
    (folder / "lib").mkdir()
    program = folder / "bin" / name
    shutil.copy2(base / "bin" / name, program)
    for link in ("python", "python3"):
        (folder / "bin" / link).symlink_to(name)
    shutil.copytree(base / "lib" / name, folder / "lib" / name, symlinks=True, ignore=LEFT_OUT)
    (folder / "lib" / name / "site-packages").mkdir()
    (folder / "lib" / name / "site-packages" / "README.txt").write_text(f"of {folder}\n")
    shutil.copytree(base / "include", folder / "include", symlinks=True)
    for library in base.glob("lib/libpython3*.so*"):
        shutil.copy2(library, folder / "lib", follow_symlinks=False)
    for source in libraries(folder) | of_compiler():
        shutil.copy2(source, folder / "lib")
    for place, path in ORIGIN.items():
        for file in (*folder.glob(f"{place}/*"), *folder.glob(f"lib/*/{place}/*")):
            if file.is_file() and not file.is_symlink() and file.read_bytes()[:4] == b"\x7fELF":
                file.chmod(file.stat().st_mode | 0o200)
                subprocess.run(["patchelf", "--force-rpath", "--set-rpath", path, file], check=True)
    for file in folder.rglob("*"):
        if file.is_file() and not file.is_symlink() and file.stat().st_size < 1_000_000:
            data = file.read_bytes()
            if os.fsencode(base) in data and b"\0" not in data:
                file.write_bytes(data.replace(os.fsencode(base), os.fsencode(folder)))
    return folder


def of_compiler() -> set[Path]:
    """Libraries that every conda environment has, and wheels count on."""
    listed = subprocess.run(["/sbin/ldconfig", "-p"], capture_output=True, text=True, check=True).stdout
    lines = (line.split() for line in listed.splitlines())
    found = {
        words[0]: Path(words[-1])
        for words in lines
        if words and words[0] in {"libstdc++.so.6", "libgcc_s.so.1"}
    }
    return set(found.values())


def libraries(folder: Path) -> set[Path]:
    """Shared libraries of this machine that the copy needs and conda packages bring along."""
    found = set()
    for file in (*folder.glob("bin/*"), *folder.glob("lib/*/lib-dynload/*.so")):
        listed = subprocess.run(["ldd", file], capture_output=True, text=True, check=False).stdout
        for line in listed.splitlines():
            name, arrow, path = line.partition("=>")
            if arrow and name.strip().removeprefix("lib").split(".so")[0] in LIBRARIES:
                found.add(Path(path.split()[0]))
    return found


def build(work: Path) -> Path:
    """A channel with the one package ``python``."""
    channel = work / "channel"
    (channel / "noarch").mkdir(parents=True)
    source = stage(work / ("placeholder_" * 12) / "stage")
    script = [
        f'cp -a "{source}/." "$PREFIX/"',
        f'grep -rlIF \'{source}\' "$PREFIX" | while read -r f; do sed -i "s|{source}|$PREFIX|g" "$f"; done',
    ]
    recipe = {
        "package": {"name": "python", "version": ".".join(map(str, sys.version_info[:3]))},
        "build": {
            "number": 0,
            "script": script,
            "dynamic_linking": {"binary_relocation": False},
            "python": {"skip_pyc_compilation": ["**"]},
        },
        "requirements": {"run": ["__glibc >=2.17"]},
    }
    Stage0Recipe.from_dict(recipe).run_build(output_dir=str(channel), channels=[channel.as_uri()])
    return channel


async def main(work: Path, prefix: Path) -> None:
    channel = build(work)
    await index_fs(channel)
    records = await solve(
        [channel.as_uri()],
        ["python"],
        platforms=["linux-64", "noarch"],
        virtual_packages=VirtualPackage.detect(),
    )
    requested = [MatchSpec("python")._match_spec]
    await install(records, prefix, cache_dir=work / "cache", requested_specs=requested)


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]).resolve(), Path(sys.argv[2]).resolve()))
