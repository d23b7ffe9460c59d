"""Fixtures: the servers of a site, or a skip with the packages that are missing."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from tests.servers import kdc, xrootd
from tests.servers.ca import Authority
from tests.servers.daemon import missing
from tests.servers.kdc import Kdc
from tests.servers.site import USER, Site, running

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


def require(*programs: str) -> None:
    """Skip unless all of these programs are there."""
    if packages := missing(*programs):
        pytest.skip(f"needs Debian's packages {' '.join(packages)}")


@pytest.fixture(scope="session")
def servers() -> Iterator[Site]:
    """All servers, for all tests that do not change them; tokens need root, for a mount of the server's own."""
    require(*kdc.PROGRAMS, *xrootd.PROGRAMS, "xrdfs")
    if os.geteuid() != 0:
        pytest.skip("needs root: the storage server sees a bundle of authorities of its own")
    with running() as site:
        yield site


@pytest.fixture
def own_servers() -> Iterator[Site]:
    """All servers, for one test that breaks them."""
    require(*kdc.PROGRAMS, *xrootd.PROGRAMS, "xrdfs")
    if os.geteuid() != 0:
        pytest.skip("needs root: the storage server sees a bundle of authorities of its own")
    with running() as site:
        yield site


@pytest.fixture(scope="session")
def realm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kdc]:
    """A KDC alone, with the principal ``alice``; no root is needed."""
    require(*kdc.PROGRAMS)
    server = Kdc(tmp_path_factory.mktemp("kdc")).start()
    server.add_user(USER)
    yield server
    server.stop()


@pytest.fixture(scope="session")
def authority() -> Authority:
    """A certificate authority; nothing but files."""
    return Authority()


@pytest.fixture
def credentials(servers: Site, tmp_path: Path) -> dict[str, str]:
    """Good credentials of the user ``alice``: the environment that names them."""
    return servers.credentials(tmp_path / "credentials")
