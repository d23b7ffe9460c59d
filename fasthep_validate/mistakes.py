"""All mistakes of a document at once, each with its line, in the words of the file."""

from __future__ import annotations

from copy import deepcopy
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeVar

from pydantic import BaseModel, ValidationError

from fasthep_validate.errors import ConfigError, Problem
from fasthep_validate.models.written import shown
from fasthep_validate.scrubbing import places, scrub

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from pydantic_core import ErrorDetails

    from fasthep_validate.yaml_lines import Document, Path

M = TypeVar("M", bound=BaseModel)

# What pydantic's types of errors are called in a message; the rest keeps pydantic's own words.
_EXPECTED: Mapping[str, str] = {
    "string_type": "text",
    "bool_type": "true or false",
    "bool_parsing": "true or false",
    "int_type": "a whole number",
    "float_type": "a number",
    "float_parsing": "a number",
    "list_type": "a list",
    "tuple_type": "a list",
    "dict_type": "a mapping",
    "model_type": "a mapping",
    "model_attributes_type": "a mapping",
    "date_type": "a date like 2027-01-31",
    "date_parsing": "a date like 2027-01-31",
    "date_from_datetime_parsing": "a date like 2027-01-31",
    "string_too_short": "text",
    "greater_than": "more than {gt}",
    "greater_than_equal": "{ge} or more",
    "less_than_equal": "{le} or less",
    "literal_error": "{expected}",
}

# Parts that pydantic adds to a path: for the key itself, and for the alternatives of a pool's resources.
_TAGS = ("[key]", "<name>", "<inline>")


def read(model: type[M], document: Document, *, context: object = None) -> M:
    """The document as a model.

    Validators that look at several values run only once these are right, so the document is read
    again without what was wrong, until nothing new is found.

    Raises:
        ConfigError: with every mistake of the document.
    """
    if told_secrets := [_of_secret(document, path) for path in places(document.value)]:
        raise ConfigError(*told_secrets)  # other mistakes would be told with the value
    pruned = _Pruned(deepcopy(document.value))
    found: list[Problem] = []
    told: list[Path] = []
    while True:
        try:
            value = model.model_validate(pruned.value, context=context)
        except ValidationError as error:
            located = pruned.located(error)
            found += [_problem(document, *each) for each in located if not _is_consequence(*each, told)]
            told += [path for path, _ in located]
            if not pruned.drop(error):
                break
        else:
            break
    if problems := (*document.problems, *found):
        raise ConfigError(*sorted(problems, key=_line))
    return value


def _of_secret(document: Document, path: Path) -> Problem:
    return Problem(
        scrub(document.place(path)),  # an option of the command line stands there as it was written
        "a password, key or token is written here",
        "Take it out: profile, job descriptions and reports can be read by others.",
    )


def _is_consequence(path: Path, details: ErrorDetails, told: Sequence[Path]) -> bool:
    """Whether a mistake may be there only because of one that was told before."""
    needs = details.get("ctx", {}).get("needs", path)
    return any(_nested(path, other) or _nested(needs, other) for other in told)


def _nested(one: Path, other: Path) -> bool:
    """Whether one path leads through the other."""
    shorter = min(len(one), len(other))
    return one[:shorter] == other[:shorter]


def _line(problem: Problem) -> tuple[str, int]:
    file, _, line = problem.where.rpartition(":")
    return (file, int(line)) if line.isdigit() else (problem.where, 0)


def _problem(document: Document, path: Path, details: ErrorDetails) -> Problem:
    what, hint = _words(details)
    return Problem(document.place(path), f"{dotted(path)}: {what}" if path else what, hint)


def _words(details: ErrorDetails) -> tuple[str, str]:
    context = details.get("ctx", {})
    if details["type"] == "mistake":
        return context["what"], context["hint"]
    if details["type"] == "missing":
        return "is missing", ""
    if expected := _EXPECTED.get(details["type"]):
        return f"expected {expected.format_map(context)}, got {shown(details['input'])}", ""
    return f"{details['msg']}, got {shown(details['input'])}", ""


def dotted(path: Path) -> str:
    """A path as people write it, ``pools.gpu.config`` or ``modifiers[0]``."""
    text = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in path)
    return text.removeprefix(".")


@dataclass
class _Pruned:
    """A document from which wrong values are taken away; paths stay those of the document.

    Attributes:
        value: what is left.
        kept: path of a list that lost items -> the original numbers of those that are left.
    """

    value: Any
    kept: dict[Path, list[int]] = field(default_factory=dict)

    def located(self, error: ValidationError) -> list[tuple[Path, ErrorDetails]]:
        """The mistakes with their paths in the document."""
        return [(self._walk(details["loc"])[0], details) for details in error.errors()]

    def drop(self, error: ValidationError) -> bool:
        """Take away what is wrong; whether there was anything to take away."""
        steps = [self._walk(details["loc"])[1] for details in error.errors()]
        places = {(id(holder), key): (at, holder, key) for at, holder, key in filter(None, steps)}
        # items from the end of a list, so that the numbers of the others stay right
        for at, holder, key in sorted(places.values(), key=lambda step: str(step[2]).zfill(9), reverse=True):
            if isinstance(holder, list):
                self.kept.setdefault(at, list(range(len(holder)))).pop(int(key))
                holder.pop(int(key))
            else:
                holder.pop(key, None)
        return bool(places)

    def _walk(self, loc: Path) -> tuple[Path, tuple[Path, Any, str | int] | None]:
        """The path of a mistake, and the container and key of the value to take away for it.

        Parts of ``loc`` that are no keys of the data are pydantic's own, but for the name of a missing
        value at the end.
        """
        node: Any = self.value
        path: Path = ()
        step: tuple[Path, Any, str | int] | None = None
        missing: Path = ()
        for part in loc:
            missing = () if _has(node, part) or part in _TAGS else (part,)
            if _has(node, part):
                step = (path, node, part)
                number = self.kept[path][int(part)] if path in self.kept else part
                path, node = (*path, number), node[part]
        return path + missing, step


def _has(node: Any, part: str | int) -> bool:
    if isinstance(node, dict):
        return part in node
    return isinstance(node, list) and isinstance(part, int) and part < len(node)
