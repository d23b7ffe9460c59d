"""What a run would submit, and how that is shown; nothing is started."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

from fasthep_validate.batch import way_of
from fasthep_validate.credentials.delivery import Delivery
from fasthep_validate.credentials.preflight import examine
from fasthep_validate.plan import Endpoint, Plan, scheduler_host

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from fasthep_validate.models.execution import ExecutionConfig, Pool
    from fasthep_validate.models.job import JobSpec
    from fasthep_validate.models.packed import PackedEnv
    from fasthep_validate.models.profile import SiteProfile
    from fasthep_validate.store import RunFolder


def planned(site: SiteProfile, packed: PackedEnv, folder: RunFolder) -> tuple[JobSpec, ...]:
    """The jobs of a run, written to ``folder`` but not submitted.

    The scheduler's port is 0 where the profile leaves it open: it is chosen when the scheduler starts.
    """
    way = way_of(site.execution)
    names = ("ca.pem", "worker.pem", "worker.key")
    secrets = {Path("<made for the run>") / name: name for name in names}
    scheduler = Endpoint(scheduler_host(site.execution.scheduler), site.execution.scheduler.port)
    delivery = Delivery.of(examine(site.execution))
    secrets |= delivery.files(Path("<copied for the run>"))

    def told(pool: Pool, node: str) -> dict[str, str]:
        return {**way.told(pool, node), **delivery.directives()}

    return Plan(site.execution, packed, folder, told, secrets, delivery.settings()).jobs(scheduler)


def as_json(jobs: Iterable[JobSpec], execution: ExecutionConfig) -> str:
    """The jobs, each with ``submit``: what would submit it, and ``texts``: the files written for it."""
    shown = way_of(execution).shown
    told = [{**job.model_dump(), "submit": shown(job), "texts": dict(_texts(job))} for job in jobs]
    return json.dumps(told, indent=2)


def as_text(jobs: Iterable[JobSpec], execution: ExecutionConfig) -> str:
    """The same to be read."""
    return "\n".join(line for job in jobs for line in _lines(job, way_of(execution).shown(job)))


def _lines(job: JobSpec, submit: Mapping[str, str]) -> Iterator[str]:
    yield f"# job {job.worker} (pool {job.pool})"
    yield f"executable = {job.executable}"
    yield f"arguments  = {' '.join(job.arguments)}"
    yield from (f"directive    {name} = {value}" for name, value in job.directives.items())
    yield from (f"transfer     {source} -> {name}" for source, name in job.transfer.items())
    for name, text in (*submit.items(), *_texts(job)):
        yield f"--- {name}"
        yield text.rstrip()
    yield ""


def _texts(job: JobSpec) -> Iterator[tuple[str, str]]:
    """The files that are written for this job; those of the package are the same for all."""
    for source, name in job.transfer.items():
        path = Path(source)
        if path.parent.name == job.worker and path.exists():
            yield name, path.read_text(encoding="utf-8")
