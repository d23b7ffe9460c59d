"""The fixtures for the tests of this folder."""

from __future__ import annotations

from tests.testbed.fixtures import testbed
from tests.testbed.sites import nothing_left, system

__all__ = ["nothing_left", "system", "testbed"]
