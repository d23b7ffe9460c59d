"""Jobs out of an execution configuration."""

from __future__ import annotations

import json
import os
import re
from dataclasses import replace
from pathlib import Path

import pytest
from distributed.cli.dask_worker import main as dask_worker

from fasthep_validate.bundled import worker_file
from fasthep_validate.models.packed import Archive, CodeLayer
from fasthep_validate.plan import (
    ARCHIVE,
    CODE,
    NODE_LIBRARIES,
    SCRIPT,
    SHIPPED,
    Endpoint,
    Plan,
    dask_settings,
    worker_arguments,
)
from fasthep_validate.store import RunFolder, new_run
from fasthep_validate.testing import good_pack, good_site

SITE = good_site().execution
POOL = SITE.pools[0]
SCHEDULER = Endpoint("submit.example.org", 8786)


@pytest.fixture
def folder(tmp_path: Path) -> RunFolder:
    return new_run(tmp_path, "here")


@pytest.fixture
def plan(folder: RunFolder) -> Plan:
    return Plan(
        SITE,
        good_pack(),
        folder,
        lambda pool, node: {"A": "1", **({"on": node} if node else {})},
        {Path("/private/worker.key"): "worker.key"},
    )


def params(plan: Plan) -> dict[str, str]:
    job = plan.jobs(SCHEDULER)[0]
    path = next(path for path, name in job.transfer.items() if name == "job.params")
    return dict(line.split("=", 1) for line in Path(path).read_text().splitlines())


def test_a_job_a_worker(plan: Plan, folder: RunFolder) -> None:
    jobs = plan.jobs(SCHEDULER)
    assert [job.worker for job in jobs] == ["default-0", "default-1"]
    assert jobs[0].directives == {"A": "1"}
    assert jobs[1].err == str(folder.log("err", "default-1"))


def test_files_of_a_job_are_flat_and_exist(plan: Plan) -> None:
    job = plan.jobs(SCHEDULER)[0]
    names = list(job.transfer.values())
    assert sorted(names) == sorted(set(names))
    assert not any("/" in name for name in names)
    here = {path for path, name in job.transfer.items() if name not in {ARCHIVE, "worker.key"}}
    assert all(Path(path).is_file() for path in here)
    assert {"bootstrap.sh", "probe.py", "launch.py", "relocate.py", "job.params", "dask.yaml"} <= set(names)


def test_what_programs_of_a_job_import_goes_with_them_and_is_waited_for() -> None:
    programs = [name for name in SHIPPED if name.endswith(".py")]
    beside = {path.name for path in worker_file("probe.py").parent.glob("*.py")}
    imported = {
        f"{name}.py"
        for program in programs
        for name in re.findall(r"^ +(?:from|import) (\w+)", worker_file(program).read_text(), re.MULTILINE)
    }
    assert {"probe_code.py", "probe_config.py", "probe_node.py", "probe_der.py"} < imported & beside
    assert imported & beside <= set(programs)
    (needed,) = re.findall(r"needed='([^']*)'", worker_file(SCRIPT).read_text())
    assert set(programs) - {"extract.py", "node_cache.py", "relocate.py"} <= set(
        needed.split()
    )  # these only for an archive


def test_secrets_are_named_but_not_read(plan: Plan) -> None:
    assert plan.jobs(SCHEDULER)[0].transfer["/private/worker.key"] == "worker.key"


def test_params_of_a_packed_environment(plan: Plan) -> None:
    values = params(plan)
    assert (values["worker"], values["archive"], values["root"]) == ("default-0", ARCHIVE, "env")
    assert values["python"] == "venv/bin/python"
    assert (values["scheduler_host"], values["scheduler_port"]) == ("submit.example.org", "8786")
    assert values["remove_directory"] == "no"


def test_params_are_all_that_the_script_asks_for(plan: Plan) -> None:
    script = (Path(plan.jobs(SCHEDULER)[0].executable)).read_text()
    keys = script.split("KEYS='", 1)[1].split("'", 1)[0].split()
    assert list(params(plan)) == keys


def test_params_of_a_shared_prefix(plan: Plan) -> None:
    packed = good_pack().model_copy(update={"base": None})
    shared = replace(plan, packed=packed)
    values = params(shared)
    assert values["archive"] == ""
    assert values["root"] == packed.submit_prefix
    assert values["python"] == values["base_python"] == packed.submit_python
    assert ARCHIVE not in shared.jobs(SCHEDULER)[0].transfer.values()


def test_code_layer_always_goes_with_the_job(plan: Plan) -> None:
    assert params(plan)["code"] == ""
    archive = Archive(path="/cache/code/1.tar.gz", sha256="2" * 64, size=5)
    layer = CodeLayer(archive=archive, sources=(), files=1, size=9)
    execution = SITE.model_copy(update={"staging": "shared"})
    with_code = replace(plan, execution=execution, packed=good_pack().model_copy(update={"code": layer}))
    values = params(with_code)
    assert (values["code"], values["code_sha256"], values["code_size"]) == (CODE, "2" * 64, "5")
    assert with_code.jobs(SCHEDULER)[0].transfer[archive.path] == CODE


def test_local_directories_are_removed(plan: Plan) -> None:
    assert (
        params(replace(plan, execution=SITE.model_copy(update={"strategy": "local"})))["remove_directory"]
        == "yes"
    )


def test_archive_on_a_shared_filesystem_is_read_where_it_lies(plan: Plan) -> None:
    shared = replace(plan, execution=SITE.model_copy(update={"staging": "shared"}))
    base = good_pack().base
    assert base
    assert params(shared)["archive"] == base.path
    assert ARCHIVE not in shared.jobs(SCHEDULER)[0].transfer.values()


def test_probe_is_told_what_to_look_for(plan: Plan) -> None:
    job = plan.jobs(SCHEDULER)[0]
    path = next(path for path, name in job.transfer.items() if name == "probe.json.in")
    config = json.loads(Path(path).read_text())
    assert config["required_imports"] == ["dask", "distributed"]
    assert config["scheduler_host"] == "submit.example.org"
    assert tuple(config["node_libraries"]) == NODE_LIBRARIES


@pytest.mark.parametrize(
    ("update", "options"),
    [
        (
            {"nanny": False, "worker_ports": (1, 9), "nanny_ports": (1, 9)},
            {"nanny": False, "worker_port": "1:9", "nanny_port": None},
        ),
        (
            {"worker_ports": (1, 9), "nanny_ports": (7, 9)},
            {"nanny": True, "worker_port": "1:9", "nanny_port": "7:9"},
        ),
        ({"worker_ports": None, "nanny_ports": None}, {"worker_port": None, "nanny_port": None}),
        ({"dask_resources": {"GPU": 1.0, "bytes": 4_000_000_001.0}}, {"resources": "GPU=1,bytes=4000000001"}),
        ({"dask_resources": {}}, {"resources": None}),
        ({"nthreads": 4, "memory_limit": 7}, {"nthreads": 4, "memory_limit": "7"}),
        ({"local_directory": "/scratch"}, {"local_directory": "/scratch"}),
        ({"worker_extra_args": ("--lifetime", "1h")}, {"lifetime": "1h"}),
    ],
)
def test_arguments_are_understood_by_dask(update: dict[str, object], options: dict[str, object]) -> None:
    """Parsed by Dask's own command."""
    arguments = worker_arguments(POOL.model_copy(update=update), "default-0", SCHEDULER, SITE)
    files = dict.fromkeys(("ca.pem", "worker.pem", "worker.key"), os.devnull)
    known = dask_worker.make_context("dask worker", [files.get(word, word) for word in arguments]).params
    assert known["scheduler"] == "tls://submit.example.org:8786"
    assert (known["name"], known["dashboard"], known["death_timeout"]) == ("default-0", False, "60")
    assert {name: known[name] for name in options} == options


@pytest.mark.parametrize(("host", "address"), [("a.b", "tls://a.b:1"), ("::1", "tls://[::1]:1")])
def test_endpoint(host: str, address: str) -> None:
    assert Endpoint(host, 1).address == address


def test_dask_settings() -> None:
    settings = json.loads(dask_settings("/private/scratch"))
    assert settings["distributed"]["comm"]["require-encryption"] is True
    assert settings["temporary-directory"] == "/private/scratch"
    assert settings["distributed"]["diagnostics"]["nvml"] is False, (
        "a driver that was updated must not stop Dask"
    )
