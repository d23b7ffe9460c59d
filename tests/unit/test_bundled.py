"""Checks and profiles are found in a checkout and in an installed package."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import pytest

from fasthep_validate import bundled, process

REPO = Path(__file__).parents[2]


@pytest.fixture(params=["checkout", "wheel"])
def installed(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """A copy of the package as it lies in a checkout (beside its folders) or in a wheel (around them)."""
    shutil.copytree(REPO / "fasthep_validate", tmp_path / "fasthep_validate")
    home = tmp_path if request.param == "checkout" else tmp_path / "fasthep_validate"
    for name in ("checks", "site_profiles"):
        shutil.copytree(REPO / name, home / name)
    return home


def run(home: Path, *arguments: str) -> process.Completed:
    root = home if home.name != "fasthep_validate" else home.parent
    empty = root / "empty"
    empty.mkdir()
    return process.run(
        [sys.executable, *arguments],
        timeout=60,
        cwd=empty,
        env={"PYTHONPATH": str(root), "PATH": "/usr/bin:/bin"},
    )


def test_the_folders_are_found(installed: Path) -> None:
    code = "from fasthep_validate import bundled as b; print(b.checks_dir(), b.profiles_dir())"
    done = run(installed, "-c", code)
    assert done.stdout.split() == [str(installed / "checks"), str(installed / "site_profiles")], done.stderr


def test_the_checks_are_a_package_for_pytest(installed: Path) -> None:
    done = run(
        installed, "-m", "pytest", "--pyargs", "fasthep_validate.checks", "--collect-only", "-q",
        "-p", "no:cacheprovider",
    )  # fmt: skip
    assert "test_environment.py::" in done.stdout, done.stdout + done.stderr


def test_files_of_the_worker_are_there() -> None:
    assert bundled.worker_file("bootstrap.sh").is_file()
    assert bundled.worker_file("probe.py").is_file()
