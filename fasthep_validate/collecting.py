"""Which tests are checks, what they are called, and in which order they run.

A test is a check if it uses one of our fixtures (``worker``, ``run``, ``fasthep_client``) or carries the
marker ``fasthep``. What lies in a folder of ``--add-checks`` is a check in any case.
"""

from __future__ import annotations

from fnmatch import fnmatchcase
from functools import cache
from importlib import import_module
from typing import TYPE_CHECKING

import pytest

from fasthep_validate import bundled
from fasthep_validate.models.report import CheckInfo
from fasthep_validate.outcomes import describe

if TYPE_CHECKING:
    from collections.abc import Generator, Mapping, Sequence
    from pathlib import Path
    from types import ModuleType

    from _pytest.fixtures import FuncFixtureInfo

MARKER = "fasthep"
CLIENT = "fasthep_client"
FIXTURES = ("worker", "run", CLIENT)
FIXTURES_HOME = "fasthep_validate.fixtures"


def is_check(item: pytest.Item) -> bool:
    """Whether a test judges a site."""
    marked = item.get_closest_marker(MARKER) is not None
    return isinstance(item, pytest.Function) and (marked or any(uses(item, name) for name in FIXTURES))


def is_live(item: pytest.Item) -> bool:
    """Whether a check needs the pools to be open."""
    return uses(item, CLIENT)


def uses(item: pytest.Item, name: str) -> bool:
    """Whether a test gets our fixture of this name, and not one of the user's that takes its place.

    One that asks for ours in its turn stands on it and does not replace it.
    """
    # Where pytest keeps which fixtures a test will get; it has no public name.
    known: FuncFixtureInfo | None = getattr(item, "_fixtureinfo", None)
    for definition in reversed(known.name2fixturedefs.get(name, ()) if known else ()):
        if definition.func.__module__ == FIXTURES_HOME:
            return True
        if name not in definition.argnames:
            return False
    return False


def info(item: pytest.Function) -> CheckInfo:
    """What is known of a check before it runs."""
    marker = item.get_closest_marker(MARKER)
    claim, remedy = describe(item.function)
    family = _family(item.path)
    return CheckInfo(
        id=f"{family}.{_name(item)}",
        family=family,
        claim=claim,
        remedy=remedy,
        file=item.path.name if is_bundled(item.path) else str(item.path),
        required=bool(marker.kwargs.get("required", True)) if marker else True,
    )


def is_bundled(path: Path) -> bool:
    """Whether a file is one of the checks that come with the package."""
    return path.parent.resolve() == bundled.checks_dir().resolve()


def _family(path: Path) -> str:
    """The name of the file. A user's file that is called like one of ours gets its folder's name in front."""
    family = path.stem.removeprefix("test_")
    ours = is_bundled(path) or family not in _bundled_families()
    return family if ours else f"{path.parent.name}/{family}"


@cache
def _bundled_families() -> frozenset[str]:
    return frozenset(path.stem.removeprefix("test_") for path in bundled.checks_dir().glob("test_*.py"))


def _name(item: pytest.Function) -> str:
    """The function's name, in its class if it has one, with parameters of its own."""
    name = item.originalname.removeprefix("test_").replace("_", "-")
    where = f"{item.cls.__name__}." if item.cls else ""
    return where + name + _parameters(item)


def _parameters(item: pytest.Function) -> str:
    """``:443`` for a check that its author has parametrised; the worker has a column of its own."""
    if not hasattr(item, "callspec"):
        return ""
    identity = f"-{item.callspec.id}-"
    if uses(item, "worker"):
        identity = identity.replace(f"-{item.callspec.params.get('worker')}-", "-", 1)
    own = identity.strip("-")
    return f":{own}" if own else ""


def fits(identity: str, patterns: Sequence[str]) -> bool:
    """Whether an id is meant by one of the patterns: its family, itself, or with wildcards."""
    return any(fnmatchcase(identity, pattern) or identity.startswith(f"{pattern}.") for pattern in patterns)


class Bundled:
    """Imports our checks as ``fasthep_validate.checks.…``, whatever the import mode, with our fixtures.

    pytest would name them after their folder, and a user has a folder ``checks`` of his own; and it would
    give them a fixture ``run`` of the user's ``conftest.py``.
    """

    def __init__(self, fixtures: Mapping[str, object]) -> None:
        self._fixtures = fixtures

    def pytest_collect_directory(self, path: Path, parent: pytest.Collector) -> pytest.Collector | None:
        """Take our folder for a plain one: there is nothing in its ``__init__.py`` to import."""
        if path.resolve() != bundled.checks_dir().resolve():
            return None
        folder: pytest.Dir = pytest.Dir.from_parent(parent, path=path)
        return folder

    def pytest_pycollect_makemodule(
        self, module_path: Path, parent: pytest.Collector
    ) -> pytest.Module | None:
        """Collect our files with an import of our own."""
        if not is_bundled(module_path):
            return None
        module: BundledModule = BundledModule.from_parent(parent, path=module_path)
        module.fixtures = self._fixtures
        return module


class BundledModule(pytest.Module):
    """A file of checks that comes with the package.

    Attributes:
        fixtures: our fixtures by name; in the module itself no ``conftest.py`` can hide them.
    """

    fixtures: Mapping[str, object]

    def _getobj(self) -> ModuleType:
        module = import_module(f"{__package__}.checks.{self.path.stem}")
        vars(module).update(self.fixtures)
        return module


class AllAreChecks:
    """Takes every test for a check: these are the files that were named as checks."""

    def pytest_itemcollected(self, item: pytest.Item) -> None:
        """Mark a test that has nothing else to tell it by."""
        if not is_check(item):
            item.add_marker(MARKER)


class Selection:
    """Keeps the checks whose id fits a pattern, and puts live ones first: the pools close after them."""

    def __init__(self, patterns: Sequence[str] = ()) -> None:
        self.patterns = patterns

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_collection_modifyitems(
        self, config: pytest.Config, items: list[pytest.Item]
    ) -> Generator[None, None, None]:
        """Deselect and sort, after all others have."""
        yield
        if self.patterns:
            config.hook.pytest_deselected(items=[item for item in items if not self._fits(item)])
            items[:] = filter(self._fits, items)
        items.sort(key=is_live, reverse=True)

    def _fits(self, item: pytest.Item) -> bool:
        return isinstance(item, pytest.Function) and fits(info(item).id, self.patterns)


class Catalogue:
    """Notes which checks were collected."""

    def __init__(self) -> None:
        self.checks: dict[str, CheckInfo] = {}

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        """Take them."""
        for item in session.items:
            if isinstance(item, pytest.Function) and is_check(item):
                check = info(item)
                self.checks[check.id] = check
