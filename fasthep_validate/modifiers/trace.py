"""``fasthep.trace``: a modifier that changes nothing and says where and when it ran.

It stands alone, for it travels to the worker as text.
"""

from __future__ import annotations

import os
import socket
import sys
import time
from typing import Any


class Trace:
    """Records every call under ``ctx["execution_modifier_metadata"]["fasthep.trace"]``."""

    def before_node(self, *, node: Any, inputs: dict[str, Any], ctx: dict[str, Any]) -> None:
        """Record that the task is about to run, and with which inputs."""
        self._record(ctx, "before_node", node, sorted(inputs))

    def after_node(self, *, node: Any, inputs: dict[str, Any], outputs: Any, ctx: dict[str, Any]) -> None:
        """Record that the task ended, and the type of what it made."""
        self._record(ctx, "after_node", node, [*sorted(inputs), type(outputs).__name__])

    @staticmethod
    def _record(ctx: dict[str, Any], event: str, node: Any, names: list[str]) -> None:
        entry = {
            "event": event,
            "node": str(node.id),
            "names": names,
            "hostname": socket.gethostname(),
            "pid": os.getpid(),
            "prefix": sys.prefix,
            "time": time.time(),
        }
        ctx.setdefault("execution_modifier_metadata", {}).setdefault("fasthep.trace", []).append(entry)
