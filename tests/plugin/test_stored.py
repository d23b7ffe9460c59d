"""``--fasthep-evidence``: the verdict of the command, in the words and codes of pytest."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest

from fasthep_validate.models.profile import CheckSettings, KnownFailure
from fasthep_validate.testing import broken, changed, good_site, good_worker

from .conftest import CHECKS, outcomes

if TYPE_CHECKING:
    from fasthep_validate.models.evidence import WorkerEvidence
    from fasthep_validate.models.profile import SiteProfile
    from fasthep_validate.models.report import Report

    from .conftest import User

TODAY = datetime.now(UTC).date()
SKEWED = changed(good_worker("default-0"), "dask.clock.offset", 3600.0)


def accepting(days: int) -> SiteProfile:
    """A site that accepts a wrong clock until so many days from now."""
    until = TODAY + timedelta(days=days)
    known = KnownFailure(check="connectivity.clock-*", reason="ticket 7", until=until)
    return good_site().model_copy(update={"checks": CheckSettings(known=(known,))})


def optional() -> SiteProfile:
    return good_site().model_copy(update={"checks": CheckSettings(optional=("connectivity.clock-skew",))})


def summary(report: Report, *, passed: int = 0, failed: int = 0) -> str:
    """pytest's closing words for what the report counts, and so many tests that are no checks."""
    counted = Counter(report.counts)
    words = {
        "failed": counted["fail"] + failed,
        "passed": counted["pass"] + passed,
        "skipped": counted["n/a"] + counted["blocked"],
        "xfailed": counted["known"] + counted["warn"],
    }
    assert sum(words.values()) == counted.total() + passed + failed
    return ", ".join(f"{number} {word}" for word, number in words.items() if number)


@pytest.mark.parametrize(
    ("worker", "site", "code", "outcome"),
    [
        (good_worker(), good_site(), 0, "pass"),
        (SKEWED, good_site(), 1, "fail"),
        (SKEWED, accepting(1), 0, "known"),
        (SKEWED, accepting(-1), 1, "fail"),
        (SKEWED, optional(), 0, "warn"),
        (broken(good_worker("default-0"), "extracted", code="no-space"), good_site(), 1, "blocked"),
    ],
    ids=["good", "failed", "known", "expired", "optional", "blocked"],
)
def test_same_verdict_as_the_command(
    user: User, worker: WorkerEvidence, site: SiteProfile, code: int, outcome: str
) -> None:
    run = user.stored(worker, site=site)
    done = user.judge(run, *CHECKS)
    mine = user.report()
    judged = user.cli("judge", run)
    theirs = user.report()
    assert len(user.reports()) == 2
    assert done.code == code, done.text
    assert f" {summary(theirs)} in " in done.text.splitlines()[-1]
    assert next(c.outcome for c in theirs.checks if c.id == "connectivity.clock-skew") == outcome
    assert judged.code == code == mine.exit_code
    assert (mine.verdict, mine.sentence, mine.counts) == (theirs.verdict, theirs.sentence, theirs.counts)
    assert outcomes(mine) == outcomes(theirs)
    said = [{(c.id, c.worker): (c.message, c.remedy, c.blocked_by) for c in r.checks} for r in (mine, theirs)]
    assert said[0] == said[1]
    assert mine.sentence in done.text


def test_required_checks_that_are_blocked_fail_although_pytest_shows_skips(user: User) -> None:
    run = user.stored(broken(good_worker("default-0"), "extracted"))
    done = user.judge(run, *CHECKS, "-k", "test_cores")
    assert "1 passed, 1 skipped" in done.text
    assert done.code == pytest.ExitCode.TESTS_FAILED
    assert user.report().verdict == "fail"


def test_what_pytest_shows(user: User) -> None:
    done = user.judge(user.stored(SKEWED), *CHECKS, "-rf")
    lines = pytest.LineMatcher(done.text.splitlines())
    lines.fnmatch_lines(["fasthep-validate: evidence of example in */run"])
    lines.fnmatch_lines(["E * the clock is off by +3600*"])
    lines.fnmatch_lines(["*What to do*", "have the node's time service*"])
    lines.fnmatch_lines(["Results: */rejudged/*"])
    assert "::test_clock_skew[default-0]" in done.text


def test_first_verdict_of_the_run_stays(user: User) -> None:
    run = user.stored()
    before = set(run.rglob("*"))
    assert user.judge(run, *CHECKS).code == 0
    added = set(run.rglob("*")) - before
    assert {path.name for path in added if path.is_file()} == {"report.json", "junit.xml", "summary.txt"}
    assert all("rejudged" in path.parts for path in added)


def test_ordinary_tests_beside_checks_are_not_counted(user: User) -> None:
    user.write("test_plain.py", "def test_good(): pass\ndef test_bad(): assert 0\n")
    user.write("conftest.py", "import pytest\n@pytest.fixture\ndef run(): return 7\n")
    user.write("test_his_run.py", "def test_his(run): assert run == 7\n")
    done = user.judge(user.stored(), *CHECKS, ".")
    assert done.code == pytest.ExitCode.TESTS_FAILED
    report = user.report()
    assert f" {summary(report, passed=2, failed=1)} in " in done.text
    assert report.verdict == "pass"
    assert set(report.counts) == {"pass", "n/a"}
    assert report.counts["pass"] > 90


@pytest.mark.parametrize("options", [(), ("--import-mode=importlib",)])
def test_fixtures_of_the_user_take_the_place_of_ours(user: User, options: tuple[str, ...]) -> None:
    user.write(
        "mine/conftest.py",
        "import pytest\n@pytest.fixture\ndef worker(): return 'his'\n"
        "@pytest.fixture(params=[1, 2])\ndef run(request): return request.param\n",
    )
    user.write(
        "mine/test_mine.py",
        "def test_his(worker): assert worker == 'his'\ndef test_two(run): assert run in (1, 2)\n",
    )
    user.write("over/conftest.py", "import pytest\n@pytest.fixture\ndef worker(worker): return worker.id\n")
    user.write("over/test_over.py", "def test_wrapped(worker): assert worker.startswith('default-')\n")
    user.write(
        "test_one.py",
        "import pytest\n@pytest.mark.parametrize('worker', ['default-1'], indirect=True)\n"
        "def test_one(worker): assert worker.id == 'default-1'\n"
        "@pytest.mark.parametrize('worker', [1, 2, 3])\ndef test_number(worker): assert worker\n",
    )
    done = user.judge(user.stored(), "mine", "over", "test_one.py", *options)
    assert "9 passed" in done.text, done.text
    assert done.code == 0
    assert outcomes(user.report()) == [
        ("one.one", "default-1", "pass"),
        ("over.wrapped", "default-0", "pass"),
        ("over.wrapped", "default-1", "pass"),
    ]


OWN = """\
import pytest
from fasthep_validate import not_applicable, warn

@pytest.mark.fasthep(required=False)
def test_soft(worker):
    assert 0, "not so good"

@pytest.mark.fasthep
def test_plain():
    \"\"\"Nothing of ours is used.

    Remedy: none.
    \"\"\"

def test_warns(run):
    warn("look")

def test_has_no_object(run):
    not_applicable("no GPU")

@pytest.mark.skip(reason="not today")
def test_skipped(worker): pass

@pytest.mark.xfail(reason="ticket 8", strict=True)
def test_expected(run): assert 0, "as ever"

@pytest.mark.xfail(reason="ticket 9", strict=True)
def test_mended(run): pass

@pytest.mark.parametrize("port", [80, 443])
def test_port(run, port): pass

class TestGroup:
    def test_port(self, run): raise OSError("gone")

@pytest.fixture
def careless():
    yield
    raise RuntimeError("left open")

def test_untidy(run, careless): pass

def test_live(fasthep_client): pass
"""


def test_checks_of_the_user_say_all_there_is(user: User) -> None:
    user.write("my_checks/test_own.py", OWN)
    run = user.stored()
    user.judge(run, "my_checks")
    mine = {(check.id, check.worker): check for check in user.report().checks}
    found = {key: (check.outcome, check.message) for key, check in mine.items()}
    assert found == {
        ("own.soft", "default-0"): ("warn", "not so good"),
        ("own.soft", "default-1"): ("warn", "not so good"),
        ("own.plain", ""): ("pass", ""),
        ("own.warns", ""): ("warn", "look"),
        ("own.has-no-object", ""): ("n/a", "no GPU"),
        ("own.skipped", "default-0"): ("n/a", "not today"),
        ("own.skipped", "default-1"): ("n/a", "not today"),
        ("own.expected", ""): ("known", "as ever (expected: ticket 8)"),
        ("own.mended", ""): ("fail", "[XPASS(strict)] ticket 9"),
        ("own.port:80", ""): ("pass", ""),
        ("own.port:443", ""): ("pass", ""),
        ("own.TestGroup.port", ""): ("fail", "OSError: gone"),
        ("own.untidy", ""): ("fail", "after the check: RuntimeError: left open"),
        ("own.live", ""): ("n/a", "the pools are not open: stored evidence is judged"),
    }
    assert mine["own.plain", ""].claim == "Nothing of ours is used."
    user.cli("judge", run, "--add-checks", "my_checks", "--check", "own")
    assert outcomes(user.report()) == outcomes(user.reports()[0])


@pytest.mark.parametrize(("where", "package"), [("checks", True), ("my_checks", False)])
def test_files_called_like_ours(user: User, where: str, package: bool) -> None:
    """In a folder called like ours, too: neither is taken for the other."""
    user.write(
        f"{where}/test_environment.py",
        "def test_archive_intact(worker): assert 0, 'mine'\ndef test_b(run): pass\n",
    )
    if package:
        user.write(f"{where}/__init__.py", "")
    run, here = user.stored(), f"./{where}"
    expected = [
        (f"{where}/environment.archive-intact", "default-0", "fail"),
        (f"{where}/environment.archive-intact", "default-1", "fail"),
        (f"{where}/environment.b", "", "pass"),
        ("environment.archive-intact", "default-0", "pass"),
        ("environment.archive-intact", "default-1", "pass"),
    ]
    selected = ("-k", "archive_intact or test_b")
    for words in ((here, *CHECKS), (*CHECKS, here, "--import-mode=importlib")):
        done = user.judge(run, *words, *selected)
        assert outcomes(user.report()) == sorted(expected), done.text
    user.cli("judge", run, "--add-checks", where, "--check", "*environment.archive-intact", "--check", "*.b")
    assert outcomes(user.report()) == sorted(expected)


def test_stopping_early_is_no_pass(user: User) -> None:
    user.write("test_a.py", "def test_bad(): assert 0\n")
    done = user.judge(user.stored(), "test_a.py", *CHECKS, "-x")
    assert done.code == pytest.ExitCode.TESTS_FAILED
    assert user.report().verdict == "error"
    done = user.judge(user.home / "run", "-k", "archive or test_bad", *CHECKS, "test_a.py", "--maxfail=1")
    assert user.report().verdict == "pass"
    user.write("test_z.py", "def test_zz(run): pass\n")
    done = user.judge(
        user.home / "run", "-k", "archive or bad or test_zz", *CHECKS, "test_a.py", "test_z.py", "-x"
    )
    assert user.report().verdict == "error"
    assert "1 of 3 checks have no result, first test_z.py::test_zz" in done.text
    assert user.report().counts == {"pass": 2}


def test_last_failed(user: User) -> None:
    run = user.stored(SKEWED)
    user.run("pytest", "--fasthep-evidence", run, *CHECKS)
    checks = sum(user.report().counts.values())
    done = user.run("pytest", "--fasthep-evidence", run, *CHECKS, "--lf")
    assert f"1 failed, {checks - 1} deselected in" in done.text
    assert outcomes(user.report()) == [("connectivity.clock-skew", "default-0", "fail")]


def test_without_plugins_of_pytest(user: User) -> None:
    off = [word for name in ("xdist", "terminal", "hypothesispytest") for word in ("-p", f"no:{name}")]
    assert user.judge(user.stored(), *CHECKS, *off).code == 0
    assert user.judge(user.home / "run", *CHECKS, "-s", "-q").code == 0
    assert len(user.reports()) == 2


def test_junit_of_pytest_holds_nothing_of_ours(user: User) -> None:
    user.judge(user.stored(), *CHECKS, "--junitxml=mine.xml")
    text = (user.home / "mine.xml").read_text()
    assert f'tests="{sum(user.report().counts.values())}"' in text
    assert "<properties>" not in text
