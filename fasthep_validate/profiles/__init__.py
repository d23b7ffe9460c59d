"""Finds site profiles and reads them."""

from __future__ import annotations

import ast
import os
from dataclasses import dataclass, replace
from importlib.metadata import entry_points
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fasthep_validate import bundled, overrides, yaml_lines
from fasthep_validate.errors import ConfigError, Problem
from fasthep_validate.mistakes import read
from fasthep_validate.models.environment import PATHS
from fasthep_validate.models.execution import ModifierSource
from fasthep_validate.models.profile import Paths, SiteProfile
from fasthep_validate.models.site import Registered, Site
from fasthep_validate.models.written import nearest
from fasthep_validate.overrides import Overrides, parse_overrides
from fasthep_validate.resolve import resolve

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from pydantic import JsonValue

    from fasthep_validate.yaml_lines import Document

__all__ = ["Overrides", "SiteFile", "find_sites", "load_site", "parse_overrides", "profile_schema"]

GROUP = "fasthep_validate.site_profiles"
SUFFIXES = (".yaml", ".yml")


@dataclass(frozen=True)
class SiteFile:
    """A site profile that can be named.

    Attributes:
        name: for ``--site``.
        path: its file.
        origin: where it was found, in words.
        description: its own line; empty where it has none, or says what is wrong with the file.
    """

    name: str
    path: Path
    origin: str
    description: str = ""


def find_sites() -> list[SiteFile]:
    """All profiles that can be named, in the order in which they are looked for."""
    first: dict[str, SiteFile] = {}
    for site in _candidates():
        first.setdefault(site.name, site)
    return [replace(site, description=_description(site.path)) for site in first.values()]


def profile_schema() -> dict[str, JsonValue]:
    """JSON schema of a profile, for editors and for the reference."""
    return Site.model_json_schema()


def load_site(
    name_or_path: str,
    *,
    overrides: Overrides | None = None,
    builtin: Mapping[str, ModifierSource] | None = None,
    parameter_problem: Callable[[str, Mapping[str, JsonValue]], str] | None = None,
    over: Document | None = None,
) -> SiteProfile:
    """The profile of a site.

    Args:
        name_or_path: a name (see :func:`find_sites`), or the path of a YAML file.
        overrides: changes for this run.
        builtin: execution modifiers that are registered without the profile, by name.
        parameter_problem: tells what is wrong with the parameters of one of them, empty when nothing is.
        over: the ``execution:`` block of a workflow, laid over that of the profile; its pools, and its
            environment with the staging, take the place of the profile's.

    Raises:
        ConfigError: with every mistake of the profile, each with file and line.
    """
    path = _find(name_or_path, where="--site")
    document = _assembled(path, ())
    if over and isinstance(document.value, dict):
        document = over.over(_without(document, over.value["execution"]))
    document = _with_paths(_overridden(document, overrides or Overrides()), Path())
    registered = builtin or {}
    known = Registered(frozenset(registered), parameter_problem or (lambda _name, _params: ""))
    site = read(Site, document, context=known)
    return SiteProfile(
        site=site.site or path.stem,
        description=site.description,
        source=str(path.absolute()),
        execution=resolve(
            site.execution,
            network=site.network,
            timeouts=site.timeouts,
            credentials=site.credentials,
            batch=site.batch,
            storage=site.storage,
            node_cache=site.node_cache,
            modifiers={**registered, **_sources(site)},
            required_imports=site.checks.required_imports,
            gpu=site.checks.gpu,
        ),
        checks=site.checks,
        paths=Paths(forbidden=site.batch.forbidden_paths, logs=site.batch.log_paths),
    )


def _without(document: Document, block: Mapping[str, Any]) -> Document:
    """The profile without what a workflow's block takes the place of as a whole."""
    gone = [key for key in ("pools", "environment") if block.get(key)]
    for key in [*gone, *(["staging"] if "environment" in gone else [])]:
        document = document.put(("execution", key), None, "")
    return document


def _overridden(document: Document, changes: Overrides) -> Document:
    return overrides.apply(changes, document) if isinstance(document.value, dict) else document


def _candidates() -> Iterator[SiteFile]:
    for origin, folder in _folders():
        for path in sorted(folder.glob("*")):
            if path.suffix in SUFFIXES:
                yield SiteFile(path.stem, path, origin)


def _folders() -> Iterator[tuple[str, Path]]:
    yield "current folder", Path("site_profiles")
    config = Path(os.environ.get("XDG_CONFIG_HOME") or "~/.config").expanduser()
    yield "user", config / "fasthep-validate" / "site_profiles"
    for point in entry_points(group=GROUP):
        for folder in _package_folders(point.value):
            yield f"package {point.value}", folder
    yield "bundled", bundled.profiles_dir()


def _package_folders(name: str) -> list[Path]:
    """Where a package lies, without running it; none if it is not there."""
    try:
        spec = find_spec(name)
    except ImportError:
        return []
    return [Path(folder) for folder in (spec and spec.submodule_search_locations) or ()]


def _description(path: Path) -> str:
    try:
        value = _load(path).value
    except ConfigError as error:
        return f"cannot be read: {error.problems[0]}"
    return str(value.get("description", "")) if isinstance(value, dict) else ""


def _is_path(text: str) -> bool:
    return "/" in text or text.endswith(SUFFIXES)


def _find(text: str, *, where: str, beside: Path = Path(), used: tuple[Path, ...] = ()) -> Path:
    """The file of a profile; ``used`` are those that extend it, which it cannot be."""
    if _is_path(text):
        path = beside / Path(text).expanduser()
        if path.absolute() in used:
            raise ConfigError(
                Problem(where, f"{text!r} extends itself", "Remove 'extends' from one of the files.")
            )
        return path
    named = [site.path for site in _candidates() if site.name == text]
    if not named:
        raise ConfigError(Problem(where, f"no site {text!r}", _known_sites(text)))
    for path in named:
        if path.absolute() not in used:
            return path
    raise ConfigError(Problem(where, f"{text!r} extends itself", "Remove 'extends' from one of the files."))


def _known_sites(text: str) -> str:
    names = sorted({site.name for site in _candidates()})
    close, known = nearest(text, names), f"Known: {', '.join(names)}."
    return close if close == known else f"{close} {known}"


def _assembled(path: Path, used: tuple[Path, ...]) -> Document:
    """The file, laid over the profiles that it extends."""
    document = _with_paths(_with_sources(_load(path), path.parent), path.parent)
    value = document.value
    base = value.get("extends") if isinstance(value, dict) else None
    if not isinstance(base, str) or not base.strip():
        return document
    chain = (*used, path.absolute())
    found = _find(base.strip(), where=document.place(("extends",)), beside=path.parent, used=chain)
    below = _assembled(found, chain)
    for own in ("site", "extends"):
        below = below.put((own,), None, "") if isinstance(below.value, dict) else below
    return document.over(below)


def _load(path: Path) -> Document:
    try:
        document = yaml_lines.load(path.read_text(encoding="utf-8-sig"), str(path))
    except UnicodeDecodeError as error:
        what = f"not UTF-8: byte 0x{error.object[error.start]:02x} at offset {error.start}"
        raise ConfigError(Problem(str(path), what, "Save the file as UTF-8.")) from None
    except OSError as error:
        raise ConfigError(Problem(str(path), f"cannot be read: {error.strerror}")) from None
    if document.value is None:
        raise ConfigError(
            Problem(str(path), "the file is empty", "Start from a copy of the profile 'local'.")
        )
    return document


def _with_sources(document: Document, folder: Path) -> Document:
    """The files of modifiers as absolute paths; one that cannot be used is a mistake of the document."""
    value = document.value
    entries: Any = value.get("execution_modifiers") if isinstance(value, dict) else None
    for name, entry in entries.items() if isinstance(entries, dict) else ():
        source = entry.get("source") if isinstance(entry, dict) else None
        if isinstance(source, str):
            path = ("execution_modifiers", name, "source")
            file, place = (folder / source).absolute(), document.place(path)
            if problem := _source_problem(file, place):
                document = replace(document, problems=(*document.problems, problem))
            document = document.put(path, str(file), place)
    return document


def _with_paths(document: Document, folder: Path) -> Document:
    """The files that ``environment`` names as absolute paths, from the folder of the file that names them."""
    value: Any = document.value
    for key in ("execution", "environment"):
        value = value.get(key) if isinstance(value, dict) else None
    for key in ("code", *PATHS) if isinstance(value, dict) else ():
        where = ("execution", "environment", key)
        match value.get(key):
            case list() as items:
                document = document.put(
                    where, [_absolute(item, folder) for item in items], document.place(where)
                )
            case str() as path:
                document = document.put(where, _absolute(path, folder), document.place(where))
    return document


def _absolute(path: Any, folder: Path) -> Any:
    if not isinstance(path, str) or not path.strip():
        return path
    return os.path.normpath((folder / Path(path.strip()).expanduser()).absolute())


def _source_problem(file: Path, place: str) -> Problem | None:
    try:
        ast.parse(file.read_text(encoding="utf-8"), filename=str(file))
    except OSError as error:
        return Problem(place, f"{file}: cannot be read: {error.strerror}")
    except SyntaxError as error:
        return Problem(f"{file}:{error.lineno}", f"not valid Python: {error.msg}")
    except ValueError as error:
        return Problem(str(file), f"not valid Python: {error}")
    return None


def _sources(site: Site) -> dict[str, ModifierSource]:
    return {
        name: ModifierSource(
            name=name,
            impl=entry.impl,
            source=Path(entry.source).read_text(encoding="utf-8") if entry.source else None,
        )
        for name, entry in site.execution_modifiers.items()
    }
