"""The fixture for the tests of this folder."""

from __future__ import annotations

from tests.testbed.fixtures import testbed

__all__ = ["testbed"]
