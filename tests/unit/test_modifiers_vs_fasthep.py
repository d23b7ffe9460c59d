"""FAST-HEP's modifiers under our runtime, and ours under FAST-HEP's; both as released on PyPI."""

from __future__ import annotations

import sys
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hepflow.runtime.hooks.manager import HookDispatchError, HookManager

from fasthep_validate.modifiers import OWN
from fasthep_validate.worker import modified
from tests.fakes.device import Device, DeviceArray

if TYPE_CHECKING:
    from fasthep_validate.worker.modified import Spec

CARPENTER = "fasthep_carpenter.runtime.modifiers"
PARAMS: dict[str, dict[str, Any]] = {
    "gpu.preload": {"fields": ["pt"]},
    "cuda.jit": {"functions": ["double"]},
    "fasthep.trace": {},
}


@pytest.fixture
def device(monkeypatch: pytest.MonkeyPatch) -> Device:
    device = Device(memory=100_000)
    monkeypatch.setitem(sys.modules, "cupy", device.module())  # CuPy itself needs a GPU
    return device


def carpenter(name: str, impl: str) -> Spec:
    pytest.importorskip("fasthep_carpenter", reason="fasthep-carpenter is not installed")
    return {"name": name, "impl": f"{CARPENTER}.{impl}", "source": None, "params": PARAMS[name]}


def flow(*names: str) -> tuple[HookManager, SimpleNamespace]:
    """FAST-HEP's dispatcher with our modifiers in its registry's form, and a node of its plan."""
    registry = {
        name: {"impl": f"fasthep_validate.modifiers.{module}:{class_name}"}
        for name, (module, class_name) in OWN.items()
    }
    modifiers = [{"name": name, "params": PARAMS.get(name, {})} for name in names]
    node = SimpleNamespace(id="stage.A", meta={"execution": {"modifiers": modifiers}})
    return HookManager(registry_cfg={"execution_modifiers": registry}), node


def kind(stream: dict[str, Any]) -> str:
    return type(stream["pt"]).__name__


def test_carpenters_preload_runs_here(device: Device) -> None:
    spec = carpenter("gpu.preload", "gpu_preload:GPUPreloadModifier")
    inputs = {"stream": {"pt": np.ones(3), "eta": np.ones(3)}}
    result, ctx = modified.run(kind, inputs, node_id="stage.A", specs=[spec])
    assert result == "DeviceArray"
    assert ctx["execution_modifier_metadata"]["gpu.preload"] == [
        {"node": "stage.A", "fields": ["pt"], "backend": "cupy"}
    ]


def test_carpenters_jit_says_what_it_needs(monkeypatch: pytest.MonkeyPatch) -> None:
    """With a compiler it runs in tests/integration/test_cuda_simulator.py."""
    monkeypatch.setitem(sys.modules, "numba", None)  # as if it were not installed
    spec = carpenter("cuda.jit", "cuda_jit:CUDAJitModifier")
    with pytest.raises(
        modified.ModifierError, match=r"cuda\.jit: before_node of task 'n' failed: .*requires numba"
    ):
        modified.run(kind, {"stream": {}}, node_id="n", specs=[spec])


def test_carpenters_wrong_parameter() -> None:
    spec = carpenter("gpu.preload", "gpu_preload:GPUPreloadModifier")
    with pytest.raises(modified.ModifierError, match="unexpected keyword argument 'field'"):
        modified.load({**spec, "params": {"field": "pt"}})


def test_our_preload_runs_in_flow(device: Device) -> None:
    manager, node = flow("gpu.preload", "fasthep.trace")
    ctx: dict[str, Any] = {}
    given = {"pt": np.array([np.nan, 1.0]), "eta": np.ones(2)}
    inputs: dict[str, Any] = {"stream": given}
    with manager.around_node(node=node, inputs=inputs, ctx=ctx):
        manager.before_node(node=node, inputs=inputs, ctx=ctx)
        assert isinstance(inputs["stream"]["pt"], DeviceArray)
        outputs = {"stream": inputs["stream"]}
        manager.after_node(node=node, inputs=inputs, outputs=outputs, ctx=ctx)
    assert inputs["stream"] is given
    assert outputs["stream"]["pt"].tobytes() == given["pt"].tobytes()
    assert device.used() == 0
    metadata = ctx["execution_modifier_metadata"]
    assert {name: len(entries) for name, entries in metadata.items()} == {
        "gpu.preload": 1,
        "fasthep.trace": 2,
    }
    calls = {item["kind"]: item["calls"] for item in manager.usage_summary()["enabled"]}
    assert calls == {"gpu.preload": 2, "fasthep.trace": 2}


def test_our_preload_lets_go_in_flow_after_an_error(device: Device) -> None:
    manager, node = flow("gpu.preload")
    inputs: dict[str, Any] = {"stream": {"pt": np.ones(3)}}
    manager.before_node(node=node, inputs=inputs, ctx={})
    manager.on_node_error(node=node, inputs=inputs, ctx={}, exc=ValueError())
    assert device.used() == 0


def test_our_jit_is_refused_by_flow_without_a_compiler(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "numba", None)  # as if it were not installed
    manager, node = flow("cuda.jit")
    with pytest.raises(
        HookDispatchError, match=r"'cuda\.jit' failed during before_node for node stage\.A: .*no function"
    ):
        manager.before_node(node=node, inputs={}, ctx={})
    ctx = {"cuda_jit_functions": {"double": kind}}
    with pytest.raises(HookDispatchError, match="numba has no CUDA in the worker environment"):
        manager.before_node(node=node, inputs={}, ctx=ctx)


@pytest.mark.parametrize("order", [("gpu.preload", "fasthep.trace"), ("fasthep.trace", "gpu.preload")])
def test_same_record_under_both(device: Device, order: tuple[str, str]) -> None:
    """What FAST-HEP's dispatcher and ours call, and in which order."""
    manager, node = flow(*order)
    theirs: dict[str, Any] = {}
    inputs: dict[str, Any] = {"stream": {"pt": np.ones(3)}}
    manager.before_node(node=node, inputs=inputs, ctx=theirs)
    manager.after_node(node=node, inputs=inputs, outputs="x", ctx=theirs)
    specs: list[Spec] = [
        {
            "name": name,
            "impl": "fasthep_validate.modifiers.{}:{}".format(*OWN[name]),
            "source": None,
            "params": PARAMS[name],
        }
        for name in order
    ]
    _, ours = modified.run(kind, {"stream": {"pt": np.ones(3)}}, node_id="stage.A", specs=specs)
    assert told(ours) == told(theirs)
    assert ours["fields"] == theirs["fields"] == ["pt"]


def told(ctx: dict[str, Any]) -> Any:
    """The records without what differs from call to call."""
    return [
        (name, [{key: value for key, value in entry.items() if key != "time"} for entry in entries])
        for name, entries in ctx["execution_modifier_metadata"].items()
    ]
