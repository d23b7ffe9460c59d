"""The verdict and what it rests on; stored as ``results/report.json``."""

from __future__ import annotations

from typing import Literal

from pydantic import ConfigDict, Field

from fasthep_validate.models.base import Model
from fasthep_validate.models.event import Phase, PhaseTime

SCHEMA_ID = "https://fast-hep.github.io/fasthep-validate/schema/report-1.json"
Outcome = Literal["pass", "fail", "warn", "n/a", "blocked", "known", "simulated"]
Verdict = Literal["pass", "fail", "simulated", "incomplete", "error"]
NodeVerdict = Literal["pass", "fail", "simulated", "known", "out of service", "not tried"]


class Cause(Model):
    """Why something failed, out of the catalogue.

    Attributes:
        id: stable id, ``FHV-<class>-<nnn>``.
        title: what it means in one line.
        phase: first phase that did not complete.
        evidence: lines that show it.
        remedy: what to do.
        who: ``user`` or ``admin``: who can do it.
    """

    id: str
    title: str
    phase: Phase | None = None
    evidence: tuple[str, ...] = ()
    remedy: str
    who: Literal["user", "admin"] = "user"


class CheckInfo(Model):
    """A check that exists.

    Attributes:
        id: stable id, such as ``environment.archive-intact``.
        family: part of the id before the dot.
        claim: what it says of a site.
        remedy: what to do when it does not hold.
        file: file name below ``checks/``, or the path of a check of one's own.
        required: whether a failure fails the run.
    """

    id: str
    family: str
    claim: str
    remedy: str
    file: str
    required: bool = True


class CheckResult(Model):
    """One check of one worker (or of the run).

    Attributes:
        id: stable id of the check.
        family: its family.
        worker: planned worker, empty for a check of the whole run.
        outcome: ``pass``, ``fail``, ``warn``, ``n/a``, ``blocked``, ``known`` or ``simulated``.
        required: whether a failure fails the run.
        claim: what the check says.
        message: what was found.
        remedy: what to do; empty when all is well.
        seconds: time it took to judge.
        evidence: files below the run folder that it rests on.
        blocked_by: ``check[worker]`` of the one failure that blocks it.
        nodeid: pytest's id.
        cause: entry of the catalogue, where one was found.
    """

    id: str
    family: str
    worker: str = ""
    outcome: Outcome
    required: bool = True
    claim: str = ""
    message: str = ""
    remedy: str = ""
    seconds: float = 0.0
    evidence: tuple[str, ...] = ()
    blocked_by: str = ""
    nodeid: str = ""
    cause: Cause | None = None


class WorkerSummary(Model):
    """A worker in the report.

    Attributes:
        worker: planned worker.
        pool: its pool.
        node: where it ran.
        state: of its job.
        registered: whether it reached the scheduler.
        phases: how long each phase took.
    """

    worker: str
    pool: str
    node: str = ""
    state: str = ""
    registered: bool = False
    phases: tuple[PhaseTime, ...] = ()


class NodeSummary(Model):
    """A node that a worker was pinned to.

    Attributes:
        node: as the batch system calls it.
        worker: the worker that tried it.
        verdict: ``pass``, ``fail``, ``simulated`` (without the device that it is about), ``known`` (an accepted failure), ``out of service`` (drained or down, so not
            waited for) or ``not tried`` (no job started there in time).
        check: the first check that failed there.
        why: what was found by it, in one line.
        cause: id of the cause, where one was found.
    """

    node: str
    worker: str
    verdict: NodeVerdict
    check: str = ""
    why: str = ""
    cause: str = ""


class Report(Model):
    """Everything that the other renderings are made from.

    Attributes:
        schema_id: (``schema`` in JSON) id of the published JSON schema.
        tool: ``fasthep-validate``.
        version: its version.
        site: name of the site.
        run: absolute path of the run folder.
        results: absolute path of the folder that this report is in.
        started: UTC time, ISO 8601.
        finished: UTC time, ISO 8601; ``None`` while it runs.
        verdict: ``pass``, ``fail``, ``simulated`` (a required check had no device), ``incomplete`` (interrupted) or
            ``error``.
        exit_code: of the command.
        sentence: the verdict in one sentence.
        counts: outcome -> number of checks.
        checks: every check, in the order in which they were judged.
        workers: every planned worker.
        nodes: every node that a worker was pinned to, worst first; empty without ``--nodes``.
        errors: errors that ended the run, one line each.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True, serialize_by_alias=True)

    schema_id: str = Field(default=SCHEMA_ID, alias="schema")
    tool: str = "fasthep-validate"
    version: str
    site: str
    run: str
    results: str = ""
    started: str
    finished: str | None = None
    verdict: Verdict = "incomplete"
    exit_code: int | None = None
    sentence: str = ""
    counts: dict[str, int] = {}
    checks: tuple[CheckResult, ...] = ()
    workers: tuple[WorkerSummary, ...] = ()
    nodes: tuple[NodeSummary, ...] = ()
    errors: tuple[str, ...] = ()
