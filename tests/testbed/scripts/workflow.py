"""Runs a FAST-HEP workflow at a site and on this machine, and says whether the products are the same."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

from hepflow.api import run_workflow_file

strategy, home = sys.argv[1], Path(sys.argv[2])
sys.path.insert(0, str(home))
os.chdir(home)

import workflows  # type: ignore[import-not-found]

EXECUTION = f"""\
execution:
  backend: dask
  strategy: {strategy}
  config: {{site: testbed-{strategy}}}
  modifiers: [fasthep.trace]
  resources: {{default: {{cpus: 1, memory: 1 GB}}, gpu: {{cpus: 1, memory: 1 GB, gpus: 1}}}}
  pools: {{default: {{resources: default, workers: 1}}, gpu: {{resources: gpu, workers: 1}}}}
"""
STAGE = "      execution: {prefer: gpu, fallback: default}\n"

workflows.make(home, execution=EXECUTION, stage=STAGE)
run_workflow_file("workflow.yaml", outdir="local", chunk_size=400, backend="local", strategy="default")
result = run_workflow_file("workflow.yaml", outdir="ours", chunk_size=400)
traced = json.loads((home / "ours" / "execution" / "dask" / "modifiers.json").read_text())
nodes = {entry["hostname"] for records in traced.values() for entry in records["fasthep.trace"]}
ours, local = (workflows.products(home / name) for name in ("ours", "local"))
answer = {
    "success": result.success,
    "strategy": result.strategy,
    "files": len(local),
    "different": sorted(name for name in {*ours, *local} if ours.get(name) != local.get(name)),
    "workers": sorted({part["worker"] for part in result.summary["partitions"]}),
    "nodes": sorted(nodes),
    "partitions": len(traced),
}
print(json.dumps(answer))
