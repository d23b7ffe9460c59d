"""The pytest plugin: inert, and light to import, unless a site or a run is named on the command line.

``pytest --fasthep-site SITE`` opens the site's pools around the tests, gathers evidence and judges it;
``pytest --fasthep-evidence RUN`` judges the evidence of a run that is over.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add our options."""
    group = parser.getgroup("fasthep-validate", "validation of a site for FAST-HEP")
    group.addoption("--fasthep-site", metavar="SITE", help="open the pools of this site and judge them")
    group.addoption("--fasthep-evidence", metavar="RUN", help="judge the stored evidence of this run folder")
    group.addoption("--fasthep-outdir", metavar="DIR", help="write results below this folder")
    group.addoption(
        "--fasthep-pool", metavar="NAME=N", action="append", default=[], help="number of workers of a pool"
    )
    group.addoption(
        "--fasthep-set", metavar="KEY=VALUE", action="append", default=[], help="change the execution block"
    )


def pytest_configure(config: pytest.Config) -> None:
    """Register the rest of the plugin where it is asked for."""
    config.addinivalue_line(
        "markers", "fasthep(required=True): a check of a site; 'required=False' lets a failure only warn"
    )
    option = config.option
    ours = (
        option.fasthep_site,
        option.fasthep_evidence,
        option.fasthep_outdir,
        option.fasthep_pool,
        option.fasthep_set,
    )
    if any(ours):
        from fasthep_validate import pytest_session

        pytest_session.register(config)


def pytest_report_header(config: pytest.Config) -> Sequence[str]:
    """One line, only where the plugin is active."""
    session = config.pluginmanager.get_plugin("fasthep-session")
    return [f"fasthep-validate: {session}"] if session else []
