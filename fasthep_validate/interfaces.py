"""Network interfaces of this machine."""

from __future__ import annotations

import socket

from fasthep_validate.errors import ConfigError, Problem
from fasthep_validate.models.written import nearest

WHERE = "network.scheduler.interface"


def address(name: str) -> str:
    """The address of an interface: IPv4 before IPv6, and none that is only of the link.

    Raises:
        ConfigError: there is no such interface, or it has no address.
    """
    import psutil

    known = psutil.net_if_addrs()
    if name not in known:
        raise ConfigError(Problem(WHERE, f"this machine has no interface {name!r}", nearest(name, known)))
    for family in (socket.AF_INET, socket.AF_INET6):
        for found in known[name]:
            if found.family == family and not found.address.lower().startswith("fe80:"):
                return str(found.address)
    what = f"interface {name!r} of this machine has no IP address"
    raise ConfigError(Problem(WHERE, what, "Name another one, or give 'host'."))
