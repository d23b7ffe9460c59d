"""What a profile says, as HTCondor and Slurm understand it: nothing here runs, so it is quick."""

from __future__ import annotations

import json
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from fasthep_validate import bundled, dry_run
from fasthep_validate.batch import BATCHES, condor_description, slurm_options
from fasthep_validate.campaign import load_profile
from fasthep_validate.models.evidence import WorkerEvidence
from fasthep_validate.profiles import parse_overrides
from fasthep_validate.store import new_run
from fasthep_validate.testing import good_pack
from tests.testbed.sites import wait

if TYPE_CHECKING:
    from fasthep_validate.models.job import JobSpec
    from tests.testbed.fixtures import Site

pytestmark = pytest.mark.testbed

HTCONDOR = """\
extends: htcondor
batch:
  spelling: {walltime: {+MaxRuntime: "{seconds}"}, os: {MY.WantOS: '"{}"'}}
execution:
  config:
    walltime: 20 min
    os: el9
    accounting_group: cms.higgs
    container: /images/worker.sif
    job_extra_directives: {hold: "true", +Mine: '"a b"'}
    skip_directives: [Periodic_Remove]
    submit_command_extra: [-batch-name, knobs]
  resources: {default: {cpus: 2, memory: 1 GB, disk: 1 GB}}
  pools:
    default: {workers: 1}
    gpu:
      resources: {gpus: 1, memory: 1 GB}
      workers: 1
      config: {gpu_capability: 7.5, gpu_memory: 16 GiB, accounting_group: cms.gpu}
"""
SLURM = """\
extends: slurm
batch:
  spelling: {gpus: {--gpus: "{}"}, memory: {--mem-per-cpu: "{mib_per_core}M"}}
  walltime: {default: 30 min, max: 1 d}
execution:
  config:
    queue: main
    account: mine
    job_extra_directives: [--hold, "-J called", --comment=knobs]
    skip_directives: [--export]
  resources: {default: {cpus: 2, memory: 2 GiB}}
  pools:
    default: {workers: 1, config: {walltime: "1:30:00"}}
    gpu: {resources: {gpus: 1}, workers: 1}
"""


def planned(folder: Path, site: str, *pools: str) -> list[JobSpec]:
    profile = load_profile(site, parse_overrides(pools, ()))
    return list(dry_run.planned(profile, good_pack(), new_run(folder, "here")))


def written(folder: Path, text: str) -> list[JobSpec]:
    (folder / "p.yaml").write_text(text)
    return planned(folder, str(folder / "p.yaml"))


def submitted(testbed: Site, job: JobSpec, *options: str) -> str:
    """What ``condor_submit`` says to the description that ``--dry-run`` prints."""
    shown = BATCHES["htcondor"].shown(job)
    folders = {
        str(condor_description.home(job)),
        *(str(Path(path).parent) for path in (job.out, job.err, job.log)),
    }
    testbed.output("submit", "mkdir", "-p", *folders)
    testbed.write("submit", "/home/alice/knobs.sub", shown["job.sub"])
    words = shlex.split(shown["command"])
    assert words.pop() == "job.sub"
    if "-dry-run" in options:  # it would spool files all the same
        words = [word for word in words if word != "-spool"]
    return testbed.output("submit", *words, *options, "/home/alice/knobs.sub")


SITES = [path.stem for path in sorted(bundled.profiles_dir().glob("*.yaml"))]
CONDOR_SITES = [name for name in SITES if load_profile(name).execution.strategy == "htcondor"]


@pytest.mark.parametrize("site", CONDOR_SITES)
def test_condor_submit_takes_the_bundled_profiles(testbed: Site, tmp_path: Path, site: str) -> None:
    """Its syntax alone; what a site's own schedd refuses is in tests/unit/test_site_profiles.py."""
    for job in planned(tmp_path, site, "gpu=1"):
        said = submitted(testbed, job, "-dry-run", "/home/alice/knobs.ad")
        assert "unused by condor_submit" not in said
    assert "RequestGPUs=1" in testbed.output("submit", "cat", "/home/alice/knobs.ad")


def test_htcondor_understands_every_knob(testbed: Site, tmp_path: Path) -> None:
    ids = [submitted(testbed, job).split(" - ")[0] for job in written(tmp_path, HTCONDOR)]
    try:
        ads: list[dict[str, Any]] = json.loads(testbed.output("submit", "condor_q", *ids, "-json"))
    finally:
        testbed.output("submit", "condor_rm", *ids)
    plain, gpu = sorted(ads, key=lambda ad: int(ad["ClusterId"]))
    both = {
        "JobStatus": 5, "MaxRuntime": 1200, "WantOS": "el9", "Mine": "a b", "WantContainer": True,
        "ContainerImage": "worker.sif", "JobBatchName": "knobs", "RequestMemory": 954,
    }  # fmt: skip
    own = {"AcctGroup": "cms.higgs", "RequestCpus": 2, "RequestDisk": 976563}
    assert {**both, **own}.items() <= plain.items()
    assert {"DaskWorkerName": "default-0", "DaskWorkerCores": 2, "JobId": ids[0]}.items() <= plain.items()
    own = {"AcctGroup": "cms.gpu", "RequestGPUs": 1, "GPUsMinCapability": 7.5, "GPUsMinMemory": 16384}
    assert {**both, **own}.items() <= gpu.items()
    assert "RequestGPUs" not in plain
    assert "JobStatus == 1" not in str(plain.get("PeriodicRemove")), "it was skipped"


def test_slurm_understands_every_knob(testbed: Site, tmp_path: Path) -> None:
    facts = []
    for job in written(tmp_path, SLURM):
        words = shlex.split(BATCHES["slurm"].shown(job)["command"])
        assert words.pop() == "slurm_hold.sh"
        testbed.write("submit", "/home/alice/knobs.sh", "#!/bin/sh\n")
        # What the user's environment says of Slurm does not go before the profile.
        job_id = testbed.output("submit", "env", "SBATCH_ACCOUNT=wrong", *words, "/home/alice/knobs.sh")
        told = testbed.output("submit", "scontrol", "--oneliner", "show", "job", job_id)
        testbed.output("submit", "scancel", job_id)
        facts.append(dict(word.partition("=")[::2] for word in told.split()))
    plain, gpu = facts
    both = {
        "JobState": "PENDING",
        "Reason": "JobHeldUser",
        "Partition": "main",
        "Account": "mine",
        "JobName": "called",
        "Comment": "knobs",
    }
    assert {**both, "TimeLimit": "01:30:00", "MinMemoryCPU": "1G", "NumCPUs": "2"}.items() <= plain.items()
    assert {**both, "TimeLimit": "00:30:00", "TresPerJob": "gres/gpu:1"}.items() <= gpu.items()


def test_slurm_says_what_it_does_not_have(testbed: Site, tmp_path: Path) -> None:
    """Options that this cluster cannot grant reach it all the same, and it says so in its own words."""
    text = SLURM.replace("account: mine", "{}: wrong")
    said = {}
    for key in ("constraint", "clusters"):
        (job, _) = written(tmp_path, text.replace("{}:", f"{key}:"))
        words = shlex.split(BATCHES["slurm"].shown(job)["command"])
        said[key] = testbed.run("submit", *words[:-1], "/home/alice/knobs.sh").stderr
    assert "Invalid feature specification" in said["constraint"]
    assert "'wrong' can't be reached now, or it is an invalid entry for --cluster" in said["clusters"]


def test_a_run_with_spooled_jobs_and_only_some_ports(testbed: Site) -> None:
    """The schedd is named, as one on another machine would be; what had been open before stays closed."""
    knobs = (
        "config.spool=true", "config.schedd=submit.testbed", "config.collector=submit.testbed",
        "config.scheduler_options={interface: eth0, port: '8786:8796'}",
        "config.worker_port_range='10000:10009'", "config.nanny_port_range='10010:10019'",
    )  # fmt: skip
    words = [word for knob in knobs for word in ("--set", knob)]
    command = ("fasthep-validate", "--site", "testbed-htcondor", "--outdir", "/home/alice/spooled", *words)
    done = testbed.run("submit", *command, timeout=240)
    assert done.ok, done.stdout + done.stderr
    assert "scheduler at tls://10.77.0.10:8786;" in done.stderr
    folder = "/home/alice/spooled/testbed-htcondor/latest"
    for worker in ("default-0", "default-1"):
        text = testbed.output("submit", "cat", f"{folder}/evidence/{worker}.json")
        evidence = WorkerEvidence.model_validate_json(text)
        assert {log.kind: bool(log.size) for log in evidence.logs} == {"out": True, "err": True, "log": True}
        assert evidence.job.exit_code == 0
        assert evidence.dask is not None
        assert 10000 <= int(str(evidence.dask.address).rpartition(":")[2]) <= 10009
        assert 10010 <= int(str(evidence.dask.nanny).rpartition(":")[2]) <= 10019
    assert testbed.output("submit", "condor_q", "-allusers", "-af", "ClusterId") == ""


def test_a_file_comes_to_a_node_as_the_input_of_a_step(testbed: Site, tmp_path: Path) -> None:
    """What stands in for ``sbcast`` where the job is on another cluster; here there is only one."""
    job = written(tmp_path, SLURM)[0].model_copy(update={"address": ("--quiet",)})
    testbed.output("submit", "sh", "-c", "head -c 5000000 /dev/urandom >/home/alice/sent")
    options = ("--parsable", "--chdir=/tmp", "--output=/dev/null", "--mem=100M", "--wrap", "sleep 60")
    job_id = testbed.output("submit", "sbatch", *options)
    try:
        wait(testbed, f'test "$(squeue -h -j {job_id} -o %T)" = RUNNING')
        words = slurm_options.send_words(job, job_id, "/home/alice/sent", "/tmp/knobs-got")
        assert words[0] == "srun"
        testbed.output("submit", *words)
        step = ("srun", f"--jobid={job_id}", "--overlap", "--chdir=/tmp")
        got = testbed.output("submit", *step, "sha256sum", "/tmp/knobs-got")
        testbed.output("submit", *step, "rm", "/tmp/knobs-got")
    finally:
        testbed.output("submit", "scancel", job_id)
    assert got.split()[0] == testbed.output("submit", "sha256sum", "/home/alice/sent").split()[0]
