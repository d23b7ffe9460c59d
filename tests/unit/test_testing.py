"""The evidence builders, as authors of checks use them."""

from __future__ import annotations

import inspect
import textwrap
from typing import TYPE_CHECKING

import pytest

from fasthep_validate import testing
from fasthep_validate.models.evidence import WorkerEvidence
from fasthep_validate.models.execution import Resources
from fasthep_validate.testing import broken, changed, good_worker

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

CHECK = """
def test_python_is_312(worker):
    assert worker.python.version.startswith("3.12")
"""


def test_the_example_of_the_module_works(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = tmp_path / "my_checks"
    package.mkdir()
    (package / "__init__.py").touch()
    (package / "test_site.py").write_text(CHECK)
    monkeypatch.syspath_prepend(tmp_path)
    example = (testing.__doc__ or "").partition("::\n")[2].partition("\n\nThe run has")[0]
    names: dict[str, Callable[[Path], None]] = {}
    exec(textwrap.dedent(example), names)  # noqa: S102 - the text of our own documentation
    assert len(example.strip().splitlines()) < 10
    (tmp_path / "run").mkdir()
    names["test_an_older_python_is_found"](tmp_path / "run")


def test_everything_public_is_documented() -> None:
    functions = dict(inspect.getmembers(testing, inspect.isfunction))
    ours = {name: functions[name] for name in testing.__all__}
    assert {"changed", "compute", "broken", "good_run", "good_worker"} <= ours.keys()
    assert all(function.__doc__ for function in ours.values())


def test_broken_evidence_is_still_valid() -> None:
    evidence = broken(good_worker(), "python", code="python-failed")
    assert WorkerEvidence.model_validate_json(evidence.to_json()) == evidence


@pytest.mark.parametrize(
    ("path", "value"),
    [("nope", 1), ("probe.python.nope", 1), ("probe.python.version", 3), ("pool.name", "x")],
)
def test_a_change_that_does_not_fit_the_evidence_is_refused(path: str, value: object) -> None:
    with pytest.raises(ValueError, match=r"."):
        changed(good_worker(), path, value)


def test_a_change_leaves_the_original_alone() -> None:
    before = Resources()
    assert (changed(before, "cpus", 4).cpus, before.cpus) == (4, 1)
