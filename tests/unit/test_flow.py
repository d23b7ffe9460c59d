"""Where partitions go, which files travel, and what paths become."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hepflow.model.io import OutputResult
from hepflow.model.plan import ExecutionNode, ExecutionPartition, ExecutionPlan
from hypothesis import given
from hypothesis import strategies as st

from fasthep_validate.errors import ConfigError
from fasthep_validate.flow import inputs
from fasthep_validate.flow.needs import workflow_site
from fasthep_validate.flow.partition import sizes, translated
from fasthep_validate.flow.placement import Wishes, place
from fasthep_validate.flow.site import site_of
from fasthep_validate.models.execution import Pool, Resources
from fasthep_validate.worker.workflow import look
from tests import workflows


def pool(name: str, *, cpus: int = 1, memory: int = 0, gpus: int = 0) -> Pool:
    asked = Resources(cpus=cpus, memory=memory or None, gpus=gpus)
    return Pool(name=f"{name}-pool", resource_name=name, workers=1, resources=asked)


POOLS = [pool("default"), pool("big", memory=10**9), pool("gpu", cpus=4, memory=10**9, gpus=1)]
ALL = tuple(item.name for item in POOLS)


def plan(*stages: dict[str, Any], files: tuple[str, ...] = (), **facts: Any) -> ExecutionPlan:
    made = ExecutionPlan(**facts)
    for index, execution in enumerate(stages):
        meta = {"stage_id": f"S{index}", "execution": execution}
        made.add_node(ExecutionNode(f"stage.S{index}", f"S{index}", "transform", "hep.define", meta=meta))
    made.partitions = [
        ExecutionPartition(f"p{index}", "d", file, "events", "0") for index, file in enumerate(files)
    ]
    return made


@pytest.mark.parametrize(
    ("stages", "alive", "pools", "resources", "note"),
    [
        ([{}], ALL, ALL, {}, ""),
        ([{"require": "default"}], ALL, ("default-pool",), {}, ""),
        ([{"require": "gpu"}], (), ("gpu-pool",), {"GPU": 1.0}, ""),
        ([{"require": "default"}, {"require": "big"}], ALL, ("big-pool", "gpu-pool"), {}, ""),
        ([{"prefer": "gpu", "fallback": "big"}], ALL, ("gpu-pool",), {"GPU": 1.0}, ""),
        ([{"prefer": "gpu", "fallback": "big"}], ("big-pool",), ("big-pool",), {}, "no worker of 'gpu'; 'big' is used"),
        ([{"prefer": "gpu"}], ("big-pool",), ALL, {}, "no worker of 'gpu'; any is used"),
        ([{"prefer": "gpu"}, {"require": "big"}], ALL, ("big-pool",), {}, ""),
    ],
)  # fmt: skip
def test_a_partition_goes_where_its_stages_may_run(
    stages: list[dict[str, Any]],
    alive: tuple[str, ...],
    pools: tuple[str, ...],
    resources: dict[str, float],
    note: str,
) -> None:
    placement = place(Wishes.of(plan(*stages)), POOLS, alive)
    assert placement.pools == pools
    assert placement.resources == resources
    assert placement.note == note


def test_what_no_pool_has_is_told_with_the_stages() -> None:
    with pytest.raises(
        ConfigError, match=r"stage S0, S1: no pool has the resources 'huge'. Known: big, default, gpu"
    ):
        place(Wishes.of(plan({"require": "huge"}, {"require": "huge"})), POOLS, ALL)
    two = plan({"require": "big"}, {"require": "huge"})
    with pytest.raises(ConfigError, match="'big' and 'huge', and a partition runs on one worker"):
        place(Wishes.of(two), POOLS, ALL)


def test_local_files_are_those_of_partitions_and_those_that_stages_name(tmp_path: Path) -> None:
    table = str(tmp_path / "table.csv")
    made = plan(
        {},
        files=("a.root", "root://host//b.root", "file:///c.root"),
        context={"project_root": str(tmp_path)},
        provenance={"inputs": [{"resolved": table}, {"resolved": str(tmp_path / "workflow.yaml")}]},
    )
    made.nodes[0].params["tables"] = [{"file": table}]
    assert inputs.local_files(made) == {
        "a.root": tmp_path / "a.root",
        "file:///c.root": Path("/c.root"),
        table: Path(table),
    }
    assert inputs.remote_files(made) == ["root://host//b.root"]


def test_a_file_travels_unless_every_worker_sees_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("all", "some", "other"):
        (tmp_path / name).write_text(name)
    files = {name: tmp_path / name for name in ("all", "some", "other")}
    here = sizes([str(path) for path in files.values()])
    lacks = {**here, str(tmp_path / "some"): None}
    differs = {**here, str(tmp_path / "other"): 1}
    divided = inputs.divide(files, [here, lacks, differs])
    assert divided.seen == {"all": str(tmp_path / "all")}
    assert divided.travel == {name: tmp_path / name for name in ("some", "other")}
    monkeypatch.setattr(inputs, "LIMIT", 4)  # a real file of this size would take its time
    with pytest.raises(ConfigError, match=r"other: the workers do not see it, and .* are too much to travel"):
        inputs.divide(files, [here, lacks, differs])
    with pytest.raises(ConfigError, match="gone is not on this machine, nor on every worker"):
        inputs.divide({"gone": tmp_path / "gone"}, [{str(tmp_path / "gone"): None}])


def test_paths_are_translated_wherever_they_are() -> None:
    paths = {"/scratch/p": "/home/out", "/scratch/inputs/a.root": "a.root"}
    output = OutputResult(
        kind="root", path="/scratch/p/f.root", metadata={"from": ["/scratch/inputs/a.root"]}
    )
    assert translated(output, paths).path == "/home/out/f.root"
    assert output.metadata == {"from": ["a.root"]}
    value = {"a": ["/scratch/p", ("/scratch/pp", 3)], "b": None}
    assert translated(value, paths) == {"a": ["/home/out", ("/scratch/pp", 3)], "b": None}


@given(
    st.recursive(st.text() | st.integers() | st.none(), lambda x: st.lists(x) | st.dictionaries(st.text(), x))
)
def test_what_is_no_path_stays(value: Any) -> None:
    assert translated(value, {"\0/no": "x"}) == value


def test_a_workflow_takes_the_place_of_pools_and_environment() -> None:
    resolved = {
        "backend": "dask", "strategy": "default", "profiles": [], "config": {}, "staging": {"mode": "shared"},
        "environment": {"type": "shared-prefix", "prefix": "/opt/env"},
        "resources": {"big": {"cpus": 4, "memory": "8 GB"}},
        "pools": {"big": {"resources": "big", "workers": 3, "config": None}},
    }  # fmt: skip
    site = site_of(resolved)
    assert [(item.name, item.workers) for item in site.execution.pools] == [("big", 3)]
    assert (site.execution.environment.type, site.execution.staging) == ("shared-prefix", "shared")
    assert site.execution.modifiers == ()
    packed = site_of({**resolved, "environment": {"type": "packed-venv"}})
    assert packed.execution.staging == "transfer"
    with pytest.raises(ConfigError, match=r"workflow: execution.pools.big.workers: "):
        site_of({**resolved, "pools": {"big": {"resources": "big", "workers": 0}}})
    with pytest.raises(ConfigError, match="no site 'nowhere'"):
        site_of({**resolved, "config": {"site": "nowhere"}})


EXECUTION = (
    "execution:\n  pools: {default: {resources: default, workers: 1}}\n  resources: {default: {cpus: 1}}\n"
)
CARPENTERS = "Derived: fasthep_carpenter.runtime.modifiers.gpu_preload:GPUPreloadModifier"


@pytest.mark.parametrize(
    ("stage", "wide", "message"),
    [
        (
            "[fasthep.trase]",
            "[]",
            r"^stage Derived: .*no modifier 'fasthep\.trase' is registered\. Did you mean 'fasthep\.trace'",
        ),
        (
            "[{name: fasthep.trace, params: {x: 1}}]",
            "[]",
            r"^stage Derived: .*'fasthep\.trace': takes no arguments",
        ),
        ("[]", "[fasthep.trase]", r"^workflow: execution\.modifiers\[0\]: no modifier 'fasthep\.trase'"),
        (
            "[]",
            "[{name: gpu.preload, params: {field: [a]}}]",
            r"^workflow: .* unexpected keyword argument 'field'",
        ),
    ],
)
def test_modifiers_are_looked_at_when_a_workflow_is_compiled(
    tmp_path: Path, stage: str, wide: str, message: str
) -> None:
    text = f"      execution: {{modifiers: {stage}}}\n"
    path = workflows.make(tmp_path, execution=f"{EXECUTION}  modifiers: {wide}\n", stage=text)
    with pytest.raises(ConfigError, match=message):
        workflow_site(path)


@pytest.mark.parametrize(("params", "error"), [("{fields: [a]}", ""), ("{field: [a]}", "TypeError")])
def test_modifiers_of_the_workflows_own_registry_are_made_on_the_worker(
    tmp_path: Path, params: str, error: str
) -> None:
    """fasthep-carpenter's ``gpu.preload``: nobody here knows its parameters."""
    stage = f"      execution: {{modifiers: [{{name: gpu.preload, params: {params}}}]}}\n"
    site = workflow_site(workflows.make(tmp_path, execution=EXECUTION, stage=stage))
    assert site.workflow
    seen = look(site.workflow.model_dump(), 10)["implementations"]
    assert seen[CARPENTERS].partition(":")[0] == error
    assert [spec for spec, problem in seen.items() if problem] == ([CARPENTERS] if error else [])
