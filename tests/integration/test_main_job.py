"""``fasthep-validate --site local`` with a packed environment, and what it leaves for whom."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import jsonschema
import pytest

from fasthep_validate.models.evidence import WorkerEvidence
from fasthep_validate.models.packed import PackedEnv
from fasthep_validate.report.schema import report_schema

from .conftest import User

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.pools
POISON = {
    "PYTHONPATH": "/nonexistent/python",
    "DASK_DISTRIBUTED__COMM__TIMEOUTS__CONNECT": "1ms",
    "DASK_DISTRIBUTED__WORKER__MEMORY__TERMINATE": "0.01",
    "OMP_NUM_THREADS": "77",
}


def evidence(run: Path, worker: str) -> WorkerEvidence:
    return WorkerEvidence.model_validate_json((run / "evidence" / f"{worker}.json").read_text())


def test_packed_environment_passes(user: User) -> None:
    home = user.home / "home"
    (home / ".config" / "dask").mkdir(parents=True)
    (home / ".config" / "dask" / "mine.yaml").write_text(
        "distributed: {comm: {timeouts: {connect: 1ms}}, worker: {http: {routes: [distributed.http.worker]}}}\n"
    )
    user.env = {**POISON, "HOME": str(home)}
    done = user.run("--site", "local")
    assert done.code == 0, done.everything
    assert "Site local works" in done.out
    assert "registered ok" in done.err
    run, report = user.run_folder("local"), user.report("local")
    assert report.verdict == "pass"
    assert {worker.worker for worker in report.workers} == {"default-0", "default-1"}
    assert {result.outcome for result in report.checks} == {"pass", "n/a"}
    for worker in ("default-0", "default-1"):
        seen = evidence(run, worker)
        assert seen.probe is not None
        assert seen.probe.python is not None
        assert seen.dask is not None
        assert seen.dask.provenance is not None
        root = seen.dask.provenance.root
        assert str(user.tmp) in root
        assert seen.probe.python.prefix.startswith(root)
        assert seen.probe.python.base_prefix.startswith(root)
        assert seen.dask.provenance.modules > 300
        assert seen.dask.provenance.outside == ()
        assert seen.probe.environment is not None
        assert "PYTHONPATH" not in seen.probe.environment
        assert seen.probe.thread_variables is not None
        assert seen.probe.thread_variables["OMP_NUM_THREADS"] == "1"
        assert seen.job.exit_code == 0


def test_run_folder_is_complete(user: User) -> None:
    assert user.run("--site", user.site()).code == 0
    run = user.run_folder()
    distributed = run / "debug" / "distributed"
    expected = [
        *(run / name for name in ("profile.json", "execution.json", "pack.json", "evidence/submit.json")),
        *(run / "evidence" / f"default-{n}.json" for n in (0, 1)),
        *(run / "events" / f"default-{n}.jsonl" for n in (0, 1)),
        *(run / "jobs" / f"default-{n}" / "job.json" for n in (0, 1)),
        *(
            distributed / kind / f"default-{n}.{kind.rstrip('s')}"
            for kind in ("logs", "out", "err")
            for n in (0, 1)
        ),
        *(distributed / "results" / name for name in ("report.json", "junit.xml", "summary.txt")),
    ]
    assert [path for path in expected if not path.is_file()] == []
    report = json.loads((distributed / "results" / "report.json").read_text())
    jsonschema.validate(report, report_schema())
    assert report["schema"].endswith("report-1.json")
    phases = {phase["phase"]: phase["seconds"] for phase in report["workers"][0]["phases"]}
    assert phases["python"] > 0
    assert not list(run.rglob("*.key"))
    assert not (run / "connection.json").exists()


def test_two_runs_at_once(user: User, tmp_path: Path, cache: Path) -> None:
    """Each gets a folder, a port and certificates of its own; what both need is packed once."""
    others = [user]
    (tmp_path / "other").mkdir()
    others.append(User(tmp_path / "other", cache))
    with ThreadPoolExecutor(2) as pool:
        results = list(pool.map(lambda somebody: somebody.run("--site", "local"), others))
    assert [done.code for done in results] == [0, 0], results[0].everything + results[1].everything
    packs = [
        PackedEnv.model_validate_json((somebody.run_folder("local") / "pack.json").read_text())
        for somebody in others
    ]
    assert packs[0].base == packs[1].base
    assert True in {packed.cached for packed in packs}
    assert others[1].left() == []


def test_pool_of_a_gpu(user: User) -> None:
    """The label is there; that no GPU is behind it on this machine is not hidden."""
    done = user.run("--site", user.site(), "--pool", "default=1", "--pool", "gpu=1")
    report = user.report()
    assert [worker.worker for worker in report.workers] == ["default-0", "gpu-0"], done.everything
    gpu = evidence(user.run_folder(), "gpu-0")
    assert gpu.dask is not None
    assert gpu.dask.resources["GPU"] == 1


def test_judge_again(user: User) -> None:
    assert user.run("--site", user.site()).code == 0
    first = user.report()
    done = user.run("judge", user.run_folder(), "--json")
    again = json.loads(done.out)
    assert done.code == 0
    assert again["counts"] == first.counts
    assert user.report() == first
    one = user.run("judge", user.run_folder(), "--check", "environment.versions-*", "--json")
    assert {check["id"] for check in json.loads(one.out)["checks"]} == {"environment.versions-equal"}


def test_own_checks(user: User) -> None:
    folder = user.home / "my_checks"
    folder.mkdir()
    (folder / "test_mine.py").write_text(
        "def test_python_is_3(worker):\n"
        '    """The worker runs Python 3.\n\n    Remedy: pack another environment."""\n'
        '    assert worker.python.version.startswith("2."), f"Python {worker.python.version}"\n\n'
        "def test_adds(fasthep_client):\n"
        "    assert fasthep_client.submit(sum, [1, 2, 3]).result(timeout=20) == 6\n"
    )
    done = user.run("--site", user.site(), "--add-checks", folder)
    assert done.code == 1, done.everything
    results = {(check.id, check.worker): check for check in user.report().checks}
    bad = results["mine.python-is-3", "default-1"]
    assert bad.outcome == "fail"
    assert bad.message.startswith("Python 3.")
    assert bad.remedy == "pack another environment."
    assert results["mine.adds", ""].outcome == "pass"
    assert results["logs.err-came-back", "default-0"].outcome == "pass"


def test_dry_run_submits_nothing(user: User) -> None:
    done = user.run("--site", user.site(), "--dry-run", "--json")
    jobs = json.loads(done.out)
    assert [job["worker"] for job in jobs] == ["default-0", "default-1"]
    assert "remove_directory=yes" in jobs[0]["texts"]["job.params"]
    assert jobs[0]["texts"]["worker.args"].splitlines()[0].startswith("tls://127.0.0.1:")
    assert not (user.home / "fasthep-validate-results").exists()
    plain = user.run("--site", user.site(), "--dry-run")
    assert plain.out.startswith("# job default-0 (pool default)\n")
    assert "worker.key" in plain.out
