"""A workflow in FAST-HEP's language over real ROOT files, and the comparison of what two backends made of it."""

from __future__ import annotations

import json
import pickle
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path

WORKFLOW = """\
version: 1.0
use:
  profiles: [registry, "fasthep_carpenter:registry", "fasthep_validate:registry"]
data:
  datasets:
    - {name: first, files: [first.root], eventtype: mc, nevents: 1000}
    - {name: second, files: [second.root], eventtype: mc, nevents: 700}
  defaults: {eventtype: mc, tree_primary: events}
sources:
  events: {kind: root_tree, tree: events, stream_type: event_stream}
outputs:
  hard: {tree: events, keep: [Muon_Pt, EventWeight]}
EXECUTION
analysis:
  stages:
    - id: Derived
      op: hep.define
      STAGE
      params:
        variables:
          - {name: Muon_Pt, expr: "sqrt(Muon_Px ** 2 + Muon_Py ** 2)"}
    - id: Spectrum
      op: hep.hist
      params:
        dataset_axis: true
        weight_expr: EventWeight
        axes:
          - {name: Muon_Pt, source: Muon_Pt, type: regular, bins: {low: 0, high: 100, nbins: 20}}
    - id: Select
      op: hep.selection.cutflow
      params:
        selection: {hard: ["Muon_Pt > 20", "run < 900"]}
        weight_expr: EventWeight
      write:
        - {kind: root_tree, path: hard.root, use: hard}
"""
# What differs from run to run, whatever the backend: links to records with times, sizes after compression.
VOLATILE = {"provenance", "size_bytes", "adler32"}


def make(folder: Path, *, execution: str, stage: str = "", text: str = WORKFLOW) -> Path:
    """Write the workflow and its ROOT files, and return its path."""
    import numpy as np
    import uproot

    for seed, (name, events) in enumerate({"first": 1000, "second": 700}.items()):
        random = np.random.default_rng(seed)
        branches = {
            "Muon_Px": random.normal(0, 20, events),
            "Muon_Py": random.normal(0, 20, events),
            "EventWeight": random.uniform(0.5, 1.5, events),
            "run": np.arange(events),
        }
        with uproot.recreate(folder / f"{name}.root") as file:
            file["events"] = branches
    path = folder / "workflow.yaml"
    path.write_text(text.replace("EXECUTION", execution).replace("      STAGE\n", stage))
    return path


def products(outdir: Path) -> dict[str, Any]:
    """What a run made: file below ``artifacts`` -> its content, as far as it can be the same twice."""
    root = outdir / "artifacts"
    files = [path for path in sorted(root.rglob("*")) if path.is_file()]
    return {
        str(path.relative_to(root)): READERS[path.suffix](path)
        for path in files
        if path.relative_to(root).parts[0] != "provenance"
    }


def _json(path: Path) -> Any:
    return _stable(json.loads(path.read_text()))


def _stable(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _stable(item) for key, item in value.items() if key not in VOLATILE}
    return [_stable(item) for item in value] if isinstance(value, list) else value


def _pickle(path: Path) -> Any:
    histogram = pickle.loads(path.read_bytes())
    return (
        histogram.values(flow=True).tobytes(),
        histogram.variances(flow=True).tobytes(),
        str(histogram.axes),
    )


def _root(path: Path) -> Any:
    import uproot

    with uproot.open(path) as file:
        return {name: file["events"][name].array().to_list() for name in file["events"].keys()}  # noqa: SIM118


READERS = {".json": _json, ".pkl": _pickle, ".root": _root}
