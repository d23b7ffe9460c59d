"""How a check says what it found.

A check that returns has passed, one that fails an ``assert`` has failed. The other outcomes are
exceptions; plain pytest, which does not know them, shows them as skipped::

    pytest.skip.Exception
    ├── NotApplicable     n/a       the site does not offer what the check is about
    ├── Warned            warn      worth knowing, no reason to refuse the site
    ├── Blocked           blocked   something else failed before
    └── Simulated         simulated all went well, without the device that the check is about
"""

from __future__ import annotations

import inspect
from dataclasses import dataclass
from typing import TYPE_CHECKING, NoReturn

# pytest.skip.Exception and its kin, in a form that can be typed and subclassed
from _pytest.outcomes import Failed, OutcomeException, Skipped

if TYPE_CHECKING:
    from collections.abc import Callable

    from fasthep_validate.models.report import Outcome


class NotApplicable(Skipped):
    """The check has no object here."""


class Warned(Skipped):
    """The check found something that an admin should know.

    Attributes:
        cause: id in the catalogue of causes; empty where none fits.
    """

    def __init__(self, msg: str, cause: str = "") -> None:
        super().__init__(msg)
        self.cause = cause


class Caused(AssertionError):
    """The check failed, and knows why.

    Attributes:
        cause: id in the catalogue of causes, ``FHV-<class>-<nnn>``.
    """

    def __init__(self, msg: str, cause: str) -> None:
        super().__init__(msg)
        self.cause = cause


class Blocked(Skipped):
    """The check cannot be judged because of another one.

    Attributes:
        by: the check that failed, such as ``worker_start.started[default-0]``.
    """

    def __init__(self, by: str, msg: str = "") -> None:
        super().__init__(msg or f"blocked by {by}")
        self.by = by


class Simulated(Skipped):
    """All went well, and certifies nothing: no device was behind it."""


def simulated(message: str) -> NoReturn:
    """End a check that went well without the device that it is about."""
    __tracebackhide__ = True
    raise Simulated(message)


def not_applicable(reason: str) -> NoReturn:
    """End a check that has no object here, such as one of GPUs in a pool without any."""
    __tracebackhide__ = True
    raise NotApplicable(reason)


def warn(message: str, *, cause: str = "") -> NoReturn:
    """End a check with a warning: nothing that fails the site; ``cause`` is an id of the catalogue."""
    __tracebackhide__ = True
    raise Warned(message, cause)


def fail(message: str, *, cause: str) -> NoReturn:
    """End a check that failed for a reason that the catalogue of causes has; its remedy goes before the check's."""
    __tracebackhide__ = True
    raise Caused(message, cause)


@dataclass(frozen=True)
class Finding:
    """What came out of a check.

    Attributes:
        outcome: ``pass``, ``fail``, ``warn``, ``n/a`` or ``blocked``.
        message: what was found; empty when all is well.
        blocked_by: the check that failed before, for ``blocked``.
        cause: id in the catalogue of causes, where the check gave one.
    """

    outcome: Outcome
    message: str = ""
    blocked_by: str = ""
    cause: str = ""


def finding(error: BaseException | None) -> Finding:
    """The outcome behind whatever a check raised; ``None`` for one that returned.

    A check that breaks for a reason of its own has failed too: it shows nothing.
    """
    match error:
        case None:
            return Finding("pass")
        case Blocked():
            return Finding("blocked", str(error), error.by)
        case Warned():
            return Finding("warn", str(error), cause=error.cause)
        case Simulated():
            return Finding("simulated", str(error))
        case NotApplicable() | Skipped():
            return Finding("n/a", str(error))
        case _:
            return _failure(error)


def _failure(error: BaseException) -> Finding:
    match error:
        case Caused():
            return Finding("fail", str(error), cause=error.cause)
        case AssertionError():
            return Finding("fail", _said(error))
        case Failed():
            return Finding("fail", str(error))
    return Finding("fail", f"{type(error).__name__}: {error}")


def _said(error: AssertionError) -> str:
    """The message of an ``assert``, without the comparison that pytest writes under it."""
    text = str(error)
    message, _, _ = text.partition("\nassert ")
    return message or text or "the check failed without a message"


def judge(check: Callable[[], object]) -> Finding:
    """Call a check and tell its outcome; a keyboard interrupt goes through."""
    try:
        check()
    except (Exception, OutcomeException) as error:  # noqa: BLE001 - whatever a check breaks with is its failure
        return finding(error)
    return Finding("pass")


def check_id(function: Callable[..., object]) -> str:
    """The stable id of a check: ``test_archive_intact`` in ``test_environment.py`` is ``environment.archive-intact``."""
    family = function.__module__.rpartition(".")[2].removeprefix("test_")
    return f"{family}.{function.__name__.removeprefix('test_').replace('_', '-')}"


def describe(function: Callable[..., object]) -> tuple[str, str]:
    """Claim and remedy of a check, out of its docstring.

    The first paragraph is the claim; the paragraph that starts with ``Remedy:`` is the remedy. Either is
    empty where the docstring has none.
    """
    text = inspect.cleandoc(function.__doc__ or "")
    paragraphs = [" ".join(block.split()).replace("``", "`") for block in text.split("\n\n")]
    remedies = (part.removeprefix("Remedy:").strip() for part in paragraphs if part.startswith("Remedy:"))
    claim = "" if paragraphs[0].startswith("Remedy:") else paragraphs[0]
    return claim, next(remedies, "")
