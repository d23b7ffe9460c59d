"""What the hub is told, and the environment that it runs in."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from fasthep_validate.plan import NODE_LIBRARIES, dask_settings, scheduler_host
from fasthep_validate.scrubbing import without_secrets
from fasthep_validate.store import write_text

if TYPE_CHECKING:
    from pathlib import Path

    from fasthep_validate.credentials.run_tls import RunTls
    from fasthep_validate.models.execution import ExecutionConfig

AT_ONCE = 16  # workers that are asked at the same time
GUARD = "removal.json"  # commands that remove the jobs of the run, in its private folder


def hub_config(execution: ExecutionConfig, tls: RunTls, private: Path) -> dict[str, object]:
    """See ``worker/hub.py``; the scheduler's Dask settings are written to the private folder."""
    settings = private / "dask.yaml"
    scheduler = execution.scheduler
    dashboard = scheduler.dashboard_port is not None
    write_text(settings, dask_settings(str(private / "dask-scratch"), dashboard=dashboard))
    pairs = {"scheduler": tls.scheduler, "client": tls.client}
    specs = {source.name: source for source in execution.modifier_sources}
    return {
        "host": scheduler_host(scheduler),
        "port": scheduler.port,
        "last_port": scheduler.last_port,
        "dashboard_port": scheduler.dashboard_port,
        "dask_yaml": str(settings),
        "tls": {
            "ca": str(tls.ca),
            **{role: {"cert": str(pair.cert), "key": str(pair.key)} for role, pair in pairs.items()},
        },
        "timeout": execution.timeouts.probe,
        "at_once": AT_ONCE,
        "grace": execution.timeouts.worker_shutdown,
        "node_libraries": NODE_LIBRARIES,
        "modifier_sources": [source.model_dump() for source in execution.modifier_sources],
        "modifiers": [
            {**specs[modifier.name].model_dump(), "params": modifier.params}
            for modifier in execution.modifiers
        ],
        "folder": str(private),
        "guard": str(private / GUARD),
        "jobs": str(private / "jobs"),
        "command": os.getpid(),
    }


def submit_environment() -> dict[str, str]:
    """Environment for the shipped Python on the submit host: ours, less what would change Python or Dask.

    Neither the hub nor a probe has a use for secrets that are the values of variables.
    """
    prefixes = ("PYTHON", "DASK_", "LD_PRELOAD")
    kept = {
        name: value for name, value in without_secrets(os.environ).items() if not name.startswith(prefixes)
    }
    return {**kept, "PYTHONNOUSERSITE": "1", "PYTHONDONTWRITEBYTECODE": "1", "PYTHONUNBUFFERED": "1"}
