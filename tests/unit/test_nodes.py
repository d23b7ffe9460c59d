"""``--nodes``: what the batch systems list, which nodes are meant, and the verdict of each.

The answers of ``sinfo`` and ``condor_status`` were given by Slurm 24.11 and HTCondor 23.9 on the testbed.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pytest

from fasthep_validate.batch import BATCHES, nodes, watch
from fasthep_validate.batch.nodes_htcondor import HTCondorNodes
from fasthep_validate.batch.nodes_slurm import SlurmNodes
from fasthep_validate.errors import ConfigError, SubmitError
from fasthep_validate.models.event import Event
from fasthep_validate.models.evidence import WorkerEvidence
from fasthep_validate.models.job import JobSpec, JobStatus
from fasthep_validate.models.node import BatchNode
from fasthep_validate.models.report import CheckResult, Report
from fasthep_validate.report.by_node import by_node
from fasthep_validate.report.table import table
from fasthep_validate.testing import good_site

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from fasthep_validate.models.event import EventState, Phase

SINFO = """\
wn1|idle|main|none
wn1|idle|gpu|none
wn2|drained*|main|none
wn3|draining|main|disk errors | and more
wn4|mixed-|main|none
wn5|idle~|main|none
"""
SLOTS: list[dict[str, object]] = [
    {"Machine": "wn1.testbed", "Name": "slot1@wn1.testbed", "State": "Unclaimed"},
    {"Machine": "wn2.testbed", "Name": "slot1@wn2.testbed", "State": "Drained", "Draining": True, "DrainReason": "kernel"},
    {"Machine": "wn3.testbed", "Name": "slot1@wn3.testbed", "State": "Unclaimed"},
    {"Machine": "wn3.testbed", "Name": "slot1_1@wn3.testbed", "State": "Claimed"},
    {"MyType": "Totals"},
]  # fmt: skip
KNOWN = (
    BatchNode(name="wn1", state="idle", partitions=("main", "gpu")),
    BatchNode(name="wn2", state="drained", reason="disk errors", partitions=("main",)),
    BatchNode(name="wn10", state="busy", partitions=("main",)),
)


@dataclass
class Listed:
    """A batch system with these nodes; a fake, for real ones change their state when they like."""

    known: Sequence[BatchNode] = KNOWN
    dead: Mapping[str, str] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)

    def nodes(self, address: Sequence[str] = ()) -> tuple[BatchNode, ...]:
        return tuple(self.known)

    def pinned(self, directives: Mapping[str, str], node: str) -> dict[str, str]:
        return {**directives, "on": node}

    def silent(self, names: Sequence[str], address: Sequence[str] = ()) -> Mapping[str, str]:
        self.asked += names
        return {name: self.dead[name] for name in names if name in self.dead}


@pytest.fixture
def bin_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    return tmp_path


def program(folder: Path, name: str, text: str, *, code: int = 0) -> None:
    (folder / f"{name}.txt").write_text(text)
    (folder / name).write_text(f"#!/bin/sh\ncat {folder}/{name}.txt\nexit {code}\n")
    (folder / name).chmod(0o755)


def test_nodes_of_slurm(bin_folder: Path) -> None:
    program(bin_folder, "sinfo", SINFO)
    found = {node.name: node for node in SlurmNodes().nodes()}
    assert found["wn1"].partitions == ("main", "gpu")
    assert {name: node.state for name, node in found.items()} == {
        "wn1": "idle", "wn2": "down", "wn3": "drained", "wn4": "busy", "wn5": "idle",
    }  # fmt: skip
    assert found["wn3"].words == "drained: draining, disk errors | and more"
    assert found["wn2"].reason == "it does not respond"
    assert found["wn4"].words == "busy: mixed"


def test_nodes_of_htcondor(bin_folder: Path) -> None:
    program(bin_folder, "condor_status", json.dumps(SLOTS))
    assert [node.words for node in HTCondorNodes().nodes()] == [
        "idle",
        "drained: kernel",
        "busy: slots are Claimed",
    ]


@pytest.mark.parametrize("listing", [SlurmNodes(), HTCondorNodes()])
def test_query_that_fails_is_no_answer(bin_folder: Path, listing: nodes.NodeList) -> None:
    for name in ("sinfo", "condor_status"):
        program(bin_folder, name, "no controller", code=1)
    with pytest.raises(SubmitError, match="could not be asked"):
        listing.nodes()


def test_startd_that_does_not_answer(bin_folder: Path) -> None:
    program(bin_folder, "condor_status", "", code=1)
    assert HTCondorNodes().silent(["wn1"]) == {"wn1": "its startd does not answer"}
    program(bin_folder, "condor_status", "wn1.testbed\n")
    assert HTCondorNodes().silent(["wn1"]) == {}


def test_pinned_beside_the_profiles_own_requirements() -> None:
    own = {"Requirements": "HasX || HasY", "request_cpus": "1"}
    told = HTCondorNodes().pinned(own, "wn1")
    assert told == {"Requirements": '(HasX || HasY) && (TARGET.Machine == "wn1")', "request_cpus": "1"}
    assert HTCondorNodes().pinned({}, "wn1") == {"requirements": '(TARGET.Machine == "wn1")'}
    assert SlurmNodes().pinned({"-w": "wn[1-5]", "--mem": "1M"}, "wn2") == {
        "--mem": "1M",
        "--nodelist": "wn2",
    }


@pytest.mark.parametrize(
    ("which", "names"),
    [
        ("all", ["wn1", "wn10", "wn2"]),
        ("up", ["wn1", "wn10"]),
        ("idle", ["wn1"]),
        ("partition:gpu", ["wn1"]),
        ("wn2,wn1", ["wn1", "wn2"]),
        ("wn1, wn1", ["wn1"]),
        ("wn1*", ["wn1", "wn10"]),
        ("wn[12]", ["wn1", "wn2"]),
    ],
)
def test_chosen(which: str, names: list[str]) -> None:
    assert [node.name for node in nodes.choose(KNOWN, which)] == names


def test_short_name_means_the_machine() -> None:
    known = [BatchNode(name="wn1.example.org", state="idle")]
    assert nodes.choose(known, "wn1") == tuple(known)


def test_node_that_is_not_there_does_not_hide_the_others() -> None:
    found = nodes.choose(KNOWN, "wn1,wn3")
    assert [node.state for node in found] == ["idle", "unknown"]
    assert "nearest name is wn" in found[1].reason


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "cannot read"),
        (",", "cannot read"),
        ("=all", "cannot read"),
        ("nosuch", "no node 'nosuch'"),
        ("partition:nosuch", r"no partition 'nosuch'. Known: gpu, main"),
        ("cpu=all", "no pool 'cpu'. Known: default"),
    ],
)
def test_option_that_means_nothing(text: str, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        nodes.pin(good_site().execution, text, Listed())


def test_no_node_in_that_state() -> None:
    with pytest.raises(ConfigError, match=r"no node is 'idle'. Of the 1 nodes .* wn2 is drained"):
        nodes.choose(KNOWN[1:2], "idle")


def test_strategy_without_nodes() -> None:
    assert BATCHES["local"].nodes is None
    with pytest.raises(ConfigError, match=r"strategy '.*' has no nodes"):
        nodes.pin(good_site().execution, "all", None)


def test_pool_must_be_said_where_there_are_several() -> None:
    execution = good_site().execution
    pools = tuple(execution.pools[0].model_copy(update={"name": name}) for name in ("cpu", "gpu"))
    execution = execution.model_copy(update={"pools": pools})
    with pytest.raises(ConfigError, match="which pool"):
        nodes.pin(execution, "all", Listed())
    pinned = nodes.pin(execution, "gpu=all", Listed())
    assert pinned.worker_ids() == ("gpu-wn1", "gpu-wn10", "gpu-wn2")
    assert type(pinned).model_validate_json(pinned.model_dump_json()) == pinned


def job(name: str, state: BatchNode) -> JobSpec:
    where = dict.fromkeys(("executable", "out", "err", "log"), "/x")
    rest = {"pool": "p", "arguments": (), "directives": {}, "transfer": {}}
    return JobSpec.model_validate({"worker": name, "node": state, **where, **rest})


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    now = [0.0]
    # time itself: half a minute of waiting would be the test
    monkeypatch.setattr("time.monotonic", lambda: now[0])
    return now


def test_node_that_goes_out_of_service_while_its_job_waits(clock: list[float]) -> None:
    listed = Listed(dead={"wn1": "silence"})
    seen = watch.NodeWatch(
        listed, [job("p-wn1", KNOWN[0]), job("p-wn2", KNOWN[0].model_copy(update={"name": "wn2"}))]
    )
    waiting = ["p-wn1", "p-wn2"]
    assert seen.lost(waiting) == {}, "asked a moment ago"
    clock[0] = watch.INTERVAL + 1
    assert seen.lost(waiting) == {"p-wn2": "drained: disk errors"}
    assert listed.asked == [], "an idle node gets its time"
    clock[0] = watch.PATIENCE + watch.INTERVAL + 1
    assert seen.lost(waiting) == {"p-wn2": "drained: disk errors", "p-wn1": "silence"}
    assert watch.NodeWatch(listed, []).lost(["q-0"]) == {}


def test_node_that_answers_is_asked_once(clock: list[float]) -> None:
    listed = Listed()
    seen = watch.NodeWatch(listed, [job("p-wn1", KNOWN[0])])
    for clock[0] in (25.0, 50.0):
        assert seen.lost(["p-wn1"]) == {}
    assert listed.asked == ["wn1"]


def event(worker: str, phase: Phase, state: EventState, code: str = "") -> Event:
    return Event(worker=worker, phase=phase, state=state, time=1.0, code=code, source="submit")


def result(worker: str, outcome: str, message: str = "") -> CheckResult:
    return CheckResult.model_validate(
        {"id": "worker_start.started", "family": "worker_start", "worker": worker, "outcome": outcome, "message": message}
    )  # fmt: skip


def test_verdict_of_each_node() -> None:
    site = good_site()
    execution = nodes.pin(site.execution, "all", Listed())

    def evidence(name: str, *events: Event, job_id: str = "1") -> WorkerEvidence:
        status = JobStatus(job_id=job_id, state="removed")
        return WorkerEvidence(worker=f"default-{name}", pool="default", job=status, events=events)

    stored = [
        evidence("wn1", event("default-wn1", "matched", "end")),
        evidence("wn10", event("default-wn10", "matched", "start")),
        evidence("wn2", event("default-wn2", "submitted", "fail", "x"), job_id=""),
    ]
    results = [
        result("default-wn1", "pass"),
        result("default-wn1", "blocked").model_copy(
            update={"blocked_by": "worker_start.started[default-wn2]"}
        ),
        result("default-wn10", "fail", "waits\nand waits"),
        result("default-wn2", "fail", "refused"),
        result("default-wn2", "blocked"),
    ]
    seen = by_node(execution, stored, results)
    assert [(node.node, node.verdict, node.why) for node in seen] == [
        ("wn2", "fail", "refused"),
        ("wn10", "not tried", "waits"),
        ("wn1", "pass", ""),
    ]
    report = Report(version="1", site="s", run="/r", started="now", checks=tuple(results), nodes=seen)
    text = table(report, colour=False, width=80, verbose=False)
    assert "nodes: 1 of 3 passed" in text
    assert "blocked" not in text.partition("nodes:")[0]
    assert by_node(site.execution, stored, results) == ()


def test_nodes_of_another_cluster_or_pool(bin_folder: Path) -> None:
    for name in ("sinfo", "condor_status"):
        (bin_folder / name).write_text(f'#!/bin/sh\necho "$*" >{bin_folder}/{name}.told\n')
        (bin_folder / name).chmod(0o755)
    SlurmNodes().nodes(("--clusters=b",))
    HTCondorNodes().nodes(("-name", "schedd", "-pool", "collector"))
    assert (bin_folder / "sinfo.told").read_text().startswith("--clusters=b --Node")
    assert (bin_folder / "condor_status.told").read_text().startswith("-pool collector -json")
