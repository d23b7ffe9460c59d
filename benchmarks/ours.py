"""What this package does, each in a process of its own: ``pack`` and ``workers``; prints JSON."""

from __future__ import annotations

import json
import os
import resource
import sys
import time
from pathlib import Path

from fasthep_validate import load_site, open_pools, pack
from fasthep_validate.models.event import Event
from fasthep_validate.models.execution import EnvironmentSpec


def prepare(prefix: str, cache: str) -> dict[str, float]:
    """Pack an environment, or find that it is packed."""
    times: dict[str, float] = {}
    build = pack.build_pack

    def timed(*arguments: object) -> object:
        begun = time.monotonic()
        done = build(*arguments)  # type: ignore[arg-type]
        times["pack"] = time.monotonic() - begun
        return done

    pack.build_pack = timed  # type: ignore[assignment]
    begun = time.monotonic()
    packed = pack.pack(EnvironmentSpec(type="packed-pixi", prefix=prefix), cache=Path(cache))
    times["prepare"] = time.monotonic() - begun
    largest = max(peak(resource.RUSAGE_SELF), peak(resource.RUSAGE_CHILDREN))
    assert packed.base
    return {**times, "peak": largest, "size": packed.base.size}


def peak(who: int) -> int:
    """Most memory in bytes that this process, or any that it has waited for, has had."""
    return resource.getrusage(who).ru_maxrss * 1024


PHASES = ("transferred", "preflight", "extracted", "python", "connected", "registered")


def workers(profile: str, out: str) -> dict[str, float]:
    """Start the workers of a profile and end them.

    ``seconds`` is from the first line of the first job script to the last registration; the phases of the last worker
    are what each of them added.
    """
    with open_pools(load_site(profile), outdir=Path(out)) as pools:
        folder = pools.folder
        assert len(pools.registered) == len(pools.logs), pools.registered
    lines = [line for file in folder.events.glob("*.jsonl") for line in file.read_text().splitlines()]
    events = [Event.model_validate_json(line) for line in lines]
    for event in events:
        if event.phase == "extracted" or "-v" in sys.argv:
            print(
                f"{event.time:.3f} {event.worker} {event.phase} {event.state} {event.detail}", file=sys.stderr
            )
    begun = min(event.time for event in events if (event.phase, event.state) == ("transferred", "start"))
    ended = max(event.time for event in events if (event.phase, event.state) == ("registered", "end"))
    ends = {event.phase: event.time for event in events if event.state == "end" and event.phase in PHASES}
    spans, last = {}, begun
    for phase in PHASES:
        spans[phase], last = ends[phase] - last, ends[phase]
    return {"seconds": ended - begun, "peak": peak(resource.RUSAGE_CHILDREN), **spans}


if __name__ == "__main__":
    command, *arguments = [word for word in sys.argv[1:] if word != "-v"]
    os.environ.pop("PYTHONPATH", None)
    print(json.dumps({"pack": prepare, "workers": workers}[command](*arguments)))
