"""``cuda.jit``: compiles named functions for the GPU with numba before a task, once a process.

It stands alone, for it travels to the worker as text. The functions are CUDA kernels in numba's Python. A task
that takes ``ctx`` finds the compiled ones under ``ctx["cuda_jit_compiled"]``, and a helper that starts one over
``size`` elements as ``ctx["cuda_jit_launch"](name, size, *arguments)``.
"""

from __future__ import annotations

import contextlib
import importlib
import os
import sys
import threading
import types
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

NAME = "cuda.jit"
SIMULATOR = "NUMBA_ENABLE_CUDASIM"
# Which modules can compile. With numba-cuda installed, "numba" is that package: it takes the place of numba's own.
TARGETS = {"numba": "numba.cuda", "numba-cuda-mlir": "numba_cuda_mlir.cuda"}
AUTO = "auto"
MODES = ("explicit",)
SCALARS = (bool, int, float, complex, str, bytes, type(None))

_compiled: dict[Any, Any] = {}
_lock = threading.RLock()


class CudaJit:
    """Compiles functions for the GPU.

    Args:
        functions: names of functions in ``ctx["cuda_jit_functions"]``, or a mapping of names to
            ``module:function`` in the worker environment.
        mode: ``explicit``, the only one: nothing is compiled that is not named.
        target: ``numba`` (numba's own CUDA target, or numba-cuda where it is installed), ``numba-cuda-mlir``, or
            ``auto`` for the first of them that is there.
        fastmath: let numba trade accuracy for speed.
        threads: threads of a block when a kernel is started by ``cuda_jit_launch``.
        simulate: use numba's simulator in place of a GPU; what is recorded says so.
    """

    def __init__(
        self,
        *,
        functions: list[str] | dict[str, str] | None = None,
        mode: str = "explicit",
        target: str = AUTO,
        fastmath: bool = False,
        threads: int = 256,
        simulate: bool = False,
    ) -> None:
        self.functions = places_of(functions)
        for what, value, known in (("mode", mode, MODES), ("target", target, (AUTO, *TARGETS))):
            if value not in known:
                raise ValueError(f"{what}: {value!r} is not one of {', '.join(known)}")
        if type(threads) is not int or not 1 <= threads <= 1024:
            raise ValueError(f"threads: expected 1 to 1024, got {threads!r}")
        self.target = target
        self.fastmath = fastmath
        self.threads = threads
        self.simulate = simulate

    def install(self) -> None:
        """Called once when a worker starts: the simulator has to be there before a task brings numba along."""
        if self.simulate:
            ask_for_simulator()

    def before_node(self, *, node: Any, inputs: dict[str, Any], ctx: dict[str, Any], **_: Any) -> None:  # noqa: ARG002
        """Compile the functions, or find them compiled, and put them into the context."""
        given = ctx.get("cuda_jit_functions", {})
        if not isinstance(given, Mapping):
            raise TypeError(f"ctx['cuda_jit_functions'] is no mapping but {type(given).__name__}")
        functions = {name: function_at(name, place, given) for name, place in self.functions.items()}
        self.install()
        cuda = cuda_module(self.target)
        if self.simulate and not is_simulator(cuda):
            raise RuntimeError(f"{cuda.__name__} has no simulator. Use target 'numba', or a GPU.")
        needs_device(cuda)
        ready = ctx.setdefault("cuda_jit_compiled", {})
        fresh = []
        for name, function in functions.items():
            ready[name], new = compiled(cuda, function, fastmath=self.fastmath)
            fresh += [name] if new else []
        ctx["cuda_jit_launch"] = Launcher(cuda, ready, self.threads)
        entry = {
            "node": str(node.id),
            "functions": list(functions),
            "backend": cuda.__name__,
            "compiled_count": len(fresh),
            "cache_hits": [name for name in functions if name not in fresh],
            "cache_misses": fresh,
            "implementation": str(getattr(cuda, "implementation", "Built-in")),
            "simulated": is_simulator(cuda),
        }
        ctx.setdefault("execution_modifier_metadata", {}).setdefault(NAME, []).append(entry)


class Launcher:
    """Starts a compiled kernel over a number of elements, and waits for it."""

    def __init__(self, cuda: Any, kernels: Mapping[str, Any], threads: int) -> None:
        self._cuda = cuda
        self._kernels = kernels
        self._threads = threads

    def __call__(self, name: str, size: int, *arguments: Any) -> None:
        """Run kernel ``name`` with one thread for each of ``size`` elements, rounded up to whole blocks."""
        if size < 1:
            return
        with _one_at_a_time(self._cuda):
            self._kernels[name][-(-size // self._threads), self._threads](*arguments)
            self._cuda.synchronize()


@contextlib.contextmanager
def _one_at_a_time(cuda: Any) -> Iterator[None]:
    """The simulator cannot be used by two threads."""
    with _lock if is_simulator(cuda) else contextlib.nullcontext():
        yield


def places_of(functions: Any) -> dict[str, str]:
    """Name -> ``module:function``, or an empty place for a function of the context.

    Raises:
        ValueError: there are none, one is there twice, or something is no name.
    """
    places = functions if isinstance(functions, Mapping) else dict.fromkeys(functions or (), "")
    if not places or isinstance(functions, str):
        raise ValueError(
            f"functions: expected a list of names, or a mapping of names to places, got {functions!r}"
        )
    for name, place in places.items():
        if not isinstance(name, str) or not name.strip():
            raise ValueError(f"functions: expected a name, got {name!r}")
        if isinstance(functions, Mapping) and (not isinstance(place, str) or place.count(":") != 1):
            raise ValueError(f"functions: {name}: expected 'module:function', got {place!r}")
    if len(places) < len(functions):
        raise ValueError(f"functions: one is there twice: {functions!r}")
    return {name.strip(): place for name, place in places.items()}


def function_at(name: str, place: str, given: Mapping[str, Any]) -> Callable[..., Any]:
    """The function that is meant.

    Raises:
        KeyError: the context has none of this name.
        TypeError: it is no function.
    """
    if place:
        module, _, attribute = place.partition(":")
        function = getattr(importlib.import_module(module), attribute)
    elif name in given:
        function = given[name]
    else:
        raise KeyError(
            f"no function {name!r} in ctx['cuda_jit_functions']; it has {', '.join(map(repr, given)) or 'none'}"
        )
    if not isinstance(function, types.FunctionType):
        raise TypeError(
            f"function {name!r} is a {type(function).__name__}: only a Python function can be compiled"
        )
    return function


def cuda_module(target: str = AUTO) -> Any:
    """The module that compiles.

    Raises:
        RuntimeError: none is there.
    """
    told = []
    for place in TARGETS.values() if target == AUTO else (TARGETS[target],):
        try:
            return importlib.import_module(place)
        except ImportError as error:  # also of a package that numba-cuda needs
            told.append(f"{place}: {error}")
    raise RuntimeError(
        f"numba has no CUDA in the worker environment ({'; '.join(told)}). Install numba or numba-cuda there."
    )


def ask_for_simulator() -> None:
    """Have numba simulate a GPU: before numba is imported, which tasks may do when they arrive.

    Raises:
        RuntimeError: numba is there already, without the simulator.
    """
    if "numba.cuda" in sys.modules and not is_simulator(sys.modules["numba.cuda"]):
        raise RuntimeError(
            f"numba was imported without its simulator. Set {SIMULATOR}=1 for the whole worker."
        )
    os.environ[SIMULATOR] = "1"
    config = getattr(sys.modules.get("numba.core.config"), "__dict__", {})
    if config:
        config["ENABLE_CUDASIM"] = 1


def is_simulator(cuda: Any) -> bool:
    """Whether this is numba's simulator and no GPU."""
    return "simulator" in getattr(getattr(cuda, "jit", None), "__module__", "")


def needs_device(cuda: Any) -> None:
    """Open the GPU.

    Raises:
        RuntimeError: there is none that works, with the driver's own words.
    """
    if is_simulator(cuda):
        return
    try:
        cuda.current_context()
    except Exception as error:
        words = " ".join(str(error).split())
        raise RuntimeError(f"no GPU that {cuda.__name__} can use: {type(error).__name__}: {words}") from error


def compiled(cuda: Any, function: Callable[..., Any], *, fastmath: bool) -> tuple[Any, bool]:
    """The kernel of a function, and whether it is new in this process; numba makes one for each type of arguments."""
    key = (cuda.__name__, fastmath, identity(function))
    with _lock:
        new = key not in _compiled
        if new:
            _compiled[key] = cuda.jit(function, fastmath=fastmath)
        return _compiled[key], new


def identity(value: Any, _seen: tuple[int, ...] = ()) -> Any:
    """What makes two functions the same kernel, also when each was sent with a task of its own.

    That is their code and all that the code sees: numba takes globals and closures for constants.
    """
    if isinstance(value, SCALARS):
        return type(value).__name__, value
    if isinstance(value, types.ModuleType):
        return "module", value.__name__
    if isinstance(value, tuple):
        return tuple(identity(item, _seen) for item in value)
    if not isinstance(value, types.FunctionType) or id(value) in _seen:
        return id(value)
    seen = (*_seen, id(value))
    used = sorted(name for name in value.__code__.co_names if name in value.__globals__)
    return (
        value.__code__,
        tuple(identity(cell.cell_contents, seen) for cell in value.__closure__ or ()),
        tuple((name, identity(value.__globals__[name], seen)) for name in used),
        identity(value.__defaults__ or (), seen),
    )
