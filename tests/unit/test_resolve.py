"""From the block as written to what is to be started."""

from __future__ import annotations

from typing import Any

import pytest
from dask.utils import parse_bytes, parse_timedelta
from hypothesis import given, settings
from hypothesis import strategies as st

from fasthep_validate.errors import ConfigError
from fasthep_validate.mistakes import read
from fasthep_validate.models.execution import ExecutionConfig, ModifierSource, Resources
from fasthep_validate.models.site import Registered, Site
from fasthep_validate.models.written import duration, size
from fasthep_validate.resolve import resolve
from fasthep_validate.yaml_lines import Document

ONE = {"resources": {"default": {}}, "pools": {"default": {"resources": "default", "workers": 1}}}
SOURCES = {name: ModifierSource(name=name, impl="m:C") for name in ("a", "b")}


def resolved(execution: dict[str, Any], **rest: object) -> ExecutionConfig:
    site = read(Site, Document({"execution": execution, **rest}), context=Registered(frozenset(SOURCES)))
    return resolve(
        site.execution,
        network=site.network,
        timeouts=site.timeouts,
        modifiers=SOURCES,
        required_imports=site.checks.required_imports,
    )


def refused(execution: dict[str, Any]) -> str:
    with pytest.raises(ConfigError) as caught:
        resolved(execution)
    return str(caught.value).removeprefix(": ")


def test_defaults() -> None:
    result = resolved(ONE)
    (pool,) = result.pools
    assert (result.backend, result.strategy, result.staging) == ("dask", "local", "transfer")
    assert (result.environment.type, result.environment.prefix) == ("packed-venv", "current")
    assert result.environment.required_imports == ("dask", "distributed")
    assert pool.resources == Resources(cpus=1, memory=None, disk=None, gpus=0)
    assert (pool.nthreads, pool.memory_limit, pool.nanny, pool.worker_ports) == (1, 0, True, None)
    assert pool.dask_resources == {"resource.default": 1}
    assert result.worker_ids() == ("default-0",)


def test_resources_of_a_pool() -> None:
    block = {
        "resources": {"big": {"cpus": 4, "memory": "8 GB", "disk": "20GiB", "gpus": "2"}},
        "pools": {
            "a": {"resources": "big", "workers": 1},
            "b": {"resources": {"gpus": 0}, "workers": 2, "config": {"cores": 3}},
        },
    }
    a, b = resolved(block).pools
    assert a.resources == Resources(cpus=4, memory=8_000_000_000, disk=20 * 2**30, gpus=2)
    assert (a.nthreads, a.memory_limit) == (4, 8_000_000_000)
    assert a.dask_resources == {"resource.big": 1, "GPU": 2}
    assert (b.resource_name, b.resources.cpus, b.nthreads) == ("b", 3, 3)
    assert b.dask_resources == {"resource.b": 1, "GPU": 0}


def test_a_pools_own_configuration_goes_first() -> None:
    run = {"threads_per_worker": 2, "nanny": False, "worker_extra_args": ["--a"], "local_directory": "run"}
    own = {"threads_per_worker": 8, "worker_extra_args": [], "memory_limit": 0}
    pools = {
        "a": {"resources": {"memory": "1 GB"}, "workers": 1, "config": own},
        "b": {"resources": {"memory": "1 GB"}, "workers": 1},
    }
    a, b = resolved({"pools": pools, "config": run}).pools
    assert (a.nthreads, a.nanny, a.worker_extra_args, a.local_directory, a.memory_limit) == (
        8, False, (), "run", 0,
    )  # fmt: skip
    assert (b.nthreads, b.nanny, b.worker_extra_args, b.memory_limit) == (2, False, ("--a",), 1_000_000_000)


def test_the_block_goes_before_the_rest_of_the_profile() -> None:
    config = {
        "scheduler_options": {"port": 8786},
        "worker_port_range": "10000:10100",
        "worker_start_timeout": "5 min",
    }
    rest = {
        "network": {"scheduler": {"host": "fqdn", "port": 1}, "worker_ports": 9000},
        "timeouts": {"worker_start": 10, "worker_shutdown": 11, "death": "2 min"},
        "checks": {"required_imports": ["numpy", "dask"]},
    }
    result = resolved({**ONE, "config": config}, **rest)
    assert (result.scheduler.host, result.scheduler.port) == ("fqdn", 8786)
    assert result.pools[0].worker_ports == (10000, 10100)
    assert (result.timeouts.worker_start, result.timeouts.worker_shutdown) == (300, 11)
    assert result.timeouts.death == 120
    assert result.environment.required_imports == ("dask", "distributed", "numpy")
    assert resolved(ONE, **rest).pools[0].worker_ports == (9000, 9000)


@pytest.mark.parametrize(
    ("environment", "type_", "prefix", "staging"),
    [
        ({"type": "packed-venv"}, "packed-venv", "current", "transfer"),
        ({"type": "packed-venv", "source": "/opt/venv"}, "packed-venv", "/opt/venv", "transfer"),
        ({"type": "packed-pixi", "mode": "prefix"}, "packed-pixi", "current", "transfer"),
        ({"type": "packed-pixi", "lock": "/x/pixi.lock"}, "packed-pixi", "current", "transfer"),
        ({"type": "shared-prefix"}, "shared-prefix", "current", "shared"),
        ({"type": "shared-prefix", "prefix": "/cvmfs/env"}, "shared-prefix", "/cvmfs/env", "shared"),
    ],
)
def test_environments(environment: dict[str, str], type_: str, prefix: str, staging: str) -> None:
    result = resolved({**ONE, "environment": environment})
    assert (result.environment.type, result.environment.prefix, result.staging) == (type_, prefix, staging)


@pytest.mark.parametrize(
    ("keys", "mode"),
    [({}, "self-extracting"), ({"lock": "/x/pixi.lock"}, "lock"), ({"archive": "/x.tar"}, "archive")],
)
def test_modes_of_a_pixi_environment(keys: dict[str, str], mode: str) -> None:
    assert resolved({**ONE, "environment": {"type": "packed-pixi", **keys}}).environment.mode == mode


def test_all_registered_modifiers_travel() -> None:
    """A stage may name one that the run does not have."""
    result = resolved({**ONE, "modifiers": ["b"]})
    assert [modifier.name for modifier in result.modifiers] == ["b"]
    assert result.modifier_sources == tuple(SOURCES[name] for name in sorted(SOURCES))


@pytest.mark.parametrize(
    ("part", "said"),
    [
        ({"backend": "dsk"}, "execution.backend: no backend 'dsk'. Did you mean 'dask'?"),
        ({"strategy": 3}, "execution.strategy: expected text, got 3"),
        ({"strategy": "htcondr"}, "execution.strategy: no strategy 'htcondr'. Did you mean 'htcondor'?"),
        ({"resorces": {}}, "execution.resorces: unknown key. Did you mean 'resources'?"),
        (
            {"environment": {"type": "packed-pixi", "worker_env_dir": "x"}},
            (
                "execution.environment.worker_env_dir: not supported: where an environment lies on the worker is "
                "decided when it is packed"
            ),
        ),
        (
            {"environment": {"type": "packed-pixi", "mode": "prefix", "archive_path": "x"}},
            (
                "execution.environment.archive_path: has no meaning for mode prefix. It is for mode "
                "'self-extracting'."
            ),
        ),
        (
            {"environment": {"type": "packed-pixi", "mode": "prefix", "environment": "test"}},
            (
                "execution.environment.environment: mode prefix needs the manifest that it is of. Write "
                "'manifest: pixi.toml', or 'source: current' alone."
            ),
        ),
        (
            {"environment": {"type": "packed-pixi", "mode": "archive"}},
            "execution.environment.archive: no archive is named. Write 'archive: PATH'.",
        ),
        (
            {"environment": {"type": "packed-conda"}},
            "execution.environment.type: expected 'packed-venv', 'packed-pixi' or 'shared-prefix', got 'packed-conda'",
        ),
        (
            {"environment": {"type": "packed-venv", "mode": "shared"}},
            "execution.environment.mode: type packed-venv has no mode 'shared'. Write 'prefix'.",
        ),
        (
            {"environment": {"type": "packed-venv", "prefix": "/x"}},
            "execution.environment.prefix: has no meaning for type packed-venv. Write 'source'.",
        ),
        (
            {"environment": {"type": "shared-prefix", "prefix": "env"}},
            "execution.environment.prefix: expected 'current' or an absolute path, got 'env'",
        ),
        (
            {"environment": {"type": "shared-prefix"}, "staging": {"mode": "transfer"}},
            (
                "execution.staging.mode: a shared-prefix environment is not transferred. Write 'shared', or pack the "
                "environment."
            ),
        ),
        (
            {"config": {"scheduler": "threads"}},
            "execution.config.scheduler: 'threads' is not supported: it has no workers of its own. Leave it out.",
        ),
        (
            {"config": {"processes": False}},
            "execution.config.processes: false is not supported: every worker is a process of its own. Leave it out.",
        ),
        (
            {"config": {"output_destination": "root://x//eos/y"}},
            (
                "execution.config.output_destination: not supported: files that workers write are not delivered; "
                "results come back through Dask"
            ),
        ),
        (
            {"config": {"walltime": "01:00:00"}},
            "execution.config.walltime: not supported: it is for a batch system, and strategy 'local' has none",
        ),
        (
            {"config": {"workers": 2, "n_workers": 3}},
            "execution.config.n_workers: says 3 and 'workers' says 2. Leave one of them out.",
        ),
        (
            {"config": {"worker_extra_args": ["--nthreads=4"]}},
            "execution.config.worker_extra_args[0]: --nthreads is set by threads_per_worker. Leave it out.",
        ),
        (
            {"config": {"memory_limit": "auto"}},
            (
                "execution.config.memory_limit: 'auto' is not supported: it means a share of the node. Write bytes: "
                "'2 GB'."
            ),
        ),
        (
            {"config": {"dashboard_address": "0.0.0.0:8787"}},
            (
                "execution.config.dashboard_address: '0.0.0.0:8787' is not supported: the dashboard listens on loopback. "
                "Write ':8787'."
            ),
        ),
        (
            {"pools": {"gpu": {"resources": "default", "workers": 1}}, "config": {"workers": 2}},
            "execution.config: 'workers' is for pool 'default', which is not among the pools",
        ),
        (
            {"pools": {"default": {"resources": {"cpus": 2}, "workers": 1}}},
            (
                "execution.pools.default.resources: given here and under execution.resources.default. Write 'resources: "
                "default' or rename one of them."
            ),
        ),
        (
            {"pools": {"a": {"resources": "default", "workers": 1, "config": {"scheduler_options": {}}}}},
            (
                "execution.pools.a.config.scheduler_options: not supported: it is for the whole run, so it belongs under "
                "execution.config"
            ),
        ),
        ({"pools": {"a": {"workers": 1}}}, "execution.pools.a.resources: is missing"),
        (
            {"pools": {"a": {"resources": "default", "workers": True}}},
            "execution.pools.a.workers: expected a whole number, got True",
        ),
        (
            {"pools": {}},
            (
                "execution.pools: no pool, so there is nothing to start. Write 'pools: {default: {resources: default, "
                "workers: 2}}' or give --pool default=2."
            ),
        ),
    ],
)
def test_refusals(part: dict[str, Any], said: str) -> None:
    assert refused({**ONE, **part}) == said


@settings(max_examples=100, deadline=None, database=None)
@given(
    st.integers(0, 10**6) | st.decimals(0, 1000, places=2),
    st.sampled_from(["", " "]),
    st.sampled_from(["", "B", "k", "kB", "KB", "MB", "M", "GB", "GiB", "Gi", "TB", "TiB", "PB"]),
)
def test_sizes_are_read_as_dask_reads_them(number: object, space: str, unit: str) -> None:
    assert size(f"{number}{space}{unit}") == parse_bytes(f"{number}{space}{unit}")


@settings(max_examples=100, deadline=None, database=None)
@given(
    st.integers(0, 10**5) | st.decimals(0, 1000, places=2),
    st.sampled_from(["s", " s", " seconds", "m", " minutes", "h", " hours", " d", " days"]),
)
def test_durations_are_read_as_dask_reads_them(number: object, unit: str) -> None:
    assert duration(f"{number}{unit}") == pytest.approx(parse_timedelta(f"{number}{unit}"))


@pytest.mark.parametrize(
    "value", ["2 XB", "GB", "", "-1 GB", -1, True, None, "1 2", float("inf"), float("nan"), []]
)
def test_what_is_no_size(value: object) -> None:
    with pytest.raises(ValueError, match="expected something like '2 GB'"):
        size(value)
