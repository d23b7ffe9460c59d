"""The base of what people write in a profile, and the types of its values.

A mistake is told in the words of the file: what is wrong, with the value, and the nearest name.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from difflib import get_close_matches
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

from pydantic import (
    AfterValidator,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    WithJsonSchema,
    model_validator,
)
from pydantic_core import InitErrorDetails, PydanticCustomError

from fasthep_validate.models.base import Model

if TYPE_CHECKING:
    from collections.abc import Iterable

    Loc = tuple[str | int, ...]
    Found = tuple[Loc, PydanticCustomError]

# Decimal and binary prefixes as dask.utils.parse_bytes reads them, so that a block means the same there.
_PREFIXES = {"": 1, "k": 10**3, "m": 10**6, "g": 10**9, "t": 10**12, "p": 10**15}
_PREFIXES |= {"ki": 2**10, "mi": 2**20, "gi": 2**30, "ti": 2**40, "pi": 2**50}
SIZES = {prefix + unit: factor for prefix, factor in _PREFIXES.items() for unit in ("", "b")}
DURATIONS = {
    **dict.fromkeys(("", "s", "sec", "second", "seconds"), 1),
    **dict.fromkeys(("m", "min", "minute", "minutes"), 60),
    **dict.fromkeys(("h", "hour", "hours"), 3600),
    **dict.fromkeys(("d", "day", "days"), 86400),
}
_QUANTITY = re.compile(r"\s*(\d+(?:\.\d*)?(?:e\d+)?)\s*([a-z]*)\s*", re.ASCII | re.IGNORECASE)
# Of the forms of sbatch(1) those that say which number is which: [days-]hours:minutes:seconds.
_CLOCK = re.compile(r"(?:(\d+)-)?(\d+):([0-5]\d):([0-5]\d)", re.ASCII)
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")
_LEAST_MEMORY = 1_000_000


def shown(value: object) -> str:
    """A value as a message shows it: in Python's notation, cut when it is long."""
    text = "nothing" if value is None else repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def nearest(name: str, known: Iterable[str]) -> str:
    """A hint: the nearest of the known names, or all of them when none is near."""
    names = list(known)
    if close := get_close_matches(name, names, n=1):
        return f"Did you mean {close[0]!r}?"
    return f"Known: {', '.join(sorted(names))}." if names else ""


def mistake(what: str, hint: str = "", *, needs: Loc | None = None) -> PydanticCustomError:
    """An error for a validator to raise.

    ``needs`` is the path of a part of the profile, such as the entry that a name refers to: with a
    mistake in there, this one would only be its consequence, and is not told.
    """
    context: dict[str, object] = {"what": what, "hint": hint}
    if needs is not None:
        context["needs"] = needs
    return PydanticCustomError("mistake", "{what}", context)


def mistakes(title: str, found: Iterable[Found]) -> None:
    """Raise all that was found, each at its path; nothing when nothing was."""
    details = [InitErrorDetails(type=error, loc=loc, input=None) for loc, error in found]
    if details:
        raise ValidationError.from_exception_data(title, details)


class Written(Model):
    """A mapping of the profile; an unknown key is told with the nearest known one."""

    model_config = ConfigDict(use_attribute_docstrings=True)

    refused: ClassVar[Mapping[str, str]] = {}
    """Keys that FAST-HEP knows and that are not supported, with the reason."""

    @model_validator(mode="before")
    @classmethod
    def _known_keys(cls, value: Any) -> Any:
        if isinstance(value, dict):
            unknown = [key for key in value if key not in cls.model_fields]
            mistakes(cls.__name__, (((key,), cls._unknown(key)) for key in unknown))
        return value

    @classmethod
    def _unknown(cls, key: str) -> PydanticCustomError:
        if reason := cls.refused.get(key):
            return mistake(f"not supported: {reason}")
        return mistake("unknown key", nearest(key, cls.model_fields))


def whole(value: object) -> int:
    """A whole number, also written as text (``"2"``) or as ``2.0``, as fasthep-flow takes it."""
    match value:
        case bool():
            pass
        case int():
            return value
        case float() if value.is_integer():
            return int(value)
        case str() if re.fullmatch(r"\s*[+-]?\d+\s*", value):
            return int(value)
    raise mistake(f"expected a whole number, got {shown(value)}")


def quantity(value: object, units: Mapping[str, int], *, like: str) -> float:
    """A number with an optional unit, in the base unit; ``like`` is an example for the message."""
    match value:
        case bool():
            pass
        case int() | float() if 0 <= value < float("inf"):
            return value
        case str() if (match := _QUANTITY.fullmatch(value)) and match[2].lower() in units:
            return float(match[1]) * units[match[2].lower()]
    raise mistake(f"expected something like {like}, got {shown(value)}")


def size(value: object) -> int:
    """Bytes, from ``"2 GB"``, ``"4GiB"`` or a number."""
    return int(quantity(value, SIZES, like="'2 GB' or '512 MiB'"))


def duration(value: object) -> float:
    """Seconds, from ``"2 min"``, ``"90 s"`` or a number."""
    return float(quantity(value, DURATIONS, like="'2 min' or a number of seconds"))


def walltime(value: object) -> float | str:
    """Seconds, from ``"2 h"`` or as sbatch(1) has it; any other word may be a site's name for a time limit."""
    text = value.strip() if isinstance(value, str) else ""
    quantity = _QUANTITY.fullmatch(text)
    if clock := _CLOCK.fullmatch(text):
        days, hours, minutes, seconds = (int(part or 0) for part in clock.groups())
        return _some_time(((days * 24 + hours) * 60 + minutes) * 60 + seconds)
    if quantity and quantity[2] and quantity[2].lower() in DURATIONS:
        return _some_time(duration(text))
    if _NAME.fullmatch(text) and text[0].isalpha():
        return text
    bare = quantity or isinstance(value, int | float)
    hint = "A number needs its unit; a time with colons needs quotes." if bare else ""
    raise mistake(f"expected something like '2 h' or '1:00:00', got {shown(value)}", hint)


def _some_time(seconds: float) -> float:
    if seconds < 1:
        raise mistake("expected a time of a second or more, got none")
    return float(seconds)


def ports(value: object) -> tuple[int, int]:
    """An inclusive range of ports, from ``"10000:10100"`` or a single port."""
    match value:
        case [int(low), int(high)]:  # as the resolved form stores it
            pass
        case int() | str() if re.fullmatch(r"\d{1,5}(:\d{1,5})?", str(value)):
            bounds = [int(part) for part in str(value).split(":")]
            low, high = bounds[0], bounds[-1]
        case _:
            raise mistake(f"expected a range of ports like '10000:10100', got {shown(value)}")
    if not 0 < low <= high < 65536:
        raise mistake(f"expected ports from 1 to 65535, the lower one first, got {shown(value)}")
    return low, high


def port_or_ports(value: object) -> int | tuple[int, int]:
    """A port, or the two ends of a range of ports."""
    if isinstance(value, str) and ":" in value:
        return ports(value)
    port = whole(value)
    if not 0 <= port <= 65535:
        raise mistake(f"expected a port, or 0 for any, got {shown(value)}")
    return port


def _memory(value: int) -> int:
    if value < _LEAST_MEMORY:
        raise mistake(f"{value} bytes is too little", f"Write the unit, such as '{value or 1} MB'.")
    return value


def _name(value: str) -> str:
    if _NAME.fullmatch(value):
        return value
    raise mistake(
        f"{value!r} cannot be a name", "Use letters, digits and '_.-', starting with a letter or digit."
    )


def _text(value: str) -> str:
    if text := value.strip():
        return text
    raise mistake("expected text, got an empty one")


def written_as(*types: str, example: object) -> WithJsonSchema:
    """What the JSON schema says of a value that may be written in several ways."""
    return WithJsonSchema({"type": list(types), "examples": [example]})


Text = Annotated[str, AfterValidator(_text)]
Name = Annotated[str, AfterValidator(_name)]
Count = Annotated[int, BeforeValidator(whole), Field(ge=1)]
Natural = Annotated[int, BeforeValidator(whole), Field(ge=0)]
Size = Annotated[int, BeforeValidator(size), written_as("string", "number", example="2 GB")]
Memory = Annotated[Size, AfterValidator(_memory)]
Duration = Annotated[float, BeforeValidator(duration), written_as("string", "number", example="2 min")]
PositiveDuration = Annotated[
    float, BeforeValidator(duration), Field(gt=0), written_as("string", "number", example="2 min")
]
WallTime = Annotated[float | str, BeforeValidator(walltime), written_as("string", example="1:00:00")]
Ports = Annotated[
    tuple[int, int], BeforeValidator(ports), written_as("string", "integer", example="10000:10100")
]
Port = Annotated[int, BeforeValidator(whole), Field(ge=0, le=65535)]
PortOrPorts = Annotated[
    int | tuple[int, int], BeforeValidator(port_or_ports), written_as("integer", "string", example=8786)
]
