"""``cuda.jit`` without a compiler; with one in tests/integration/test_cuda_simulator.py."""

from __future__ import annotations

import math
import sys
from types import FunctionType, SimpleNamespace
from typing import Any

import pytest

from fasthep_validate.modifiers.cuda_jit import SIMULATOR, CudaJit, compiled, identity

NODE = SimpleNamespace(id="stage.A")
FACTOR = 2


def scaled(values: Any, out: Any) -> None:
    out[0] = FACTOR * math.sqrt(values[0])


def copy(function: Any, **seen: Any) -> Any:
    """The function as it arrives with another task: another object, with globals of its own."""
    return FunctionType(function.__code__, {**function.__globals__, **seen}, function.__name__)


def closed_over(factor: int) -> Any:
    def inner(values: Any, out: Any) -> None:
        out[0] = factor * values[0]

    return inner


def recursive(depth: int) -> int:
    return recursive(depth - 1) if depth else 0


@pytest.mark.parametrize(
    ("params", "words"),
    [
        ({}, "functions: expected a list of names"),
        ({"functions": []}, "expected a list of names"),
        ({"functions": "double"}, "expected a list of names"),
        ({"functions": ["a", ""]}, "expected a name, got ''"),
        ({"functions": ["a", "a"]}, "one is there twice"),
        ({"functions": {"a": "module"}}, "a: expected 'module:function', got 'module'"),
        ({"functions": ["a"], "mode": "all"}, "mode: 'all' is not one of explicit"),
        ({"functions": ["a"], "target": "cupy"}, "target: 'cupy' is not one of auto, numba, numba-cuda-mlir"),
        ({"functions": ["a"], "threads": 2048}, "threads: expected 1 to 1024, got 2048"),
    ],
)
def test_wrong_parameters(params: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        CudaJit(**params)


@pytest.mark.parametrize(
    ("params", "ctx", "error", "words"),
    [
        (["a"], {}, KeyError, "no function 'a' in ctx"),
        (["a"], {"cuda_jit_functions": {"b": scaled}}, KeyError, "it has 'b'"),
        (["a"], {"cuda_jit_functions": [scaled]}, TypeError, "is no mapping but list"),
        (["a"], {"cuda_jit_functions": {"a": math.sqrt}}, TypeError, "only a Python function"),
        ({"a": "math:nothing"}, {}, AttributeError, "nothing"),
        ({"a": "nowhere_to_be_found:f"}, {}, ModuleNotFoundError, "nowhere_to_be_found"),
    ],
)
def test_functions_that_cannot_be_compiled(
    params: Any, ctx: dict[str, Any], error: type[Exception], words: str
) -> None:
    with pytest.raises(error, match=words):
        CudaJit(functions=params).before_node(node=NODE, inputs={}, ctx=ctx)
    assert "execution_modifier_metadata" not in ctx


@pytest.mark.parametrize("target", ["auto", "numba", "numba-cuda-mlir"])
def test_no_compiler(monkeypatch: pytest.MonkeyPatch, target: str) -> None:
    for name in ("numba", "numba_cuda_mlir"):
        monkeypatch.setitem(sys.modules, name, None)  # as if it were not installed
    modifier = CudaJit(functions=["a"], target=target)
    with pytest.raises(RuntimeError, match=r"numba has no CUDA in the worker environment \(numba"):
        modifier.before_node(node=NODE, inputs={}, ctx={"cuda_jit_functions": {"a": scaled}})


def test_simulation_is_not_asked_of_a_compiler_that_has_none(monkeypatch: pytest.MonkeyPatch) -> None:
    """As numba-cuda's successor, which is 239 MB, so that an object stands in."""
    monkeypatch.setenv(SIMULATOR, "1")  # it would be set, and stay
    jit = SimpleNamespace(__module__="numba_cuda_mlir.decorators")
    successor = SimpleNamespace(__name__="numba_cuda_mlir.cuda", jit=jit)
    monkeypatch.setitem(sys.modules, "numba_cuda_mlir.cuda", successor)
    monkeypatch.setitem(sys.modules, "numba_cuda_mlir", SimpleNamespace(cuda=successor))
    modifier = CudaJit(functions=["a"], target="numba-cuda-mlir", simulate=True)
    with pytest.raises(RuntimeError, match=r"^numba_cuda_mlir\.cuda has no simulator"):
        modifier.before_node(node=NODE, inputs={}, ctx={"cuda_jit_functions": {"a": scaled}})


def test_a_kernel_is_what_it_does() -> None:
    """A function that comes with every task is compiled once; one that sees another constant is another kernel."""
    assert identity(scaled) == identity(copy(scaled))
    assert identity(scaled) != identity(copy(scaled, FACTOR=3))
    assert identity(scaled) != identity(copy(scaled, FACTOR=2.0)), "numba compiles for the type of a constant"
    assert identity(closed_over(2)) == identity(closed_over(2))
    assert identity(closed_over(2)) != identity(closed_over(3))
    assert identity(recursive) == identity(recursive)
    assert len({identity(scaled), identity(copy(scaled))}) == 1


def test_compiled_once() -> None:
    made: list[Any] = []

    def jit(function: Any, *, fastmath: bool) -> int:
        made.append(function)
        return len(made)

    cuda = SimpleNamespace(__name__="test_compiled_once", jit=jit)  # numba itself would need a GPU
    assert compiled(cuda, scaled, fastmath=False) == (1, True)
    assert compiled(cuda, copy(scaled), fastmath=False) == (1, False)
    assert compiled(cuda, scaled, fastmath=True) == (2, True)
