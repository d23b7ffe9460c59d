"""Execution modifiers around a task, by FAST-HEP's contract."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from fasthep_validate import process
from fasthep_validate.modifiers import registered
from fasthep_validate.worker import modified, tasks

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fasthep_validate.worker.modified import Spec

CALLS: list[str] = []


class Preload:
    """In the shape of fasthep-carpenter's ``gpu.preload``: keyword arguments, ``inputs`` changed in place."""

    def __init__(self, *, fields: list[str], scale: int = 10) -> None:
        self.fields = fields
        self.scale = scale

    def before_node(self, *, node: Any, inputs: dict[str, Any], ctx: dict[str, Any], **_: Any) -> None:
        for name in self.fields:
            inputs["stream"][name] = [value * self.scale for value in inputs["stream"][name]]
        entry = {"node": node.id, "fields": self.fields}
        ctx["execution_modifier_metadata"].setdefault("preload", []).append(entry)


class Loud:
    """Tells of every call."""

    def __init__(self, *, tag: str) -> None:
        self.tag = tag

    def before_node(self, *, node: Any, inputs: Any, ctx: Any) -> None:
        CALLS.append(f"before {self.tag}")

    @contextmanager
    def around_node(self, *, node: Any, inputs: Any, ctx: Any) -> Iterator[None]:
        CALLS.append(f"enter {self.tag}")
        try:
            yield
        finally:
            CALLS.append(f"leave {self.tag}")

    def after_node(self, *, node: Any, inputs: Any, outputs: Any, ctx: Any) -> None:
        CALLS.append(f"after {self.tag} {outputs}")

    def on_node_error(self, *, node: Any, inputs: Any, ctx: Any, exc: BaseException) -> None:
        CALLS.append(f"error {self.tag} {type(exc).__name__}")


class Spoiled:
    """Fails in every method."""

    def before_node(self, *, node: Any, inputs: Any, ctx: Any) -> None:
        raise RuntimeError("no GPU")

    def on_node_error(self, *, node: Any, inputs: Any, ctx: Any, exc: BaseException) -> None:
        raise RuntimeError("no pager")


class Silent:
    """Fails only when it is told of an error."""

    def on_node_error(self, *, node: Any, inputs: Any, ctx: Any, exc: BaseException) -> None:
        raise RuntimeError("no pager")


class NoModifier:
    """Has none of the methods."""


class Peek:
    """Looks for its parameters in the context, where fasthep-flow puts them too."""

    def __init__(self, **params: Any) -> None:
        """Take what comes."""

    def before_node(self, *, node: Any, inputs: Any, ctx: dict[str, Any]) -> None:
        ctx["seen"] = ctx["depth"]


READY = Loud(tag="ready")


@pytest.fixture(autouse=True)
def calls() -> list[str]:
    CALLS.clear()
    return CALLS


def spec(impl: str, /, *, source: str | None = None, **params: Any) -> Spec:
    where = impl if ":" in impl else f"{__name__}:{impl}"
    return {"name": "some.modifier", "impl": where, "source": source, "params": params}


def total(stream: dict[str, list[int]]) -> int:
    CALLS.append("task")
    return sum(stream["values"])


def stream() -> dict[str, Any]:
    return {"stream": {"values": [1, 2, 3]}}


def test_without_modifiers() -> None:
    assert modified.run(total, stream(), node_id="n", specs=[]) == (6, {"execution_modifier_metadata": {}})


def test_inputs_are_changed_and_recorded() -> None:
    result, ctx = modified.run(total, stream(), node_id="stage.A", specs=[spec("Preload", fields=["values"])])
    assert result == 60
    assert ctx["execution_modifier_metadata"] == {"preload": [{"node": "stage.A", "fields": ["values"]}]}


def test_order(calls: list[str]) -> None:
    modified.run(total, stream(), node_id="n", specs=[spec("Loud", tag="a"), spec("Loud", tag="b")])
    assert calls == [
        *("enter a", "enter b", "before a", "before b", "task"),
        *("after b 6", "after a 6", "leave b", "leave a"),
    ]


def test_task_that_fails(calls: list[str]) -> None:
    with pytest.raises(KeyError, match="values"):
        modified.run(total, {"stream": {}}, node_id="n", specs=[spec("Loud", tag="a"), spec("Loud", tag="b")])
    assert calls[-4:] == ["leave b", "leave a", "error b KeyError", "error a KeyError"]


def test_error_of_the_task_is_not_hidden_by_a_modifier() -> None:
    with pytest.raises(KeyError, match="values"):
        modified.run(total, {"stream": {}}, node_id="n", specs=[spec("Silent")])


def test_modifier_that_fails_is_named_with_event_and_task(calls: list[str]) -> None:
    with pytest.raises(modified.ModifierError) as error:
        modified.run(total, stream(), node_id="stage.A", specs=[spec("Loud", tag="a"), spec("Spoiled")])
    assert str(error.value) == "some.modifier: before_node of task 'stage.A' failed: RuntimeError: no GPU"
    assert "task" not in calls
    assert calls[-1] == "leave a"  # on_node_error of Spoiled, which comes first in reverse, failed


def test_object_instead_of_a_class(calls: list[str]) -> None:
    modified.run(total, stream(), node_id="n", specs=[spec("READY")])
    assert "before ready" in calls


def test_parameters_are_in_the_context_too() -> None:
    _, ctx = modified.run(total, stream(), node_id="n", specs=[spec("Peek", depth=3)], ctx={"run": 7})
    assert (ctx["seen"], ctx["run"]) == (3, 7)


@pytest.mark.parametrize(
    ("bad", "words"),
    [
        (spec("Preload", wrong=1), "unexpected keyword argument 'wrong'"),
        (spec("Preload"), "fields"),
        (spec("nowhere_to_be_found:X"), "No module named 'nowhere_to_be_found'"),
        (spec("Missing"), "has no attribute 'Missing'"),
        (spec("NoModifier"), "is no modifier"),
        (spec("broken:X", source="def ("), "SyntaxError"),
        (spec("broken:X", source="1/0"), "ZeroDivisionError"),
    ],
)
def test_modifier_that_cannot_be_made(bad: Spec, words: str) -> None:
    with pytest.raises(modified.ModifierError, match=r"^some\.modifier: ") as error:
        modified.load(bad)
    assert words in str(error.value)


ADDS = """\
from __future__ import annotations
from dataclasses import dataclass

@dataclass
class Adds:
    amount: int

    def before_node(self, *, node, inputs, ctx):
        inputs["stream"]["values"].append(self.amount * FACTOR)

FACTOR = %d
"""


def test_source_travels_as_text(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also a module with dataclasses, which look themselves up in ``sys.modules``."""
    before = set(sys.modules)
    result, _ = modified.run(
        total, stream(), node_id="n", specs=[spec("adds:Adds", source=ADDS % 1, amount=4)]
    )
    assert result == 10
    (made,) = set(sys.modules) - before
    monkeypatch.delitem(sys.modules, made)  # nobody else is to find it


def test_two_texts_under_one_name(monkeypatch: pytest.MonkeyPatch) -> None:
    before = set(sys.modules)
    specs = [spec("twice:Adds", source=ADDS % factor, amount=1) for factor in (10, 100, 10)]
    result, _ = modified.run(total, stream(), node_id="n", specs=specs)
    assert result == 6 + 10 + 100 + 10
    made = set(sys.modules) - before
    assert len(made) == 2
    for name in made:
        monkeypatch.delitem(sys.modules, name)  # nobody else is to find it


def test_text_goes_before_a_module_of_the_environment() -> None:
    source = "class Adds:\n    def before_node(self, **facts): facts['ctx']['mine'] = True\n"
    _, ctx = modified.run(total, stream(), node_id="n", specs=[spec("json:Adds", source=source)])
    assert ctx["mine"] is True
    assert sys.modules["json"] is json


def test_text_that_fails_leaves_nothing() -> None:
    before = set(sys.modules)
    with pytest.raises(modified.ModifierError):
        modified.load(spec("broken:X", source="import json\n1/0"))
    assert set(sys.modules) == before


def test_fasthep_trace() -> None:
    trace = registered()["fasthep.trace"]
    specs: list[Spec] = [{"name": trace.name, "impl": trace.impl, "source": trace.source, "params": {}}]
    result, ctx = modified.run(total, stream(), node_id="stage.A", specs=specs)
    entries = ctx["execution_modifier_metadata"]["fasthep.trace"]
    assert result == 6
    assert [(entry["event"], entry["node"], entry["names"]) for entry in entries] == [
        ("before_node", "stage.A", ["stream"]),
        ("after_node", "stage.A", ["stream", "int"]),
    ]
    assert {entry["pid"] for entry in entries} == {os.getpid()}


SENDS = """\
import sys
sys.path.insert(0, sys.argv[1])
import cloudpickle, modified, tasks
for module in (modified, tasks):
    cloudpickle.register_pickle_by_value(module)
sys.stdout.buffer.write(cloudpickle.dumps((tasks.tried, modified)))
"""
RUNS = """\
import functools, json, pickle, sys
spec = {"name": "fasthep.trace", "impl": "a_name:Trace", "source": sys.argv[2], "params": {}}
with open(sys.argv[1], "rb") as stream:
    function, module = pickle.load(stream)
run = functools.partial(module.run, specs=[spec])
print(json.dumps(function(run, {"stream": {"values": [1, 2, 3, 4]}}, {})))
"""


def test_task_with_modifiers_travels_by_value(tmp_path: Path) -> None:
    """As the hub sends it: the worker environment has neither module."""
    pickled = tmp_path / "task"
    with pickled.open("wb") as stream:
        subprocess.run(
            [sys.executable, "-c", SENDS, Path(modified.__file__).parent], stdout=stream, check=True
        )
    source = registered()["fasthep.trace"].source or ""
    done = process.run([sys.executable, "-c", RUNS, pickled, source], timeout=30, cwd=tmp_path)
    assert done.ok, done.stderr
    seen = json.loads(done.stdout)
    assert seen["result"] == 10
    assert len(seen["metadata"]["fasthep.trace"]) == 2


def test_failure_is_told_as_evidence() -> None:
    seen = tasks.tried(partial(modified.run, specs=[spec("Spoiled")]), {"stream": {"values": [1]}}, {})
    assert "result" not in seen
    assert str(seen["error"]).startswith("ModifierError: some.modifier: before_node")
