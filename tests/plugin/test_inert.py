"""Without our options, or with wrong ones: nothing happens, or one clear message."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING

import pytest

from fasthep_validate import process

from .conftest import CHECKS

if TYPE_CHECKING:
    from .conftest import User

pytest_plugins = ["pytester"]

HEAVY = [
    "distributed",
    "dask",
    "pydantic",
    "yaml",
    "cryptography",
    "rich",
    "typer",
    "fasthep_validate.pytest_session",
]


def test_loaded_everywhere_imports_nothing_heavy(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        "import json, sys\n"
        "def test_modules(pytestconfig):\n"
        "    assert pytestconfig.pluginmanager.has_plugin('fasthep-validate')\n"
        "    open('modules.json', 'w').write(json.dumps(sorted(sys.modules)))\n"
    )
    pytester.runpytest_subprocess("-p", "no:hypothesispytest").assert_outcomes(passed=1)
    modules = json.loads((pytester.path / "modules.json").read_text())
    assert "fasthep_validate.plugin" in modules
    assert not set(HEAVY) & set(modules)


def test_the_package_itself_imports_nothing_heavy() -> None:
    code = f"import fasthep_validate, fasthep_validate.plugin, sys; print(set({HEAVY}) & set(sys.modules))"
    assert process.run([sys.executable, "-c", code], timeout=60).stdout == "set()\n"


def test_inert_without_options(pytester: pytest.Pytester) -> None:
    pytester.makepyfile("import pytest\n@pytest.mark.fasthep\ndef test_a(): pass\ndef test_b(worker): pass\n")
    done = pytester.runpytest_subprocess("--strict-markers", "--strict-config")
    done.assert_outcomes(passed=1, errors=1)
    done.stdout.fnmatch_lines(["*fixture 'worker' not found*"])
    done.stdout.no_fnmatch_line("*fasthep-validate: *")
    assert not list(pytester.path.glob("fasthep*"))


def test_marker_and_options_are_documented(pytester: pytest.Pytester) -> None:
    pytester.runpytest_subprocess("--markers").stdout.fnmatch_lines(
        ["@pytest.mark.fasthep(required=True): *"]
    )
    pytester.runpytest_subprocess("--help").stdout.fnmatch_lines(["*--fasthep-site=SITE*"])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--fasthep-site", "locl"], "*locl*local*"),
        (["--fasthep-site", "bad.yaml"], "*bad.yaml:2: *"),
        (["--fasthep-site", "local", "--fasthep-pool", "defalt=2"], "*defalt*default*"),
        (
            ["--fasthep-site", "local", "--fasthep-evidence", "run"],
            "*--fasthep-site local: named together with*",
        ),
        (["--fasthep-evidence", "nowhere"], "*nowhere*"),
        (
            ["--fasthep-pool", "default=1"],
            "*--fasthep-pool: no site is opened. Name one with --fasthep-site.",
        ),
        (["--fasthep-evidence", "x", "--fasthep-outdir", "y"], "*--fasthep-outdir: no site is opened. *"),
    ],
)
def test_bad_options_are_usage_errors(user: User, options: list[str], message: str) -> None:
    user.write("bad.yaml", "site: bad\nexecution: 3\n")
    done = user.pytest(*options, *CHECKS)
    assert done.code == pytest.ExitCode.USAGE_ERROR
    pytest.LineMatcher(done.text.splitlines()).fnmatch_lines([f"ERROR: {message}"])
    assert "Traceback" not in done.text
    assert [path.name for path in user.home.iterdir()] == ["bad.yaml"]


def test_damaged_evidence_is_a_usage_error(user: User) -> None:
    run = user.stored()
    (run / "evidence" / "default-1.json").write_text("{")
    done = user.judge(run, *CHECKS)
    assert done.code == pytest.ExitCode.USAGE_ERROR
    assert "default-1.json: not valid evidence" in done.text
    assert "Traceback" not in done.text


@pytest.mark.parametrize("option", ["--collect-only", "--setup-plan", "--fixtures", "--markers", "--help"])
def test_listings_open_and_write_nothing(user: User, option: str) -> None:
    profile = user.profile()
    done = user.pytest("--fasthep-site", profile, option, *CHECKS)
    assert done.code == 0, done.text
    assert [path.name for path in user.home.iterdir()] == [profile.name]
    assert user.left() == []


def test_an_outdir_that_cannot_be_written(user: User) -> None:
    profile = user.profile()
    user.write("file", "")
    for words in ((), ("-n", "2")):
        done = user.pytest("--fasthep-site", profile, "--fasthep-outdir", "file/x", *CHECKS, *words)
        assert done.code == pytest.ExitCode.USAGE_ERROR, done.text
        assert "results cannot be written" in done.text
        assert "Traceback" not in done.text


def test_a_file_that_cannot_be_imported_opens_nothing(user: User) -> None:
    user.write("test_bad.py", "import nosuchmodule\n")
    done = user.pytest("--fasthep-site", user.profile(), "test_bad.py", *CHECKS)
    assert done.code == pytest.ExitCode.INTERRUPTED
    assert "nosuchmodule" in done.text
    assert "submitting" not in done.text


def test_no_check_is_an_error_and_opens_nothing(user: User) -> None:
    user.write("test_plain.py", "def test_plain(): pass\n")
    done = user.pytest("--fasthep-site", user.profile(), "test_plain.py")
    assert done.code == pytest.ExitCode.TESTS_FAILED
    assert "no check was collected, nothing was opened" in done.text
    done = user.pytest("--fasthep-site", user.profile(), *CHECKS, "-k", "nosuch")
    assert done.code == pytest.ExitCode.NO_TESTS_COLLECTED
    assert user.reports() == []
