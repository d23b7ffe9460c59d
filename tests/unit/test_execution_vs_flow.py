"""The ``execution:`` block against fasthep-flow: same meaning, or a difference that the docs list."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from dask.utils import parse_bytes
from hepflow.compiler.execution import normalise_execution_modifiers, normalize_global_execution
from hypothesis import event, given, settings
from hypothesis import strategies as st

from fasthep_validate.errors import ConfigError
from fasthep_validate.mistakes import read
from fasthep_validate.models.execution import ExecutionConfig, ModifierSource
from fasthep_validate.models.site import Registered, Site
from fasthep_validate.resolve import resolve
from fasthep_validate.yaml_lines import Document

DOCS = Path(__file__).parents[2] / "docs/reference/execution-differences.md"
MODIFIERS = {name: ModifierSource(name=name, impl="m:C") for name in ("gpu.preload", "cuda.jit")}

# Differences that make us refuse what fasthep-flow accepts: id in the docs -> what the messages say.
REFUSED = {
    "no-pool": r"no pool, so there is nothing to start",
    "no-workers": r"no number of workers",
    "backend": r"no backend ",
    "strategy": r"no strategy ",
    "unknown-key": r"unknown key|is for a batch system|are not delivered|logs are in the run folder",
    "scheduler-options": r"scheduler_options\.\w+: not supported",
    "names": r"cannot be a name",
    "values": r"expected ",
    "no-unit": r"bytes is too little",
    "two-numbers": r"n_workers: says ",
    "default-pool": r"'workers' is for pool 'default'",
    "worker-env-dir": r"worker_env_dir: not supported",
    "environment-keys": r"has no meaning for (type|mode)",
    "shared-prefix-staging": r"a shared-prefix environment is not transferred",
    "modifiers": r"\.modifiers(\[|:)",
    "threads": r"config\.(scheduler|processes): .* is not supported",
    "share-of-node": r"it means a share of the node",
    "loopback": r"the dashboard listens on loopback",
    "owned-arguments": r"is set by",
}
# Differences where both accept the block.
ELSEWHERE = {
    "inline-resources", "execution-modifiers", "default-environment", "default-staging", "packed-venv",
    "threads-per-worker", "timeouts", "run-wide-keys", "local-strategy-keys", "yaml-keys",
    "self-extracting", "directives", "batch-keys", "walltime", "owned-directives",
}  # fmt: skip

words = st.sampled_from(["default", "cpu", "gpu", "big"])
junk = st.one_of(
    st.none(), st.booleans(), st.integers(-3, 70_000), st.floats(allow_nan=False), st.text(max_size=6),
    st.lists(st.integers(), max_size=2), st.dictionaries(st.text(max_size=3), st.integers(), max_size=2),
)  # fmt: skip

counts = st.integers(1, 5) | st.sampled_from(["2", " 3 ", 4.0])
memory = st.sampled_from(["2 GB", "512MiB", "1.5GB", "4G", "3000000 kB", 2_000_000_000, "2e9"])


class Values:
    """Generates blocks of values that FAST-HEP documents; ``wild`` mixes in anything that YAML can say."""

    def __init__(self, *, wild: bool) -> None:
        self.wild = wild

    def one(self, good: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
        return st.integers(0, 24).flatmap(lambda number: junk if number == 0 else good) if self.wild else good

    def mapping(self, **values: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
        return st.fixed_dictionaries({}, optional={key: self.one(value) for key, value in values.items()})

    def worker_config(self) -> dict[str, st.SearchStrategy[Any]]:
        wild = {"queue": st.just("workday"), "logdirectory": st.just("/tmp")} if self.wild else {}
        return wild | {
            "threads_per_worker": counts,
            "memory_limit": memory,
            "nanny": st.booleans(),
            "worker_port_range": st.sampled_from(["10000:10100", 9000, "9000"]),
            "local_directory": st.sampled_from(["scratch", "/tmp"]),
            "worker_extra_args": st.lists(st.sampled_from(["--no-reconnect", "--preload=x"]), max_size=2),
        }

    def config(self) -> st.SearchStrategy[dict[str, Any]]:
        return self.mapping(
            **self.worker_config(),
            processes=st.just(value=True),
            dashboard_address=st.sampled_from([":8787", "localhost:0", 8787]),
            scheduler=st.just("distributed"),
            scheduler_options=self.mapping(host=st.just("fqdn"), port=st.integers(0, 65535)),
            worker_start_timeout=st.integers(1, 600) | st.floats(1, 600),
        )

    def resources(self) -> st.SearchStrategy[dict[str, Any]]:
        gpus = st.integers(0, 4) | st.sampled_from(["1", " 2"])
        return self.mapping(cpus=counts, memory=memory, disk=memory, gpus=gpus)

    def pool(self, names: list[str]) -> st.SearchStrategy[dict[str, Any]]:
        required = {"resources": self.one(st.sampled_from(names)), "workers": self.one(counts)}
        return st.fixed_dictionaries(required, optional={"config": self.mapping(**self.worker_config())})

    def environment(self) -> st.SearchStrategy[dict[str, Any]]:
        documented = st.sampled_from(
            [
                {},
                {"type": "packed-pixi", "mode": "prefix"},
                {"type": "packed-pixi", "mode": "prefix", "source": " current "},
                {"type": "shared-prefix", "prefix": "/opt/env", "mode": "shared"},
                {"type": "shared-prefix"},
                {"type": "packed-pixi"},
                {"type": "packed-pixi", "environment": " analysis "},
                {"type": "packed-pixi", "mode": "self-extracting", "archive_path": "/envs/env.sh"},
            ]
        )
        modes = st.sampled_from(["prefix", "self-extracting"])
        keys = {"archive_path": st.just("x"), "worker_env_dir": st.just("x"), "source": st.just("current")}
        other = self.mapping(type=st.just("packed-pixi"), mode=modes, **keys)
        return documented | other if self.wild else documented


@st.composite
def blocks(draw: st.DrawFn, *, wild: bool) -> dict[str, Any]:
    values = Values(wild=wild)
    resources = draw(st.dictionaries(words, values.one(values.resources()), min_size=1))
    names = [*resources, "none"] if wild else list(resources)
    pools = draw(st.dictionaries(words, values.one(values.pool(names))))
    modifiers = [[], ["gpu.preload"], ["gpu.preload", {"name": "cuda.jit", "params": {"device": 1}}]]
    rest = values.mapping(
        backend=st.sampled_from(["dask", "local", " dask ", ""]),
        strategy=st.sampled_from(["local", "default", "", " local "]),
        profiles=st.lists(st.sampled_from(["hep", " basic "]), max_size=2),
        environment=values.environment(),
        staging=values.mapping(mode=st.sampled_from(["shared", "transfer"] if wild else ["shared"])),
        modifiers=st.sampled_from(modifiers),
    )
    config = draw(values.config())
    if "default" in pools or not pools:
        config |= draw(st.sampled_from([{"workers": 2}, {"n_workers": "3"}]))
    written = {} if not pools and draw(st.booleans()) else {"pools": pools}
    return {"resources": resources, "config": config, **written, **draw(rest)}


def ours(block: object) -> ExecutionConfig:
    site = read(Site, Document({"execution": block}), context=Registered(frozenset(MODIFIERS)))
    return resolve(site.execution, network=site.network, timeouts=site.timeouts, modifiers=MODIFIERS)


def flow(block: object) -> dict[str, Any] | None:
    try:
        return normalize_global_execution(block)
    except (ValueError, TypeError, OverflowError):
        return None


def labels(name: str, asked: dict[str, Any]) -> dict[str, float]:
    gpus = {} if asked.get("gpus") is None else {"GPU": int(asked["gpus"])}
    return {f"resource.{name}": 1, **gpus}


def assert_same_meaning(result: ExecutionConfig, theirs: dict[str, Any], block: dict[str, Any]) -> None:
    assert result.strategy == {"default": "local"}.get(theirs["strategy"], theirs["strategy"])
    assert list(result.profiles) == theirs["profiles"]
    settings = theirs["config"]
    configured = settings.get("n_workers", settings.get("workers"))
    named = {pool.name: pool for pool in result.pools}
    assert set(named) == set(theirs["pools"] or {"default"})
    for name, pool in theirs["pools"].items():
        # fasthep-distributed: the configuration's number goes before that of pool `default`
        workers = configured if name == "default" and configured is not None else pool["workers"]
        asked = theirs["resources"][pool["resources"]]
        merged = {**settings, **pool["config"]}
        assert named[name].workers == int(workers)
        assert named[name].resource_name == pool["resources"]
        assert named[name].dask_resources == labels(pool["resources"], asked)
        assert named[name].resources.gpus == int(asked.get("gpus") or 0)
        for key in ("memory", "disk"):
            size = asked.get(key)
            assert getattr(named[name].resources, key) == (None if size is None else parse_bytes(size))
        if merged.get("threads_per_worker") is not None:
            assert named[name].nthreads == int(merged["threads_per_worker"])
        assert named[name].nanny == (merged.get("nanny") is not False)
        assert list(named[name].worker_extra_args) == (merged.get("worker_extra_args") or [])
    if theirs["environment"]:
        assert result.environment.type == theirs["environment"]["type"]
        assert result.environment.mode == theirs["environment"]["mode"]
        if result.environment.mode == "self-extracting":
            assert result.environment.environment == theirs["environment"]["environment"]
            assert result.environment.archive_path in {None, theirs["environment"]["archive_path"]}
        else:
            assert result.environment.prefix in theirs["environment"].values()
    if block.get("staging", {}).get("mode"):
        assert result.staging == theirs["staging"]["mode"]
    modifiers = normalise_execution_modifiers(block.get("modifiers"))
    assert [(item.name, item.params) for item in result.modifiers] == [(m.name, m.params) for m in modifiers]


@settings(max_examples=150, deadline=None, database=None)
@given(blocks(wild=False))
def test_what_fasthep_documents_has_the_same_meaning(block: dict[str, Any]) -> None:
    theirs = flow(block)
    assert theirs is not None
    assert_same_meaning(ours(block), theirs, block)


@settings(max_examples=250, deadline=None, database=None)
@given(blocks(wild=True))
def test_what_is_refused_here_alone_is_documented(block: dict[str, Any]) -> None:
    theirs = flow(block)
    try:
        result = ours(block)
    except ConfigError as error:
        event("refused by both" if theirs is None else "refused here")
        for problem in error.problems if theirs is not None else ():
            assert [name for name, said in REFUSED.items() if re.search(said, str(problem))], str(problem)
        return
    event("accepted here alone" if theirs is None else "accepted by both")
    if theirs is not None:
        assert_same_meaning(result, theirs, block)


def test_the_docs_list_every_difference() -> None:
    listed = re.findall(r"^\| `([a-z-]+)` \|", DOCS.read_text(encoding="utf-8"), flags=re.MULTILINE)
    assert sorted(listed) == sorted({*REFUSED, *ELSEWHERE})


def test_inline_pool_resources_work_here_alone() -> None:
    block = {"pools": {"gpu": {"resources": {"gpus": 1}, "workers": 1}}}
    assert flow(block) is None
    assert ours(block).pools[0].dask_resources == {"resource.gpu": 1, "GPU": 1}


def test_execution_modifiers_are_dropped_there_and_work_here() -> None:
    block = {
        "config": {"workers": 1},
        "modifiers": ["gpu.preload", {"name": "cuda.jit", "params": {"device": 0}}],
    }
    theirs = flow(block)
    assert theirs is not None
    assert "modifiers" not in theirs
    result = ours(block)
    assert [(item.name, item.params) for item in result.modifiers] == [
        ("gpu.preload", {}),
        ("cuda.jit", {"device": 0}),
    ]
    assert {source.name for source in result.modifier_sources} == {"gpu.preload", "cuda.jit"}


@pytest.mark.parametrize(
    "block",
    [
        # docs/extending/backends.md of fasthep-flow
        {
            "backend": "dask",
            "strategy": "local",
            "config": {
                "workers": 4,
                "threads_per_worker": 1,
                "processes": True,
                "memory_limit": "4GB",
                "dashboard_address": ":8787",
            },
        },
        {"backend": "local", "strategy": "default", "config": {"n_workers": 1}},
    ],
)
def test_blocks_of_the_documentation(block: dict[str, Any]) -> None:
    theirs = flow(block)
    assert theirs is not None
    assert_same_meaning(ours(block), theirs, block)


def test_the_configuration_of_the_documentation_has_its_meaning() -> None:
    config = {"workers": 4, "threads_per_worker": 2, "memory_limit": "4GB", "dashboard_address": ":8787"}
    result = ours({"backend": "dask", "config": config})
    (pool,) = result.pools
    assert (pool.name, pool.workers, pool.nthreads, pool.memory_limit) == ("default", 4, 2, 4_000_000_000)
    assert result.scheduler.dashboard_port == 8787
