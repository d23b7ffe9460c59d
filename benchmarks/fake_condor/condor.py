#!/usr/bin/env python3
"""``condor_submit``, ``condor_q`` and ``condor_rm`` of a simulated schedd, by the name it is called by.

The schedd is a folder, ``$FAKE_CONDOR``: ``jobs/<id>`` is a job in the queue (its worker and initialdir), ``removed/<id>``
one that is to end. ``farm.py`` starts the workers and takes jobs that ended out of the queue.
"""

from __future__ import annotations

import json
import os
import re
import sys
from pathlib import Path

SCHEDD = Path(os.environ["FAKE_CONDOR"])


def submit(words: list[str]) -> None:
    """Take all jobs of a description."""
    text = Path(words[-1]).read_text(encoding="utf-8")
    commands = dict(re.findall(r"^(\w+) = (.*)$", text, re.MULTILINE))
    workers = text.partition("queue worker from (\n")[2].rstrip().removesuffix(")").split()
    cluster = len(list((SCHEDD / "clusters").iterdir())) + 1
    (SCHEDD / "clusters" / str(cluster)).touch()
    for process, worker in enumerate(workers):
        told = {
            key: commands[key].replace("$(worker)", worker)
            for key in ("initialdir", "transfer_input_files", "log")
        }
        path = SCHEDD / "starting" / f"{cluster}.{process}"
        path.write_text(json.dumps(told), encoding="utf-8")
        path.rename(SCHEDD / "jobs" / path.name)
    print(f"{cluster}.0 - {cluster}.{len(workers) - 1}")


def query(words: list[str]) -> None:
    """All jobs of these clusters that are in the queue, as running."""
    wanted = {word for word in words if word.isdigit()}
    ids = [path.name.split(".") for path in (SCHEDD / "jobs").iterdir()]
    running = {"JobStatus": 2, "RemoteHost": "slot1@node.example.org"}
    ads = [{"ClusterId": int(c), "ProcId": int(p), **running} for c, p in ids if c in wanted]
    print(json.dumps(ads) if ads else "")


def remove(words: list[str]) -> None:
    """Let these jobs end."""
    for job_id in words:
        (SCHEDD / "removed" / job_id).touch()


if __name__ == "__main__":
    name = Path(sys.argv[0]).name
    with (SCHEDD / "calls").open("a", encoding="utf-8") as calls:
        calls.write(f"{name}\n")
    {"condor_submit": submit, "condor_q": query, "condor_rm": remove}[name](sys.argv[1:])
