from __future__ import annotations

import signal
from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fasthep_validate.errors import (
    ConfigError,
    FasthepValidateError,
    Interrupted,
    JudgeError,
    NoWorkersError,
    PackError,
    SubmitError,
)
from fasthep_validate.models.profile import CheckSettings, KnownFailure
from fasthep_validate.models.report import CheckResult, Outcome
from fasthep_validate.report.verdict import OUTCOMES, apply_known, apply_settings, count, tally, verdict

TODAY = date(2026, 11, 22)


def check(
    outcome: Outcome,
    name: str = "environment.imports",
    worker: str = "default-0",
    *,
    required: bool = True,
    message: str = "",
    blocked_by: str = "",
) -> CheckResult:
    return CheckResult(
        id=name,
        family=name.split(".")[0],
        worker=worker,
        outcome=outcome,
        required=required,
        message=message,
        blocked_by=blocked_by,
    )


def known(check: str = "environment.imports", until: date = TODAY, worker: str = "*") -> KnownFailure:
    return KnownFailure(check=check, worker=worker, reason="ticket 7", until=until)


checks = st.builds(
    check,
    st.sampled_from(OUTCOMES),
    st.sampled_from(["environment.imports", "logs.readable"]),
    st.sampled_from(["default-0", "default-1", ""]),
    required=st.booleans(),
)
results = st.lists(checks, max_size=8)


@given(results)
def test_a_required_failure_or_block_or_simulation_is_exit_1(some: list[CheckResult]) -> None:
    broken = any(result.required and result.outcome in {"fail", "blocked", "simulated"} for result in some)
    assert (verdict(some, site="s").exit_code == 1) == broken


@given(results, checks)
def test_a_further_pass_never_makes_it_worse(some: list[CheckResult], more: CheckResult) -> None:
    before = verdict(some, site="s")
    after = verdict([*some, more.model_copy(update={"outcome": "pass"})], site="s")
    assert after.exit_code <= before.exit_code
    assert before.verdict != "pass" or after.verdict == "pass"


@given(results, checks)
def test_a_further_required_failure_always_fails(some: list[CheckResult], more: CheckResult) -> None:
    failure = more.model_copy(update={"outcome": "fail", "required": True})
    assert verdict([*some, failure], site="s")[:2] == ("fail", 1)


@given(results)
def test_exit_0_means_that_something_was_judged(some: list[CheckResult]) -> None:
    ruling = verdict(some, site="s")
    assert (ruling.exit_code == 0) == (ruling.verdict == "pass")
    if ruling.exit_code == 0:
        assert any(result.outcome in {"pass", "warn", "known", "fail"} for result in some)


@given(results)
def test_nothing_is_lost_by_the_profile_settings(some: list[CheckResult]) -> None:
    settings = CheckSettings(optional=("logs.*",), known=(known(),))
    after = apply_settings(some, settings, today=TODAY)
    assert [(r.id, r.worker) for r in after] == [(r.id, r.worker) for r in some]
    assert {r.outcome for r in after if r.id == "logs.readable"} <= set(OUTCOMES) - {"fail"}


@pytest.mark.parametrize("some", [(), (check("n/a"),), (check("blocked", required=False),)])
def test_no_check_that_ran_is_an_error(some: tuple[CheckResult, ...]) -> None:
    assert verdict(some, site="local") == ("error", 6, "Site local could not be judged: no check ran.")


@pytest.mark.parametrize("outcome", ["warn", "known", "n/a", "pass"])
def test_what_does_not_fail_a_run(outcome: Outcome) -> None:
    assert verdict([check("pass"), check(outcome)], site="s").exit_code == 0


@pytest.mark.parametrize("outcome", ["fail", "blocked"])
def test_an_optional_check_does_not_fail_a_run(outcome: Outcome) -> None:
    assert verdict([check("pass"), check(outcome, required=False)], site="s").exit_code == 0


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (ConfigError("x: y"), ("error", 2)),
        (PackError("x: y"), ("error", 3)),
        (SubmitError("x: y"), ("error", 4)),
        (NoWorkersError("x: y"), ("fail", 5)),
        (JudgeError("x: y"), ("error", 6)),
        (FasthepValidateError("x: y"), ("error", 6)),
        (Interrupted(signal.SIGINT), ("incomplete", 130)),
        (Interrupted(signal.SIGTERM), ("incomplete", 143)),
    ],
)
def test_an_error_that_ended_the_run_decides(error: FasthepValidateError, expected: tuple[str, int]) -> None:
    assert verdict([check("fail")], site="s", error=error)[:2] == expected


def test_sentence_of_a_pass() -> None:
    passes = [check("pass", worker=worker) for worker in ("default-0", "default-1")]
    assert verdict(passes, site="local").sentence == "Site local works: 2 checks of 2 workers passed."
    others = [*passes, check("warn"), check("known"), check("known"), check("n/a")]
    expected = "Site local works: 2 checks of 2 workers passed (1 warning, 2 known failures)."
    assert verdict(others, site="local").sentence == expected


def test_sentence_of_a_failure_names_place_and_first_failure() -> None:
    some = [
        check("pass"),
        check("blocked", worker="default-1", blocked_by="environment.glibc-floor[default-1]"),
        check("fail", "environment.glibc-floor", "default-1", message="glibc 2.28, 2.34 is needed.\nmore"),
    ]
    assert verdict(some, site="local").sentence == (
        "Site local does not work: 1 of 3 checks failed and 1 more blocked on default-1, "
        "first: environment.glibc-floor: glibc 2.28, 2.34 is needed."
    )


def test_sentence_counts_workers_when_they_are_many() -> None:
    some = [check("fail" if n < 3 else "pass", worker=f"default-{n}", message="m") for n in range(10)]
    assert "3 of 10 checks failed on 3 of 10 workers, first: " in verdict(some, site="s").sentence


def test_sentence_of_blocks_alone() -> None:
    some = [check("blocked", blocked_by="start[default-0]")]
    expected = "1 of 1 check blocked on default-0, first: environment.imports: blocked by start[default-0]."
    assert verdict(some, site="s").sentence == f"Site s does not work: {expected}"


def test_sentence_of_an_interruption_tells_what_was_known() -> None:
    ruling = verdict([check("pass"), check("fail")], site="s", error=Interrupted(signal.SIGTERM))
    expected = "Site s was not judged to the end: SIGTERM stopped the run. Until then: 1 failed, 1 passed."
    assert ruling.sentence == expected


def test_sentence_of_an_error_is_its_first_line() -> None:
    ruling = verdict([], site="s", error=ConfigError("a.yaml:3: one", "a.yaml:5: two"))
    assert ruling.sentence == "Site s could not be judged: a.yaml:3: one."


def test_counts_leave_out_what_does_not_occur() -> None:
    assert count([check("pass"), check("pass"), check("n/a")]) == {"pass": 2, "n/a": 1}
    assert tally([]) == ""


def test_known_until_and_including_its_last_day() -> None:
    (result,) = apply_known([check("fail", message="no numba.")], [known()], today=TODAY)
    assert result.outcome == "known"
    assert result.message == "no numba. Accepted until 2026-11-22: ticket 7."


def test_an_expired_known_failure_fails_and_says_so() -> None:
    entry = known(until=date(2026, 11, 21))
    (result,) = apply_known([check("fail", message="no numba")], [entry], today=TODAY)
    assert result.outcome == "fail"
    assert result.message == "no numba. Its acceptance expired on 2026-11-21 (ticket 7)."


def test_of_two_entries_the_later_one_counts() -> None:
    entries = [known(until=date(2027, 1, 1)), known(until=date(2020, 1, 1))]
    (result,) = apply_known([check("fail")], entries, today=TODAY)
    assert result.outcome == "known"


@pytest.mark.parametrize("entry", [known("logs.*"), known(worker="gpu-?")])
def test_other_checks_and_workers_are_not_accepted(entry: KnownFailure) -> None:
    assert apply_known([check("fail")], [entry], today=TODAY)[0].outcome == "fail"


def test_a_known_failure_that_passes_is_noted() -> None:
    (result,) = apply_known([check("pass")], [known()], today=TODAY)
    assert (result.outcome, result.message) == (
        "pass",
        "This known failure passes again: remove it from the profile.",
    )


def test_a_wildcard_is_not_over_while_one_of_its_checks_fails() -> None:
    some = [check("pass"), check("fail", worker="default-1")]
    passed, failed = apply_known(some, [known("environment.*")], today=TODAY)
    assert (passed.message, failed.outcome) == ("", "known")


@pytest.mark.parametrize(
    ("blocked_by", "outcome"),
    [("environment.imports[default-0]", "known"), ("start[default-0]", "blocked"), ("", "blocked")],
)
def test_a_listed_block_is_accepted_with_its_root_alone(blocked_by: str, outcome: Outcome) -> None:
    some = [check("fail"), check("blocked", "environment.more", blocked_by=blocked_by)]
    assert apply_known(some, [known("environment.*")], today=TODAY)[1].outcome == outcome


def test_optional_failures_warn() -> None:
    settings = CheckSettings(optional=("environment.*",))
    (result,) = apply_settings([check("fail")], settings, today=TODAY)
    assert (result.outcome, result.required) == ("warn", False)
