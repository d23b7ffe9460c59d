"""``gpu.preload`` with a device of the test's own: what it does with a device, not that it works on a GPU."""

from __future__ import annotations

import sys
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from fasthep_validate.modifiers.gpu_preload import Fields, GpuPreload
from fasthep_validate.worker import modified
from tests.fakes.device import Device, DeviceArray

NODE = SimpleNamespace(id="stage.A")
KB = 1000


@pytest.fixture
def device(monkeypatch: pytest.MonkeyPatch) -> Device:
    """In the place of CuPy, which needs a GPU."""
    device = Device(memory=100 * KB)
    monkeypatch.setitem(sys.modules, "cupy", device.module())  # CuPy itself needs a GPU
    return device


def stream() -> dict[str, Any]:
    return {"pt": np.linspace(0, 1, 1000), "eta": np.arange(1000, dtype="f4"), "name": ["a", "b"]}


def before(modifier: GpuPreload, inputs: dict[str, Any]) -> dict[str, Any]:
    ctx: dict[str, Any] = {}
    modifier.before_node(node=NODE, inputs=inputs, ctx=ctx)
    entry: dict[str, Any] = ctx["execution_modifier_metadata"]["gpu.preload"][0]
    return entry


def test_named_fields_move_and_others_stay(device: Device) -> None:
    given = stream()
    inputs = {"stream": given}
    entry = before(GpuPreload(fields=["pt"]), inputs)
    assert isinstance(inputs["stream"]["pt"], DeviceArray)
    assert inputs["stream"]["eta"] is given["eta"]
    assert inputs["stream"]["name"] is given["name"]
    assert type(given["pt"]) is np.ndarray, "the stream that was given is not touched"
    assert entry == {
        "node": "stage.A",
        "fields": ["pt"],
        "backend": "cupy",
        "bytes": 8000,
        "already_there": [],
        "simulated": False,
    }


def test_back_again_bit_for_bit(device: Device) -> None:
    given = stream()
    given["pt"][:3] = [np.nan, -0.0, 5e-324]
    modifier, inputs = GpuPreload(fields=["pt", "eta"]), {"stream": given}
    before(modifier, inputs)
    outputs: dict[str, Any] = {"stream": inputs["stream"], "weights": [inputs["stream"]["eta"] * 2]}
    modifier.after_node(inputs=inputs, outputs=outputs)
    assert inputs["stream"] is given
    assert outputs["stream"]["pt"].tobytes() == given["pt"].tobytes()
    assert type(outputs["stream"]["pt"]) is np.ndarray
    assert type(outputs["weights"][0]) is np.ndarray
    assert device.freed == 2
    assert device.used() == 0


def test_what_is_there_is_not_moved_again(device: Device) -> None:
    inputs = {"stream": {**stream(), "pt": device.asarray(np.ones(10))}}
    entry = before(GpuPreload(fields=["pt", "eta"]), inputs)
    assert device.to_device == [80, 4000]
    assert entry["already_there"] == ["pt"]


def test_one_array_under_two_names_is_moved_once(device: Device) -> None:
    one = np.ones(1000)
    inputs = {"stream": {"a": one, "b": one}}
    assert before(GpuPreload(fields=["a", "b"]), inputs)["bytes"] == 8000
    assert device.to_device == [8000]
    assert inputs["stream"]["a"] is inputs["stream"]["b"]


@pytest.mark.parametrize(
    ("params", "words"),
    [
        ({"max_bytes": 7999}, "8000 bytes, max_bytes allows 7999"),
        ({}, "8000 bytes, the device has room for 4500"),
    ],
)
def test_memory_is_bounded(device: Device, params: dict[str, Any], words: str) -> None:
    device.memory = 5 * KB
    with pytest.raises(MemoryError, match=words):
        before(GpuPreload(fields=["pt"], **params), {"stream": stream()})
    assert device.to_device == []


def test_memory_is_released_after_many_tasks(device: Device) -> None:
    modifier = GpuPreload(fields=["pt", "eta"])
    for _ in range(50):  # 12 kB each, on a device of 100 kB
        inputs = {"stream": stream()}
        before(modifier, inputs)
        modifier.after_node(inputs=inputs, outputs={"sum": float(inputs["stream"]["pt"].sum())})
    assert device.used() == 0


def test_memory_is_released_after_a_task_that_fails(device: Device) -> None:
    def fails(stream: Any) -> None:
        raise ZeroDivisionError

    spec: modified.Spec = {
        "name": "gpu.preload",
        "impl": "fasthep_validate.modifiers.gpu_preload:GpuPreload",
        "source": None,
        "params": {"fields": ["pt"]},
    }
    inputs = {"stream": stream()}
    with pytest.raises(ZeroDivisionError):
        modified.run(fails, inputs, node_id="n", specs=[spec])
    assert type(inputs["stream"]["pt"]) is np.ndarray
    assert device.used() == 0


def test_structured_array(device: Device) -> None:
    given = np.zeros(5, dtype=[("pt", "f8"), ("charge", "i4")])
    inputs: dict[str, Any] = {"stream": given}
    before(GpuPreload(fields=["charge"]), inputs)
    assert isinstance(inputs["stream"], Fields)
    assert inputs["stream"].fields == ["pt", "charge"]
    assert isinstance(inputs["stream"]["charge"], DeviceArray)
    assert type(inputs["stream"]["pt"]) is np.ndarray


@pytest.mark.parametrize("fields", [["pt"], ["pt", "n"]])
def test_awkward_array(fields: list[str]) -> None:
    """Simulated: awkward itself needs CuPy for a device."""
    ak = pytest.importorskip("awkward", reason="awkward is not installed")
    given = ak.Array({"pt": [[1.5, 2.5], [], [3.5]], "n": [2, 0, 1]})
    modifier, inputs = GpuPreload(fields=fields, backend="simulated"), {"stream": given}
    entry = before(modifier, inputs)
    assert entry["simulated"] is True
    assert inputs["stream"] is not given
    for name in ("pt", "n"):
        assert inputs["stream"][name].to_list() == given[name].to_list()
    modifier.after_node(inputs=inputs, outputs=None)
    assert inputs["stream"] is given


def test_missing_field(device: Device) -> None:
    with pytest.raises(KeyError, match=r"no field 'mass' in the stream; it has 'pt', 'eta', 'name'"):
        before(GpuPreload(fields=["pt", "mass"]), {"stream": stream()})
    assert device.to_device == []
    inputs = {"stream": stream()}
    assert before(GpuPreload(fields=["pt", "mass"], on_missing="ignore"), inputs)["fields"] == ["pt"]


@pytest.mark.parametrize(
    ("given", "error", "words"),
    [
        ({}, ValueError, "no input 'stream'"),
        ({"stream": 5}, TypeError, "a stream of type int has no fields"),
        ({"stream": {"pt": ["a", "b"]}}, TypeError, "field 'pt' of type list"),
        ({"stream": {"pt": [object()]}}, TypeError, r"\(object\) cannot be moved"),
    ],
)
def test_inputs_that_cannot_be_moved(
    device: Device, given: dict[str, Any], error: type[Exception], words: str
) -> None:
    with pytest.raises(error, match=words):
        before(GpuPreload(fields=["pt"]), given)


@pytest.mark.parametrize(
    ("params", "words"),
    [
        ({}, "fields: expected a list of names, got None"),
        ({"fields": []}, "expected a list of names"),
        ({"fields": "pt"}, "expected a list of names"),
        ({"fields": ["pt", " "]}, "expected names"),
        ({"fields": ["pt", "pt "]}, "one is there twice"),
        ({"fields": ["pt"], "backend": "jax"}, "backend: 'jax' is not one of cupy, simulated"),
        ({"fields": ["pt"], "on_missing": "warn"}, "on_missing: 'warn' is not one of error, ignore"),
        ({"fields": ["pt"], "max_bytes": "2 GB"}, "max_bytes: expected a number of bytes"),
    ],
)
def test_wrong_parameters(params: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        GpuPreload(**params)


def test_without_cupy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "cupy", None)  # as if it were not installed
    with pytest.raises(RuntimeError, match="CuPy is not in the worker environment"):
        before(GpuPreload(fields=["pt"]), {"stream": stream()})
