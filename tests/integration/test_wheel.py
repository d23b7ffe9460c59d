"""A wheel, installed in an empty environment and used from another folder, does all that a checkout does."""

from __future__ import annotations

import subprocess
import sys
import venv
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from .conftest import User

pytestmark = [pytest.mark.pools, pytest.mark.slow]
REPO = Path(__file__).parents[2]


def pip(python: Path | str, *args: str | Path) -> None:
    subprocess.run([python, "-m", "pip", "--quiet", *map(str, args)], check=True, timeout=300)


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    pip(sys.executable, "wheel", "--no-deps", "--wheel-dir", folder, REPO)
    return next(folder.glob("fasthep_validate-*.whl"))


@pytest.fixture(scope="module")
def python(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Interpreter of an environment that holds the wheel and what it needs, and pytest-xdist."""
    home = tmp_path_factory.mktemp("environment") / "venv"
    venv.create(home, with_pip=True)
    pip(home / "bin" / "python", "install", wheel, "pytest-xdist")
    return home / "bin" / "python"


def test_contents(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    for name in ("checks/test_environment.py", "site_profiles/local.yaml", "worker/bootstrap.sh", "py.typed"):
        assert f"fasthep_validate/{name}" in names
    tops = {name.partition("/")[0] for name in names}
    assert {top for top in tops if not top.endswith(".dist-info")} == {"fasthep_validate"}
    assert not [name for name in names if "tests/" in name]


def run(user: User, *argv: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        list(map(str, argv)),
        cwd=user.home,
        env=user.environment(),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=180,
        check=False,
    )


def test_main_job(user: User, python: Path) -> None:
    done = run(user, python.parent / "fasthep-validate", "--site", "local")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Site local works" in done.stdout


@pytest.mark.parametrize("workers", [[], ["-n", "2"]], ids=["alone", "xdist"])
def test_under_pytest(user: User, python: Path, workers: list[str]) -> None:
    checks = ["--fasthep-site", "local", "--pyargs", "fasthep_validate.checks"]
    own = ["--basetemp", str(user.home / "pytest")]  # pytest-xdist's workers leave a folder where they may
    done = run(user, python, "-m", "pytest", *own, *workers, *checks)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Site local works" in done.stdout
    assert user.report("local").verdict == "pass"
    assert done.stdout.count("starting the scheduler") == 1
