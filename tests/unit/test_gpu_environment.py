"""The Pixi feature that the documentation shows: whole, and solved for a GPU where there is none."""

from __future__ import annotations

import asyncio
import re
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.conda_channel import Channel

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "how-to" / "gpu.md").read_text(encoding="utf-8")
OVERRIDE = "CONDA_OVERRIDE_CUDA"
# As conda-forge has them: what each asks for, as far as CUDA and NumPy go.
PACKAGES: Mapping[tuple[str, str], Sequence[str]] = {
    ("numpy", "2.4.0"): (),
    ("numpy", "2.5.0"): (),
    ("cuda-version", "12.4"): (),
    ("cuda-version", "13.0"): (),
    ("cupy", "13.6.0"): ("cuda-version >=12.0,<13", "__cuda >=12.0", "numpy"),
    ("cupy", "14.2.0"): ("cuda-version >=13.0,<14", "__cuda >=13.0", "numpy"),
    ("numba-cuda", "0.30.4"): ("cuda-version >=12.0,<13", "__cuda >=12.4", "numpy"),
}


@pytest.fixture(scope="module")
def feature() -> dict[str, Any]:
    (block,) = re.findall(r"```toml\n(.*?)```", PAGE, re.DOTALL)
    read = tomllib.loads(block)
    assert read["environments"] == {"gpu": ["gpu"]}
    gpu: dict[str, Any] = read["feature"]["gpu"]
    return gpu


@pytest.fixture(scope="module")
def channel(tmp_path_factory: pytest.TempPathFactory) -> Channel:
    made = Channel(tmp_path_factory.mktemp("channel"))
    for (name, version), depends in PACKAGES.items():
        made.add(name, {f"share/{name}": b""}, version=version, depends=depends)
    made.index()
    return made


def solved(channel: Channel, feature: dict[str, Any]) -> dict[str, str]:
    """What a solver picks on this machine: package -> version."""
    from rattler import VirtualPackage, VirtualPackageOverrides, solve

    specs = [f"{name} {version}" for name, version in feature["dependencies"].items()]
    virtual = VirtualPackage.detect(VirtualPackageOverrides.from_env())
    records = asyncio.run(
        solve([channel.url], specs, platforms=["linux-64", "noarch"], virtual_packages=virtual)
    )
    return {record.name.normalized: str(record.version) for record in records}


def test_example_says_everywhere_which_cuda(feature: dict[str, Any]) -> None:
    cuda = feature["system-requirements"]["cuda"]
    assert feature["dependencies"]["cuda-version"] == f"{cuda}.*"
    assert f"{OVERRIDE}={cuda} pixi install --environment gpu" in PAGE


def test_example_has_the_bounds_of_the_extra(feature: dict[str, Any]) -> None:
    extra = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]["gpu"]
    bounds = {re.split(r"[\[<>=]", text)[0]: re.sub(r"^[^<>=]*", "", text) for text in extra}
    assert feature["dependencies"]["cupy"] == bounds["cupy-cuda12x"]
    for name in ("numba-cuda", "numpy"):
        assert feature["dependencies"][name] == bounds[name]


def test_solving_for_a_gpu_where_there_is_none(
    channel: Channel, feature: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a submit host without a driver; an empty override is how a solver is told of none."""
    pytest.importorskip("rattler", reason="py-rattler is not installed (extra 'lock')")
    monkeypatch.setenv(OVERRIDE, "")
    with pytest.raises(Exception, match="__cuda"):
        solved(channel, feature)
    monkeypatch.setenv(OVERRIDE, feature["system-requirements"]["cuda"])
    assert solved(channel, feature) == {
        "cuda-version": "12.4", "cupy": "13.6.0", "numba-cuda": "0.30.4", "numpy": "2.4.0",
    }  # fmt: skip
    monkeypatch.setenv(OVERRIDE, "12.2")
    with pytest.raises(Exception, match=r"numba-cuda"):
        solved(channel, feature)
