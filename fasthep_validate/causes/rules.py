"""Which code, exit code or log line shows which entry of the catalogue.

The first rule that applies wins, so the order matters: codes that leave no doubt, then what programs
wrote, then codes that only say which step failed, then exit codes, then the state of the job.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from fasthep_validate.models.event import Phase
    from fasthep_validate.models.job import JobState


@dataclass(frozen=True, kw_only=True)
class Rule:
    """An entry, and what shows it; every criterion that is given must hold.

    Attributes:
        entry: id in the catalogue.
        codes: codes of the event that failed.
        pattern: regular expression over lines of logs, of events and of the batch system.
        exits: exit codes of the job script.
        states: states of the job.
        phases: first phase that did not complete.
        silent: the job is gone, and its script did not report its end.
        unheard: nothing at all was heard of the job script.
    """

    entry: str
    codes: frozenset[str] = frozenset()
    pattern: str = ""
    exits: frozenset[int] = frozenset()
    states: frozenset[JobState] = frozenset()
    phases: frozenset[Phase] = frozenset()
    silent: bool = False
    unheard: bool = False


# A retry that went well leaves such lines too: they tell something only where a connection was being made.
_NETWORK: frozenset[Phase] = frozenset({"preflight", "connected", "registered", "first_task"})


def _code(entry: str, code: str, *, phases: frozenset[Phase] = frozenset()) -> Rule:
    return Rule(entry=f"FHV-{entry}", codes=frozenset({code}), phases=phases)


def _seen(entry: str, pattern: str, *, phases: frozenset[Phase] = frozenset()) -> Rule:
    return Rule(entry=f"FHV-{entry}", pattern=pattern, phases=phases)


def _waits(entry: str, pattern: str) -> tuple[Rule, ...]:
    """Of a job that waits, was refused, or was removed before it ran."""
    states: frozenset[JobState] = frozenset({"submitted", "refused"})
    never = rf"^removed by this run before it started: .*({pattern})"
    removed: frozenset[JobState] = frozenset({"removed"})
    return (
        Rule(entry=f"FHV-{entry}", states=states, pattern=pattern),
        Rule(entry=f"FHV-{entry}", states=removed, pattern=never),
    )


def _both(entry: str, code: str, pattern: str) -> Rule:
    return Rule(entry=f"FHV-{entry}", codes=frozenset({code}), pattern=pattern)


def _exit(entry: str, *exits: int) -> Rule:
    return Rule(entry=f"FHV-{entry}", exits=frozenset(exits))


def _state(entry: str, state: JobState) -> Rule:
    return Rule(entry=f"FHV-{entry}", states=frozenset({state}))


_FOR_NODES = (
    _code("batch-011", "node-out-of-service"),
    _code("batch-012", "submission-refused"),
)

# Of a job that did not run, the batch system's words: Slurm's reasons (slurm.schedmd.com/job_reason_codes.html)
# and refusals as seen on the testbed, and what batch.condor_idle makes of HTCondor's analysis.
_WAITING = (
    *_waits(
        "batch-017",
        r"[Ii]nvalid (partition|account|qos)|InvalidAccount|InvalidQOS|AccountNotAllowed|QOSNotAllowed",
    ),
    *_waits(
        "batch-014",
        r"no slot fits|node configuration is not available|can not be satisfied|BadConstraints|"
        r"Invalid feature specification|Invalid generic resource",
    ),
    *_waits(
        "batch-016",
        r"PartitionTimeLimit|PartitionNodeLimit|\bAssoc\w+Limit|\bQOS\w+(Limit|PerUser|PerAccount|PerJob)|"
        r"Assoc(Grp|Max)\w+|QOS(Grp|Max)\w+|JobArrayTaskLimit",
    ),
    *_waits("batch-018", r"ReqNodeNotAvail|are DOWN, DRAINED|PartitionDown|PartitionInactive|\bNodeDown\b"),
    *_waits("batch-015", r"no slot is free|\(?\b(Resources|Priority)\b\)?$"),
    _state("batch-013", "refused"),
)

_PLAIN_CODES = (
    _code("worker-start-001", "missing-file"),
    _code("worker-start-002", "archive-truncated"),
    _code("worker-start-003", "digest-mismatch"),
    _code("worker-start-007", "prefix-not-visible"),
    _code("resources-001", "no-space"),
    _code("resources-002", "noexec"),
    _code("connectivity-001", "name-unresolved"),
    _code("connectivity-002", "refused"),
    _both("connectivity-002", "port-unreachable", r": refused \("),
    _both("connectivity-004", "port-unreachable", r": timed out \("),
    _code("connectivity-004", "timed-out", phases=_NETWORK),
)

# What the kernel, the batch system, the loader, Python and Dask write. Texts of Dask: distributed/nanny.py,
# worker.py, core.py, comm/core.py, utils.py (2026.8); of the others: the facts of real sites and libc's strerror.
_LINES = (
    _seen("batch-007", r"DUE TO TIME LIMIT|\(TimeLimit\)|^signal XCPU$"),
    _seen("resources-003", r"oom[-_]kill|Out of memory: Kill|exceeded memory limit|memory usage exceeded"),
    _seen("resources-007", r"exceeded \d+% memory budget"),
    _seen("resources-001", r"No space left on device|Disk quota exceeded"),
    # HTCondor's hold 6/13, of a job whose executable it has just put there itself.
    _seen("resources-002", r"Failed to execute '.*\(errno=13: 'Permission denied'\)"),
    _seen("resources-002", r"failed to map segment from shared object"),
    _seen("resources-005", r"Too many open files"),
    _seen("resources-006", r"can't start new thread|fork: (retry: )?Resource temporarily unavailable"),
    _seen("resources-004", r"\bMemoryError\b|Cannot allocate memory"),
    _seen("environment-002", r"version [`']GLIBC_[\d.]+' not found"),
    _seen(
        "environment-009", r"Illegal instruction|CPU ISA level is lower than required|killed by signal 4\b"
    ),
    _seen("environment-007", r"Exec format error|wrong ELF class"),
    _seen(
        "environment-005", r"No module named '?encodings'?|Could not find platform (in)?dependent libraries"
    ),
    _seen(
        "environment-006",
        r"KeyError: '(lz4|zstd|snappy|blosc)'|unsupported pickle protocol|msgpack\.exceptions\.",
    ),
    _seen("environment-004", r"\bcannot open shared object file"),
    _seen("environment-003", r"ModuleNotFoundError|No module named "),
    _seen("environment-010", r"Segmentation fault|Bus error|killed by signal (7|11)\b"),
    _seen("credential-002", r"certificate is not yet valid|certificate has expired"),
    _seen("credential-004", r"KEY_VALUES_MISMATCH|\[SSL\] PEM lib|NO_START_LINE"),
    _seen("credential-001", r"CERTIFICATE_VERIFY_FAILED|alert unknown ca|alert bad certificate"),
    _seen("connectivity-006", r"is not a valid network interface|doesn't have an IPv4 address"),
    _seen("connectivity-008", r"Could not start (Worker|Nanny) on host .* with port"),
    _seen("connectivity-007", r"Address already in use"),
    _seen(
        "connectivity-001", r"Temporary failure in name resolution|Name or service not known", phases=_NETWORK
    ),
    _seen("connectivity-002", r"Connection refused", phases=_NETWORK),
    _seen("connectivity-003", r"No route to host|Network is unreachable", phases=_NETWORK),
    _seen("worker-start-010", r"No locks available|addresses should be strings or tuples, got None"),
    _seen("worker-start-011", r"Error: (No such option|Got unexpected extra argument|Invalid value for )"),
    _seen("connectivity-009", r"Timed out trying to connect to", phases=_NETWORK),
    # Event 022 of HTCondor's job log; of Slurm srun's own words, or scontrol's.
    _seen(
        "batch-019",
        r"Job disconnected, attempting to reconnect|^srun: error: Node failure on |JobState=NODE_FAIL",
    ),
    _seen("worker-start-009", r"Timed out (starting worker|connecting Nanny)|start timed out after"),
    # Last of all: a nanny that gives up for another reason kills its worker too.
    _seen("batch-009", r"Worker process \d+ was killed by signal 9\b"),
    _seen("harness-002", r"worker-handle-scheduler-connection-broken"),
)

_STEP_CODES = (
    _code("connectivity-005", "port-unreachable"),
    _code("connectivity-009", "unreachable"),
    _code("credential-005", "tls-failed"),
    _code("worker-start-004", "extract-failed"),
    _code("worker-start-005", "relocate-failed"),
    _code("environment-001", "cannot-start"),
    _code("environment-008", "python-failed"),
)

_STATES = (
    Rule(entry="FHV-batch-008", exits=frozenset({2, 126, 127}), unheard=True),
    # Exit codes of bootstrap.sh, one a phase.
    _exit("worker-start-006", 64),
    _exit("worker-start-001", 65),
    _exit("worker-start-012", 66),
    _exit("worker-start-004", 67),
    _exit("credential-003", 68),
    _exit("environment-008", 69),
    _exit("connectivity-009", 70),
    # 128 + n is how a shell tells of signal n, -n how Python does.
    _exit("environment-009", 132, -4),
    _exit("environment-010", 135, -7, 139, -11),
    _state("batch-002", "planned"),
    _state("batch-001", "submitted"),
    Rule(
        entry="FHV-batch-001",
        states=frozenset({"removed"}),
        pattern=r"^removed by this run before it started",
    ),
    _state("worker-start-008", "running"),
    _state("batch-003", "lost"),
    _state("batch-004", "removed"),
    _state("batch-010", "held"),
    Rule(entry="FHV-batch-005", silent=True),
    _exit("batch-009", 137, -9),
    _code("batch-006", "signal"),
    _exit("batch-006", 143, -15),
    Rule(entry="FHV-harness-001", states=frozenset({"exited"}), exits=frozenset({0})),
)

RULES: tuple[Rule, ...] = (*_FOR_NODES, *_WAITING, *_PLAIN_CODES, *_LINES, *_STEP_CODES, *_STATES)
"""All rules, in the order in which they are tried."""
