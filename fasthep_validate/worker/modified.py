"""Runs a task with execution modifiers around it, on the worker.

FAST-HEP's contract, as fasthep-flow 2026.10.1 has it: a modifier is a class that is made with its
parameters, or an object that is there already. It defines at least one of ``before_node(node=, inputs=,
ctx=)``, ``around_node(node=, inputs=, ctx=)`` (a context manager), ``after_node(node=, inputs=, outputs=,
ctx=)`` and ``on_node_error(node=, inputs=, ctx=, exc=)``. The first two are called in the order given, the
others in reverse. Each may change ``inputs`` in place, finds its parameters in ``ctx`` as well, and records
what it did under ``ctx["execution_modifier_metadata"]``.
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib
import importlib.util
import inspect
import sys
import types
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import TypedDict

    class Spec(TypedDict):
        """A modifier as it travels.

        Attributes:
            name: its registered name.
            impl: ``module:Class``.
            source: text of the module when it travels too: the worker environment then needs no
                package of ours.
            params: parameters of the class.
        """

        name: str
        impl: str
        source: str | None
        params: dict[str, Any]


EVENTS = ("before_node", "around_node", "after_node", "on_node_error")


class ModifierError(RuntimeError):
    """A modifier could not be made, or failed around a task."""


@dataclass(frozen=True)
class Node:
    """What a modifier is told of the task: its id, as FAST-HEP's plan nodes have it."""

    id: str


@dataclass(frozen=True)
class Modifier:
    """A modifier that is ready, with its name and parameters."""

    name: str
    params: dict[str, Any]
    hook: Any

    def install(self) -> None:
        """Call its ``install()``, if it has one: something to do once in a process, before any task.

        Raises:
            ModifierError: it failed.
        """
        try:
            getattr(self.hook, "install", lambda: None)()
        except Exception as error:
            raise ModifierError(f"{self.name}: install failed: {_words(error)}") from error

    def tell(self, event: str, **facts: Any) -> Any:
        """Call its method for an event, if it has one.

        Raises:
            ModifierError: the method failed.
        """
        method = getattr(self.hook, event, None)
        if method is None:
            return None
        facts["ctx"].update(self.params)
        try:
            return method(**facts)
        except Exception as error:
            raise ModifierError(
                f"{self.name}: {event} of task '{facts['node'].id}' failed: {_words(error)}"
            ) from error


def load(spec: Spec) -> Modifier:
    """Make a modifier.

    Raises:
        ModifierError: its module or class is not there, takes other parameters, or is no modifier.
    """
    name, params = spec["name"], dict(spec["params"])
    module_name, _, attribute = spec["impl"].partition(":")
    try:
        source = spec["source"]
        module = importlib.import_module(module_name) if source is None else _shipped(module_name, source)
        made = getattr(module, attribute)
        hook = made(**params) if isinstance(made, type) else made
    except Exception as error:
        raise ModifierError(f"{name}: {spec['impl']} cannot be made: {_words(error)}") from error
    if not any(callable(getattr(hook, event, None)) for event in EVENTS):
        raise ModifierError(f"{name}: {spec['impl']} is no modifier: it has none of {', '.join(EVENTS)}")
    return Modifier(name, params, hook)


def _shipped(name: str, source: str) -> types.ModuleType:
    """The module of a text, made once a process.

    Its name in ``sys.modules`` is its own: another text, or a module of the environment, may have ``name``.
    """
    key = f"{name}_{hashlib.sha256(source.encode()).hexdigest()[:12]}"
    if key in sys.modules:
        return sys.modules[key]
    module = types.ModuleType(key, f"Sent to this process as {name}.")
    code = compile(source, f"<{name}>", "exec")
    sys.modules[key] = module  # dataclasses look their module up while it is being made
    try:
        exec(code, module.__dict__)  # noqa: S102 - the user's own modifier
    except BaseException:
        del sys.modules[key]
        raise
    return module


def provide(name: str, source: str) -> None:
    """Make the module of a text importable by its name too, unless the environment has one of this name."""
    if name not in sys.modules and importlib.util.find_spec(name) is None:
        sys.modules[name] = _shipped(name, source)


def combined(run_wide: Sequence[Spec], stage: Sequence[Spec]) -> list[Spec]:
    """The modifiers of a task in their order: those of the run, then those of its stage.

    A stage that names a modifier of the run changes its parameters, and not its place.
    """
    of_stage = {spec["name"]: spec for spec in stage}
    return [of_stage.pop(spec["name"], spec) for spec in run_wide] + list(of_stage.values())


def run(
    function: Callable[..., Any],
    inputs: dict[str, Any],
    *,
    node_id: str,
    specs: Sequence[Spec],
    ctx: dict[str, Any] | None = None,
) -> tuple[Any, dict[str, Any]]:
    """Call ``function(**inputs)`` with the modifiers around it.

    Args:
        function: the task; with a parameter ``ctx`` it is given the context.
        inputs: its keyword arguments; modifiers may replace them.
        node_id: the task's name, for modifiers and messages.
        specs: modifiers in their order.
        ctx: context to record in; a fresh one if not given.

    Returns:
        ``(result, ctx)``.

    Raises:
        ModifierError: a modifier could not be made, or failed. What the task raises is passed on.
    """
    ctx = {} if ctx is None else ctx
    ctx.setdefault("execution_modifier_metadata", {})
    modifiers = [load(spec) for spec in specs]
    told = {"ctx": ctx} if "ctx" not in inputs and _takes_context(function) else {}
    facts = {"node": Node(node_id), "inputs": inputs, "ctx": ctx}
    try:
        with contextlib.ExitStack() as around:
            for modifier in modifiers:
                context = modifier.tell("around_node", **facts)
                if context is not None:
                    around.enter_context(context)
            for modifier in modifiers:
                modifier.tell("before_node", **facts)
            outputs = function(**inputs, **told)
            for modifier in reversed(modifiers):
                modifier.tell("after_node", outputs=outputs, **facts)
    except Exception as error:
        with contextlib.suppress(ModifierError):  # must not hide what went wrong first
            for modifier in reversed(modifiers):
                modifier.tell("on_node_error", exc=error, **facts)
        raise
    return outputs, ctx


def _takes_context(function: Callable[..., Any]) -> bool:
    try:
        return "ctx" in inspect.signature(function).parameters
    except (TypeError, ValueError):  # some functions of C have no signature
        return False


def _words(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}"
