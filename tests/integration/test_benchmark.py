"""The benchmark of scale, with so few workers that it only shows that it works."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from fasthep_validate import process

pytestmark = pytest.mark.pools

SCALE = Path(__file__).parents[2] / "benchmarks" / "scale.py"


def test_benchmark_of_scale() -> None:
    """One command submits all, and what it finds is a table."""
    done = process.run([sys.executable, SCALE, "--workers", "3", "--quiet", "0.5"], timeout=120)
    assert done.ok, done.stderr
    rows = [
        [cell.strip() for cell in line.split("|")[1:-1]] for line in done.stdout.splitlines() if "|" in line
    ]
    found = {title: value for title, value in rows if title != "---"}
    assert found["workers"] == "3"
    assert found["condor_submit, calls"] == "1"
    assert float(found["open files of the hub"]) > 2 * 3
