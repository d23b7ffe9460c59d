"""From opening the pools of a profile to the result of the first task: ``python first_task.py PROFILE OUT``; prints JSON.

Standard library and the package only: it runs on a submit node.
"""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path

from fasthep_validate import load_site, open_pools
from fasthep_validate.events import read_events
from fasthep_validate.models.event import PHASES

PREPARED, FIRST_TASK, ALL = "prepared before", "first task", "submitted to first task"


def measure(profile: str, out: str) -> dict[str, float]:
    """Seconds of every step of one worker's start."""
    begun = time.time()
    with open_pools(load_site(profile), outdir=Path(out)) as pools:
        pools.client.submit(os.getpid).result(timeout=60)
        done = time.time()
        folder = pools.folder
    events = [event for file in folder.events.glob("*.jsonl") for event in read_events(file)]
    submitted = min(event.time for event in events if event.phase == "submitted")
    ends = {event.phase: event.time for event in events if event.state == "end"}
    spans, last = {PREPARED: submitted - begun}, submitted
    for phase in PHASES:
        if phase in ends and submitted < ends[phase] < done:
            ended = max(last, ends[phase])  # what the batch system says of a job may be known later
            spans[phase], last = ended - last, ended
    return {**spans, FIRST_TASK: done - last, ALL: done - submitted}


if __name__ == "__main__":
    print(json.dumps(measure(*sys.argv[1:])))
