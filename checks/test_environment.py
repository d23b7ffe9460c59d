"""Whether the worker's environment is the one that was packed."""

from __future__ import annotations

from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from fasthep_validate.outcomes import not_applicable

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from fasthep_validate.view import Run, Worker

LISTED = 5  # differences that a message names; the rest is counted
# Relocation may shorten a text file, but hardly by more than this many paths.
PATHS_A_FILE = 100
ABSENT = "absent"


def test_archive_intact(worker: Worker) -> None:
    """The archive that arrived on the node has the digest of the one that was packed.

    Remedy: see the transfer's error in the worker's err file; look for a full disk or a damaged transfer, then
    run again. An archive that is broken on the submit host is packed anew.
    """
    _needs_archive(worker.run)
    event = worker.last_event("transferred")
    if event is None or event.state != "fail":
        worker.needs("transferred")
    assert event, "the worker never said that the archive had arrived"
    what = f"{event.code or event.state} {event.detail}".strip()
    assert event.state == "end", f"the archive was not accepted: {what}; packed: {digests(worker.run)}"


def test_extracted_completely(worker: Worker) -> None:
    """Every file of the archive is there on the node, in full.

    Remedy: make room in the job's scratch directory (size and inodes), or ask for more disk in the pool's
    resources.
    """
    _needs_archive(worker.run)
    tree, manifest = worker.leftovers, worker.run.pack.manifest
    assert not tree.missing, f"missing on the node: {listed(tree.missing)}"
    assert tree.count >= manifest.files, f"{tree.count} files extracted, {manifest.files} were packed"
    longest = max((len(relocation.old) for relocation in manifest.relocations), default=0)
    least = manifest.size - len(manifest.text_files) * PATHS_A_FILE * longest
    assert tree.size >= least, f"{tree.size} bytes extracted, {manifest.size} were packed"


def test_interpreter_equal(worker: Worker) -> None:
    """The worker runs the same Python, by implementation and version, as the submit host.

    Remedy: pack the environment again; a worker with another Python did not start the packed one.
    """
    here, there = worker.run.submit_host.python, worker.python
    ours, theirs = f"{here.implementation} {here.version}", f"{there.implementation} {there.version}"
    assert ours == theirs, f"{theirs} on the worker, {ours} on the submit host"


def test_versions_equal(worker: Worker) -> None:
    """Every distribution has the same version on the worker as on the submit host.

    Remedy: pack the environment again. If differences stay, the worker finds packages from outside the pack.
    """
    found = differences({"submit host": worker.run.submit_host.versions, "worker": worker.versions})
    assert not found, listed(found)


def test_required_imports(worker: Worker) -> None:
    """Every module that the profile requires can be imported on the worker.

    Remedy: install what is missing in the environment that is packed, or take it out of
    ``checks.required_imports``. An error of the dynamic loader names a library that the node lacks.
    """
    tried = {result.module: result for result in worker.imports}
    required = worker.run.execution.environment.required_imports
    untried = [module for module in required if module not in tried]
    assert not untried, f"not tried on the worker: {listed(untried)}"
    failed = [f"{module}: {tried[module].error}" for module in required if not tried[module].ok]
    assert not failed, listed(failed)


def test_no_leftover_prefix(worker: Worker) -> None:
    """No file of the extracted tree still holds a path of the submit host.

    Remedy: report the file; what reads it on the worker will look for the submit host's environment.
    """
    _needs_archive(worker.run)
    tree = worker.leftovers
    assert tree.scanned, "no file was read: nothing is known of leftover paths"
    assert not tree.files, f"a path of the submit host is left in {listed(tree.files)}"


def test_nothing_from_outside(worker: Worker) -> None:
    """All modules and libraries of the worker's processes come out of the pack, glibc and GPU driver aside.

    Remedy: see where the named file comes from: a variable such as LD_LIBRARY_PATH or PYTHONPATH set by the
    site, a ``.pth`` file, or a library that should have been carried.
    """
    _needs_archive(worker.run)
    seen = {"probe": worker.provenance, "Dask worker": worker.dask.provenance}
    empty = [process for process, code in seen.items() if not code.modules]
    assert not empty, f"no module was seen in the process of the {listed(empty)}"
    outside = [
        f"{file.path} ({file.kind}, {process})" for process, code in seen.items() for file in code.outside
    ]
    assert not outside, f"from outside {worker.provenance.root}: {listed(outside)}"


def test_prefix_inside_pack(worker: Worker) -> None:
    """Python's prefix and base prefix on the worker lie inside the extracted tree.

    Remedy: pack the environment again; a base prefix outside means that the interpreter came from the node.
    """
    _needs_archive(worker.run)
    root, python = worker.provenance.root, worker.python
    prefixes = {"sys.prefix": python.prefix, "sys.base_prefix": python.base_prefix}
    outside = [
        f"{name} is {path}" for name, path in prefixes.items() if not PurePosixPath(path).is_relative_to(root)
    ]
    assert not outside, f"outside the tree {root}: {listed(outside)}"


def test_activated(worker: Worker) -> None:
    """Scripts and variables of the environment's activation took effect before Python started.

    Remedy: see the worker's err file for what a script said. A script that leaves the shell, or needs bash where
    the node has none, cannot take effect.
    """
    expected = worker.run.pack.activation
    if not expected.scripts and not expected.variables:
        not_applicable("the environment has nothing to activate")
    seen = worker.activation
    scripts = [script for script in expected.scripts if script not in seen.scripts]
    assert not scripts, f"not read: {listed(scripts)}"
    variables = [name for name in expected.variables if name not in seen.variables]
    assert not variables, f"not set: {listed(variables)}"


def test_shared_prefix_equal(worker: Worker) -> None:
    """The prefix that workers use in place is the one of the submit host, with the same files in it.

    Remedy: look whether the node mounts the same filesystem there, and whether its copy is old (a cache of CVMFS, a
    replica); name a prefix that all nodes see, or pack the environment.
    """
    if worker.run.packed:
        not_applicable("the environment travelled, no prefix is shared")
    here, there = worker.run.submit_host.prefix, worker.prefix
    assert there.path == here.path, f"{there.path} on the worker, {here.path} on the submit host"
    assert there.digest == here.digest, (
        f"{there.path} has other files on the worker: {there.entries} entries, {here.entries} on the submit host"
    )


def test_glibc_floor(worker: Worker) -> None:
    """The node's glibc is as new as the newest that a file of the pack needs.

    Remedy: pack on a machine as old as the oldest node, or have this node left out of the pool.
    """
    floor = worker.run.pack.manifest.glibc
    if floor is None:
        not_applicable("no file of the pack needs glibc")
    glibc = worker.host.glibc
    assert glibc, f"the node has no glibc; {floor.needed_by} needs {floor.version}"
    assert _ordered(glibc) >= _ordered(floor.version), (
        f"glibc {glibc} on the node, {floor.needed_by} needs {floor.version}"
    )


def test_dask_stack_equal(worker: Worker) -> None:
    """Dask, its protocol packages and its compressors are the same on client, scheduler and worker.

    Remedy: pack the environment again, and run the client from the environment that is packed. A compressor
    that only one side has breaks messages of the other.
    """
    submit = worker.run.submit
    ends = {
        "client": submit.client_versions,
        "scheduler": submit.scheduler_versions,
        "worker": worker.dask.versions,
    }
    silent = [end for end, versions in ends.items() if not {"dask", "distributed"} <= versions.keys()]
    assert not silent, f"promised evidence is missing: versions of dask and distributed on {listed(silent)}"
    found = differences(ends)
    assert not found, listed(found)


def differences(sides: Mapping[str, Mapping[str, str]]) -> list[str]:
    """What is not the same on all sides: ``lz4: 4.3.3 on client, absent on worker``."""
    names = sorted({name for versions in sides.values() for name in versions}, key=str.lower)
    rows = ((name, {side: versions.get(name, ABSENT) for side, versions in sides.items()}) for name in names)
    return [
        f"{name}: " + ", ".join(f"{version} on {side}" for side, version in row.items())
        for name, row in rows
        if len(set(row.values())) > 1
    ]


def digests(run: Run) -> str:
    """Digests of all that was packed."""
    layers = (run.pack.base, run.pack.code and run.pack.code.archive)
    return ", ".join(f"sha256 {layer.sha256}" for layer in layers if layer)


def listed(items: Iterable[str]) -> str:
    """The first few items and the number of the others."""
    all_items = list(items)
    more = len(all_items) - LISTED
    return "; ".join(all_items[:LISTED]) + (f"; and {more} more" if more > 0 else "")


def _needs_archive(run: Run) -> None:
    if not run.packed:
        not_applicable("the environment is used in place, no archive travelled")


def _ordered(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split(".") if part.isdigit())
