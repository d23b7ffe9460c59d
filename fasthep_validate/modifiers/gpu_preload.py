"""``gpu.preload``: named fields of a stream go to the GPU before a task, what the task made comes back after.

It stands alone, for it travels to the worker as text. A stream is a mapping of arrays, an Awkward array with
fields or a structured NumPy array. The fields that are not named stay where they are.
"""

from __future__ import annotations

import importlib
from collections.abc import MutableMapping
from dataclasses import dataclass, field
from typing import Any

NAME = "gpu.preload"
SHARE = 0.9  # of the device's free memory that fields may take; the task itself needs some


class Fields(dict):  # type: ignore[type-arg]
    """A stream whose fields lie in different places: an Awkward array lies on one device as a whole."""

    @property
    def fields(self) -> list[str]:
        """Names of the fields, as an Awkward array has them."""
        return list(self)


class Cupy:
    """The device, by CuPy.

    Raises:
        RuntimeError: CuPy is not there.
    """

    simulated = False

    def __init__(self) -> None:
        try:
            self.cupy = importlib.import_module("cupy")
        except ModuleNotFoundError as error:
            raise RuntimeError(
                f"CuPy is not in the worker environment ({error}). Install cupy-cuda12x or cupy-cuda13x there."
            ) from error

        if not self.cupy.cuda.runtime.driverGetVersion():  # CuPy's own words would be those for an old driver
            raise RuntimeError("CUDA driver library cannot be found: CuPy sees no NVIDIA driver on this node")

    def holds(self, value: Any) -> bool:
        """Whether a value is on the device."""
        if is_awkward(value):
            return bool(importlib.import_module("awkward").backend(value) == "cuda")
        return isinstance(value, self.cupy.ndarray)

    def put(self, value: Any) -> Any:
        """A copy on the device."""
        if is_awkward(value):
            return importlib.import_module("awkward").to_backend(value, "cuda")
        return self.cupy.asarray(value)

    def fetch(self, value: Any) -> Any:
        """A copy in the host's memory."""
        if is_awkward(value):
            return importlib.import_module("awkward").to_backend(value, "cpu")
        return self.cupy.asnumpy(value)

    def free(self) -> int:
        """Bytes that can still be had: the device's free memory, and what CuPy keeps for later."""
        free, _ = self.cupy.cuda.runtime.memGetInfo()
        return int(free) + int(self.cupy.get_default_memory_pool().free_bytes())

    def release(self) -> int:
        """Give memory that nobody uses back to the device; returns the bytes still in use."""
        pool = self.cupy.get_default_memory_pool()
        pool.free_all_blocks()
        self.cupy.get_default_pinned_memory_pool().free_all_blocks()
        return int(pool.used_bytes())


class Simulated:
    """No device: copies in the host's memory, so that everything but the GPU can be tried."""

    simulated = True

    def __init__(self) -> None:
        numpy = importlib.import_module("numpy")
        self.array: Any = type("SimulatedArray", (numpy.ndarray,), {})
        self.numpy = numpy

    def holds(self, value: Any) -> bool:
        """Whether a value is one of our copies."""
        return type(value).__name__ == "SimulatedArray"

    def put(self, value: Any) -> Any:
        """A marked copy."""
        if is_awkward(value):
            return importlib.import_module("awkward").copy(value)
        return self.numpy.array(value).view(self.array)

    def fetch(self, value: Any) -> Any:
        """A plain copy."""
        return self.numpy.array(value, subok=False)

    def free(self) -> int:
        """As much as anybody asks for."""
        return 2**63 - 1

    def release(self) -> int:
        """There is nothing to give back."""
        return 0


DEVICES: dict[str, Any] = {"cupy": Cupy, "simulated": Simulated}
ON_MISSING = ("error", "ignore")


@dataclass
class Moved:
    """What was done to the inputs of a task.

    Attributes:
        stream: the stream as it was.
        device: where fields went.
        entry: what is recorded of it.
    """

    stream: Any
    device: Any
    entry: dict[str, Any] = field(default_factory=dict)


class GpuPreload:
    """Moves fields of ``inputs["stream"]`` to the GPU.

    Args:
        fields: their names.
        backend: ``cupy``; ``simulated`` copies in the host's memory and says so in what it records.
        on_missing: ``error``, or ``ignore`` for a field that the stream does not have.
        max_bytes: what the fields of one task may take on the device; by default nine tenths of its free memory.
        bring_back: whether device arrays in what the task made go back to the host; they are looked for in
            mappings and lists, for a result that is an array by itself cannot be replaced.
    """

    def __init__(
        self,
        *,
        fields: list[str] | None = None,
        backend: str = "cupy",
        on_missing: str = "error",
        max_bytes: int | None = None,
        bring_back: bool = True,
    ) -> None:
        self.fields = names_of(fields)
        self.backend = one_of("backend", backend, tuple(DEVICES))
        self.on_missing = one_of("on_missing", on_missing, ON_MISSING)
        if max_bytes is not None and (isinstance(max_bytes, bool) or not isinstance(max_bytes, int)):
            raise ValueError(f"max_bytes: expected a number of bytes, got {max_bytes!r}")
        self.max_bytes = max_bytes
        self.bring_back = bring_back
        self._moved: dict[int, Moved] = {}

    def before_node(self, *, node: Any, inputs: dict[str, Any], ctx: dict[str, Any], **_: Any) -> None:
        """Put a stream with the named fields on the device in place of ``inputs["stream"]``."""
        if "stream" not in inputs:
            raise ValueError("the task has no input 'stream'")
        stream = inputs["stream"]
        wanted = self._present(stream)
        device = DEVICES[self.backend]()
        there = [name for name in wanted if device.holds(stream[name])]
        hosts = {name: movable(name, stream[name]) for name in wanted if name not in there}
        size = self._fits(hosts, device)
        inputs["stream"] = laid_over(stream, hosts, device)
        entry = {
            "node": str(node.id),
            "fields": wanted,
            "backend": self.backend,
            "bytes": size,
            "already_there": there,
            "simulated": device.simulated,
        }
        ctx.setdefault("execution_modifier_metadata", {}).setdefault(NAME, []).append(entry)
        self._moved[id(inputs)] = Moved(stream, device, entry)

    def after_node(self, *, inputs: dict[str, Any], outputs: Any, **_: Any) -> None:
        """Bring back what the task made, and let go of what was moved for it."""
        moved = self._moved.get(id(inputs))
        if moved is not None and self.bring_back:
            brought_back(outputs, moved.device)
        self._let_go(inputs)

    def on_node_error(self, *, inputs: dict[str, Any], **_: Any) -> None:
        """Let go of what was moved for a task that failed."""
        self._let_go(inputs)

    def _let_go(self, inputs: dict[str, Any]) -> None:
        moved = self._moved.pop(id(inputs), None)
        if moved is not None:
            inputs["stream"] = moved.stream
            moved.entry["in_use_after"] = moved.device.release()

    def _present(self, stream: Any) -> list[str]:
        known = fields_of(stream)
        missing = [name for name in self.fields if name not in known]
        if missing and self.on_missing == "error":
            raise KeyError(
                f"no field {missing[0]!r} in the stream; it has {', '.join(map(repr, known)) or 'none'}"
            )
        return [name for name in self.fields if name in known]

    def _fits(self, hosts: dict[str, Any], device: Any) -> int:
        """Bytes of the fields that are to be moved.

        Raises:
            MemoryError: the device has no room for them.
        """
        size = sum({id(value): int(value.nbytes) for value in hosts.values()}.values())
        room = int(SHARE * device.free())
        if self.max_bytes is not None and size > self.max_bytes:
            raise MemoryError(
                f"the fields take {size} bytes, max_bytes allows {self.max_bytes}. Use smaller partitions."
            )
        if size > room:
            raise MemoryError(
                f"the fields take {size} bytes, the device has room for {room}. Use smaller partitions."
            )
        return size


def names_of(fields: Any) -> list[str]:
    """The names of the fields.

    Raises:
        ValueError: there are none, one is there twice, or something is no name.
    """
    if not isinstance(fields, (list, tuple)) or not fields:
        raise ValueError(f"fields: expected a list of names, got {fields!r}")
    if not all(isinstance(name, str) and name.strip() for name in fields):
        raise ValueError(f"fields: expected names, got {fields!r}")
    names = [name.strip() for name in fields]
    if len(set(names)) < len(names):
        raise ValueError(f"fields: one is there twice: {names!r}")
    return names


def one_of(what: str, value: Any, known: tuple[str, ...]) -> str:
    """A value that is one of the known ones.

    Raises:
        ValueError: it is not.
    """
    if value not in known:
        raise ValueError(f"{what}: {value!r} is not one of {', '.join(known)}")
    return str(value)


def is_awkward(value: Any) -> bool:
    """Whether a value is an Awkward array, without importing awkward."""
    return type(value).__module__.partition(".")[0] == "awkward" and type(value).__name__ == "Array"


def fields_of(stream: Any) -> list[str]:
    """Names of the fields of a stream.

    Raises:
        TypeError: it has no fields.
    """
    if isinstance(stream, MutableMapping):
        return list(stream)
    if is_awkward(stream):
        return list(stream.fields)
    names = getattr(getattr(stream, "dtype", None), "names", None)
    if names:
        return list(names)
    raise TypeError(
        f"a stream of type {type(stream).__name__} has no fields: expected a mapping, an Awkward array of records "
        "or a structured NumPy array"
    )


def movable(name: str, value: Any) -> Any:
    """A field as an array of numbers in the host's memory.

    Raises:
        TypeError: it is none.
    """
    if is_awkward(value):
        return value
    array = importlib.import_module("numpy").asarray(value)
    if array.dtype.kind not in "biufc":
        raise TypeError(
            f"field {name!r} of type {type(value).__name__} ({array.dtype}) cannot be moved to a GPU"
        )
    return array


def put_once(hosts: dict[str, Any], device: Any) -> dict[str, Any]:
    """The fields on the device; two names of one array become two names of one copy."""
    copies: dict[int, Any] = {}
    for value in hosts.values():
        if id(value) not in copies:
            copies[id(value)] = device.put(value)
    return {name: copies[id(value)] for name, value in hosts.items()}


def laid_over(stream: Any, hosts: dict[str, Any], device: Any) -> Any:
    """A stream with these fields on the device; the one that was given stays as it is."""
    names = fields_of(stream)
    if not hosts:
        return stream
    if is_awkward(stream) and len(hosts) == len(names):
        return device.put(stream)  # keeps what it is: its record's name and behaviour
    moved = put_once(hosts, device)
    kept = {name: moved[name] if name in moved else stream[name] for name in names}
    return kept if type(stream) is dict else Fields(kept)


def brought_back(value: Any, device: Any) -> Any:
    """A value without device arrays; mappings and lists are changed in place."""
    if device.holds(value):
        return device.fetch(value)
    if isinstance(value, (MutableMapping, list)):
        for key in value if isinstance(value, MutableMapping) else range(len(value)):
            inner = brought_back(value[key], device)
            if inner is not value[key]:
                value[key] = inner
    return value
