"""What README and documentation say is still so."""

from __future__ import annotations

import importlib.util
import re
import subprocess
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import yaml

import fasthep_validate
from fasthep_validate import errors
from fasthep_validate.judging import collect_checks
from fasthep_validate.modifiers import registered
from fasthep_validate.profiles import load_site
from fasthep_validate.signals import SIGNALS
from fasthep_validate.testing import changed, compute, good_run, good_worker

if TYPE_CHECKING:
    from types import ModuleType

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
PAGES = [*ROOT.glob("*.md"), *(page for page in DOCS.rglob("*.md") if "generated" not in page.parts)]
README = (ROOT / "README.md").read_text()
BLOCK = r"```{kind}\n(.*?)^```$"
LINK = re.compile(r"\]\((?!https?:|#|mailto:)([^)#\s]+)[^)]*\)")
PROFILE_PAGES = (
    "how-to/write-a-profile.md",
    "how-to/htcondor.md",
    "how-to/slurm.md",
    "how-to/credentials.md",
    "how-to/known-failures.md",
    "tutorial/first-run.md",
)


def _blocks(text: str, kind: str) -> list[str]:
    return re.findall(BLOCK.format(kind=kind), text, re.DOTALL | re.MULTILINE)


def _after(comment: str, kind: str) -> str:
    """The block of the README after a comment."""
    _, _, rest = README.partition(f"<!-- {comment} -->\n")
    return _blocks(rest, kind)[0].strip()


def _module(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_ci_runs_the_commands_of_the_readme() -> None:
    said = subprocess.run(
        ["bash", ROOT / ".ci" / "run", "--commands"], capture_output=True, text=True, check=True
    ).stdout.splitlines()
    assert said == [_after("command: validate", "bash"), _after("command: tests", "bash")]
    assert said[0].endswith("fasthep-validate --site local")
    assert "pytest" in said[1]


def test_exit_codes_of_the_readme() -> None:
    raised = {
        cls.exit_code
        for cls in vars(errors).values()
        if isinstance(cls, type) and issubclass(cls, errors.FasthepValidateError)
    }
    _, _, table = README.partition("| code | meaning |\n")
    told = {
        int(code) for row in re.findall(r"^\| ([\d, ]+) \|", table, re.MULTILINE) for code in row.split(",")
    }
    stopped = {errors.Interrupted(signum).code for signum in SIGNALS}
    assert told == {0, 1} | stopped | raised


def test_check_of_the_readme(tmp_path: Path) -> None:
    path = tmp_path / "my_checks" / "test_ntuples.py"
    path.parent.mkdir()
    path.write_text(_after("example: check", "python") + "\n")
    (check,) = collect_checks([path.parent]).values()
    assert check.id == "ntuples.room-for-ntuples"
    assert check.claim == "The scratch directory has room for a day's ntuples."
    assert check.remedy == "ask for more disk in the pool's resources."
    function = _module(path).test_room_for_ntuples
    run = good_run(
        tmp_path / "run", workers=(changed(good_worker("default-1"), "probe.scratch.free", 10**9),)
    )
    assert compute(function, run.workers["default-0"]).outcome == "pass"
    assert compute(function, run.workers["default-1"]).message == "1 GB free, 20 GB needed"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_resolve(page: Path) -> None:
    targets = LINK.findall(page.read_text())
    missing = [target for target in targets if not (page.parent / target).exists()]
    assert not missing


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_python_examples_compile(page: Path) -> None:
    for block in _blocks(page.read_text(), "python"):
        compile(block, str(page), "exec")


@pytest.mark.parametrize("page", PROFILE_PAGES)
def test_profiles_of_the_documentation_load(page: str, tmp_path: Path) -> None:
    (tmp_path / "timing.py").write_text("class Timing: ...\n")
    blocks = _blocks((DOCS / page).read_text(), "yaml")
    assert blocks
    for block in blocks:
        path = tmp_path / "site.yaml"
        path.write_text(block if "extends:" in block else f"extends: local\n{block}")
        assert load_site(str(path), builtin=registered()).execution.pools


def test_one_version() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    newest = re.search(r"^## (\S+)", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert newest
    assert {project["version"], citation["version"], newest[1]} == {fasthep_validate.__version__}


def test_reference_has_a_meaning_for_every_key() -> None:
    generate = _module(DOCS / "generate.py")
    rows = [
        row for row in generate.profile_keys().splitlines() if row.startswith("| `") and row.count(" | ") == 3
    ]
    told = [row.strip("| ").split(" | ") for row in rows]
    fields = [
        name for section in generate.SECTIONS for name in section.model.__annotations__ if name != "refused"
    ]
    assert [cells[0].strip("`") for cells in told] == fields
    assert all(cells[-1] for cells in told)


@pytest.mark.parametrize(
    ("annotation", "words"),
    [
        ("Count | None", "whole number from 1"),
        ("Annotated[Port | None, BeforeValidator(dashboard_port)]", "port"),
        ("tuple[Text, ...]", "list of text"),
        ("StagingMode | None", "`transfer`, `shared`"),
        ("dict[Name, Resources]", "names, each with [`execution.resources.NAME`](#profile-resources)"),
    ],
)
def test_types_in_words(annotation: str, words: str) -> None:
    assert _module(DOCS / "generate.py").words(annotation) == words
