"""Read-only views over the stored evidence of a run: what checks are given.

A check reads what it is about as if it were there (``worker.python.version``). Where it is not, the view
says why: :class:`~fasthep_validate.outcomes.Blocked` if the worker's start failed before the evidence could
be made, an ``AssertionError`` if it was promised and is missing.
"""

from __future__ import annotations

from fasthep_validate.view.dask import DaskView
from fasthep_validate.view.node import Node, SubmitHost
from fasthep_validate.view.run import Run
from fasthep_validate.view.worker import Worker

__all__ = ["DaskView", "Node", "Run", "SubmitHost", "Worker"]
