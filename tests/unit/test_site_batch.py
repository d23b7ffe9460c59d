"""Every knob of a site, from the profile down to what the batch system is told."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fasthep_validate.batch import BATCHES, condor_description, slurm_options
from fasthep_validate.models.directive import overlaid, without
from fasthep_validate.models.spelling import clock
from fasthep_validate.models.written import walltime
from fasthep_validate.plan import Endpoint, Plan
from fasthep_validate.store import new_run
from fasthep_validate.testing import good_pack
from tests.profile_files import load, mistakes

if TYPE_CHECKING:
    from fasthep_validate.models.execution import ExecutionConfig
    from fasthep_validate.models.job import JobSpec

pytestmark = pytest.mark.usefixtures("empty_folder")

PROFILE = """\
execution:
  strategy: {strategy}
  config: {config}
  pools:
    p: {{resources: {resources}, workers: 1, config: {own}}}
batch: {batch}
network: {network}
"""
FLAVOURS = "walltime: {names: {short: 20 min, day: 1 d, week: 1 w}, max: 7 d}"
FLAVOURS = FLAVOURS.replace("1 w", "7 d")
BY_NAME = "{spelling: {walltime: {+JobFlavour: '\"{name}\"'}}, " + FLAVOURS + "}"


def profile(strategy: str, **parts: str) -> str:
    blank = {"config": "{}", "resources": "{}", "own": "{}", "batch": "{}", "network": "{}"}
    return PROFILE.format(strategy=strategy, **{**blank, **parts})


def execution(strategy: str, **parts: str) -> ExecutionConfig:
    return load(profile(strategy, **parts)).execution


def told(strategy: str, **parts: str) -> dict[str, str]:
    """The directives of the pool."""
    config = execution(strategy, **parts)
    return BATCHES[config.strategy].directives(config.pools[0])


def job(folder: Path, strategy: str, **parts: str) -> JobSpec:
    """The pool's job, as ``--dry-run`` prints it."""
    config = execution(strategy, **parts)
    told = BATCHES[config.strategy].told
    return Plan(config, good_pack(), new_run(folder, "x"), told, {}).jobs(Endpoint("h", 1))[0]


HTCONDOR = (
    ("resources", "{cpus: 3}", {"request_cpus": "3"}),
    ("config", "{cores: 2}", {"request_cpus": "2"}),
    ("resources", "{memory: 1024 MiB}", {"request_memory": "1024"}),
    ("resources", "{memory: 1 GB}", {"request_memory": "954"}),
    ("resources", "{disk: 1025 KiB}", {"request_disk": "1025"}),
    ("resources", "{disk: 1 MB}", {"request_disk": "977"}),
    ("resources", "{gpus: 2}", {"request_gpus": "2"}),
    ("config", "{queue: workday}", {"+JobFlavour": '"workday"'}),
    ("config", "{accounting_group: cms.higgs}", {"accounting_group": "cms.higgs"}),
    ("own", "{accounting_group: cms.top}", {"accounting_group": "cms.top"}),
    ("config", "{container: /cvmfs/i}", {"universe": "container", "container_image": "/cvmfs/i"}),
    ("config", "{site_directives: {a: b}}", {"a": "b"}),
    ("config", "{job_extra_directives: ['+A=\"b\"']}", {"+A": '"b"'}),
    ("config", "{job_extra_directives: {Universe: docker}}", {"Universe": "docker"}),
)
SLURM = (
    ("resources", "{cpus: 3}", {"--cpus-per-task": "3"}),
    ("resources", "{memory: 1025 MiB}", {"--mem": "1025M"}),
    ("resources", "{gpus: 2}", {"--gres": "gpu:2"}),
    ("config", "{queue: gpu}", {"--partition": "gpu"}),
    ("config", "{account: a@v100}", {"--account": "a@v100"}),
    ("config", "{qos: debug}", {"--qos": "debug"}),
    ("config", "{constraint: gpu&hbm80g}", {"--constraint": "gpu&hbm80g"}),
    ("config", "{walltime: 90 min}", {"--time": "1:30:00"}),
    ("config", "{walltime: '1-02:00:00'}", {"--time": "1-02:00:00"}),
    ("config", "{job_extra_directives: ['-p gpu', --exclusive]}", {"-p": "gpu", "--exclusive": ""}),
    ("own", "{walltime: '0:30:00'}", {"--time": "0:30:00"}),
)


@pytest.mark.parametrize(
    ("strategy", "where", "written", "expected"),
    [(name, *case) for name, cases in (("htcondor", HTCONDOR), ("slurm", SLURM)) for case in cases],
)
def test_a_key_becomes_a_directive(strategy: str, where: str, written: str, expected: dict[str, str]) -> None:
    assert expected.items() <= told(strategy, **{where: written}).items()


@pytest.mark.parametrize("strategy", ["htcondor", "slurm"])
def test_what_is_not_asked_for_is_left_to_the_site(strategy: str) -> None:
    names = " ".join(told(strategy)).lower()
    assert not [word for word in ("mem", "disk", "gpu", "gres", "time", "partition") if word in names]


@pytest.mark.parametrize(
    ("strategy", "batch", "rest", "expected"),
    [
        ("htcondor", "{spelling: {walltime: {+MaxRuntime: '{seconds}'}}}", {"config": "{walltime: 20 min}"}, {"+MaxRuntime": "1200"}),
        ("htcondor", "{spelling: {walltime: {+RequestRuntime: '{seconds}'}}}", {"own": "{walltime: 3 h}"}, {"+RequestRuntime": "10800"}),
        ("htcondor", "{spelling: {walltime: {+RequestWalltime: '{seconds}'}}}", {"config": "{walltime: '1:00:00'}"}, {"+RequestWalltime": "3600"}),
        ("htcondor", "{spelling: {walltime: {+M: '{minutes}'}}}", {"config": "{walltime: 61 s}"}, {"+M": "2"}),
        ("htcondor", BY_NAME, {"config": "{walltime: 20 min}"}, {"+JobFlavour": '"short"'}),
        ("htcondor", BY_NAME, {"config": "{walltime: 21 min}"}, {"+JobFlavour": '"day"'}),
        ("htcondor", BY_NAME, {"config": "{walltime: week}"}, {"+JobFlavour": '"week"'}),
        ("htcondor", BY_NAME, {"config": "{queue: week}"}, {"+JobFlavour": '"week"'}),
        ("htcondor", BY_NAME.replace("max:", "default: day, max:"), {}, {"+JobFlavour": '"day"'}),
        ("htcondor", BY_NAME.replace("max:", "default: day, max:"), {"config": "{queue: week}"}, {"+JobFlavour": '"week"'}),
        ("htcondor", "{spelling: {os: {MY.WantOS: '\"{}\"'}}}", {"config": "{os: el9}"}, {"MY.WantOS": '"el9"'}),
        ("htcondor", "{spelling: {container: {+SingularityImage: '\"{}\"'}}}", {"config": "{container: /i}"}, {"+SingularityImage": '"/i"', "universe": "vanilla"}),
        ("htcondor", "{spelling: {gpus: {request_gpus: '{}', +WantGPULab: 'true'}}}", {"resources": "{gpus: 1}"}, {"request_gpus": "1", "+WantGPULab": "true"}),
        ("htcondor", "{}", {"resources": "{gpus: 1}", "own": "{gpu_capability: 7.5, gpu_memory: 20 GiB}"}, {"gpus_minimum_capability": "7.5", "gpus_minimum_memory": "20480"}),
        ("slurm", "{spelling: {gpus: {--gpus: '{}'}}}", {"resources": "{gpus: 2}"}, {"--gpus": "2"}),
        ("slurm", "{spelling: {gpus: {--gpus-per-node: '{}'}}}", {"resources": "{gpus: 2}"}, {"--gpus-per-node": "2"}),
        ("slurm", "{}", {"resources": "{gpus: 2}", "own": "{gpu_type: a100}"}, {"--gres": "gpu:a100:2"}),
        ("slurm", "{spelling: {memory: {--mem-per-cpu: '{mib_per_core}M'}}}", {"resources": "{cpus: 2, memory: 3 GiB}"}, {"--mem-per-cpu": "1536M"}),
        ("slurm", "{spelling: {disk: {--tmp: '{mib}M'}}}", {"resources": "{disk: 1 GiB}"}, {"--tmp": "1024M"}),
        ("slurm", "{walltime: {default: 10 min}}", {}, {"--time": "0:10:00"}),
        ("slurm", "{walltime: {default: 10 min}}", {"config": "{walltime: 1 h}"}, {"--time": "1:00:00"}),
    ],
)  # fmt: skip
def test_a_site_has_its_own_words(
    strategy: str, batch: str, rest: dict[str, str], expected: dict[str, str]
) -> None:
    assert expected.items() <= told(strategy, batch=batch, **rest).items()


@pytest.mark.parametrize(
    ("batch", "rest", "absent"),
    [
        ("{spelling: {gpus: {--gpus: '{}'}}}", {"resources": "{gpus: 1}"}, "--gres"),
        ("{spelling: {memory: {}}}", {"resources": "{memory: 1 GB}"}, "--mem"),
        ("{spelling: {gpus: {--gpus: '{}', --x: y}}}", {"resources": "{gpus: 0}"}, "--x"),
        ("{skip_directives: [--mem]}", {"resources": "{memory: 1 GB}"}, "--mem"),
        ("{skip_directives: [-c]}", {}, "--cpus-per-task"),
        ("{}", {"config": "{skip_directives: [--no-requeue]}"}, "--no-requeue"),
    ],
)
def test_what_a_site_does_not_say(batch: str, rest: dict[str, str], absent: str) -> None:
    assert absent not in told("slurm", batch=batch, **rest)


def test_a_directive_is_skipped_by_its_whole_name() -> None:
    """Not by a part of it: `-p` is no part of `--cpus-per-task`, and `--mem` none of `--mem-bind`."""
    resources, own = "{cpus: 2, memory: 1 GB}", "{job_extra_directives: {--mem-bind: local}}"
    got = told("slurm", resources=resources, own=own, batch="{skip_directives: [-p, --mem]}")
    assert got["--cpus-per-task"] == "2"
    assert got["--mem-bind"] == "local"
    assert "--mem" not in got


def test_the_last_one_of_a_name_counts_however_it_is_written() -> None:
    got = told("htcondor", resources="{memory: 1 GB}", own="{job_extra_directives: {Request_Memory: '4000'}}")
    assert {key: value for key, value in got.items() if "request_memory" in key.lower()} == {
        "Request_Memory": "4000"
    }
    site = "{site_directives: {+Flag: a}, job_extra_directives: {MY.flag: b}}"
    assert {value for key, value in told("htcondor", config=site).items() if "lag" in key} == {"b"}
    got = told("slurm", config="{queue: a, job_extra_directives: [-p b]}")
    assert ("--partition" in got, got["-p"]) == (False, "b")


names = st.sampled_from(["+A", "MY.A", "my.a", "A", "a", "-p", "--partition", "--part", "request_memory"])
layers = st.lists(st.dictionaries(names, st.text(max_size=2)), max_size=4)


@settings(max_examples=80, deadline=None, database=None)
@given(layers, st.lists(names), st.sampled_from(["htcondor", "slurm"]))
def test_layers(written: list[dict[str, str]], skipped: list[str], strategy: str) -> None:
    got = overlaid(strategy, *written)  # type: ignore[arg-type]
    assert overlaid(strategy, got) == got, "no name is there twice"  # type: ignore[arg-type]
    for layer in written[-1:]:
        assert set(overlaid(strategy, layer).values()) <= set(got.values())  # type: ignore[arg-type]
    assert not set(without(strategy, got, skipped)) & set(skipped)  # type: ignore[arg-type]


@settings(max_examples=80, deadline=None, database=None)
@given(st.integers(1, 10**7))
def test_times_are_read_as_they_are_written(seconds: int) -> None:
    assert walltime(clock(seconds)) == seconds


@pytest.mark.parametrize(
    ("strategy", "parts", "said"),
    [
        ("htcondor", {"config": "{walltime: 1 h}"}, "3: execution.config.walltime: not supported: strategy 'htcondor' has no use for it. Say how the site writes it: batch.spelling.walltime."),
        ("htcondor", {"config": "{account: mine}"}, "3: execution.config.account: not supported: strategy 'htcondor' has no use for it. Say how the site writes it: batch.spelling.account."),
        ("slurm", {"own": "{accounting_group: a}"}, "5: execution.pools.p.config.accounting_group: not supported: strategy 'slurm' has no use for it. Say how the site writes it: batch.spelling.accounting_group."),
        ("slurm", {"config": "{spool: true}"}, "3: execution.config.spool: not supported: strategy 'slurm' has no use for it"),
        ("htcondor", {"config": "{clusters: a}"}, "3: execution.config.clusters: not supported: strategy 'htcondor' has no use for it"),
        ("slurm", {"config": "{partition: a}"}, "3: execution.config.partition: not supported: Slurm's partition is the key 'queue'"),
        ("slurm", {"config": "{walltime: 60}"}, "3: execution.config.walltime: expected something like '2 h' or '1:00:00', got 60. A number needs its unit; a time with colons needs quotes."),
        ("slurm", {"config": "{walltime: 1:00:00}"}, "3: execution.config.walltime: expected something like '2 h' or '1:00:00', got 3600. A number needs its unit; a time with colons needs quotes."),
        ("slurm", {"config": "{walltime: 1-5}"}, "3: execution.config.walltime: expected something like '2 h' or '1:00:00', got '1-5'"),
        ("slurm", {"config": "{walltime: 0 h}"}, "3: execution.config.walltime: expected a time of a second or more, got none"),
        ("slurm", {"own": "{walltime: 3 d}", "batch": "{walltime: {max: 2 d}}"}, "5: execution.pools.p.config.walltime: 3 d is over the site's maximum of 2 d. Write less."),
        ("htcondor", {"config": "{walltime: 169 h}", "batch": BY_NAME}, "3: execution.config.walltime: 169 h is over the site's maximum of 7 d. Write less."),
        ("htcondor", {"config": "{walltime: dai}", "batch": BY_NAME}, "3: execution.config.walltime: no time limit 'dai'. Did you mean 'day'?"),
        ("htcondor", {"config": "{queue: dai}", "batch": BY_NAME}, "3: execution.config.queue: no time limit 'dai'. Did you mean 'day'?"),
        ("htcondor", {"config": "{queue: day, walltime: 1 h}", "batch": BY_NAME}, "3: execution.config.walltime: 'queue' says 'day' already. Leave one of them out."),
        ("slurm", {"batch": "{walltime: {default: 2 d, max: 1 d}}"}, "6: batch.walltime.default: 172800 s is over the maximum of 86400 s"),
        ("htcondor", {"batch": "{walltime: {default: 2 d}}"}, "6: batch.walltime.default: strategy 'htcondor' has no usual directive for it. Say how the site writes it: batch.spelling.walltime."),
        ("slurm", {"batch": "{walltime: {default: soon}}"}, "6: batch.walltime.default: no time limit 'soon'. Write something like '1 h'."),
        ("htcondor", {"resources": "{memory: 4 GB}", "batch": "{memory_per_core: 3 GB}"}, "5: execution.pools.p.resources.memory: 4000000000 bytes is more than the site gives for 1 cores, 3000000000 bytes each. Write 'cpus: 2', or less memory."),
        ("htcondor", {"resources": "{cpus: 2, disk: 50 GB}", "batch": "{disk_per_core: 20 GB}"}, "5: execution.pools.p.resources.disk: 50000000000 bytes is more than the site gives for 2 cores, 20000000000 bytes each. Write 'cpus: 3', or less disk."),
        ("htcondor", {"config": "{job_extra_directives: {Stream_Output: 'True'}}", "batch": "{forbidden_directives: {stream_output: no streaming}}"}, "3: execution.config.job_extra_directives.Stream_Output: the site does not take it: no streaming"),
        ("htcondor", {"own": "{site_directives: {getenv: 'PATH'}}", "batch": "{forbidden_directives: {getenv: why}}"}, "5: execution.pools.p.config.site_directives.getenv: the site does not take it: why"),
        ("htcondor", {"config": "{job_extra_directives: {Output: x}}"}, "3: execution.config.job_extra_directives.Output: not supported: it is set by the run itself"),
        ("slurm", {"config": "{job_extra_directives: [-M a]}"}, "3: execution.config.job_extra_directives.-M: not supported: write the key 'clusters', so that all of Slurm's commands are told"),
        ("htcondor", {"config": "{job_extra_directives: {a: '/afs/x,/eos/y'}}", "batch": "{forbidden_paths: {/eos: use AFS}}"}, "3: execution.config.job_extra_directives.a: '/afs/x,/eos/y' is below /eos: use AFS"),
        ("htcondor", {"config": "{submit_command_extra: [-spool]}"}, "3: execution.config.submit_command_extra: -spool: not supported: write 'spool: true', so that logs are fetched"),
        ("htcondor", {"config": "{submit_command_extra: [-name, a]}"}, "3: execution.config.submit_command_extra: -name: not supported: write the key 'schedd', so that all of HTCondor's commands are told"),
        ("slurm", {"config": "{cancel_command_extra: [--clusters=a]}"}, "3: execution.config.cancel_command_extra: --clusters=a: not supported: write the key 'clusters', so that all of Slurm's commands are told"),
        ("htcondor", {"config": "{spool: true}", "batch": "{spool: never}"}, "3: execution.config.spool: the site says 'never' (batch.spool). Leave it out."),
        ("htcondor", {"config": "{spool: false}", "batch": "{spool: required}"}, "3: execution.config.spool: the site says 'required' (batch.spool). Leave it out."),
        ("htcondor", {"own": "{gpu_memory: 20 GB}"}, "5: execution.pools.p.config.gpu_memory: the pool asks for no GPU. Write 'gpus: 1' under its resources."),
        ("local", {"batch": "{spool: never}"}, "6: batch.spool: not supported: it is for a batch system, and strategy 'local' has none"),
        ("local", {"config": "{container: x}"}, "3: execution.config.container: not supported: it is for a batch system, and strategy 'local' has none"),
        ("slurm", {"batch": "{spelling: {gpu: {}}}"}, "6: batch.spelling.gpu: no key 'gpu' that could be spelled. Did you mean 'gpus'?"),
        ("slurm", {"batch": "{spelling: {walltime: {-t: '{hours}'}}}"}, "6: batch.spelling.walltime.-t: no placeholder {hours} for walltime. Known: {}, {cpus}, {gpus}, {seconds}, {minutes}, {time}, {name}."),
        ("slurm", {"batch": "{log_paths: [home]}"}, "6: batch.log_paths[0]: expected an absolute path, or one that starts with $HOME, got 'home'"),
        ("slurm", {"network": "{scheduler: {port: 70000}}"}, "7: network.scheduler.port: expected a port, or 0 for any, got 70000"),
        ("slurm", {"network": "{scheduler: {port: '9:8'}}"}, "7: network.scheduler.port: expected ports from 1 to 65535, the lower one first, got '9:8'"),
    ],
)  # fmt: skip
def test_what_does_not_fit_the_site(strategy: str, parts: dict[str, str], said: str) -> None:
    assert mistakes(profile(strategy, **parts)) == [f"p.yaml:{said}"]


def test_all_at_once() -> None:
    batch = "{walltime: {max: 1 h}, forbidden_directives: {--x: no}, memory_per_core: 1 GB}"
    parts = {"config": "{walltime: 2 h, job_extra_directives: [--x]}", "own": "{spool: true}"}
    said = mistakes(profile("slurm", batch=batch, resources="{memory: 2 GB}", **parts))
    assert len(said) == 4, said


def test_what_a_site_forbids_can_be_switched_off() -> None:
    """A directive that says no is what the site wants."""
    batch = "{forbidden_directives: {stream_output: why}}"
    got = told("htcondor", batch=batch, config="{job_extra_directives: {stream_output: 'False'}}")
    assert got["stream_output"] == "False"


def test_commands_of_htcondor(tmp_path: Path) -> None:
    config = "{schedd: s, collector: c, spool: true, submit_command_extra: [-batch-name, n], cancel_command_extra: [-forcex]}"
    spec = job(tmp_path, "htcondor", config=config)
    words = condor_description.submit_words(spec, tmp_path / "file")
    assert words == [
        "condor_submit", "-terse", "-pool", "c", "-name", "s", "-spool", "-batch-name", "n", str(tmp_path / "file"),
    ]  # fmt: skip
    assert spec.cancel_arguments == ("-forcex",)


def test_commands_of_slurm(tmp_path: Path) -> None:
    config = "{clusters: cm4, queue: tiny, submit_command_extra: [--quiet], cancel_command_extra: [--full]}"
    spec = job(tmp_path, "slurm", config=config, own="{job_extra_directives: [-p x, --exclusive]}")
    words = slurm_options.submit_words(spec, "script", "argument")
    assert words[:3] == ["sbatch", "--parsable", "--clusters=cm4"]
    assert words[-3:] == ["--quiet", "script", "argument"]
    assert words[words.index("-p") + 1] == "x"
    assert "--exclusive" in words
    assert spec.cancel_arguments == ("--full",)


def test_commands_of_slurm_for_another_cluster(tmp_path: Path) -> None:
    """`sbcast` has no `--clusters`; a step does, and writes what it is given."""
    spec = job(tmp_path, "slurm", config="{clusters: cm4}", resources="{cpus: 3}")
    send = slurm_options.send_words(spec, "17", "/a/file", "/tmp/x/file")
    assert send[:3] == ["srun", "--clusters=cm4", "--jobid=17"]
    assert "--input=/a/file" in send
    assert send[-4:] == ["dd", "of=/tmp/x/file", "bs=1M", "status=none"]
    step = slurm_options.step_words(spec, "17", "/tmp/x")
    assert step[:3] == ["srun", "--clusters=cm4", "--jobid=17"]
    assert step[step.index("/bin/sh") :] == ["/bin/sh", "/tmp/x/slurm_step.sh", "bootstrap.sh", "job.params"]
    assert "--cpus-per-task=3" in step


def test_commands_of_slurm_for_this_cluster(tmp_path: Path) -> None:
    spec = job(tmp_path, "slurm", own="{job_extra_directives: [-c 5]}")
    assert slurm_options.send_words(spec, "17", "a", "b")[0] == "sbcast"
    step = slurm_options.step_words(spec, "17", "/tmp/x")
    assert step[step.index("-c") + 1] == "5"
    assert not [word for word in step if "--clusters" in word]


def test_the_site_can_want_spooling(tmp_path: Path) -> None:
    assert job(tmp_path, "htcondor", batch="{spool: required}").submit_arguments == ("-spool",)
    assert "leave_in_queue" in job(tmp_path, "htcondor", batch="{spool: required}").directives
    plain = job(tmp_path, "htcondor")
    assert (plain.submit_arguments, "leave_in_queue" in plain.directives) == ((), False)


@pytest.mark.parametrize(
    ("network", "own", "arguments"),
    [
        ("{worker_ports: '1:2'}", "{}", ["--worker-port 1:2", "--nanny-port 1:2"]),
        ("{worker_ports: '1:2', nanny_ports: '3:4'}", "{}", ["--worker-port 1:2", "--nanny-port 3:4"]),
        ("{nanny_ports: '3:4'}", "{worker_port_range: 9}", ["--worker-port 9:9", "--nanny-port 3:4"]),
        ("{worker_ports: '1:2'}", "{nanny_port_range: '5:6'}", ["--worker-port 1:2", "--nanny-port 5:6"]),
        ("{worker_ports: '1:2', nanny_ports: '3:4'}", "{nanny: false}", ["--no-nanny", "--worker-port 1:2"]),
        ("{}", "{local_directory: /scratch}", ["--local-directory /scratch"]),
    ],
)
def test_ports_of_workers_and_nannies(tmp_path: Path, network: str, own: str, arguments: list[str]) -> None:
    spec = job(tmp_path, "slurm", network=network, own=own)
    given = next(source for source, name in spec.transfer.items() if name == "worker.args")
    line = " ".join(Path(given).read_text().split())
    assert [words for words in arguments if words not in line] == []
    assert ("--nanny-port" in line) == any("--nanny-port" in words for words in arguments)


def test_the_scheduler_has_a_range_of_ports() -> None:
    scheduler = execution("slurm", network="{scheduler: {port: '8786:8796', interface: ib0}}").scheduler
    assert (scheduler.port, scheduler.last_port, scheduler.interface) == (8786, 8796, "ib0")
    config = "{scheduler_options: {port: 9000}}"
    scheduler = execution("slurm", network="{scheduler: {port: '8786:8796'}}", config=config).scheduler
    assert (scheduler.port, scheduler.last_port) == (9000, None)
