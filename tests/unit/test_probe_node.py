"""What the probe tells of a node, from made-up files and of this machine."""

from __future__ import annotations

from pathlib import Path

from fasthep_validate.worker import probe_node
from fasthep_validate.worker.probe_config import Config
from tests.trees import tree

# ---- what the batch system gave -------------------------------------------------------------------


def test_what_slurm_gave() -> None:
    """Variables of a step on the testbed."""
    step = {"SLURM_CPUS_ON_NODE": "2", "SLURM_MEM_PER_NODE": "300", "SLURM_GPUS_ON_NODE": "1"}
    assert probe_node.granted(step) == {"granted_cpus": 2, "granted_memory": 300 * 2**20, "granted_gpus": 1}
    assert probe_node.granted({}) == {}


def test_what_htcondor_gave(tmp_path: Path) -> None:
    """Lines of the slot's ClassAd on the testbed."""
    machine = tmp_path / ".machine.ad"
    machine.write_text('AssignedGPUs = "GPU-a0223334"\nCpus = 1\nGPUs = 1\nMemory = 384\nTotalGPUs = 1\n')
    given = probe_node.granted({"_CONDOR_MACHINE_AD": str(machine), "SLURM_CPUS_ON_NODE": "8"})
    assert given == {"granted_cpus": 1, "granted_memory": 384 * 2**20, "granted_gpus": 1}


# ---- limits and mounts ----------------------------------------------------------------------------


def process_files(folder: Path, cgroup: str, mountinfo: str) -> Path:
    (folder / "cgroup").write_text(cgroup)
    (folder / "mountinfo").write_text(mountinfo)
    return folder


def group_limits(process: Path) -> tuple[float | None, float | None]:
    groups = list(probe_node.cgroup_directories(process))
    return (
        probe_node.smallest(map(probe_node.cgroup_memory, groups)),
        probe_node.smallest(map(probe_node.cgroup_cpus, groups)),
    )


def test_the_smallest_limit_up_the_tree_of_version_2(tmp_path: Path) -> None:
    top = tree(
        tmp_path / "cgroup two",
        {
            "slurm/memory.max": b"4000000000\n",
            "slurm/cpu.max": b"max 100000\n",
            "slurm/job_1/memory.max": b"2000000000\n",
            "slurm/job_1/cpu.max": b"150000 100000\n",
            "slurm/job_1/step_0/memory.max": b"max\n",
            "slurm/job_2/memory.max": b"1\n",
        },
    )
    mount = f"30 23 0:26 / {str(top).replace(' ', chr(92) + '040')} rw,nosuid shared:4 - cgroup2 cgroup2 rw\n"
    process = process_files(tmp_path, "0::/slurm/job_1/step_0\n", mount)
    assert group_limits(process) == (2_000_000_000, 1.5)


def test_the_limits_of_version_1_and_a_container_s_view_of_it(tmp_path: Path) -> None:
    tree(
        tmp_path,
        {
            "memory/memory.limit_in_bytes": b"3000000000\n",
            "memory/htcondor/memory.limit_in_bytes": b"9223372036854771712\n",
            "cpu/htcondor/cpu.cfs_quota_us": b"-1\n",
            "cpu/htcondor/cpu.cfs_period_us": b"100000\n",
            "cpu/cpu.cfs_quota_us": b"200000\n",
            "cpu/cpu.cfs_period_us": b"100000\n",
        },
    )
    mounts = (
        f"31 23 0:27 / {tmp_path}/memory rw - cgroup cgroup rw,memory\n"
        f"32 23 0:28 /docker/abc {tmp_path}/cpu rw - cgroup cgroup rw,cpu,cpuacct\n"
    )
    cgroups = "5:memory:/htcondor/nosuch\n4:cpu,cpuacct:/docker/abc/htcondor\n1:name=systemd:/x\n"
    assert group_limits(process_files(tmp_path, cgroups, mounts)) == (3_000_000_000, 2.0)
    outside = process_files(tmp_path, "4:cpu,cpuacct:/../elsewhere\n", mounts)
    assert group_limits(outside) == (None, 2.0)


def test_no_limit_is_none(tmp_path: Path) -> None:
    assert group_limits(process_files(tmp_path, "0::/\n", "")) == (None, None)


def test_the_innermost_and_latest_mount_counts() -> None:
    mounts = [
        probe_node.Mount("/", "/", "ext4", "rw"),
        probe_node.Mount("/", "/scratch", "xfs", "rw"),
        probe_node.Mount("/", "/scratch/job", "nfs4", "rw"),
        probe_node.Mount("/", "/scratch/job", "tmpfs", "rw"),
        probe_node.Mount("/", "/scratch/jobs", "zfs", "rw"),
    ]
    assert probe_node.filesystem_of(Path("/scratch/job/a"), mounts) == "tmpfs"
    assert probe_node.filesystem_of(Path("/scratch/other"), mounts) == "xfs"
    assert probe_node.filesystem_of(Path("/home"), mounts) == "ext4"


def test_a_directory_that_cannot_be_written_is_seen() -> None:
    assert not probe_node.writable(Path("/proc"))
    assert not probe_node.can_exec(Path("/proc"))


def test_pretty_name(tmp_path: Path) -> None:
    (tmp_path / "os-release").write_text("NAME=x\nPRETTY_NAME=\"An OS 9 (Nine)\"\nVERSION='9'\n")
    assert probe_node.pretty_name(tmp_path / "os-release") == "An OS 9 (Nine)"
    assert probe_node.pretty_name(tmp_path / "nosuch") == ""


def test_lookup_of_a_name_and_of_nothing() -> None:
    found = probe_node.scheduler_lookup(Config(root=".", scheduler_host="127.0.0.1"))
    assert isinstance(found, dict)
    assert (found["addresses"], found["error"]) == (["127.0.0.1"], "")
    lost = probe_node.scheduler_lookup(Config(root=".", scheduler_host="nosuch.invalid"))
    assert isinstance(lost, dict)
    assert lost["addresses"] == []
    assert lost["error"]
