"""What fasthep-flow has to know of the backend when it compiles a workflow; cheap to import."""

from __future__ import annotations

from typing import Any


def validate_execution(execution: dict[str, Any]) -> None:
    """Read the ``execution:`` block as the backend will.

    Raises:
        ConfigError: with every mistake of it.
    """
    from fasthep_validate.flow.site import site_of

    site_of(execution)


class SPEC:
    """The fields of fasthep-flow's ``BackendSpec``."""

    validate_execution = staticmethod(validate_execution)
    build_directories = ("execution/dask",)
