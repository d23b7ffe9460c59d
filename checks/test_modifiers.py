"""Whether execution modifiers do their work on the worker."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fasthep_validate.outcomes import Blocked, not_applicable, simulated, warn

if TYPE_CHECKING:
    from pydantic import JsonValue

    from fasthep_validate.models.evidence import ModifierRun
    from fasthep_validate.view import Worker


def test_ran_around_task(worker: Worker) -> None:
    """The modifiers of the profile ran on the worker around a task, in their order, and say so.

    Remedy: see the error: a modifier that cannot be imported has to be in the environment that is packed, or be
    registered in the profile with its source.
    """
    run = _modifier_run(worker)
    assert not run.error, run.error
    planned = tuple(modifier.name for modifier in worker.run.execution.modifiers)
    assert run.modifiers == planned, f"ran {', '.join(run.modifiers) or 'none'}; planned {', '.join(planned)}"
    assert run.metadata, "no modifier recorded that it ran"
    silent = [name for name in planned if name not in run.metadata]
    if silent:
        warn(f"nothing was recorded by {', '.join(silent)}: whether it ran is not known")
    unreal = [name for name, entries in run.metadata.items() if _is_simulated(entries)]
    if unreal:
        simulated(f"{', '.join(unreal)} ran without a GPU, on a simulator")


def test_result_right(worker: Worker) -> None:
    """The task with modifiers around it returns what it returns without them.

    Remedy: take modifiers out one by one, to find the one that changes the result.
    """
    run = _undisturbed(worker)
    assert run.result == run.expected, f"the result is {run.result!r}, expected {run.expected!r}"
    if any(map(_is_simulated, run.metadata.values())):
        simulated("the result is right, and was computed without a GPU, on a simulator")


def test_ran_in_worker_environment(worker: Worker) -> None:
    """Modifiers ran on the worker's node, in the worker's environment.

    Remedy: report it; modifiers that run elsewhere prove nothing about the worker.
    """
    run = _undisturbed(worker)
    assert run.hostname == worker.dask.hostname, (
        f"ran on {run.hostname or '?'}, the worker is {worker.dask.hostname}"
    )
    prefix = worker.python.prefix
    assert run.prefix == prefix, f"ran with the environment {run.prefix or '?'}, the worker has {prefix}"


def _modifier_run(worker: Worker) -> ModifierRun:
    if not worker.run.execution.modifiers:
        not_applicable("the profile has no modifiers")
    return worker.dask.modifier_run


def _is_simulated(entries: JsonValue) -> bool:
    """Whether a modifier recorded that there was no GPU behind it."""
    records = entries if isinstance(entries, list) else [entries]
    return any(isinstance(record, dict) and record.get("simulated") is True for record in records)


def _undisturbed(worker: Worker) -> ModifierRun:
    """The run, unless a modifier broke it: that is one failure, not three."""
    run = _modifier_run(worker)
    if run.error:
        raise Blocked(by=f"modifiers.ran-around-task[{worker.id}]")
    return run
