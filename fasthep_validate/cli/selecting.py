"""Which checks a command is about: bundled ones and those of the site, and the patterns that select them."""

from __future__ import annotations

from difflib import get_close_matches
from typing import TYPE_CHECKING

from fasthep_validate.errors import ConfigError, Problem

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from fasthep_validate.models.report import CheckInfo


def check_paths(added: Sequence[Path]) -> list[Path]:
    """The bundled checks and those of the user.

    Raises:
        ConfigError: a path does not exist.
    """
    from fasthep_validate import bundled

    missing = [path for path in added if not path.exists()]
    if missing:
        hint = "Name a folder with test_*.py files, or one such file."
        raise ConfigError(*(Problem("--add-checks", f"{path} does not exist", hint) for path in missing))
    return [bundled.checks_dir(), *(path.absolute() for path in added)]


def collect(paths: Sequence[Path]) -> Mapping[str, CheckInfo]:
    """All checks below these paths, by id."""
    from fasthep_validate.judging import collect_checks

    return collect_checks(paths)


def must_select(patterns: Sequence[str], paths: Sequence[Path]) -> None:
    """Refuse patterns that select nothing before anything is started."""
    from fasthep_validate.collecting import fits

    if not patterns and len(paths) == 1:
        return
    known = collect(paths)
    unused = [pattern for pattern in patterns if not any(fits(identity, [pattern]) for identity in known)]
    problems = [
        Problem("--check", f"no check fits {pattern!r}", _nearest(pattern, known)) for pattern in unused
    ]
    if problems:
        raise ConfigError(*problems)


def _nearest(pattern: str, known: Mapping[str, CheckInfo]) -> str:
    names = [*known, *{check.family for check in known.values()}]
    near = get_close_matches(pattern, names, n=1)
    return f"Did you mean {near[0]!r}?" if near else "See 'fasthep-validate checks'."
