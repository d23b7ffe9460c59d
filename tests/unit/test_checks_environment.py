"""Checks of the environment on bad evidence."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from checks import test_environment as checks
from fasthep_validate.models.packed import Activation, GlibcFloor
from fasthep_validate.models.probe import Activated, ImportResult, Leftovers, OutsideFile, Provenance
from fasthep_validate.testing import (
    broken,
    changed,
    compute,
    good_pack,
    good_run,
    good_submit,
    good_worker,
)
from fasthep_validate.testing.good import STACK, VERSIONS

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from fasthep_validate.models.evidence import WorkerEvidence
    from fasthep_validate.outcomes import Finding
    from fasthep_validate.view import Worker

TREE = Leftovers(scanned=3000, count=5000, size=300_000_000)
OUTSIDE = OutsideFile(path="/usr/lib64/libfoo.so.1", kind="library")
SEEN = Provenance(root="/scratch/job/env", modules=500, libraries=40)

BAD = [
    (
        checks.test_extracted_completely,
        "probe.leftovers",
        TREE.model_copy(update={"count": 4999}),
        "4999 files",
    ),
    (
        checks.test_extracted_completely,
        "probe.leftovers",
        TREE.model_copy(update={"size": 299_000_000}),
        "299000000",
    ),
    (
        checks.test_extracted_completely,
        "probe.leftovers",
        TREE.model_copy(update={"missing": ("a", "b")}),
        "a; b",
    ),
    (
        checks.test_interpreter_equal,
        "probe.python.version",
        "3.12.3",
        "cpython 3.12.3 on the worker, cpython 3.12.4",
    ),
    (checks.test_interpreter_equal, "probe.python.implementation", "pypy", "pypy 3.12.4 on the worker"),
    (
        checks.test_versions_equal,
        "probe.versions",
        {**VERSIONS, "numpy": "1.26"},
        "numpy: 2.2.0 on submit host, 1.26",
    ),
    (checks.test_versions_equal, "probe.versions", {}, "numpy: 2.2.0 on submit host, absent on worker"),
    (
        checks.test_versions_equal,
        "probe.versions",
        {**VERSIONS, "extra": "1"},
        "extra: absent on submit host",
    ),
    (
        checks.test_required_imports,
        "probe.imports",
        (
            ImportResult(module="dask", ok=True),
            ImportResult(module="distributed", ok=False, error="no libz.so.1"),
        ),
        "distributed: no libz.so.1",
    ),
    (checks.test_required_imports, "probe.imports", (ImportResult(module="dask", ok=True),), "not tried"),
    (
        checks.test_no_leftover_prefix,
        "probe.leftovers",
        TREE.model_copy(update={"files": ("bin/x",)}),
        "left in bin/x",
    ),
    (
        checks.test_no_leftover_prefix,
        "probe.leftovers",
        TREE.model_copy(update={"scanned": 0}),
        "no file was read",
    ),
    (
        checks.test_nothing_from_outside,
        "probe.provenance",
        SEEN.model_copy(update={"outside": (OUTSIDE,)}),
        "libfoo",
    ),
    (
        checks.test_nothing_from_outside,
        "dask.provenance",
        SEEN.model_copy(update={"outside": (OUTSIDE,)}),
        "Dask work",
    ),
    (
        checks.test_nothing_from_outside,
        "dask.provenance",
        SEEN.model_copy(update={"modules": 0}),
        "no module was seen",
    ),
    (checks.test_prefix_inside_pack, "probe.python.prefix", "/usr", "sys.prefix is /usr"),
    (
        checks.test_prefix_inside_pack,
        "probe.python.base_prefix",
        "/scratch/job/env-old/base",
        "sys.base_prefix is",
    ),
    (
        checks.test_glibc_floor,
        "probe.host.glibc",
        "2.28",
        "glibc 2.28 on the node, base/bin/python3.12 needs 2.34",
    ),
    (checks.test_glibc_floor, "probe.host.glibc", "2.9", "glibc 2.9 on the node"),
    (checks.test_glibc_floor, "probe.host.glibc", "", "no glibc"),
    (checks.test_dask_stack_equal, "dask.versions", {**STACK, "msgpack": "0.6"}, "msgpack: 1.1.0 on client"),
    (
        checks.test_dask_stack_equal,
        "dask.versions",
        {name: version for name, version in STACK.items() if name != "lz4"},
        "lz4: 4.3.3 on client, 4.3.3 on scheduler, absent on worker",
    ),
    (checks.test_dask_stack_equal, "dask.versions", {}, "promised evidence is missing"),
]


def found(tmp_path: Path, check: Callable[[Worker], None], evidence: WorkerEvidence) -> Finding:
    return compute(check, good_run(tmp_path, workers=(evidence,)).workers["default-0"])


@pytest.mark.parametrize(("check", "path", "value", "message"), BAD)
def test_bad_evidence_fails(
    tmp_path: Path, check: Callable[[Worker], None], path: str, value: object, message: str
) -> None:
    result = found(tmp_path, check, changed(good_worker(), path, value))
    assert result.outcome == "fail"
    assert message in result.message
    assert len(result.message.splitlines()) <= 2


def test_a_digest_that_differs_fails(tmp_path: Path) -> None:
    evidence = broken(good_worker(), "transferred", code="digest-mismatch", detail="env.tar.gz has sha256 ab")
    result = found(tmp_path, checks.test_archive_intact, evidence)
    assert result.outcome == "fail"
    assert "digest-mismatch env.tar.gz has sha256 ab" in result.message


def test_a_digest_that_nobody_looked_at_fails(tmp_path: Path) -> None:
    events = tuple(event for event in good_worker().events if event.phase != "transferred")
    result = found(tmp_path, checks.test_archive_intact, changed(good_worker(), "events", events))
    assert (result.outcome, result.message) == ("fail", "the worker never said that the archive had arrived")


@pytest.mark.parametrize(("count", "size"), [(5100, 300_000_000), (5000, 299_999_000), (5000, 310_000_000)])
def test_bytecode_and_relocated_paths_are_no_loss(tmp_path: Path, count: int, size: int) -> None:
    evidence = changed(changed(good_worker(), "probe.leftovers.count", count), "probe.leftovers.size", size)
    assert found(tmp_path, checks.test_extracted_completely, evidence).outcome == "pass"


def test_a_pack_without_glibc_has_no_floor(tmp_path: Path) -> None:
    run = good_run(tmp_path, pack=changed(good_pack(), "manifest.glibc", None))
    assert compute(checks.test_glibc_floor, run.workers["default-0"]).outcome == "n/a"


def test_glibc_is_compared_by_number(tmp_path: Path) -> None:
    run = good_run(
        tmp_path, pack=changed(good_pack(), "manifest.glibc", GlibcFloor(version="2.4", needed_by="x"))
    )
    assert compute(checks.test_glibc_floor, run.workers["default-0"]).outcome == "pass"


def test_activation_that_took_no_effect_fails(tmp_path: Path) -> None:
    pack = good_pack().model_copy(
        update={"activation": Activation(scripts=("activate.d/a.sh",), variables=("A",))}
    )
    run = good_run(tmp_path, pack=pack)
    assert compute(checks.test_activated, run.workers["default-0"]).message == "not read: activate.d/a.sh"

    seen = Activated(scripts=("first.sh", "activate.d/a.sh"))
    workers = (changed(good_worker(), "probe.activation", seen),)
    run = good_run(tmp_path, pack=pack, workers=workers)
    assert compute(checks.test_activated, run.workers["default-0"]).message == "not set: A"

    workers = (changed(good_worker(), "probe.activation", seen.model_copy(update={"variables": ("A",)})),)
    run = good_run(tmp_path, pack=pack, workers=workers)
    assert compute(checks.test_activated, run.workers["default-0"]).outcome == "pass"


@pytest.mark.parametrize(
    ("change", "outcome"),
    [
        ({}, "fail"),
        ({"path": "/home/user/venv"}, "pass"),
        ({"path": "/home/user/venv", "digest": "4" * 64}, "fail"),
    ],
)
def test_shared_prefix_has_to_be_the_same(tmp_path: Path, change: dict[str, str], outcome: str) -> None:
    evidence = good_worker()
    assert evidence.probe
    assert evidence.probe.prefix
    seen = evidence.probe.prefix.model_copy(update=change)
    pack = good_pack().model_copy(update={"base": None})
    run = good_run(tmp_path, pack=pack, workers=(changed(evidence, "probe.prefix", seen),))
    assert compute(checks.test_shared_prefix_equal, run.workers["default-0"]).outcome == outcome


def test_a_scheduler_of_another_version_fails(tmp_path: Path) -> None:
    run = good_run(
        tmp_path, submit=changed(good_submit(), "scheduler_versions", {**STACK, "dask": "2025.1.0"})
    )
    result = compute(checks.test_dask_stack_equal, run.workers["default-0"])
    assert result.message == "dask: 2026.8.0 on client, 2025.1.0 on scheduler, 2026.8.0 on worker"


def test_many_differences_are_counted() -> None:
    assert checks.listed(str(number) for number in range(8)) == "0; 1; 2; 3; 4; and 3 more"
    assert checks.listed("abcde") == "a; b; c; d; e"


VERSION_TABLE = st.dictionaries(st.sampled_from("abcdef"), st.sampled_from(["1", "2"]))


@given(VERSION_TABLE, VERSION_TABLE)
def test_differences_name_exactly_what_differs(here: dict[str, str], there: dict[str, str]) -> None:
    named = {line.partition(":")[0] for line in checks.differences({"here": here, "there": there})}
    assert named == {name for name in here | there if here.get(name) != there.get(name)}
