"""Tasks of one's own with execution modifiers around them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence


def with_modifiers(
    function: Callable[..., Any],
    *,
    node: str = "",
    modifiers: Sequence[str | tuple[str, Mapping[str, Any]]] = (),
    ctx: Mapping[str, Any] | None = None,
) -> Callable[..., Any]:
    """A task for a client of our pools, with the modifiers of the run around it, and those of its stage.

    Example::

        with open_pools(load_site("mysite")) as pools:
            task = with_modifiers(select, modifiers=[("gpu.preload", {"fields": ["pt"]})])
            pools.client.submit(task, stream=events).result()

    Args:
        function: the task; it is called with keyword arguments, and given ``ctx`` if it takes that.
        node: its name, for what modifiers record; by default the function's.
        modifiers: those of the stage, names or ``(name, parameters)``, after those of the run. One that the run has
            too keeps its place, with these parameters.
        ctx: what the context holds before the first modifier, such as ``cuda_jit_functions``.

    Returns:
        A function of the same keyword arguments. It raises ``ModifierError`` when a modifier cannot be made or fails,
        and what the task raises as it is.
    """
    stage = [(item, {}) if isinstance(item, str) else (item[0], dict(item[1])) for item in modifiers]
    node_id = node or getattr(function, "__name__", "task")
    given = dict(ctx or {})

    def call(**inputs: Any) -> Any:
        """Runs in the worker, which has no package of ours: everything it needs is in this closure or there."""
        from distributed import get_worker

        plugin: Any = get_worker().plugins["fasthep-modifiers"]
        result, _ = plugin.run(function, inputs, node_id=node_id, stage=stage, ctx=dict(given))
        return result

    call.__name__ = node_id
    return call
