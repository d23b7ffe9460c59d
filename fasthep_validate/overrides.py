"""What the command line changes in a profile: ``--pool NAME=N`` and ``--set KEY=VALUE``."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from fasthep_validate import yaml_lines
from fasthep_validate.errors import ConfigError, Problem
from fasthep_validate.models.written import nearest

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from fasthep_validate.yaml_lines import Document

_NAMED = {"pools": "pool", "resources": "entry of execution.resources"}


@dataclass(frozen=True)
class Overrides:
    """Changes to a profile's ``execution:`` block, for one run.

    Attributes:
        pools: pool -> number of workers; 0 leaves the pool out.
        settings: dotted key and value (as YAML text), applied in this order.
    """

    pools: Mapping[str, int] = field(default_factory=dict)
    settings: Sequence[tuple[str, str]] = ()


def parse_overrides(pool: Sequence[str], settings: Sequence[str]) -> Overrides:
    """The values of ``--pool`` and ``--set`` options.

    Raises:
        ConfigError: with every option that cannot be read.
    """
    problems = [
        *(_problem("--pool", text, "NAME=N") for text in pool if not _is_pool(text)),
        *(_problem("--set", text, "KEY=VALUE") for text in settings if not _is_setting(text)),
    ]
    if problems:
        raise ConfigError(*problems)
    pairs = [text.partition("=") for text in settings]
    return Overrides(
        pools={name.strip(): int(number) for name, _, number in (text.partition("=") for text in pool)},
        settings=[(key.strip().removeprefix("execution."), value) for key, _, value in pairs],
    )


def _problem(option: str, text: str, form: str) -> Problem:
    return Problem(option, f"cannot read {text!r}", f"Write {option} {form}.")


def _is_pool(text: str) -> bool:
    name, _, number = text.partition("=")
    return bool(name.strip()) and number.strip().isascii() and number.strip().isdigit()


def _is_setting(text: str) -> bool:
    key, equals, _ = text.partition("=")
    return bool(equals) and all(part.strip() for part in key.split("."))


def apply(overrides: Overrides, document: Document) -> Document:
    """The profile with the changes; mistakes in them are told with the option as their place.

    Raises:
        ConfigError: an option names a pool or an entry that does not exist, or its value is not YAML.
    """
    problems: list[Problem] = []
    for key, text in overrides.settings:
        document = _set(document, key, text, problems)
    for name, workers in overrides.pools.items():
        document = _scale(document, name, workers, problems)
    if problems:
        raise ConfigError(*problems)
    return document


def _set(document: Document, key: str, text: str, problems: list[Problem]) -> Document:
    where = f"--set {key}={text}"
    path = ("execution", *key.split("."))
    if len(path) > 3 and path[1] in _NAMED:
        known = _mapping(document, *path[:2])
        if path[2] not in known:
            problems.append(Problem(where, f"no {_NAMED[path[1]]} {path[2]!r}", nearest(path[2], known)))
            return document
    try:
        value = yaml_lines.load(text, where).value
    except ConfigError as error:
        problems.extend(
            Problem(where, problem.what) for problem in error.problems if isinstance(problem, Problem)
        )
        return document
    return document.put(path, value, where)


def _scale(document: Document, name: str, workers: int, problems: list[Problem]) -> Document:
    where = f"--pool {name}={workers}"
    document = _with_default_pool(document, where)
    pools, resources = _mapping(document, "execution", "pools"), _mapping(document, "execution", "resources")
    if name in pools:
        pool = {**_mapping(document, "execution", "pools", name), "workers": workers}
    elif name in resources or (name == "default" and not resources):
        pool = {"resources": name, "workers": workers}
    elif name == "gpu":
        pool = {"resources": {"gpus": 1}, "workers": workers}
    else:
        problems.append(Problem(where, f"no pool {name!r}", nearest(name, {*pools, *resources, "gpu"})))
        return document
    if name not in pools or not workers:
        return document.put(("execution", "pools", name), pool if workers else None, where)
    return document.put(("execution", "pools", name, "workers"), workers, where)


def _with_default_pool(document: Document, where: str) -> Document:
    """Write the pool ``default`` out where ``config.workers`` stands for it, or would go before it."""
    config = _mapping(document, "execution", "config")
    counts = [key for key in ("n_workers", "workers") if config.get(key) is not None]
    if counts and not _mapping(document, "execution", "pools"):
        pool = {"resources": "default", "workers": config[counts[0]]}
        document = document.put(("execution", "pools", "default"), pool, where)
    elif counts and "default" in _mapping(document, "execution", "pools"):
        document = document.put(("execution", "pools", "default", "workers"), config[counts[0]], where)
    for key in counts:
        document = document.put(("execution", "config", key), None, where)
    return document


def _mapping(document: Document, *path: str) -> dict[str, Any]:
    """The mapping at a path; empty where there is none, for the profile may be wrong."""
    value = document.value
    for key in path:
        value = value.get(key) if isinstance(value, dict) else None
    return value if isinstance(value, dict) else {}
