"""Whether a FAST-HEP workflow has what it needs at the site; with ``--workflow``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fasthep_validate.causes import why_unread
from fasthep_validate.outcomes import fail, not_applicable, warn

if TYPE_CHECKING:
    from fasthep_validate.models.workflow import WorkflowNeeds, WorkflowSeen
    from fasthep_validate.view import Run, Worker


def test_resources_offered(run: Run) -> None:
    """Every resource that a stage of the workflow requires is that of a pool.

    Remedy: add a pool with these resources to the workflow's execution block or to the profile.
    """
    needs = _needs(run)
    offered = {pool.resource_name for pool in run.execution.pools}
    lacking = {name: stages for name, stages in needs.require.items() if name not in offered}
    told = "; ".join(f"{name!r} is required by {', '.join(stages)}" for name, stages in lacking.items())
    assert not lacking, f"{told}; pools offer {', '.join(sorted(offered))}"
    wished = set(needs.prefer) - offered
    if wished and not set(needs.fallback) & offered:
        warn(f"{', '.join(sorted(wished))} is preferred, and no pool offers it; any worker is taken")


def test_fasthep_versions_equal(worker: Worker) -> None:
    """The worker has the same FAST-HEP packages, of the same versions, as the submit host.

    Remedy: run the command with the environment that is packed, or install the missing packages there.
    """
    needs, seen = _needs(worker.run), _seen(worker)
    wrong = [
        f"{name} is {version} here and {seen.versions.get(name, 'not there')} on the worker"
        for name, version in needs.versions.items()
        if seen.versions.get(name) != version
    ]
    assert not wrong, "; ".join(wrong)


def test_implementations_importable(worker: Worker) -> None:
    """What the workflow's stages and products are made of can be imported on the worker; modifiers can be made.

    Remedy: install it in the environment that is packed, or name your own modules under environment.code; see the
    parameters of a modifier that cannot be made.
    """
    _needs(worker.run)
    broken = [f"{spec}: {error}" for spec, error in _seen(worker).implementations.items() if error]
    assert not broken, "; ".join(broken)


def test_inputs_reachable(worker: Worker) -> None:
    """The worker can read the input files of the workflow, or they are small enough to travel with tasks.

    Remedy: put them on a shared filesystem, or on storage that workers can read, and see the checks of
    credentials and storage where they are remote.
    """
    needs, seen = _needs(worker.run), {item.name: item for item in _seen(worker).inputs}
    if not needs.inputs:
        not_applicable("the workflow reads no files")
    lost = [item for item in needs.inputs if seen[item.name].error and not item.travels]
    told = "; ".join(f"{item.name}: {seen[item.name].error}" for item in lost)
    remote = next((item.name for item in lost if item.remote), None)
    if remote:
        cause, shown = why_unread(seen[remote].error, worker.probe.credentials or ())
        fail(f"{told} ({shown})" if shown else told, cause=cause.id)
    assert not lost, told
    changed = [
        f"{item.name} has {seen[item.name].size} bytes there and {item.size} here"
        for item in needs.inputs
        if None not in (item.size, seen[item.name].size) and item.size != seen[item.name].size
    ]
    assert not changed, "; ".join(changed)


def _needs(run: Run) -> WorkflowNeeds:
    if run.site.workflow is None:
        not_applicable("no workflow was given")
    return run.site.workflow


def _seen(worker: Worker) -> WorkflowSeen:
    return worker.dask.workflow
