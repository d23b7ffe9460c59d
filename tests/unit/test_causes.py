from __future__ import annotations

import re
from pathlib import Path

import pytest

import fasthep_validate.worker
from fasthep_validate.causes import CATALOGUE, FAULTS, explain, reference, stopped_in
from fasthep_validate.causes.gpu import GPU
from fasthep_validate.causes.outside import UNKNOWN
from fasthep_validate.causes.rules import RULES
from fasthep_validate.causes.storage import STORAGE
from fasthep_validate.jobs import NEVER_RAN
from fasthep_validate.models.event import Event, EventState, Phase
from fasthep_validate.models.evidence import DaskEvidence, LogFile, WorkerEvidence
from fasthep_validate.models.job import JobState, JobStatus

# Not found by rules: a check that finds the fault names its entry.
NAMED_BY_CHECKS = {entry.id for entry in (*FAULTS.values(), *STORAGE, *GPU)}
ERR = "debug/distributed/err/default-0.err"


def event(phase: Phase, state: EventState = "end", code: str = "", detail: str = "") -> Event:
    return Event(worker="default-0", phase=phase, state=state, time=1.0, code=code, detail=detail)


def worker(
    *events: Event,
    state: JobState = "exited",
    code: int | None = 1,
    reason: str = "",
    err: str = "",
    out: str = "",
    log: str = "",
    dask: DaskEvidence | None = None,
) -> WorkerEvidence:
    logs = tuple(
        LogFile(
            kind=kind,
            path=f"debug/distributed/{kind}/default-0.{kind}",
            size=len(text),
            readable=True,
            tail=tuple(text.splitlines()),
        )
        for kind, text in (("out", out), ("err", err), ("log", log))
    )
    job = JobStatus(job_id="17", state=state, exit_code=code, reason=reason)
    return WorkerEvidence(worker="default-0", pool="default", job=job, events=events, logs=logs, dask=dask)


def waited(entry: str, reason: str) -> tuple[tuple[str, WorkerEvidence], ...]:
    """A job that waits, and one that was removed before it ran."""
    last = f"{NEVER_RAN}: {reason}"
    return (
        (entry, worker(state="submitted", code=None, reason=reason)),
        (entry, worker(state="removed", code=None, reason=last)),
    )


DASK = DaskEvidence(
    address="tls://127.0.0.1:1", nanny=None, hostname="wn1", pid=1, nthreads=1, memory_limit=0, resources={}
)
EXITED = event("exited", "fail", "exit-code", "exit code 1")
CONNECTED = (event("connected", "start"), event("connected"), EXITED)


def failed(phase: Phase, code: str, detail: str = "") -> WorkerEvidence:
    return worker(event(phase, "start"), event(phase, "fail", code, detail), EXITED)


def ended(exit_code: int) -> WorkerEvidence:
    return worker(EXITED, code=exit_code)


def wrote(err: str) -> WorkerEvidence:
    """A worker that got as far as its connection and then left these words."""
    return worker(*CONNECTED, err=err)


# Texts of Dask, the kernel, the loader and batch systems as real runs printed them.
CASES: list[tuple[str, WorkerEvidence]] = [
    ("worker-start-001", failed("transferred", "missing-file", "probe.py is not in /tmp/x")),
    ("worker-start-001", ended(65)),
    ("worker-start-002", failed("transferred", "archive-truncated")),
    ("worker-start-003", failed("transferred", "digest-mismatch")),
    ("worker-start-004", failed("extracted", "extract-failed", "tar exit code 2: Cannot open")),
    ("worker-start-004", ended(67)),
    ("worker-start-005", failed("extracted", "relocate-failed")),
    ("worker-start-006", ended(64)),
    ("worker-start-007", failed("extracted", "prefix-not-visible")),
    ("worker-start-008", worker(event("extracted", "start"), state="running", code=None)),
    ("worker-start-009", wrote("asyncio.exceptions.TimeoutError: Nanny start timed out after 60s.")),
    ("worker-start-009", wrote("distributed.dask_worker - INFO - Timed out starting worker")),
    ("worker-start-010", wrote("OSError: [Errno 37] No locks available")),
    ("worker-start-011", wrote("Error: No such option: --nthread")),
    ("worker-start-012", ended(66)),
    ("environment-001", failed("extracted", "cannot-start", "exit code 127: not found")),
    (
        "environment-002",
        failed("extracted", "cannot-start", "/lib64/libc.so.6: version `GLIBC_2.34' not found"),
    ),
    ("environment-003", wrote("ModuleNotFoundError: No module named 'numba'")),
    (
        "environment-004",
        wrote("ImportError: libexpat.so.1: cannot open shared object file: No such file or directory"),
    ),
    (
        "environment-005",
        failed("extracted", "cannot-start", "ModuleNotFoundError: No module named 'encodings'"),
    ),
    ("environment-006", wrote("KeyError: 'lz4'")),
    ("environment-006", wrote("ValueError: unsupported pickle protocol: 5")),
    ("environment-007", failed("extracted", "cannot-start", "python: Exec format error")),
    ("environment-008", failed("python", "python-failed", "exit code 1: boom")),
    ("environment-008", ended(69)),
    ("environment-009", ended(132)),
    ("environment-009", wrote("Worker process 353 was killed by signal 4")),
    ("environment-010", ended(-11)),
    ("environment-010", wrote("Worker process 353 was killed by signal 11")),
    ("credential-001", failed("connected", "tls-failed", "[SSL: CERTIFICATE_VERIFY_FAILED] self-signed")),
    (
        "credential-002",
        failed("connected", "tls-failed", "CERTIFICATE_VERIFY_FAILED: certificate is not yet valid"),
    ),
    ("credential-003", ended(68)),
    ("credential-004", failed("connected", "tls-failed", "[X509: KEY_VALUES_MISMATCH] key values mismatch")),
    ("credential-005", failed("connected", "tls-failed", "EOF occurred in violation of protocol")),
    ("connectivity-001", failed("preflight", "name-unresolved")),
    ("connectivity-001", wrote("socket.gaierror: [Errno -3] Temporary failure in name resolution")),
    ("connectivity-002", failed("connected", "refused")),
    ("connectivity-002", failed("preflight", "port-unreachable", "wn:8786: refused (bash), 3 times in 9 s")),
    ("connectivity-002", wrote("ConnectionRefusedError: [Errno 111] Connection refused")),
    ("connectivity-003", failed("connected", "unreachable", "[Errno 113] No route to host")),
    ("connectivity-003", failed("preflight", "port-unreachable", "wn:1: No route to host (perl)")),
    ("connectivity-004", failed("connected", "timed-out")),
    ("connectivity-004", failed("preflight", "port-unreachable", "wn:1: timed out (bash), 2 times")),
    ("connectivity-005", failed("preflight", "port-unreachable", "wn:1: exit code 7 (curl), 2 times")),
    ("connectivity-006", wrote("ValueError: 'nope0' is not a valid network interface.")),
    ("connectivity-007", wrote("OSError: [Errno 98] Address already in use")),
    ("connectivity-008", wrote("ValueError: Could not start Worker on host 10.0.0.1 with port 10000:10001")),
    ("connectivity-009", wrote("OSError: Timed out trying to connect to tls://10.77.0.10:8786 after 30 s")),
    ("connectivity-009", failed("connected", "unreachable", "[Errno 99] Cannot assign requested address")),
    ("connectivity-009", ended(70)),
    ("resources-001", failed("extracted", "no-space")),
    ("resources-001", wrote("OSError: [Errno 28] No space left on device")),
    ("resources-002", failed("extracted", "noexec")),
    ("resources-002", wrote("failed to map segment from shared object: Operation not permitted")),
    ("resources-003", worker(code=137, err="slurmstepd: error: Detected 1 oom_kill event in StepId=3.batch")),
    (
        "resources-003",
        worker(state="lost", code=None, reason="StepId=11.batch exceeded memory limit (4 > 1), being killed"),
    ),
    ("resources-004", wrote("MemoryError")),
    ("resources-005", wrote("OSError: [Errno 24] Too many open files")),
    ("resources-006", wrote("RuntimeError: can't start new thread")),
    ("resources-007", wrote("Worker tls://10.0.0.1:1 (pid=7) exceeded 95% memory budget. Restarting...")),
    ("batch-001", worker(state="submitted", code=None, reason="BeginTime")),
    ("batch-002", worker(state="planned", code=None)),
    ("batch-003", worker(event("extracted", "start"), state="lost", code=None)),
    (
        "batch-013",
        worker(
            event("submitted", "fail", "refused"),
            state="refused",
            code=None,
            reason="No space left on device",
        ),
    ),
    ("batch-004", worker(EXITED, state="removed", code=-15)),
    *waited("batch-014", "no slot fits: none has TARGET.GPUs >= RequestGPUs with RequestGPUs = 3"),
    *waited("batch-015", "no slot is free: of 2 machines 2 are able to run your job"),
    *waited("batch-015", "Resources"),
    *waited("batch-015", "Priority"),
    *waited("batch-016", "PartitionTimeLimit"),
    *waited("batch-016", "QOSMaxCpuPerUserLimit"),
    *waited("batch-016", "AssocGrpCpuLimit"),
    *waited("batch-017", "InvalidAccount"),
    *waited("batch-018", "ReqNodeNotAvail, May be reserved for other job"),
    *waited(
        "batch-018",
        "Nodes required for job are DOWN, DRAINED or reserved for jobs in higher priority partitions",
    ),
    *waited("batch-018", "PartitionDown"),
    *waited("batch-001", "Dependency"),
    ("batch-019", worker(state="lost", code=None, reason="JobState=NODE_FAIL, Reason=NodeDown")),
    ("batch-019", wrote("INFO - Start Nanny\nsrun: error: Node failure on wn2\nsrun: Job step aborted")),
    (
        "batch-019",
        worker(state="removed", code=None, log="022 (1.1.0) Job disconnected, attempting to reconnect\n..."),
    ),
    (
        "batch-014",
        worker(
            event("submitted", "fail", "refused"),
            state="refused",
            code=None,
            reason="sbatch refused the job: sbatch: error: Memory specification can not be satisfied",
        ),
    ),
    (
        "batch-014",
        worker(
            event("submitted", "fail", "refused"),
            state="refused",
            code=None,
            reason="sbatch: error: Batch job submission failed: Invalid feature specification",
        ),
    ),
    (
        "batch-017",
        worker(
            event("submitted", "fail", "refused"),
            state="refused",
            code=None,
            reason="sbatch refused the job: sbatch: error: invalid partition specified: nosuch",
        ),
    ),
    (
        "batch-013",
        worker(
            event("submitted", "fail", "refused"),
            state="refused",
            code=None,
            reason="condor_submit refused the job: Hash of the day is wrong",
        ),
    ),
    ("batch-005", worker(event("extracted", "start"), code=-9)),
    ("batch-005", worker(event("extracted", "start"), code=137)),
    ("batch-005", worker(event("extracted", "start"), code=1)),
    ("batch-006", worker(event("exited", "fail", "signal", "signal TERM"), code=143)),
    ("batch-006", worker(event("exited", "fail", "signal", "signal HUP"), code=129)),
    ("batch-006", worker(event("exited", "fail", "exit-code"), code=143)),
    ("batch-007", worker(event("exited", "fail", "signal", "signal XCPU"), code=152)),
    ("batch-007", worker(code=-15, err="*** JOB 12 ON wn1 CANCELLED AT 2026-11-22 DUE TO TIME LIMIT ***")),
    ("batch-008", worker(code=127, err="/bin/sh: not found")),
    ("batch-009", ended(137)),
    ("batch-010", worker(state="held", code=None, reason="held 13/2: Transfer input files failure")),
    ("batch-011", failed("submitted", "node-out-of-service", "drained: disk errors")),
    ("batch-012", failed("submitted", "submission-refused", "sbatch refused the job")),
    (
        "resources-002",
        worker(
            state="held",
            code=None,
            reason="held 6/13: Error from slot1_1@wn2.testbed: Failed to execute "
            "'/var/lib/condor/execute/dir_145/bootstrap.sh' with arguments job.params: (errno=13: 'Permission denied')",
        ),
    ),
    ("batch-009", wrote("Worker process 353 was killed by signal 9")),
    ("harness-000", wrote("something that nobody has seen before")),
    ("harness-001", worker(event("connected"), event("exited"), code=0)),
    ("harness-002", wrote("Closing worker. Reason: worker-handle-scheduler-connection-broken")),
]


@pytest.mark.parametrize(("entry", "evidence"), CASES)
def test_cause(entry: str, evidence: WorkerEvidence) -> None:
    cause = explain(evidence)
    assert cause is not None
    assert cause.id == f"FHV-{entry}"
    assert cause.evidence, "a finding quotes what shows it"


def test_every_entry_is_reached() -> None:
    assert {f"FHV-{entry}" for entry, _ in CASES} == set(CATALOGUE) - NAMED_BY_CHECKS


def test_rules_name_entries_of_the_catalogue() -> None:
    assert {rule.entry for rule in RULES} | {UNKNOWN} == set(CATALOGUE) - NAMED_BY_CHECKS


def test_ids_are_well_formed_and_unique() -> None:
    classes = "worker-start|environment|credential|connectivity|resources|batch|harness|storage|gpu"
    assert all(re.fullmatch(rf"FHV-({classes})-\d{{3}}", entry) for entry in CATALOGUE)
    assert all(key == entry.id for key, entry in CATALOGUE.items())


def test_every_code_of_the_worker_side_has_a_rule() -> None:
    folder = Path(fasthep_validate.worker.__file__).parent
    codes = set(
        re.findall(r"\b(?:fail |code=)([a-z]+-[a-z-]+|noexec)", (folder / "bootstrap.sh").read_text())
    )
    codes |= set(re.findall(r'Refused\(\s*"([a-z-]+)"', (folder / "launch.py").read_text()))
    assert len(codes) >= 15, "the words of the two files are no longer found"
    # `exit-code` only says that the job ended; what it ended by is in the job's status.
    assert codes - {"exit-code"} <= {code for rule in RULES for code in rule.codes}


@pytest.mark.parametrize(
    "evidence",
    [
        worker(event("registered"), event("first_task"), state="running", code=None, dask=DASK),
        worker(event("registered"), event("first_task"), event("exited"), code=0),
        worker(event("connected", "start"), state="removed", code=-15, dask=DASK),
    ],
    ids=["running", "retired", "removed after use"],
)
def test_a_worker_that_works_has_no_cause(evidence: WorkerEvidence) -> None:
    assert stopped_in(evidence) is None
    assert explain(evidence) is None


def test_a_worker_that_dies_after_use_is_explained() -> None:
    cause = explain(worker(event("registered"), event("first_task"), code=-9, dask=DASK))
    assert cause is not None
    assert (cause.id, cause.phase) == ("FHV-batch-005", "exited")


def test_a_first_task_that_fails_is_explained() -> None:
    task = event("first_task", "fail", "", "ModuleNotFoundError: No module named 'mine'")
    cause = explain(worker(event("registered"), task, state="running", code=None, dask=DASK))
    assert cause is not None
    assert (cause.id, cause.phase) == ("FHV-environment-003", "first_task")


@pytest.mark.parametrize(
    ("evidence", "phase"),
    [
        (worker(state="planned", code=None), "packed"),
        (worker(event("packed"), event("submitted"), state="submitted", code=None), "matched"),
        (worker(event("packed"), event("submitted"), code=126), "transferred"),
        (worker(event("transferred"), event("preflight", "skip", "not-tested"), code=1), "extracted"),
        (worker(event("connected"), event("exited"), code=0), "registered"),
        (failed("extracted", "no-space"), "extracted"),
        (
            worker(
                event("preflight", "fail", "port-unreachable"),
                event("preflight"),
                event("extracted", "start"),
                state="running",
                code=None,
            ),
            "extracted",
        ),
    ],
)
def test_first_phase_that_did_not_complete(evidence: WorkerEvidence, phase: Phase) -> None:
    assert stopped_in(evidence) == phase


def test_a_retry_that_went_well_is_not_blamed() -> None:
    tail = "preflight: Connection refused\nconnected at last"
    cause = explain(worker(event("preflight"), event("extracted", "start"), code=-9, err=tail))
    assert cause is not None
    assert cause.id == "FHV-batch-005"


def test_sigkill_is_not_called_out_of_memory_without_evidence() -> None:
    cause = explain(worker(event("extracted", "start"), code=-9, err="Killed"))
    assert cause is not None
    assert cause.id == "FHV-batch-005"
    assert cause.evidence == ("job 17: exited with code -9", "the job script did not report its end")


def test_evidence_is_quoted_with_its_place() -> None:
    line = "/lib64/libc.so.6: version `GLIBC_2.34' not found (required by python)"
    cause = explain(wrote(f"unrelated\n{line}"))
    assert cause is not None
    assert cause.evidence == (f"{ERR}: {line}",)


def test_the_unknown_shows_the_end_of_the_right_log() -> None:
    lines = "\n".join(f"line {number}" for number in range(20))
    cause = explain(worker(*CONNECTED, err="", out=lines))
    assert cause is not None
    assert cause.id == UNKNOWN
    assert cause.evidence[0].startswith("phase registered: never began")
    assert cause.evidence[-1] == "debug/distributed/out/default-0.out: line 19"
    assert sum("line" in line for line in cause.evidence) == 5


def test_the_unknown_without_a_log_says_so() -> None:
    cause = explain(worker(*CONNECTED))
    assert cause is not None
    assert cause.evidence[-1] == "no log came back"


def test_reference_has_a_row_for_each_entry() -> None:
    lines = reference().splitlines()
    assert len(lines) == len(CATALOGUE) + 2
    assert all(len(re.findall(r"(?<!\\)\|", line)) == 6 for line in lines)
