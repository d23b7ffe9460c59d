"""An array module in place of CuPy: a device with little memory, whose transfers are counted.

It shows what ``gpu.preload`` does with a device. It does not show that it works on one.
"""

from __future__ import annotations

import weakref
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np


class DeviceArray(np.ndarray[Any, Any]):
    """An array on the device."""


class Device:
    """What a device has and has done.

    Attributes:
        memory: its bytes.
        to_device: bytes of each transfer there.
        to_host: bytes of each transfer back.
    """

    def __init__(self, memory: int) -> None:
        self.memory = memory
        self.to_device: list[int] = []
        self.to_host: list[int] = []
        self.freed = 0
        self._arrays: list[weakref.ref[DeviceArray]] = []

    def used(self) -> int:
        """Bytes of the arrays that anybody still holds."""
        return sum(array.nbytes for ref in self._arrays if (array := ref()) is not None)

    def asarray(self, value: Any) -> Any:
        """A copy on the device."""
        if isinstance(value, DeviceArray):
            return value
        if self.used() + np.asarray(value).nbytes > self.memory:
            raise MemoryError("out of memory")
        array = np.array(value).view(DeviceArray)
        self._arrays.append(weakref.ref(array))
        self.to_device.append(array.nbytes)
        return array

    def asnumpy(self, value: Any) -> Any:
        """A copy in the host's memory."""
        self.to_host.append(value.nbytes)
        return np.array(value, subok=False)

    def free_all_blocks(self) -> None:
        """CuPy's pools give back what is free."""
        self.freed += 1

    def module(self) -> ModuleType:
        """A module with the names of CuPy that are used."""
        pool = SimpleNamespace(
            free_all_blocks=self.free_all_blocks, used_bytes=self.used, free_bytes=lambda: 0
        )
        info = SimpleNamespace(
            driverGetVersion=lambda: 12040, memGetInfo=lambda: (self.memory - self.used(), self.memory)
        )
        module = ModuleType("cupy")
        vars(module).update(
            ndarray=DeviceArray,
            asarray=self.asarray,
            asnumpy=self.asnumpy,
            get_default_memory_pool=lambda: pool,
            get_default_pinned_memory_pool=lambda: pool,
            cuda=SimpleNamespace(runtime=info),
        )
        return module
