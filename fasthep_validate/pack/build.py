"""Makes the archive of an environment that has been laid out."""

from __future__ import annotations

import errno
import os
import posixpath
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from fasthep_validate import process
from fasthep_validate.errors import PackError
from fasthep_validate.models.packed import GlibcFloor, PackedEnv, PackManifest
from fasthep_validate.pack import bytecode, head, inventory, libraries
from fasthep_validate.pack.archive import Writer
from fasthep_validate.pack.cache import ARCHIVE, require_space, unwritable
from fasthep_validate.pack.meter import Meter
from fasthep_validate.pack.rpath import patched
from fasthep_validate.pack.search import Search
from fasthep_validate.pack.tree import Entry

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from fasthep_validate.models.packed import Archive, ArchiveFormat
    from fasthep_validate.pack.layout import Layout
    from fasthep_validate.pack.libraries import Plan
    from fasthep_validate.pack.tree import Tree

MANIFEST = ".fasthep/manifest.json"
LOADERS = ("/lib/", "/lib64/", "/usr/lib/", "/usr/lib64/")
IMPORT_TIME = 120.0  # seconds
# Archives of Python environments were 0.35 to 0.45 of their files.
SHARE_NEEDED = 0.5
FULL = {errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EFBIG}


@dataclass(frozen=True)
class Job:
    """What a build works on.

    Attributes:
        layout: the environment.
        tree: what ships of it.
        key: of its content.
        work: empty directory for whatever is made.
        format: how the archive is to be written; ``None`` for what is best.
    """

    layout: Layout
    tree: Tree
    key: str
    work: Path
    format: ArchiveFormat | None = None


class Doubt(NamedTuple):
    """A file that needs a library that is nowhere.

    Attributes:
        name: in the tree.
        library: that is missing.
        module: whose import says whether it is needed.
        source: the file on this machine.
    """

    name: str
    library: str
    module: str
    source: str


def build_pack(job: Job, say: Callable[[str], None]) -> PackedEnv:
    """Make the archive ``env.tar.gz`` in the job's directory.

    Raises:
        PackError: the environment cannot be made to travel, or the disk is full.
    """
    try:
        return _build(job, say)
    except OSError as error:
        if error.errno in FULL:
            raise unwritable(job.work.parent, error) from error
        raise


def _build(job: Job, say: Callable[[str], None]) -> PackedEnv:
    entries = dict(job.tree.entries)
    size = _size(entries)
    count = f"{len(entries):,}".replace(",", " ")
    say(f"packing {size / 1e6:.0f} MB, {count} files")
    plan = _link(job, entries)
    doubts = list(_doubts(job, entries, plan))
    with ThreadPoolExecutor(len(os.sched_getaffinity(0))) as pool:  # while the rest is made ready
        modules = {doubt.module for doubt in doubts}
        importable = {module: pool.submit(_can_import, job, module) for module in modules}
        entries.update((entry.name, entry) for entry in _carried(plan))
        require_space(job.work.parent, _space(plan, entries))
        new = bytecode.compile_missing(entries.values(), job.layout.interpreter, job.work / "compiled")
        entries.update((entry.name, entry) for entry in new)
        entries.update((entry.name, entry) for entry in patched(plan.rpaths, entries, job.work / "patched"))
        notes = [_settled(doubt, works=importable[doubt.module].result()) for doubt in doubts]
    archive, manifest = _write(job, entries, plan, Meter("packing", _size(entries), say))
    say(f"packed {archive.size / 1e6:.0f} MB")
    return PackedEnv(
        manifest=manifest,
        base=archive,
        submit_python=job.layout.interpreter.executable,
        submit_prefix=job.layout.interpreter.prefix,
        cached=False,
        seconds=0.0,
        notes=tuple(notes),
    )


def _size(entries: dict[str, Entry]) -> int:
    return sum(entry.size for entry in entries.values())


def _space(plan: Plan, entries: dict[str, Entry]) -> int:
    copies = sum(entries[name].size for name in plan.rpaths)
    return int(SHARE_NEEDED * _size(entries)) + copies


def _link(job: Job, entries: dict[str, Entry]) -> Plan:
    layout = job.layout
    elfs = libraries.read_all(entries.values())
    main = elfs.get(layout.base_python)
    if main is None or not main.interpreter.startswith(LOADERS):
        loader = main.interpreter if main else "none"
        raise PackError(
            f"{layout.interpreter.base_executable}: is started by the loader {loader}, which a worker node "
            "does not have. Use a Python that is started by the system's loader."
        )
    return libraries.Linker(entries, elfs, layout.base_python, layout.libraries).link()


def _doubts(job: Job, entries: dict[str, Entry], plan: Plan) -> Iterator[Doubt]:
    sites = tuple(f"{path}/" for path in job.layout.site_packages)
    for name, library in plan.missing:
        site = next((path for path in sites if name.startswith(path)), None)
        top = name.removeprefix(site or "").split("/")[0].split(".")[0]
        source = entries[name].source if name in entries else plan.carried[name]
        doubt = Doubt(name, library, top, source)
        if site is None:
            _settled(doubt, works=False)
        yield doubt


def _settled(doubt: Doubt, *, works: bool) -> str:
    """Refuse what cannot work; an extra that could not be loaded here either is only worth a note."""
    if not works:
        raise PackError(
            f"{doubt.source}: needs {doubt.library}, which is not on this machine. "
            "Install that library, or remove the file or the package that brought it."
        )
    return f"{doubt.name} needs {doubt.library}, which is not on this machine; {doubt.module} can be imported without it"


def _can_import(job: Job, module: str) -> bool:
    # -B: a compiled module that is written now is not the one that was listed.
    words = [
        job.layout.interpreter.executable,
        "-I",
        "-B",
        "-c",
        "import sys; __import__(sys.argv[1])",
        module,
    ]
    return module.isidentifier() and process.run(words, timeout=IMPORT_TIME).ok


def _carried(plan: Plan) -> list[Entry]:
    found = ((name, source, Path(source).stat()) for name, source in plan.carried.items())
    return [Entry(name, source, status.st_size, status.st_mtime_ns, True) for name, source, status in found]


def _write(job: Job, entries: dict[str, Entry], plan: Plan, meter: Meter) -> tuple[Archive, PackManifest]:
    names = head.choose(job.layout, entries, plan.carried)
    zstd = posixpath.join(job.layout.libraries, libraries.EXTRACTS)
    format = job.format or ("tar.zst" if zstd in names else "tar.gz")
    if format == "tar.zst" and zstd not in names:
        raise PackError(
            f"{job.layout.interpreter.prefix}: has no {libraries.EXTRACTS}, with which a worker would extract tar.zst. "
            "Install zstd there, or ask for tar.gz."
        )
    ordered = sorted(entries.values(), key=lambda entry: entry.name)
    with Writer(job.work / ARCHIVE, format, Search(job.layout.relocations), meter.add) as archive:
        if names:
            archive.add_head(entry for entry in ordered if entry.name in names)
        archive.add(entry for entry in ordered if entry.name not in names)
        archive.add_directories(sorted(job.tree.empty))
        # Compiled forms of modules that will change: they would not be used, and hold the old path.
        tag = job.layout.interpreter.cache_tag
        stale = {*archive.changed, *(bytecode.cached_name(name, tag) for name in archive.text)}
        shipped = [entry for entry in ordered if entry.name not in stale]
        manifest = _manifest(job, shipped, plan, archive.text)
        file = job.work / "manifest.json"
        file.write_text(manifest.to_json(), encoding="utf-8")
        archive.add([Entry(MANIFEST, str(file), file.stat().st_size, 0)])
        return archive.finish(stale, zstd if format == "tar.zst" else ""), manifest


def _manifest(job: Job, shipped: Sequence[Entry], plan: Plan, text: Iterable[str]) -> PackManifest:
    layout = job.layout
    names = {entry.name for entry in shipped}
    version, needed_by = plan.glibc
    floor = GlibcFloor(version=".".join(map(str, version)), needed_by=needed_by) if any(version) else None
    return PackManifest(
        type=layout.type,
        key=job.key,
        python=layout.python,
        base_python=layout.base_python,
        site_packages=layout.site_packages,
        python_version=layout.interpreter.version,
        prefix=layout.prefix,
        base_prefix=layout.base_prefix,
        relocations=layout.relocations,
        text_files=tuple(sorted(text)),
        binary_files=tuple(name for name in layout.binary_files if name in names),
        placeholder=layout.placeholder,
        glibc=floor,
        machine=layout.interpreter.machine,
        carried={
            posixpath.relpath(name, layout.libraries): source for name, source in sorted(plan.carried.items())
        },
        node_libraries=tuple(sorted(plan.node)),
        left_out=dict(sorted(job.tree.left_out.items())),
        files=len(shipped) + 1,
        size=sum(entry.size for entry in shipped),
        packages=inventory.packages(job.tree.entries),
        floors=inventory.floors(job.tree.entries),
    )
