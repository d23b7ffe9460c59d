"""The ``batch:`` section of a profile: what is special about the site's batch system."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from fasthep_validate.models.spelling import KEYS, PLACEHOLDER, SPELLINGS, Spelling, placeholders
from fasthep_validate.models.written import (
    Memory,
    Name,
    PositiveDuration,
    Text,
    WallTime,
    Written,
    mistake,
    mistakes,
    nearest,
    shown,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fasthep_validate.models.execution import Strategy
    from fasthep_validate.models.written import Found

Spool = Literal["never", "optional", "required"]


def _key(value: str) -> str:
    if value in KEYS:
        return value
    raise mistake(f"no key {value!r} that could be spelled", nearest(value, KEYS))


def _prefix(value: str) -> str:
    if value.startswith(("/", "$HOME")):
        return value.rstrip("/") or "/"
    raise mistake(f"expected an absolute path, or one that starts with $HOME, got {shown(value)}")


Prefix = Annotated[Text, AfterValidator(_prefix)]


class WallTimes(Written):
    """How long jobs may take."""

    names: dict[Name, PositiveDuration] = Field(default_factory=dict)
    """Names of time limits and what they stand for, where the site has such: ``{short: 1 h, long: 1 d}``."""
    default: WallTime | None = None
    """What is asked for where ``config`` has neither ``walltime`` nor a ``queue`` that stands for one."""
    max: WallTime | None = None
    """The longest that the site gives."""

    def name(self, seconds: float) -> str:
        """The shortest of the named limits that is long enough; empty where there is none."""
        enough = [name for name, length in self.names.items() if length >= seconds]
        return min(enough, key=self.names.__getitem__, default="")

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        mistakes("WallTimes", self._mistakes())
        return self

    def _mistakes(self) -> Iterator[Found]:
        if isinstance(self.max, str):
            yield ("max",), mistake(f"expected something like '1 d', got {shown(self.max)}")
        elif self.max and isinstance(self.default, float) and self.default > self.max:
            yield ("default",), mistake(f"{self.default:g} s is over the maximum of {self.max:g} s")
        if isinstance(self.default, str) and self.default not in self.names:
            hint = nearest(self.default, self.names) or "Write something like '1 h'."
            yield ("default",), mistake(f"no time limit {self.default!r}", hint)


class Batch(Written):
    """What is special about the site's batch system."""

    spelling: dict[Annotated[Text, AfterValidator(_key)], dict[Text, str]] = Field(default_factory=dict)
    """The site's own directives for keys of ``config`` and ``resources``, where they are not the usual ones."""
    walltime: WallTimes = WallTimes()
    """How long jobs may take."""
    memory_per_core: Memory | None = None
    """The most memory that a job can have for each of its cores."""
    disk_per_core: Memory | None = None
    """The most scratch space that a job can have for each of its cores."""
    skip_directives: tuple[Text, ...] = ()
    """Directives that are left out, by their whole names."""
    forbidden_directives: dict[Text, Text] = Field(default_factory=dict)
    """Directives that the site does not take, each with the reason or what to do."""
    spool: Spool = "optional"
    """HTCondor: whether jobs are submitted with ``-spool``: ``never``, ``optional`` or ``required``."""
    forbidden_paths: dict[Prefix, Text] = Field(default_factory=dict)
    """Folders that the batch system must not be told of, each with the reason or what to do."""
    log_paths: tuple[Prefix, ...] = ()
    """Folders that results, and with them the logs of jobs, have to lie in; ``$HOME`` is known."""

    def spellings(self, strategy: Strategy) -> Spelling:
        """How keys are spelled at this site."""
        return {**SPELLINGS[strategy], **self.spelling}

    @model_validator(mode="after")
    def _placeholders_are_known(self) -> Self:
        mistakes("Batch", self._unknown_placeholders())
        return self

    def _unknown_placeholders(self) -> Iterator[Found]:
        for key, directives in self.spelling.items():
            for name, text in directives.items():
                for found in PLACEHOLDER.findall(text):
                    if found not in placeholders(key):
                        known = ", ".join(f"{{{each}}}" for each in placeholders(key))
                        what = f"no placeholder {{{found}}} for {key}"
                        yield ("spelling", key, name), mistake(what, f"Known: {known}.")
