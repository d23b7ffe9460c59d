"""Execution modifiers in a worker process: a Dask plugin brings them, tasks find them by their names.

The scheduler hands the plugin to every worker that registers, also to those that come late.
"""

from __future__ import annotations

import sys
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any

import cloudpickle
from distributed.diagnostics.plugin import WorkerPlugin

if TYPE_CHECKING or __package__:
    from fasthep_validate.worker import modified
else:
    import modified

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from types import ModuleType
    from typing import TypedDict

    from distributed import Client

    from fasthep_validate.worker.modified import Spec

    class Source(TypedDict):
        """An implementation as it travels; see ``models.execution.ModifierSource``."""

        name: str
        impl: str
        source: str | None


PLUGIN = "fasthep-modifiers"


async def install(client: Client, sources: Sequence[Source], run_wide: Sequence[Spec]) -> None:
    """Have every worker that comes bring the execution modifiers along; see :func:`plugin`."""
    for module in (modified, sys.modules[__name__]):
        cloudpickle.register_pickle_by_value(module)
    await client.register_plugin(plugin(modified, sources, run_wide), name=PLUGIN)


def plugin(module: ModuleType, sources: Sequence[Source], run_wide: Sequence[Spec]) -> WorkerPlugin:
    """The plugin.

    Its class is made here, so that it cannot be pickled by its name: the worker environment has no such module.

    Args:
        module: ``modified.py``; it travels too.
        sources: all modifiers that are registered.
        run_wide: those around every task, in their order, with parameters.
    """
    known = {source["name"]: source for source in sources}

    class Modifiers(WorkerPlugin):
        """The modifiers of a run in one worker."""

        name = PLUGIN

        def __init__(self) -> None:
            self.problems: dict[str, str] = {}

        def setup(self, worker: Any) -> None:  # noqa: ARG002 - Dask's own signature
            """Make the sources importable and every modifier of the run once, so that mistakes show early.

            One that cannot be made does not keep the worker from coming: tasks that need it say so.
            """
            for source in sources:
                if source["source"] is not None:
                    module.provide(source["impl"].partition(":")[0], source["source"])
            for spec in run_wide:
                try:
                    module.load(spec).install()
                except module.ModifierError as error:
                    self.problems[spec["name"]] = str(error)

        def spec(self, name: str, params: Mapping[str, Any]) -> Spec:
            """A modifier of a stage by its name.

            Raises:
                ModifierError: none of this name is registered.
            """
            if name not in known:
                close = get_close_matches(name, known, n=1)
                hint = f"Did you mean {close[0]!r}?" if close else f"Known: {', '.join(sorted(known))}."
                raise module.ModifierError(f"{name}: no such modifier is registered. {hint}")
            found = known[name]
            return {"name": name, "impl": found["impl"], "source": found["source"], "params": dict(params)}

        def run(
            self,
            function: Callable[..., Any],
            inputs: dict[str, Any],
            *,
            node_id: str,
            stage: Sequence[tuple[str, Mapping[str, Any]]] = (),
            ctx: dict[str, Any] | None = None,
        ) -> tuple[Any, dict[str, Any]]:
            """Call a task with the modifiers of the run and of its stage around it; see ``modified.run``."""
            of_stage = [self.spec(name, params) for name, params in stage]
            specs = module.combined(run_wide, of_stage)
            done: tuple[Any, dict[str, Any]] = module.run(
                function, inputs, node_id=node_id, specs=specs, ctx=ctx
            )
            return done

    return Modifiers()
