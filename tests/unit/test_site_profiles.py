"""The bundled profiles: each documented rule of a site is an assertion on what would be submitted."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from fasthep_validate import bundled, dry_run, preflight
from fasthep_validate.campaign import load_profile
from fasthep_validate.errors import ConfigError
from fasthep_validate.models.directive import NAMES
from fasthep_validate.profiles import parse_overrides
from fasthep_validate.store import new_run
from fasthep_validate.testing import good_pack

if TYPE_CHECKING:
    from collections.abc import Mapping

SITES = sorted(path.stem for path in bundled.profiles_dir().glob("*.yaml"))


def planned(folder: Path, site: str, *settings: str, pools: tuple[str, ...] = ()) -> list[dict[str, Any]]:
    """The jobs of ``--dry-run --json``, but for the pack."""
    profile = load_profile(site, parse_overrides(pools, settings))
    specs = dry_run.planned(profile, good_pack(), new_run(folder, site))
    jobs: list[dict[str, Any]] = json.loads(dry_run.as_json(specs, profile.execution))
    return jobs


def directives(job: Mapping[str, Any]) -> dict[str, str]:
    """The submit description of a job, under the names that HTCondor knows its commands by."""
    lines = job["submit"]["job.sub"].partition("\nqueue ")[0].splitlines()
    pairs = [line.partition(" = ")[::2] for line in lines]
    told = {NAMES["htcondor"](key): value for key, value in pairs}
    assert len(told) == len(pairs), "a command is there twice"
    return told


@pytest.mark.parametrize("site", SITES)
def test_profile_can_be_planned(tmp_path: Path, site: str) -> None:
    assert planned(tmp_path, site, "config.scheduler_options={interface: lo}")


class TestLxplus:
    """Sources are in the profile."""

    @pytest.fixture
    def jobs(self, tmp_path: Path) -> list[dict[str, Any]]:
        return planned(tmp_path, "lxplus", pools=("default=2", "gpu=1"))

    @pytest.fixture
    def job(self, jobs: list[dict[str, Any]]) -> dict[str, Any]:
        return jobs[0]

    @pytest.mark.parametrize("key", ["stream_output", "stream_error"])
    def test_no_streaming(self, jobs: list[dict[str, Any]], key: str) -> None:
        assert not [job for job in jobs if key in directives(job)]

    @pytest.mark.parametrize("key", ["stream_output", "stream_error", "getenv", "next_job_start_delay"])
    def test_what_schedds_refuse_is_refused_before(self, tmp_path: Path, key: str) -> None:
        with pytest.raises(ConfigError, match=f"{key}: the site does not take it"):
            planned(tmp_path, "lxplus", f"config.job_extra_directives={{{key}: 'True'}}")

    def test_no_eos_path(self, jobs: list[dict[str, Any]]) -> None:
        assert not [job for job in jobs if re.search(r"(^|[\s\"=,:])/eos\b", job["submit"]["job.sub"])]

    def test_eos_path_is_refused(self, tmp_path: Path) -> None:
        with pytest.raises(ConfigError, match=r"'/eos/user/a/x' is below /eos: standard schedds take no EOS"):
            planned(tmp_path, "lxplus", "config.job_extra_directives={x509userproxy: /eos/user/a/x}")

    def test_scheduler_port_is_open(self, job: dict[str, Any]) -> None:
        assert ":8786\n" in job["texts"]["worker.args"]

    def test_worker_ports_are_open(self, job: dict[str, Any]) -> None:
        assert "--worker-port\n10000:10100\n" in job["texts"]["worker.args"]

    def test_nanny_listens_at_open_ports(self, job: dict[str, Any]) -> None:
        assert "--nanny\n" in job["texts"]["worker.args"]
        assert "--nanny-port\n10000:10100\n" in job["texts"]["worker.args"]

    def test_it_can_do_without_a_nanny(self, tmp_path: Path) -> None:
        (job, *_) = planned(tmp_path, "lxplus", "config.nanny=false")
        assert "--no-nanny\n" in job["texts"]["worker.args"]
        assert "--nanny-port" not in job["texts"]["worker.args"]

    def test_it_is_a_dask_worker(self, jobs: list[dict[str, Any]]) -> None:
        assert {directives(job)["my.isdaskworker"] for job in jobs} == {"true"}

    def test_job_flavour_is_in_double_quotes(self, job: dict[str, Any]) -> None:
        assert directives(job)["my.jobflavour"] == '"longlunch"'

    @pytest.mark.parametrize(
        ("walltime", "flavour"),
        [
            ("20 min", "espresso"), ("21 min", "microcentury"), ("2 h", "longlunch"), ("8 h", "workday"),
            ("1 d", "tomorrow"), ("2 d", "testmatch"), ("7 d", "nextweek"), ("testmatch", "testmatch"),
        ],
    )  # fmt: skip
    def test_shortest_flavour_that_is_long_enough(self, tmp_path: Path, walltime: str, flavour: str) -> None:
        (job, *_) = planned(tmp_path, "lxplus", f"config.walltime={walltime}")
        assert directives(job)["my.jobflavour"] == f'"{flavour}"'

    def test_no_flavour_is_longer_than_a_week(self, tmp_path: Path) -> None:
        with pytest.raises(ConfigError, match=r"8 d is over the site's maximum of 7 d"):
            planned(tmp_path, "lxplus", "config.walltime=8 d")

    def test_kerberos_goes_along(self, jobs: list[dict[str, Any]]) -> None:
        assert {directives(job)["my.sendcredential"] for job in jobs} == {"True"}

    def test_environment_of_lxplus_stays_there(self, job: dict[str, Any]) -> None:
        assert not {"getenv", "environment"} & directives(job).keys()

    def test_memory_is_within_3_gb_a_core(self, jobs: list[dict[str, Any]]) -> None:
        told = [directives(job) for job in jobs]
        assert all(
            int(each["request_memory"]) <= 3000 * int(each["request_cpus"])
            for each in told
            if "request_memory" in each
        )
        assert any("request_memory" in each for each in told)

    def test_more_memory_needs_more_cores(self, tmp_path: Path) -> None:
        with pytest.raises(ConfigError, match=r"Write 'cpus: 2', or less memory"):
            planned(tmp_path, "lxplus", "resources.default.memory=6 GB")

    def test_disk_is_within_20_gb_a_core(self, jobs: list[dict[str, Any]]) -> None:
        told = [directives(job) for job in jobs]
        assert all(int(each["request_disk"]) <= 20_000_000 for each in told if "request_disk" in each)

    def test_output_files_are_not_wanted(self, job: dict[str, Any]) -> None:
        assert directives(job)["transfer_output_files"] == '""'

    def test_nothing_is_spooled_at_an_eviction(self, job: dict[str, Any]) -> None:
        assert directives(job)["my.spoolonevict"] == "False"

    def test_no_container_for_an_environment_that_travels(self, job: dict[str, Any]) -> None:
        assert "my.singularityimage" not in directives(job)

    def test_operating_system(self, tmp_path: Path) -> None:
        (job, *_) = planned(tmp_path, "lxplus", "config.os=el9")
        assert directives(job)["my.wantos"] == '"el9"'

    def test_gpus(self, jobs: list[dict[str, Any]], tmp_path: Path) -> None:
        assert [directives(job).get("request_gpus") for job in jobs] == [None, None, "1"]
        (job, *_) = planned(
            tmp_path,
            "lxplus",
            "resources.default.gpus=1",
            "config.gpu_type=A100",
            "config.gpu_capability=8.0",
        )
        assert directives(job)["requirements"] == 'regexp("A100", TARGET.GPUs_DeviceName)'
        assert directives(job)["gpus_minimum_capability"] == "8.0"

    def test_workers_live_longer_than_they_wait(self) -> None:
        execution = load_profile("lxplus").execution
        assert (execution.pools[0].walltime or 0) > 2 * execution.timeouts.worker_start


def command(job: Mapping[str, Any]) -> list[str]:
    """The command that submits a job."""
    return shlex.split(job["submit"]["command"])


def worker_arguments(job: Mapping[str, Any]) -> str:
    return " ".join(job["texts"]["worker.args"].split())


def test_desy_naf(tmp_path: Path) -> None:
    (job, *_) = planned(tmp_path, "desy-naf", "config.walltime=1 d", "config.os=RedHat9")
    told = directives(job)
    assert told["my.requestruntime"] == "86400"
    assert told["request_opsysandver"] == '"RedHat9"'
    assert int(told["request_memory"]) <= 1500


def test_imperial(tmp_path: Path) -> None:
    (job, *_) = planned(tmp_path, "imperial")
    told = directives(job)
    assert (told["my.maxruntime"], told["my.isdaskworker"], told["request_memory"]) == (
        "7200",
        "true",
        "4096",
    )
    assert "--worker-port 60000:60099 --nanny-port 60000:60099" in worker_arguments(job)
    assert ":60000 " in worker_arguments(job)
    with pytest.raises(ConfigError, match=r"config\.spool: the site says 'never'"):
        planned(tmp_path, "imperial", "config.spool=true")


def test_lpc(tmp_path: Path) -> None:
    (job, *_) = planned(tmp_path, "lpc", "config.schedd=here", "config.collector=there")
    assert command(job)[2:7] == ["-pool", "there", "-name", "here", "-spool"]
    assert "--worker-port 10000:10070 --nanny-port 10070:10100" in worker_arguments(job)
    profile = load_profile("lpc")
    assert (profile.execution.scheduler.port, profile.execution.scheduler.last_port) == (10000, 10100)
    with pytest.raises(ConfigError, match="/data/results is not where lpc wants the logs of jobs"):
        preflight.check_paths(profile, outdir=Path("/data/results"), cache=Path("/data/cache"))


def test_perlmutter(tmp_path: Path) -> None:
    settings = ("config.account=m1", "config.scheduler_options={interface: lo}")
    plain, _, gpu = planned(tmp_path, "perlmutter", *settings)
    assert {"--qos=shared", "--constraint=cpu", "--account=m1", "--time=0:30:00"} <= {*command(plain)}
    assert {"--constraint=gpu", "--gpus=1"} <= {*command(gpu)}
    assert not [word for word in command(gpu) if "--gres" in word]
    with pytest.raises(ConfigError, match=r"3 d is over the site's maximum of 2 d"):
        planned(tmp_path, "perlmutter", *settings, "config.walltime=3 d")


def test_coolmuc(tmp_path: Path) -> None:
    (job, *_) = planned(tmp_path, "coolmuc")
    wanted = {"--clusters=cm4", "--partition=cm4_tiny", "--qos=cm4_tiny", "--get-user-env", "--export=NONE"}
    assert wanted <= {*command(job)}
