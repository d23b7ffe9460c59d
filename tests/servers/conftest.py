"""The fixtures for the tests of this folder."""

from __future__ import annotations

from tests.servers.fixtures import authority, credentials, own_servers, realm, servers

__all__ = ["authority", "credentials", "own_servers", "realm", "servers"]
