"""Grow and shrink the pools of a site: ``scale.py SITE OUTDIR``."""

from __future__ import annotations

import json
import socket
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from fasthep_validate import load_site, open_pools
from fasthep_validate.profiles import Overrides

if TYPE_CHECKING:
    from fasthep_validate.cluster import Cluster


def states(pools: Cluster, *workers: str) -> dict[str, list[object]]:
    known = pools.statuses()
    return {worker: [known[worker].state, known[worker].exit_code] for worker in workers}


def main(site: str, outdir: str) -> None:
    told: dict[str, object] = {}
    profile = load_site(site, overrides=Overrides(pools={"default": 1, "gpu": 1}))
    with open_pools(profile, outdir=Path(outdir)) as pools:
        told["start"] = sorted(pools.registered)
        task = pools.client.submit(socket.gethostname, resources={"GPU": 1}, pure=False)
        told["gpu task"] = task.result(timeout=30)
        pools.scale("default", 3)
        told["grown"] = sorted(pools.registered)
        pools.scale("default", 1)
        pools.scale("gpu", 0)
        told["shrunk"] = sorted(pools.registered)
        told["states"] = states(pools, "default-1", "default-2", "gpu-0")
        pools.scale("gpu", 1)
        told["gpu again"] = sorted(pools.registered)
    print(json.dumps(told))


main(*sys.argv[1:])
