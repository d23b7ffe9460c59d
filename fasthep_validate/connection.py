"""A user's own Dask client on the pools of a run."""

from __future__ import annotations

import platform
from importlib.metadata import version
from typing import TYPE_CHECKING

from fasthep_validate.errors import ConfigError, Problem
from fasthep_validate.models.base import Model

if TYPE_CHECKING:
    from distributed import Client

# A client pickles for the scheduler and the workers: these have to be the same on both ends.
MUST_AGREE = ("python", "dask", "distributed")


class Connection(Model):
    """What a client needs to reach the scheduler of a run; paths only, no secret.

    Attributes:
        address: ``tls://host:port``.
        ca: path of the run's certificate authority.
        cert: path of the client's certificate.
        key: path of its key.
        versions: Python and packages of the scheduler.
    """

    address: str
    ca: str
    cert: str
    key: str
    versions: dict[str, str]


def connect(connection: Connection) -> Client:
    """Connect the Python that runs this code.

    Raises:
        ConfigError: its versions differ from those of the worker environment.
    """
    from distributed import Client
    from distributed.security import Security

    here = {
        "python": platform.python_version(),
        "dask": version("dask"),
        "distributed": version("distributed"),
    }
    wrong = [name for name in MUST_AGREE if not _agree(name, here[name], connection.versions[name])]
    if wrong:
        listed = ", ".join(f"{name} {here[name]} here, {connection.versions[name]} there" for name in wrong)
        what = f"this Python cannot work with the worker environment: {listed}"
        raise ConfigError(
            Problem("client", what, "Run this code with the Python of the environment that is packed.")
        )
    security = Security(
        require_encryption=True,
        tls_ca_file=connection.ca,
        tls_client_cert=connection.cert,
        tls_client_key=connection.key,
    )
    return Client(connection.address, security=security, set_as_default=False)


def _agree(name: str, here: str, there: str) -> bool:
    """Python may differ in its patch release, the others in nothing."""
    parts = 2 if name == "python" else None
    return here.split(".")[:parts] == there.split(".")[:parts]
