"""Evidence to test checks with: good by default, changed in one place by the test.

A check of one's own is tested in six lines, without a cluster. Import its module and not the function, which
pytest would take for a test of the importing file::

    from fasthep_validate.testing import changed, compute, good_run, good_worker
    from my_checks import test_site

    def test_an_older_python_is_found(tmp_path):
        old = changed(good_worker("default-0"), "probe.python.version", "3.11.2")
        run = good_run(tmp_path, workers=(old,))
        assert compute(test_site.test_python_is_312, run.workers["default-0"]).outcome == "fail"
        assert compute(test_site.test_python_is_312, run.workers["default-1"]).outcome == "pass"

The run has two workers in the pool ``default``, packed, over TLS, with ports, resources and a modifier that
the profile asks for, so that every check has an object. Addresses are those of RFC 5737.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from fasthep_validate.models.base import Model
from fasthep_validate.models.event import PHASES, Event, Phase
from fasthep_validate.outcomes import Finding, judge
from fasthep_validate.store import RunFolder, write_model
from fasthep_validate.testing.good import NOW, good_pack, good_site, good_submit, good_worker
from fasthep_validate.view import Run, Worker

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

    from fasthep_validate.models.evidence import SubmitEvidence, WorkerEvidence
    from fasthep_validate.models.packed import PackedEnv
    from fasthep_validate.models.profile import SiteProfile

__all__ = [
    "broken",
    "changed",
    "compute",
    "good_pack",
    "good_run",
    "good_site",
    "good_submit",
    "good_worker",
]

M = TypeVar("M", bound=Model)
Subject = TypeVar("Subject", Run, Worker)


def compute(check: Callable[[Subject], object], subject: Subject) -> Finding:
    """The outcome of a check of one worker, or of the run, with what it has to say."""
    return judge(lambda: check(subject))


def changed(model: M, path: str, value: object) -> M:
    """A copy of evidence (or of any other model) with one field replaced.

    Args:
        model: what to start from, such as ``good_worker()``.
        path: the field, with dots: ``probe.python.version``.
        value: its new value, of the field's type; ``None`` takes optional evidence away.

    Raises:
        ValueError: there is no such field, or the value does not fit it.
    """
    name, _, rest = path.partition(".")
    if name not in type(model).model_fields:
        raise ValueError(f"{path}: {type(model).__name__} has no field {name!r}")
    inner = getattr(model, name)
    if rest and not isinstance(inner, Model):
        raise ValueError(f"{path}: {name!r} holds no fields of its own here; replace it as a whole")
    update = changed(inner, rest, value) if rest else value
    return type(model).model_validate({**dict(model), name: update})


def broken(evidence: WorkerEvidence, phase: Phase, *, code: str = "", detail: str = "") -> WorkerEvidence:
    """Evidence of a worker whose start failed in ``phase``: nothing that comes later is there."""
    reached = PHASES.index(phase)
    kept = [event for event in evidence.events if PHASES.index(event.phase) < reached]
    failure = Event(worker=evidence.worker, phase=phase, state="fail", time=NOW, code=code, detail=detail)
    return evidence.model_copy(
        update={
            "events": (*kept, failure),
            "job": evidence.job.model_copy(update={"state": "exited", "exit_code": 1}),
            "probe": evidence.probe if reached > PHASES.index("python") else None,
            "dask": evidence.dask if reached > PHASES.index("first_task") else None,
        }
    )


def good_run(
    folder: Path,
    *,
    site: SiteProfile | None = None,
    pack: PackedEnv | None = None,
    submit: SubmitEvidence | None = None,
    workers: Iterable[WorkerEvidence] = (),
) -> Run:
    """Write a run folder and load it.

    Args:
        folder: an empty folder for the run.
        site: its profile; :func:`good_site` if not given.
        pack: its environment; :func:`good_pack` if not given.
        submit: the submit host's evidence; :func:`good_submit` if not given.
        workers: those whose evidence is not :func:`good_worker`.
    """
    site = site or good_site()
    layout = RunFolder(folder)
    layout.create()
    write_model(folder / "profile.json", site)
    write_model(folder / "execution.json", site.execution)
    write_model(folder / "pack.json", pack or good_pack())
    write_model(layout.evidence / "submit.json", submit or good_submit())
    ids = site.execution.worker_ids()
    planned = {worker: good_worker(worker, among=ids) for worker in ids}
    for evidence in ({**planned, **{evidence.worker: evidence for evidence in workers}}).values():
        write_model(layout.evidence / f"{evidence.worker}.json", evidence)
        for log in evidence.logs:
            (folder / log.path).write_text("\n".join(log.tail) + "\n")
    return Run.load(folder)
