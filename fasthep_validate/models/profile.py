"""What a site offers and expects: the validated site profile, stored as ``profile.json``."""

from __future__ import annotations

from datetime import date
from typing import Annotated

from pydantic import Field

from fasthep_validate.models.base import Model
from fasthep_validate.models.execution import ExecutionConfig
from fasthep_validate.models.workflow import WorkflowNeeds
from fasthep_validate.models.written import Duration, Natural, Size, Text, Written


class KnownFailure(Written):
    """A failure that is accepted until a date."""

    check: Text
    """Id of the check; ``*`` and ``?`` are wildcards."""
    worker: Text = "*"
    """Planned worker; wildcards as above."""
    reason: Text
    """Why it is accepted."""
    until: date
    """Last day on which it is accepted."""


class GpuReference(Written):
    """What a GPU of the site does when all is well; measured figures are in the table of ``gpu.speed``."""

    to_device: Size | None = None
    """Bytes per second from the host to the GPU, such as ``20 GB``."""
    to_host: Size | None = None
    """Bytes per second back."""
    kernel: Size | None = None
    """Floating-point operations per second in single precision, such as ``15 T``."""


class GpuSettings(Written):
    """What the checks expect of GPUs; they are for pools that ask for ``gpus``."""

    min_free: Size = 0
    """Bytes that must be free on the GPU."""
    reference: GpuReference = GpuReference()
    """What its speed is compared with."""
    tolerated: Annotated[float, Field(gt=0, le=1)] = 0.7
    """Share of the reference that is still good enough."""
    simulate: bool = False
    """Try everything but the GPU: numba's simulator stands in, and all checks of GPUs are ``simulated``."""


class CheckSettings(Written):
    """What the checks expect of the site."""

    optional: tuple[Text, ...] = ()
    """Ids of checks whose failure is a warning; wildcards."""
    known: tuple[KnownFailure, ...] = ()
    """Accepted failures."""
    max_clock_skew: Duration = 30.0
    """Seconds that a worker's clock may be off."""
    min_nofile: Natural = 1024
    """Open files that a worker needs."""
    min_free_scratch: Size = 200_000_000
    """Bytes that must be left in the scratch directory."""
    peer_size: Size = 1_000_000
    """Bytes sent between workers."""
    required_imports: tuple[Text, ...] = ()
    """Modules that every worker must be able to import, besides Dask's own."""
    gpu: GpuSettings = GpuSettings()
    """What the checks expect of GPUs."""


class Paths(Model):
    """Which folders of the submit host the batch system can be told of.

    Attributes:
        forbidden: folders that it must not be told of, each with the reason or what to do.
        logs: folders of which one has to hold the results; any if there are none.
    """

    forbidden: dict[str, str] = {}
    logs: tuple[str, ...] = ()


class SiteProfile(Model):
    """A site, as its profile describes it.

    Attributes:
        site: short name, as given to ``--site``.
        description: one line for ``fasthep-validate sites``.
        source: file it was read from.
        execution: the execution system to start there.
        checks: what the checks expect.
        paths: which folders can be used.
        workflow: what a workflow needs of the site; ``None`` unless one is validated.
    """

    site: str
    description: str = ""
    source: str
    execution: ExecutionConfig
    checks: CheckSettings = CheckSettings()
    paths: Paths = Paths()
    workflow: WorkflowNeeds | None = None
