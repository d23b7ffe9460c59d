"""Which clients may work with which scheduler; connecting for real is in ``test_hub_client.py``."""

from __future__ import annotations

import platform
from importlib.metadata import version

import pytest

from fasthep_validate.connection import Connection, connect
from fasthep_validate.errors import ConfigError

HERE = {"python": platform.python_version(), "dask": version("dask"), "distributed": version("distributed")}


def connection(**versions: str) -> Connection:
    there = {**HERE, **versions}
    return Connection(
        address="tls://127.0.0.1:1", ca="/no/ca", cert="/no/cert", key="/no/key", versions=there
    )


@pytest.mark.parametrize(
    ("name", "there"), [("python", "3.8.1"), ("dask", "2020.1.0"), ("distributed", HERE["distributed"] + "0")]
)
def test_versions_that_differ_are_told(name: str, there: str) -> None:
    with pytest.raises(ConfigError) as error:
        connect(connection(**{name: there}))
    assert f"{name} {HERE[name]} here, {there} there" in str(error.value)
    assert "Run this code with the Python of the environment" in str(error.value)


def test_patch_release_of_python_may_differ() -> None:
    """The next obstacle are the certificates, which are not there."""
    major, minor, _ = HERE["python"].split(".")
    with pytest.raises(FileNotFoundError):
        connect(connection(python=f"{major}.{minor}.99"))
