"""Whether the logs of a worker came back, and hold nothing that they must not."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from fasthep_validate.models.event import PHASES

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fasthep_validate.models.evidence import LogFile
    from fasthep_validate.view import Worker

SECRETS = {
    "a private key": re.compile(r"-----BEGIN (?:[A-Z]+ )*PRIVATE KEY-----"),
    "a token": re.compile(r"\beyJ[\w-]{8,}\.eyJ[\w-]{8,}\.[\w-]{8,}"),  # base64 of '{"': header and claims
    "a password in a URL": re.compile(r"://[^/\s:@]*:[^/\s@]+@"),
}


def test_out_came_back(worker: Worker) -> None:
    """The standard output of the job came back, is readable and not empty.

    Remedy: see the batch system's log for a failed output transfer; a removed job may return nothing.
    """
    out = _came_back(worker, "out")
    if not out.size:
        worker.needs("python")  # the probe is the first to write there
    assert out.size, "the file is empty"


def test_err_came_back(worker: Worker) -> None:
    """The standard error of the job came back, is readable and not empty.

    Remedy: see the batch system's log for a failed output transfer; a removed job may return nothing.
    """
    assert _came_back(worker, "err").size, "the file is empty"


def test_log_came_back(worker: Worker) -> None:
    """The batch system's log of the job is there and readable.

    Remedy: see whether the folder of the run can be written by the batch system.
    """
    _came_back(worker, "log")


def test_no_secrets(worker: Worker) -> None:
    """No log of the worker holds a private key, a token, or a URL with a password.

    Remedy: revoke the secret, remove the line, and see what printed it.
    """
    found = [f"{place} holds {what}" for log in worker.evidence.logs for place, what in _secrets(worker, log)]
    assert not found, "; ".join(found)


def _came_back(worker: Worker, kind: str) -> LogFile:
    """The log; blocked if the job never ran, or ended in a way that leaves none."""
    log = worker.log(kind)
    if log is None or log.size is None:
        worker.needs(PHASES[-1])
    assert log, f"promised evidence is missing: nothing is known of the {kind} file"
    assert log.size is not None, f"{log.path} did not come back; the job is {worker.evidence.job.state}"
    assert log.readable, f"{log.path} cannot be read as text"
    return log


def _secrets(worker: Worker, log: LogFile) -> Iterator[tuple[str, str]]:
    """Places and kinds of secrets; never the secret itself."""
    path = worker.run.folder / log.path
    if not path.is_file():
        return
    with path.open(encoding="utf-8", errors="replace") as lines:
        for number, line in enumerate(lines, 1):
            for what, pattern in SECRETS.items():
                if pattern.search(line):
                    yield f"{log.path} line {number}", what
