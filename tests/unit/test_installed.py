"""The Dask plugin that brings modifiers into a worker, without a worker."""

from __future__ import annotations

import importlib
import sys
from typing import TYPE_CHECKING, Any

import pytest
from distributed.diagnostics.plugin import WorkerPlugin

from fasthep_validate.modifiers import parameter_problem, registered
from fasthep_validate.worker import installed, modified

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from fasthep_validate.worker.installed import Source
    from fasthep_validate.worker.modified import Spec

SCALE = """\
class Scale:
    def __init__(self, by=10): self.by = by
    def install(self): INSTALLED.append(self.by)
    def before_node(self, *, node, inputs, ctx): inputs["x"] *= self.by
INSTALLED = []
"""
ADD = "class Add:\n    def before_node(self, *, node, inputs, ctx): inputs['x'] += 1\n"
SOURCES: list[Source] = [
    {"name": "test.scale", "impl": "fhv_test_scale:Scale", "source": SCALE},
    {"name": "test.add", "impl": "fhv_test_add:Add", "source": ADD},
    {"name": "test.gone", "impl": "nowhere_to_be_found:X", "source": None},
]


@pytest.fixture(autouse=True)
def modules() -> Iterator[None]:
    before = set(sys.modules)
    yield
    for name in set(sys.modules) - before:
        del sys.modules[name]


def spec(name: str, **params: Any) -> Spec:
    source = next(source for source in SOURCES if source["name"] == name)
    return {"name": name, "impl": source["impl"], "source": source["source"], "params": params}


def plugin(*run_wide: Spec) -> Any:
    made: Any = installed.plugin(modified, SOURCES, run_wide)
    assert issubclass(type(made), WorkerPlugin)
    made.setup(worker=None)
    return made


def same(x: int) -> int:
    return x


def test_modifiers_of_the_run_and_then_of_the_stage() -> None:
    made = plugin(spec("test.scale", by=3))
    assert made.run(same, {"x": 1}, node_id="n")[0] == 3
    assert made.run(same, {"x": 1}, node_id="n", stage=[("test.add", {})])[0] == 4


def test_a_stage_changes_parameters_and_not_the_order() -> None:
    made = plugin(spec("test.scale", by=3), spec("test.add"))
    assert made.run(same, {"x": 1}, node_id="n", stage=[("test.scale", {"by": 5})])[0] == 6


def test_name_that_is_not_registered() -> None:
    with pytest.raises(
        modified.ModifierError, match=r"test\.scal: no such modifier .* Did you mean 'test\.scale'\?"
    ):
        plugin().run(same, {"x": 1}, node_id="n", stage=[("test.scal", {})])
    with pytest.raises(modified.ModifierError, match=r"Known: test\.add, test\.gone, test\.scale\."):
        plugin().run(same, {"x": 1}, node_id="n", stage=[("quite.different", {})])


def test_what_cannot_be_made_is_told_and_does_not_stop_the_worker() -> None:
    made = plugin(spec("test.gone"), spec("test.scale", by=3))
    assert list(made.problems) == ["test.gone"]
    assert "No module named 'nowhere_to_be_found'" in made.problems["test.gone"]
    with pytest.raises(modified.ModifierError, match="nowhere_to_be_found"):
        made.run(same, {"x": 1}, node_id="n")


def test_install_is_called_once_when_the_worker_comes() -> None:
    made = plugin(spec("test.scale", by=3))
    made.run(same, {"x": 1}, node_id="n")
    assert importlib.import_module("fhv_test_scale").INSTALLED == [3]


def test_sources_can_be_imported_by_name() -> None:
    """As fasthep-flow's own dispatcher does on the worker."""
    plugin()
    assert importlib.import_module("fhv_test_add").Add.__name__ == "Add"


def test_a_module_of_the_environment_keeps_its_name() -> None:
    modified.provide("colorsys", "mine = True")  # of the standard library, and imported by nobody here
    assert not hasattr(importlib.import_module("colorsys"), "mine")


@pytest.mark.parametrize(
    ("name", "params", "problem"),
    [
        ("gpu.preload", {"fields": ["pt"]}, ""),
        ("gpu.preload", {"field": ["pt"]}, "got an unexpected keyword argument 'field'"),
        ("gpu.preload", {}, "fields: expected a list of names, got None"),
        ("cuda.jit", {"functions": ["a"], "simulate": True}, ""),
        ("cuda.jit", {"functions": ["a"], "threads": 0}, "threads: expected 1 to 1024, got 0"),
        ("somebody.elses", {"anything": 1}, ""),
    ],
)
def test_parameters_are_looked_at_before_anything_starts(
    name: str, params: dict[str, Any], problem: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert parameter_problem(name, params) == problem


def test_entry_points_of_other_packages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Registered by name without being imported here; they cannot take the place of ours."""
    info = tmp_path / "ourlab-1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: ourlab\nVersion: 1\n")
    lines = (
        "[fasthep_validate.modifiers]",
        "ourlab.calibrate = ourlab:Calibrate",
        "gpu.preload = ourlab:Mine",
    )
    (info / "entry_points.txt").write_text("\n".join(lines))
    monkeypatch.syspath_prepend(str(tmp_path))
    known = registered()
    assert (known["ourlab.calibrate"].impl, known["ourlab.calibrate"].source) == ("ourlab:Calibrate", None)
    assert known["gpu.preload"].source is not None


def test_own_modifiers_travel_as_text() -> None:
    for name in ("gpu.preload", "cuda.jit", "fasthep.trace"):
        source = registered()[name]
        assert source.source, name
        modified.load(
            {
                "name": name,
                "impl": source.impl,
                "source": source.source,
                "params": {"gpu.preload": {"fields": ["a"]}, "cuda.jit": {"functions": ["a"]}}.get(name, {}),
            }
        )
