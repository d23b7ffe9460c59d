"""Tables of the benchmarks, and the page that has them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from benchmarks.packing import PAGE
from benchmarks.tables import Row, comparison, put

if TYPE_CHECKING:
    from pathlib import Path

ROWS = [
    Row("good", "fast", "slow", 0.25),
    Row("bad", "slow", "fast", 0.25),
    Row("size", "small", "big", bytes=True),
    Row("not measured", "other", "fast", 1.0),
]
NUMBERS = {"fast": [1.0, 2.0, 9.0], "slow": [10.0, 10.0, 30.0], "small": [2e6], "big": [8e6]}


def test_ratio_is_that_of_the_medians_and_the_spread_that_of_the_rounds() -> None:
    rows = [line.split(" | ")[1:] for line in comparison(ROWS, NUMBERS).splitlines()[2:]]
    assert rows == [
        ["2 s", "10 s", "0.200", "0.100 to 0.300", "0.25", "reached |"],
        ["10 s", "2 s", "5.000", "3.333 to 10.000", "0.25", "**not reached** |"],
        ["2 MB", "8 MB", "0.250", "0.250 to 0.250", "", " |"],
    ]


def test_a_table_takes_the_place_of_the_one_before_and_of_nothing_else(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("before\n<!-- measured -->\nold\n<!-- /measured -->\nafter\n")
    for text in ("first", "second"):
        put(page, "measured", text)
    assert page.read_text() == "before\n<!-- measured -->\n\nsecond\n<!-- /measured -->\nafter\n"
    with pytest.raises(ValueError, match="has no lines <!-- other -->"):
        put(page, "other", "x")


def test_the_page_of_the_documentation_has_a_place_for_the_tables() -> None:
    assert "<!-- measured -->\n" in PAGE.read_text(encoding="utf-8")
