"""``--pool`` and ``--set``: what they change in a profile, and how their mistakes are told."""

from __future__ import annotations

import pytest

from fasthep_validate.profiles import Overrides, load_site
from tests.profile_files import POOL, load, mistakes, write

pytestmark = pytest.mark.usefixtures("empty_folder")


def test_pools_are_scaled_dropped_and_added() -> None:
    text = """
        execution:
          resources: {default: {cpus: 1}, big: {memory: 8 GB}}
          pools: {default: {resources: default, workers: 1}, other: {resources: big, workers: 1}}
    """
    site = load(text, pool=["default=3", "other=0", "big=2", "gpu=1"])
    assert [(pool.name, pool.resource_name, pool.workers) for pool in site.execution.pools] == [
        ("default", "default", 3), ("big", "big", 2), ("gpu", "gpu", 1),
    ]  # fmt: skip
    assert site.execution.pools[2].dask_resources == {"resource.gpu": 1, "GPU": 1}


def test_a_pool_that_the_configuration_implies_is_scaled() -> None:
    text = "execution: {config: {workers: 4}}\n"
    assert [pool.workers for pool in load(text).execution.pools] == [4]
    assert [pool.workers for pool in load(text, pool=["default=2"]).execution.pools] == [2]
    assert [pool.name for pool in load(text, pool=["gpu=1"]).execution.pools] == ["default", "gpu"]
    assert [pool.name for pool in load(text, pool=["gpu=1", "default=0"]).execution.pools] == ["gpu"]


def test_settings_are_yaml_at_dotted_keys() -> None:
    changes = ["config.nanny=false", "execution.resources={default: {cpus: 3}}", "profiles=[hep]"]
    site = load(POOL, changes=changes)
    assert site.execution.profiles == ("hep",)
    assert (site.execution.pools[0].nanny, site.execution.pools[0].resources.cpus) == (False, 3)


@pytest.mark.parametrize(
    ("pool", "changes", "said"),
    [
        (["gpu"], ["nanny"], [
            "--pool: cannot read 'gpu'. Write --pool NAME=N.", "--set: cannot read 'nanny'. Write --set KEY=VALUE.",
        ]),
        (["gpu=-1"], [], ["--pool: cannot read 'gpu=-1'. Write --pool NAME=N."]),
        (["defult=1"], [], ["--pool defult=1: no pool 'defult'. Did you mean 'default'?"]),
        ([], ["pools.defult.workers=1"], [
            "--set pools.defult.workers=1: no pool 'defult'. Did you mean 'default'?",
        ]),
        ([], ["resources.gpu.cpus=1"], [
            "--set resources.gpu.cpus=1: no entry of execution.resources 'gpu'.",
        ]),
        ([], ["config.nany=false"], [
            "--set config.nany=false: execution.config.nany: unknown key. Did you mean 'nanny'?",
        ]),
        ([], ["pools.default.workers=0"], [
            "--set pools.default.workers=0: execution.pools.default.workers: expected 1 or more, got 0",
        ]),
        ([], ["profiles=["], [
            ("--set profiles=[: broken YAML: expected the node content, but found '<stream end>', while parsing a "
            "flow node"),
        ]),
        (["default=0"], [], [
            ("p.yaml:1: execution.pools: no pool, so there is nothing to start. Write "
            "'pools: {default: {resources: default, workers: 2}}' or give --pool default=2."),
        ]),
    ],
)  # fmt: skip
def test_mistakes_in_overrides(pool: list[str], changes: list[str], said: list[str]) -> None:
    assert [text.rstrip(".") for text in mistakes(POOL, pool=pool, changes=changes)] == [
        text.rstrip(".") for text in said
    ]


def test_overrides_from_python() -> None:
    write("p.yaml", POOL)
    changes = Overrides(pools={"default": 2}, settings=[("config.threads_per_worker", "4")])
    (pool,) = load_site("p.yaml", overrides=changes).execution.pools
    assert (pool.workers, pool.nthreads) == (2, 4)
