"""What a FAST-HEP workflow needs of a site, and what workers say to it."""

from __future__ import annotations

from pydantic import JsonValue

from fasthep_validate.models.base import Model


class WorkflowInput(Model):
    """A file that a workflow reads.

    Attributes:
        name: as the workflow has it.
        path: absolute path, or a name with a scheme such as ``root://``.
        size: bytes on the submit host; ``None`` where it is not there, or is remote.
        travels: whether it is small enough to go with the tasks where workers do not see it.
    """

    name: str
    path: str
    size: int | None = None
    travels: bool = False

    @property
    def remote(self) -> bool:
        """Whether it is read over the network."""
        return "://" in self.path


class WorkflowModifier(Model):
    """An execution modifier of a stage that the workflow's own registry has.

    Attributes:
        stage: id of the stage.
        impl: ``module:Class``.
        params: its parameters there.
    """

    stage: str
    impl: str
    params: dict[str, JsonValue] = {}


class WorkflowNeeds(Model):
    """What a compiled workflow needs of the workers.

    Attributes:
        path: the workflow's file.
        partitions: number of its partitions, each a task.
        inputs: files that it reads.
        implementations: what its stages and products are made of, as ``module:object``.
        modifiers: execution modifiers of its stages, to be made with their parameters.
        require: resource name -> stages that cannot do without.
        prefer: resource name -> stages that would like it.
        fallback: resource name -> stages that take it instead.
        versions: FAST-HEP's distributions on the submit host.
    """

    path: str
    partitions: int
    inputs: tuple[WorkflowInput, ...] = ()
    implementations: tuple[str, ...] = ()
    modifiers: tuple[WorkflowModifier, ...] = ()
    require: dict[str, tuple[str, ...]] = {}
    prefer: dict[str, tuple[str, ...]] = {}
    fallback: dict[str, tuple[str, ...]] = {}
    versions: dict[str, str] = {}


class InputSeen(Model):
    """An input file, as a worker sees it.

    Attributes:
        name: as the workflow has it.
        size: bytes; ``None`` where it is not there, or is remote.
        seconds: time it took to open a remote one.
        error: why it cannot be read; empty if it can.
    """

    name: str
    size: int | None = None
    seconds: float = 0.0
    error: str = ""


class WorkflowSeen(Model):
    """What a worker says to the needs of a workflow.

    Attributes:
        inputs: its input files.
        implementations: ``module:object`` -> why it cannot be imported, or ``STAGE: module:Class`` of a modifier ->
            why it cannot be made; empty if it can.
        versions: FAST-HEP's distributions in the worker environment.
    """

    inputs: tuple[InputSeen, ...] = ()
    implementations: dict[str, str] = {}
    versions: dict[str, str] = {}
