"""Certify a site for FAST-HEP's distributed execution.

The library is three names: :func:`load_site` reads a site's profile, :func:`open_pools` starts its pools
for your own Dask work, and :func:`warn` and :func:`not_applicable` are for checks of your own.
"""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from fasthep_validate.campaign import load_profile as load_site
    from fasthep_validate.campaign import open_pools
    from fasthep_validate.outcomes import not_applicable, warn

__all__ = ["__version__", "load_site", "not_applicable", "open_pools", "warn"]
__version__ = "2026.11.0"

# Imported when first asked for: the pytest plugin of this package loads in every pytest run.
_HOMES = {
    "load_site": "fasthep_validate.campaign:load_profile",
    "open_pools": "fasthep_validate.campaign:open_pools",
    "not_applicable": "fasthep_validate.outcomes:not_applicable",
    "warn": "fasthep_validate.outcomes:warn",
}

# In a checkout the checks lie beside the package: `fasthep_validate.checks` is found there as in a wheel.
if not Path(__path__[0], "checks", "__init__.py").is_file():
    __path__.append(str(Path(__path__[0]).parent))


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module, _, attribute = _HOMES[name].partition(":")
    return getattr(import_module(module), attribute)
