"""The rules that turn results of checks into a verdict, an exit code and a sentence."""

from __future__ import annotations

import signal
from collections import Counter
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, NamedTuple, get_args

from fasthep_validate.errors import FasthepValidateError, Interrupted, JudgeError, NoWorkersError
from fasthep_validate.models.report import CheckResult, Outcome, Verdict

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from datetime import date

    from fasthep_validate.models.profile import CheckSettings, KnownFailure

OUTCOMES: tuple[Outcome, ...] = get_args(Outcome)
_WORDS: dict[Outcome, tuple[str, str]] = {
    "pass": ("passed", "passed"),
    "fail": ("failed", "failed"),
    "warn": ("warning", "warnings"),
    "n/a": ("not applicable", "not applicable"),
    "blocked": ("blocked", "blocked"),
    "known": ("known failure", "known failures"),
    "simulated": ("only simulated", "only simulated"),
}
# What a site is said to be when the run ended by an error, the nearest class first. That no worker
# came is a finding about the site; the others only tell that nothing could be judged.
_ERROR_VERDICTS: dict[type[FasthepValidateError], Verdict] = {
    Interrupted: "incomplete",
    NoWorkersError: "fail",
    FasthepValidateError: "error",
}
_BROKEN = {"fail", "blocked"}
_JUDGED = {"pass", "fail", "warn", "known"}


class Ruling(NamedTuple):
    """What is said of a site."""

    verdict: Verdict
    exit_code: int
    sentence: str


def label(result: CheckResult) -> str:
    """Name of a check of a worker, as in ``blocked_by``: ``environment.imports[default-0]``."""
    return f"{result.id}[{result.worker}]" if result.worker else result.id


def count(results: Iterable[CheckResult]) -> dict[str, int]:
    """Outcome -> number of checks; only outcomes that occur, always in the same order."""
    counts = Counter(result.outcome for result in results)
    return {outcome: counts[outcome] for outcome in OUTCOMES if counts[outcome]}


def tally(results: Iterable[CheckResult]) -> str:
    """The counts in words, such as ``2 failed, 1 warning, 56 passed``; the worst first."""
    counts = count(results)
    order: tuple[Outcome, ...] = ("fail", "blocked", "simulated", "warn", "known", "pass", "n/a")
    return ", ".join(
        f"{counts[outcome]} {_WORDS[outcome][counts[outcome] > 1]}" for outcome in order if outcome in counts
    )


def failing(results: Iterable[CheckResult]) -> tuple[CheckResult, ...]:
    """The results that make a run fail: required, and failed or blocked; failed ones first."""
    broken = (result for result in results if result.required and result.outcome in _BROKEN)
    return tuple(sorted(broken, key=lambda result: result.outcome == "blocked"))


def verdict(
    results: Sequence[CheckResult], *, site: str, error: FasthepValidateError | None = None
) -> Ruling:
    """Judge a run.

    Args:
        results: every check, with the profile's settings applied (:func:`apply_settings`).
        site: name of the site, for the sentence.
        error: the error that ended the run, if one did; its exit code is the run's.
    """
    if error is not None:
        return _ended_by(error, results, site)
    if broken := failing(results):
        return Ruling("fail", 1, f"Site {site} does not work: {_failures(broken, results)}")
    if unreal := [result for result in results if result.required and result.outcome == "simulated"]:
        return Ruling("simulated", 1, f"Site {site} is not certified: {_simulations(unreal, results)}")
    if not any(result.outcome in _JUDGED for result in results):
        return Ruling("error", JudgeError.exit_code, f"Site {site} could not be judged: no check ran.")
    return Ruling("pass", 0, f"Site {site} works: {_passes(results)}.")


def apply_settings(
    results: Iterable[CheckResult], settings: CheckSettings, *, today: date
) -> tuple[CheckResult, ...]:
    """Results as the profile wants them seen: optional checks only warn, accepted failures are ``known``."""
    return apply_known(apply_optional(results, settings.optional), settings.known, today=today)


def apply_optional(results: Iterable[CheckResult], optional: Sequence[str]) -> tuple[CheckResult, ...]:
    """Turn failures of optional checks into ``warn``; ``optional`` holds ids with wildcards."""
    return tuple(_soften(result, optional) for result in results)


def apply_known(
    results: Iterable[CheckResult], known: Sequence[KnownFailure], *, today: date
) -> tuple[CheckResult, ...]:
    """Turn accepted failures into ``known``; an expired one stays what it is and says so.

    A blocked check is not a failure of its own: it becomes ``known`` only where it is listed *and* the
    failure that blocks it is accepted too. A listed failure that no longer occurs gets a note.
    """
    before = tuple(results)
    failed = tuple(_accept(result, known, today) if result.outcome == "fail" else result for result in before)
    accepted = {label(result) for result in failed if result.outcome == "known"}
    after = tuple(
        _accept(result, known, today)
        if result.outcome == "blocked" and result.blocked_by in accepted
        else result
        for result in failed
    )
    gone = tuple(entry for entry in known if _gone(entry, before))
    return tuple(_note_pass(result, gone) for result in after)


def _soften(result: CheckResult, optional: Sequence[str]) -> CheckResult:
    required = result.required and not any(fnmatchcase(result.id, pattern) for pattern in optional)
    outcome: Outcome = "warn" if result.outcome == "fail" and not required else result.outcome
    return result.model_copy(update={"required": required, "outcome": outcome})


def _covers(entry: KnownFailure, result: CheckResult) -> bool:
    return fnmatchcase(result.id, entry.check) and fnmatchcase(result.worker, entry.worker)


def _accept(result: CheckResult, known: Sequence[KnownFailure], today: date) -> CheckResult:
    """The entry that is valid longest decides."""
    entries = sorted((entry for entry in known if _covers(entry, result)), key=lambda entry: entry.until)
    if not entries:
        return result
    entry = entries[-1]
    if entry.until < today:
        note = f"Its acceptance expired on {entry.until} ({entry.reason})."
        return result.model_copy(update={"message": _join(result.message, note)})
    note = f"Accepted until {entry.until}: {entry.reason}."
    return result.model_copy(update={"outcome": "known", "message": _join(result.message, note)})


def _gone(entry: KnownFailure, results: Iterable[CheckResult]) -> bool:
    """Whether everything that an entry covers passes; with wildcards, one failure keeps it alive."""
    return all(result.outcome in {"pass", "n/a"} for result in results if _covers(entry, result))


def _note_pass(result: CheckResult, gone: Iterable[KnownFailure]) -> CheckResult:
    if result.outcome != "pass" or not any(_covers(entry, result) for entry in gone):
        return result
    note = "This known failure passes again: remove it from the profile."
    return result.model_copy(update={"message": _join(result.message, note)})


def _join(message: str, note: str) -> str:
    return f"{message.rstrip('. ')}. {note}" if message else note


def _ended_by(error: FasthepValidateError, results: Sequence[CheckResult], site: str) -> Ruling:
    nearest = next(cls for cls in type(error).__mro__ if cls in _ERROR_VERDICTS)
    opening = "does not work" if _ERROR_VERDICTS[nearest] == "fail" else "could not be judged"
    sentence = f"Site {site} {opening}: {_stop(_first_line(error))}"
    code = error.exit_code
    if isinstance(error, Interrupted):
        code = error.code
        sentence = f"Site {site} was not judged to the end: {_signal_name(error.signum)} stopped the run."
    so_far = f" Until then: {tally(results)}." if results else ""
    return Ruling(_ERROR_VERDICTS[nearest], code, sentence + so_far)


def _signal_name(signum: int) -> str:
    known = {number.value: number.name for number in signal.Signals}
    return known.get(signum, f"signal {signum}")


def _first_line(error: FasthepValidateError) -> str:
    return next(iter(str(error).splitlines()), type(error).__name__)


def _stop(text: str) -> str:
    return text if text.endswith((".", "!", "?")) else f"{text}."


def _failures(broken: Sequence[CheckResult], results: Sequence[CheckResult]) -> str:
    """What failed, how often, where and what first."""
    total = sum(result.outcome != "n/a" for result in results)
    failed = sum(result.outcome == "fail" for result in broken)
    blocked = len(broken) - failed
    told = [f"{failed} of {_checks(total)} failed"] if failed else []
    told += [f"{blocked} {'more ' if failed else f'of {_checks(total)} '}blocked"] if blocked else []
    first = broken[0]
    message = first.message or (f"blocked by {first.blocked_by}" if first.blocked_by else first.claim)
    return f"{' and '.join(told)}{_where(broken, results)}, first: {first.id}: {_stop(_one_line(message))}"


def _simulations(unreal: Sequence[CheckResult], results: Sequence[CheckResult]) -> str:
    """How many checks had no device, and which came first."""
    total = sum(result.outcome != "n/a" for result in results)
    first = unreal[0]
    found = _stop(_one_line(first.message) or first.claim)
    return f"{len(unreal)} of {_checks(total)} were only simulated{_where(unreal, results)}, first: {first.id}: {found}"


def _one_line(message: str) -> str:
    return next(iter(message.splitlines()), "")


def _where(broken: Iterable[CheckResult], results: Iterable[CheckResult]) -> str:
    hit, planned = _workers(broken), _workers(results)
    if not hit:
        return ""
    return f" on {' and '.join(hit)}" if len(hit) <= 2 else f" on {len(hit)} of {len(planned)} workers"


def _passes(results: Sequence[CheckResult]) -> str:
    """``58 checks of 2 workers passed``, with what else there was."""
    passed = [result for result in results if result.outcome == "pass"]
    workers = len(_workers(results))
    of = f" of {workers} worker{'s' * (workers != 1)}" if workers else ""
    others = tally(result for result in results if result.outcome not in {"pass", "n/a"})
    return f"{_checks(len(passed))}{of} passed" + (f" ({others})" if others else "")


def _workers(results: Iterable[CheckResult]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(result.worker for result in results if result.worker))


def _checks(number: int) -> str:
    return f"{number} check{'s' * (number != 1)}"
