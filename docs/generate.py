"""Writes the parts of the reference that come out of the code, as Markdown to be included.

``conf.py`` calls :func:`write_all` before every build; ``python docs/generate.py FOLDER`` does the same.
"""

from __future__ import annotations

import ast
import inspect
import json
import sys
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, get_args

from typer.main import get_group

from fasthep_validate import bundled, causes, errors
from fasthep_validate.cli import app
from fasthep_validate.judging import collect_checks
from fasthep_validate.models import (
    batch,
    block,
    credentials,
    environment,
    execution,
    pool_config,
    profile,
    site,
    storage,
)
from fasthep_validate.models.base import Model
from fasthep_validate.models.written import Written

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from pydantic.fields import FieldInfo

    from fasthep_validate.models.report import CheckInfo


ROOT = Path(__file__).parents[1]


class Section(NamedTuple):
    """A mapping of the profile: where it stands, and which model reads it."""

    place: str
    model: type[Written]


SECTIONS = (
    Section("", site.Site),
    Section("execution", block.Execution),
    Section("execution.resources.NAME", block.Resources),
    Section("execution.pools.NAME", block.Pool),
    Section("execution.pools.NAME.config", pool_config.PoolConfig),
    Section("execution.config", pool_config.Config),
    Section("execution.environment", environment.Environment),
    Section("execution.environment.pixi_pack", execution.PixiPackOptions),
    Section("execution.staging", block.Staging),
    Section("execution.modifiers", block.Modifier),
    Section("execution_modifiers.NAME", site.ModifierEntry),
    Section("batch", batch.Batch),
    Section("batch.walltime", batch.WallTimes),
    Section("network", site.Network),
    Section("network.scheduler", pool_config.SchedulerOptions),
    Section("credentials", credentials.Credentials),
    Section("credentials.x509", credentials.X509),
    Section("credentials.kerberos", credentials.Kerberos),
    Section("credentials.token", credentials.Token),
    Section("storage", storage.Storage),
    Section("storage.endpoints.NAME", storage.Endpoint),
    Section("node_cache", execution.NodeCache),
    Section("timeouts", execution.Timeouts),
    Section("checks", profile.CheckSettings),
    Section("checks.known", profile.KnownFailure),
    Section("checks.gpu", profile.GpuSettings),
    Section("checks.gpu.reference", profile.GpuReference),
)
PLACES = {section.model.__name__: section.place for section in SECTIONS}

# How the types of the models are written in YAML.
WORDS = {
    "Count": "whole number from 1",
    "Natural": "whole number",
    "Memory": "size, such as `2 GB`",
    "Size": "size, such as `200 MB`",
    "Duration": "time, such as `30 s`",
    "PositiveDuration": "time, such as `2 min`",
    "WallTime": "time, such as `2 h` or `1:00:00`",
    "Prefix": "folder",
    "Port": "port",
    "PortOrPorts": "port, or ports such as `8786:8796`",
    "Ports": "ports, such as `10000:10100`",
    "Name": "name",
    "Reference": "name",
    "Text": "text",
    "str": "text",
    "float": "number",
    "bool": "`true` or `false`",
    "StrictBool": "`true` or `false`",
    "date": "date, such as `2027-01-31`",
    "JsonValue": "anything",
    "AbsolutePath": "absolute path",
    "Fqan": "FQAN",
    "Address": "address, such as `root://host:1094`",
    "StoragePath": "path at the storage",
    "TrustFolder": "absolute path or `ship`",
}
CHOICES = {
    "EnvironmentType": get_args(execution.EnvironmentType),
    "EnvironmentMode": get_args(execution.EnvironmentMode),
    "Spool": get_args(batch.Spool),
    "StagingMode": get_args(execution.StagingMode),
    "StorageCredential": get_args(storage.StorageCredential),
    "Need": get_args(credentials.Need),
    "X509Travel": get_args(credentials.X509Travel),
    "KerberosTravel": get_args(credentials.KerberosTravel),
    "TokenTravel": get_args(credentials.TokenTravel),
    "Strategy": tuple(block.STRATEGIES),
}


def profile_keys() -> str:
    """Every key of a profile: a table for each mapping, and the keys that are refused."""
    forgotten = _written_models(Written) - {section.model for section in SECTIONS}
    if forgotten:
        raise ValueError(f"docs/generate.py: SECTIONS lacks {', '.join(sorted(map(str, forgotten)))}")
    return "\n".join(line for section in SECTIONS for line in _section(section))


def checks() -> str:
    """Every bundled check, by family."""
    families: dict[str, list[CheckInfo]] = {}
    for check in collect_checks([bundled.checks_dir()]).values():
        families.setdefault(check.family, []).append(check)
    return "\n".join(line for family, members in families.items() for line in _family(family, members))


def exit_codes() -> str:
    """The exit codes of the command, from the classes of errors."""
    raised = [(cls.exit_code, _first_line(cls), cls.__name__) for cls in _errors()]
    own = [
        (0, "All required checks passed.", ""),
        (1, "A required check failed, or is blocked by one that did.", ""),
        (129, "The run was stopped by SIGHUP: its terminal was lost.", "Interrupted"),
        (143, "The run was stopped by SIGTERM.", "Interrupted"),
    ]
    rows = ((str(code), text, f"`{name}`" if name else "") for code, text, name in sorted([*own, *raised]))
    return table(("code", "meaning", "class in `fasthep_validate.errors`"), rows)


def command_line() -> str:
    """The help of the command and of all its subcommands."""
    group = get_group(app)
    # typer brings a click of its own, or uses the one that is installed
    outer = group.context_class(group, None, "fasthep-validate", terminal_width=100, **group.context_settings)
    inner = (command.context_class(command, outer, name) for name, command in group.commands.items())
    return "\n".join(_help(context.command_path, context.get_help()) for context in (outer, *inner))


def layers() -> str:
    """The layers that import-linter holds, with what each module says of itself."""
    pyproject = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    contract = pyproject["tool"]["importlinter"]["contracts"][0]
    modules = (
        (str(level), name) for level, layer in enumerate(contract["layers"], 1) for name in layer.split(" | ")
    )
    return table(
        ("layer", "module", "what it is"), ((level, f"`{name}`", _sentence(name)) for level, name in modules)
    )


PAGES: dict[str, Callable[[], str]] = {
    "profile-keys.md": profile_keys,
    "checks.md": checks,
    "causes.md": causes.reference,
    "exit-codes.md": exit_codes,
    "command-line.md": command_line,
    "layers.md": layers,
}


def write_all(folder: Path) -> None:
    """Write all parts to ``folder``; files that would not change are left alone."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, make in PAGES.items():
        path, text = folder / name, make()
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            path.write_text(text, encoding="utf-8")


def table(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    """A table in Markdown."""
    lines = [head, ("---",) * len(head), *rows]
    return "".join(f"| {' | '.join(cell.replace('|', '&#124;') for cell in line)} |\n" for line in lines)


def _section(section: Section) -> Iterator[str]:
    model = section.model
    yield f"(profile-{model.__name__.lower()})=\n"
    yield f"## `{section.place}`\n" if section.place else "## Top level\n"
    yield f"{_first_line(model)}\n"
    base = model.__bases__[0]
    if base is not Written:
        yield f"All keys of [`{PLACES[base.__name__]}`](#profile-{base.__name__.lower()}), and:\n"
    own = inspect.get_annotations(model)
    fields = ((name, field) for name, field in model.model_fields.items() if name in own)
    rows = ((f"`{name}`", words(own[name]), _default(field), _meaning(field)) for name, field in fields)
    yield table(("key", "value", "default", "meaning"), rows)
    if model.refused:
        yield "Keys that FAST-HEP knows and that are refused here:\n"
        yield table(("keys", "reason"), _refused(model))


def _refused(model: type[Written]) -> Iterator[tuple[str, str]]:
    reasons: dict[str, list[str]] = {}
    for key, reason in model.refused.items():
        reasons.setdefault(reason, []).append(f"`{key}`")
    return ((", ".join(keys), reason) for reason, keys in reasons.items())


def words(annotation: str) -> str:
    """A type of a model, as it is written in YAML: ``Count | None`` is *whole number from 1*."""
    return _words(ast.parse(annotation, mode="eval").body)


def _words(node: ast.expr) -> str:
    match node:
        case ast.Constant(value=None):
            return ""
        case ast.Name(id=name):
            return _named(name)
        case ast.BinOp(left=left, op=ast.BitOr(), right=right):
            return " or ".join(dict.fromkeys(filter(None, (_words(left), _words(right)))))
        case ast.Subscript(value=ast.Name(id="Annotated"), slice=ast.Tuple(elts=[first, *_])):
            return _words(first)
        case ast.Subscript(value=ast.Name(id="tuple"), slice=ast.Tuple(elts=[first, *_])):
            return f"list of {_words(first)}"
        case ast.Subscript(value=ast.Name(id="dict"), slice=ast.Tuple(elts=[_, value])):
            return f"names, each with {_words(value)}"
    raise ValueError(f"docs/generate.py: no words for the type {ast.unparse(node)}")


def _named(name: str) -> str:
    if name in PLACES:
        return f"[`{PLACES[name]}`](#profile-{name.lower()})"
    if name in CHOICES:
        return ", ".join(f"`{value}`" for value in CHOICES[name])
    return WORDS[name]


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "required"
    value = field.get_default(call_default_factory=True)
    if value is None or value in ((), {}, "") or isinstance(value, Model):
        return ""
    return f"`{json.dumps(value)}`"


def _meaning(field: FieldInfo) -> str:
    return " ".join((field.description or "").replace("``", "`").split())


def _family(family: str, members: Iterable[CheckInfo]) -> Iterator[str]:
    yield f"## {family}\n"
    for check in members:
        optional = "" if check.required else " *Optional: a failure only warns.*"
        yield f"({check.id})=\n"
        yield f"### `{check.id}`\n"
        yield f"{_markdown(check.claim)}{optional}\n"
        yield f"**Remedy:** {_markdown(check.remedy)}\n"


def _markdown(text: str) -> str:
    return text.replace("``", "`")


def _help(title: str, text: str) -> str:
    return f"## `{title}`\n\n```text\n{text}\n```\n"


def _sentence(module: str) -> str:
    """First line of a module's docstring; the module is not imported."""
    path = bundled.PACKAGE / module
    file = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
    docstring = ast.get_docstring(ast.parse(file.read_text(encoding="utf-8"))) or ""
    return _markdown(docstring.partition("\n\n")[0].replace("\n", " "))


def _errors() -> Iterator[type[errors.FasthepValidateError]]:
    for _, cls in inspect.getmembers(errors, inspect.isclass):
        if issubclass(cls, errors.FasthepValidateError):
            yield cls


def _first_line(cls: type) -> str:
    return (inspect.getdoc(cls) or "").splitlines()[0].replace("``", "`")


def _written_models(model: type[Written]) -> set[type[Written]]:
    below = set(model.__subclasses__())
    return below.union(*(_written_models(cls) for cls in below))


if __name__ == "__main__":
    write_all(Path(sys.argv[1]))
