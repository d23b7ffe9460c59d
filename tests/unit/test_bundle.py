"""The archive of a run that is sent to somebody."""

from __future__ import annotations

import tarfile
from typing import TYPE_CHECKING

import pytest

from fasthep_validate.bundle import bundle
from fasthep_validate.errors import ConfigError
from fasthep_validate.store import new_run

if TYPE_CHECKING:
    from pathlib import Path

    from fasthep_validate.store import RunFolder

KEY = "-----BEGIN PRIVATE KEY-----\nMIIEcanary\n-----END PRIVATE KEY-----\n"
TOKEN = "eyJhbGciOiJub25lIn0.eyJzdWIiOiJjYW5hcnkifQ.canary"


@pytest.fixture
def run(tmp_path: Path) -> RunFolder:
    folder = new_run(tmp_path / "out", "here")
    (folder.path / "profile.json").write_text("{}")
    return folder


def contents(archive: Path) -> dict[str, bytes]:
    with tarfile.open(archive) as opened:
        names = opened.getnames()
        return {name: stream.read() for name in names if (stream := opened.extractfile(name))}


def test_everything_but_secrets(run: RunFolder, tmp_path: Path) -> None:
    run.log("err", "default-0").write_text(f"before\n{KEY}and {TOKEN} after\n")
    run.log("out", "default-0").write_bytes(b"\0\1\xff")
    private = run.path / "fasthep-validate-abc" / "jobs"
    private.mkdir(parents=True)
    (private / "notes").write_text("canary")
    (run.path / "connection.json").write_text("canary")
    (run.jobs / "worker.key").write_text("canary")
    target = tmp_path / "run.tar.gz"
    left_out = bundle(run.path, target)
    assert set(left_out) == {"connection.json", "fasthep-validate-abc/jobs/notes", "jobs/worker.key"}
    found = contents(target)
    top = f"here-{run.path.name}"
    assert found[f"{top}/profile.json"] == b"{}"
    assert found[f"{top}/debug/distributed/err/default-0.err"] == b"before\n[removed]\nand [removed] after\n"
    assert found[f"{top}/debug/distributed/out/default-0.out"] == b"\0\1\xff"
    assert not any(b"canary" in data for data in found.values())


def test_bytes_that_are_no_text_stay(run: RunFolder, tmp_path: Path) -> None:
    run.log("err", "default-0").write_bytes(b"caf\xe9\n")
    bundle(run.path, tmp_path / "run.tar.gz")
    name = f"here-{run.path.name}/debug/distributed/err/default-0.err"
    assert contents(tmp_path / "run.tar.gz")[name] == b"caf\xe9\n"


def test_links_out_of_the_folder_are_not_followed(run: RunFolder, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("canary")
    (run.path / "link").symlink_to(tmp_path / "secret")
    bundle(run.path, tmp_path / "run.tar.gz")
    assert not any("link" in name for name in contents(tmp_path / "run.tar.gz"))


def test_place_that_cannot_be_written(run: RunFolder, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be written"):
        bundle(run.path, tmp_path / "nosuch" / "run.tar.gz")
