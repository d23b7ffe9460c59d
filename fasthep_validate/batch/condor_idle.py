"""Why a job of HTCondor's waits, out of what ``condor_q -better-analyze`` says."""

from __future__ import annotations

import re

# A step of the analysis, "[5]   0  TARGET.Memory >= RequestMemory": how many slots fulfil the condition.
STEP = re.compile(r"^\[\d+\]\s+(\d+)\s+(\S.*?)\s*$", re.MULTILINE)
DEFINED = re.compile(r"^    (\w+) = (.+)$", re.MULTILINE)
SUMMARY = re.compile(r"Of (\d+) machines,\n((?: +\d+ .*\n)+)")
COUNT = re.compile(r"^ +(\d+) (.+)$", re.MULTILINE)


def why_idle(analysis: str) -> str:
    """One line; empty if the analysis says nothing that is known."""
    impossible = next((condition for slots, condition in STEP.findall(analysis) if slots == "0"), "")
    if impossible:
        defined = dict(DEFINED.findall(analysis))
        asked = [f"{name} = {value}" for name, value in defined.items() if name in impossible]
        return f"no slot fits: none has {impossible}" + (f" with {', '.join(asked)}" if asked else "")
    summary = SUMMARY.search(analysis)
    if summary is None:
        return ""
    counts = [f"{number} {words}" for number, words in COUNT.findall(summary[2]) if number != "0"]
    return f"no slot is free: of {summary[1]} machines {', '.join(counts)}"
