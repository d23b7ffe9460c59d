"""A Pixi workspace with nothing but its lock file: workers, activation and the user's code, for real."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import pytest

from tests.conda_channel import Channel, add_installed, add_python, lock_6
from tests.trees import tree

if TYPE_CHECKING:
    from pathlib import Path

    from tests.integration.conftest import User

pytestmark = [pytest.mark.pools, pytest.mark.slow]
pytest.importorskip("rattler", reason="py-rattler is not installed (extra 'lock')")

SITE = """\
site: locked
execution:
  pools: {default: {resources: {cpus: 1, memory: 1 GB}, workers: 1}}
  environment: {type: packed-pixi, environment: default, code: [analysis]}
  modifiers: [fasthep.trace]
checks: {required_imports: [cuts]}
timeouts: {worker_start: 60, worker_shutdown: 20, death: 20}
"""
PIXI = b"""
[workspace]
channels = []
platforms = ["linux-64"]
[activation]
scripts = ["setup.sh"]
env = {LUMI = "$FROM_SCRIPT/59.7"}
"""
# Imported by the probe on the worker: what is wrong there is said by the check of required imports.
CUTS = b"""
import os
assert os.environ["LUMI"] == "2018/59.7", os.environ["LUMI"]
assert os.environ["OF_PACKAGE"] == os.environ["CONDA_PREFIX"] + "/share"
"""


def test_workers_from_a_lock_file_alone(user: User, tmp_path: Path) -> None:
    channel = Channel(tmp_path / "channel")
    add_python(channel, tmp_path)
    add_installed(channel, "dask", "distributed")
    script = b'export OF_PACKAGE="$CONDA_PREFIX/share"\n'
    channel.add("activates", {"etc/conda/activate.d/activates.sh": script})
    channel.index()
    files = {
        "locked.yaml": SITE.encode(),
        "pixi.toml": PIXI,
        "pixi.lock": lock_6(channel).encode(),
        "setup.sh": b"export FROM_SCRIPT=2018\n",
        "analysis/cuts.py": CUTS,
    }
    tree(user.home, files)
    user.env["RATTLER_CACHE_DIR"] = str(tmp_path / "rattler")  # nobody else may find these packages
    done = user.run("--site", "./locked.yaml", timeout=240)
    assert done.code == 0, done.everything
    if shutil.which("pixi-pack") is None:
        assert "pixi-pack is not installed; the pack was made from environment default of" in done.err
    found = {result.id: result.outcome for result in user.report("locked").checks}
    for name in (
        "activated",
        "required-imports",
        "versions-equal",
        "no-leftover-prefix",
        "nothing-from-outside",
    ):
        assert found[f"environment.{name}"] == "pass", done.everything

    tree(user.home, {"analysis/more.py": b""})
    again = user.run("pack", "--site", "./locked.yaml", "--json")
    assert '"cached": true' in again.out
