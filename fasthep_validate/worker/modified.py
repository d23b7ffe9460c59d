"""Runs a task with execution modifiers around it, on the worker.

FAST-HEP's contract: a modifier is made once with its parameters and may define ``before_node(node=,
inputs=, ctx=)``, ``after_node(node=, inputs=, outputs=, ctx=)`` and ``on_node_error(node=, inputs=, ctx=,
exc=)``. ``before_node`` runs in the order given, the other two in reverse; each may change ``inputs`` in
place and record what it did under ``ctx["execution_modifier_metadata"]``.
"""

from __future__ import annotations

import importlib
import sys
import types
from dataclasses import dataclass


@dataclass(frozen=True)
class Node:
    """What a modifier is told of the task: its id, as FAST-HEP's plan nodes have it."""

    id: str


def load(spec):
    """Make the modifier of ``{"name", "impl", "source", "params"}``.

    ``source``, where given, is the text of the module: it travels with the task, so that the worker
    environment needs no package of ours.
    """
    module_name, _, class_name = spec["impl"].partition(":")
    module = _shipped(module_name, spec["source"]) if spec.get("source") else importlib.import_module(module_name)
    return getattr(module, class_name)(**spec.get("params", {}))


def _shipped(name, source):
    """The module of a text, made once a process."""
    known = sys.modules.get(name)
    if known is not None and getattr(known, "__fasthep_source__", None) in (None, source):
        return known
    module = types.ModuleType(name)
    module.__fasthep_source__ = source
    exec(compile(source, f"<{name}>", "exec"), module.__dict__)  # noqa: S102 - the user's own modifier
    sys.modules[name] = module
    return module


def run(function, inputs, *, node_id, specs, ctx=None):
    """Call ``function(**inputs)`` with the modifiers around it.

    Args:
        function: the task.
        inputs: its keyword arguments; modifiers may replace them.
        node_id: the task's name, for modifiers and messages.
        specs: modifiers in their order, as :func:`load` takes them.
        ctx: context to record in; a fresh one if not given.

    Returns:
        ``(result, ctx)``.
    """
    ctx = {} if ctx is None else ctx
    ctx.setdefault("execution_modifier_metadata", {})
    node = Node(node_id)
    modifiers = [load(spec) for spec in specs]
    try:
        _tell(modifiers, "before_node", node=node, inputs=inputs, ctx=ctx)
        outputs = function(**inputs)
        _tell(modifiers[::-1], "after_node", node=node, inputs=inputs, outputs=outputs, ctx=ctx)
    except Exception as error:
        _tell(modifiers[::-1], "on_node_error", node=node, inputs=inputs, ctx=ctx, exc=error)
        raise
    return outputs, ctx


def _tell(modifiers, event, **facts):
    for modifier in modifiers:
        method = getattr(modifier, event, None)
        if method is not None:
            method(**facts)
