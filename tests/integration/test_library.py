"""The pools as a library: ``open_pools`` for one's own Dask work."""

from __future__ import annotations

import os
import socket
from typing import TYPE_CHECKING

import pytest

from fasthep_validate import load_site, open_pools
from fasthep_validate.errors import FasthepValidateError, NoWorkersError

from .conftest import FAST

if TYPE_CHECKING:
    from .conftest import User

pytestmark = pytest.mark.pools


def test_own_work_on_the_pools(user: User, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TMPDIR", str(user.tmp))
    monkeypatch.setattr("tempfile.tempdir", None)  # it remembers TMPDIR of the first call in a process
    with open_pools(load_site(str(user.site())), outdir=user.home / "out") as pools:
        assert sorted(pools.registered) == ["default-0", "default-1"]
        futures = pools.client.map(pow, range(20), [2] * 20)
        assert pools.client.gather(futures) == [n**2 for n in range(20)]
        where = pools.client.run(lambda: (socket.gethostname(), os.environ.get("FASTHEP_VALIDATE_JOB", "")))
        assert {host for host, _ in where.values()} == {socket.gethostname()}
        assert all(str(user.tmp) in job for _, job in where.values())
    assert user.left() == []
    with pytest.raises(FasthepValidateError, match="not open"):
        pools.connection()
    assert (
        (user.home / "out" / "fast" / "latest" / "debug" / "distributed" / "err" / "default-0.err")
        .stat()
        .st_size
    )


def test_no_worker_is_an_error(user: User, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TMPDIR", str(user.tmp))
    monkeypatch.setattr("tempfile.tempdir", None)  # it remembers TMPDIR of the first call in a process
    text = FAST.replace("timeouts:", "  config: {worker_extra_args: ['--no-such-option']}\ntimeouts:")
    with (
        pytest.raises(NoWorkersError, match="0 of 2 registered"),
        open_pools(load_site(str(user.site(text))), outdir=user.home / "out"),
    ):
        pytest.fail("the block must not be entered")
