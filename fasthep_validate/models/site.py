"""A site profile as people write it: the top level of the YAML file."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Self

from pydantic import AfterValidator, Field, ValidationInfo, model_validator

from fasthep_validate.models.batch import Batch
from fasthep_validate.models.block import Execution
from fasthep_validate.models.credentials import Credentials
from fasthep_validate.models.execution import NodeCache, Timeouts
from fasthep_validate.models.pool_config import SchedulerOptions
from fasthep_validate.models.profile import CheckSettings
from fasthep_validate.models.site_rules import broken
from fasthep_validate.models.storage import Storage
from fasthep_validate.models.written import Name, Ports, Text, Written, mistake, mistakes, nearest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from collections.abc import Set as AbstractSet

    from pydantic import JsonValue

    from fasthep_validate.models.written import Found

_IMPL = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*")


def _impl(value: str) -> str:
    if _IMPL.fullmatch(value):
        return value
    raise mistake(f"expected 'module:Class', got {value!r}")


class ModifierEntry(Written):
    """A modifier that the profile registers, as in FAST-HEP's registry."""

    impl: Annotated[str, AfterValidator(_impl)]
    """``module:Class`` of the implementation."""
    source: Text | None = None
    """Python file of the module, relative to the profile; it travels with the jobs."""

    @model_validator(mode="after")
    def _plain_module(self) -> Self:
        module = self.impl.partition(":")[0]
        if self.source and "." in module:
            what = f"module {module!r} is in a package, and only a single file can travel"
            mistakes("ModifierEntry", [(("impl",), mistake(what, "Give the module a plain name."))])
        return self


class Network(Written):
    """Which ways are open between submit host and workers."""

    scheduler: SchedulerOptions = SchedulerOptions()
    """Where the Dask scheduler listens."""
    worker_ports: Ports | None = None
    """Ports that workers may listen on, such as ``"10000:10100"``; without it any."""
    nanny_ports: Ports | None = None
    """Ports that nannies may listen on; without it those of workers."""


@dataclass(frozen=True)
class Registered:
    """What is known of modifiers that the profile need not register.

    Attributes:
        names: theirs.
        problem: tells what is wrong with the parameters of one, empty when nothing is.
    """

    names: AbstractSet[str] = frozenset()
    problem: Callable[[str, Mapping[str, JsonValue]], str] = lambda name, params: ""  # noqa: ARG005


class Site(Written):
    """A site profile."""

    site: Name | None = None
    """Short name of the site; without it the name of the file."""
    description: str = ""
    """One line for ``fasthep-validate sites``."""
    extends: Text | None = None
    """Profile that this one builds on: a name, or a path relative to this file."""
    execution_modifiers: dict[Text, ModifierEntry] = Field(default_factory=dict)
    """Modifiers that the profile registers, by name."""
    execution: Execution
    """The execution system to start, as FAST-HEP writes it."""
    batch: Batch = Batch()
    """What is special about the site's batch system."""
    network: Network = Network()
    """Which ways are open between submit host and workers."""
    credentials: Credentials = Credentials()
    """Credentials that the work needs on the workers."""
    storage: Storage = Storage()
    """Storage that the work reads and writes."""
    node_cache: NodeCache | None = None
    """Where the workers of a node share one copy of the environment; without it each job has its own."""
    timeouts: Timeouts = Timeouts()
    """How long to wait for what."""
    checks: CheckSettings = CheckSettings()
    """What the checks expect."""

    @model_validator(mode="after")
    def _fits_together(self, info: ValidationInfo) -> Self:
        others: Registered = info.context or Registered()
        ways = (
            (("credentials", *loc), error) for loc, error in self.credentials.unfit(self.execution.strategy)
        )
        unregistered = self._unregistered({*others.names, *self.execution_modifiers})
        rules = broken(self.execution, self.batch)
        mistakes(
            "Site",
            [
                *unregistered,
                *self._wrong_parameters(others),
                *ways,
                *rules,
                *self._storage_without_credential(),
            ],
        )
        return self

    def _unregistered(self, known: AbstractSet[str]) -> Iterator[Found]:
        for index, modifier in enumerate(self.execution.modifiers or ()):
            if modifier.name not in known:
                what = f"no modifier {modifier.name!r} is registered"
                hint = nearest(modifier.name, known) or "Register it under execution_modifiers."
                error = mistake(what, hint, needs=("execution_modifiers", modifier.name))
                yield ("execution", "modifiers", index), error

    def _storage_without_credential(self) -> Iterator[Found]:
        for name, endpoint in self.storage.endpoints.items():
            if endpoint.credential not in self.credentials.wanted:
                what = f"{endpoint.credential!r} is used here, and the profile does not send it"
                error = mistake(what, f"Write credentials: {{{endpoint.credential}: {{need: required}}}}.")
                yield ("storage", "endpoints", name, "credential"), error

    def _wrong_parameters(self, registered: Registered) -> Iterator[Found]:
        for index, modifier in enumerate(self.execution.modifiers or ()):
            own = modifier.name in self.execution_modifiers
            problem = "" if own else registered.problem(modifier.name, modifier.params)
            if problem:
                yield ("execution", "modifiers", index), mistake(f"modifier {modifier.name!r}: {problem}")
