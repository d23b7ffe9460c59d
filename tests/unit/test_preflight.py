"""Paths that the site does not take, and the address of an interface."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from fasthep_validate import interfaces, preflight
from fasthep_validate.cli.app import app
from fasthep_validate.errors import ConfigError
from fasthep_validate.models.execution import SchedulerSpec
from fasthep_validate.models.profile import Paths, SiteProfile
from fasthep_validate.plan import scheduler_host
from fasthep_validate.testing import good_site


def site(**paths: object) -> SiteProfile:
    return good_site().model_copy(update={"paths": Paths.model_validate(paths)})


def told(profile: SiteProfile, *, outdir: Path, cache: Path) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        preflight.check_paths(profile, outdir=outdir, cache=cache)
    return [str(problem) for problem in caught.value.problems]


def test_nothing_is_forbidden() -> None:
    preflight.check_paths(good_site(), outdir=Path("/eos/x"), cache=Path("/eos/y"))


def test_all_forbidden_paths_are_told() -> None:
    profile = site(forbidden={"/eos": "use AFS"})
    assert told(profile, outdir=Path("/eos/user/a"), cache=Path("/eos/cache")) == [
        "--outdir: /eos/user/a is below /eos. At example: use AFS.",
        "the cache of packed environments (XDG_CACHE_HOME): /eos/cache is below /eos. At example: use AFS.",
    ]


def test_a_name_that_only_begins_alike_is_fine() -> None:
    preflight.check_paths(site(forbidden={"/eos": "no"}), outdir=Path("/eosx"), cache=Path("/data/eos"))


def test_an_archive_that_is_read_where_it_lies_is_not_transferred() -> None:
    profile = site(forbidden={"/eos": "no"})
    shared = profile.execution.model_copy(update={"staging": "shared"})
    preflight.check_paths(
        profile.model_copy(update={"execution": shared}), outdir=Path("/x"), cache=Path("/eos")
    )


def test_links_are_followed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "eos").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "eos")
    profile = site(forbidden={str(tmp_path / "eos"): "no"})
    (said,) = told(profile, outdir=tmp_path / "link" / "results", cache=tmp_path)
    assert "link/results is below" in said
    monkeypatch.chdir(tmp_path / "eos")
    (said,) = told(profile, outdir=Path("results"), cache=tmp_path)
    assert said.startswith("--outdir: results is below")


def test_keys_of_the_run_are_transferred_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))  # what TMPDIR gives, which is looked up once
    (said,) = told(site(forbidden={str(tmp_path): "no"}), outdir=Path("/x"), cache=Path("/y"))
    assert said.startswith("the keys of the run (TMPDIR): ")


def test_where_logs_have_to_lie(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    profile = site(logs=["$HOME", "/uscms_data"])
    preflight.check_paths(profile, outdir=tmp_path / "results", cache=Path("/y"))
    preflight.check_paths(profile, outdir=Path("/uscms_data/d3/me"), cache=Path("/y"))
    assert told(profile, outdir=Path("/scratch"), cache=Path("/y")) == [
        "--outdir: /scratch is not where example wants the logs of jobs. Use a folder below $HOME or /uscms_data."
    ]


@pytest.mark.parametrize("options", [["--dry-run"], []])
def test_nothing_is_packed_or_written_before(tmp_path: Path, options: list[str]) -> None:
    profile = tmp_path / "p.yaml"
    profile.write_text(f"extends: htcondor\nbatch: {{forbidden_paths: {{{tmp_path / 'no'}: use another}}}}\n")
    outdir = tmp_path / "no" / "results"
    done = CliRunner().invoke(app, ["--site", str(profile), "--outdir", str(outdir), *options])
    assert isinstance(done.exception, ConfigError)
    assert f"--outdir: {outdir} is below {tmp_path / 'no'}. At p: use another." in str(done.exception)
    assert not outdir.exists()


def test_address_of_an_interface() -> None:
    assert interfaces.address("lo") == "127.0.0.1"
    assert scheduler_host(SchedulerSpec(host="fqdn", interface="lo")) == "127.0.0.1"


def test_no_such_interface() -> None:
    with pytest.raises(
        ConfigError, match=r"network\.scheduler\.interface: this machine has no interface 'l0'"
    ):
        interfaces.address("l0")
