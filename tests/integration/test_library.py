"""The pools as a library: ``open_pools`` for one's own Dask work."""

from __future__ import annotations

import os
import socket
from typing import TYPE_CHECKING

import pytest

from fasthep_validate import load_site, open_pools
from fasthep_validate.errors import ConfigError, FasthepValidateError, NoWorkersError

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


def test_pools_grow_and_shrink(user: User, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TMPDIR", str(user.tmp))
    monkeypatch.setattr("tempfile.tempdir", None)  # it remembers TMPDIR of the first call in a process
    with open_pools(load_site(str(user.site())), outdir=user.home / "out") as pools:
        client = pools.client
        kept = client.scatter(list(range(100)), broadcast=False)
        assert pools.scale("default", 1) == ("default-0",)
        assert set(pools.registered) == {"default-0"}
        assert len(client.scheduler_info()["workers"]) == 1
        assert pools.statuses()["default-1"].state == "exited"
        assert pools.statuses()["default-1"].exit_code == 0, "it was told to end, and did"
        assert client.gather(kept) == list(range(100)), "results moved to who stayed"
        assert pools.scale("default", 3) == ("default-0", "default-2", "default-3")
        assert set(pools.registered) == {"default-0", "default-2", "default-3"}
        names = {worker["name"] for worker in client.scheduler_info()["workers"].values()}
        assert names == set(pools.registered)
        for name, workers, words in (
            ("gpu", 1, "no such pool. Pools: default."),
            ("default", -1, "fewer than 0"),
        ):
            with pytest.raises(ConfigError, match=words):
                pools.scale(name, workers)
    assert user.left() == []
    evidence = user.home / "out" / "fast" / "latest" / "evidence"
    assert {path.stem for path in evidence.glob("default-*")} == {f"default-{index}" for index in range(4)}


def test_no_worker_is_an_error(user: User, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TMPDIR", str(user.tmp))
    monkeypatch.setattr("tempfile.tempdir", None)  # it remembers TMPDIR of the first call in a process
    text = FAST.replace("timeouts:", "  config: {worker_extra_args: ['--no-such-option']}\ntimeouts:")
    with (
        pytest.raises(NoWorkersError, match="0 of 2 registered"),
        open_pools(load_site(str(user.site(text))), outdir=user.home / "out"),
    ):
        pytest.fail("the block must not be entered")
