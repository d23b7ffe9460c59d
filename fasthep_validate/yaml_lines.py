"""YAML with the line of every value."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import yaml

from fasthep_validate.errors import ConfigError, Problem

Path = tuple[str | int, ...]


@dataclass(frozen=True)
class Document:
    """Plain data and where it was written.

    Attributes:
        value: mappings, lists and scalars.
        places: path of a value -> ``file:line`` of its key.
        problems: mistakes that the data does not show, such as a key that is there twice.
    """

    value: Any
    places: dict[Path, str] = field(default_factory=dict)
    problems: tuple[Problem, ...] = ()

    def place(self, path: Path) -> str:
        """Where a value was written; for one that is missing, where its mapping begins."""
        for length in range(len(path), 0, -1):
            if found := self.places.get(path[:length]):
                return found
        return self.places.get((), "")

    def over(self, base: Document) -> Document:
        """The document laid over another, as a JSON merge patch (RFC 7386).

        Mappings are merged, a value that is empty (``null``) removes, everything else replaces.
        """
        merged = _merge(base.value, self.value)
        return Document(merged, base.places | self.places, base.problems + self.problems)

    def put(self, path: Path, value: object, place: str) -> Document:
        """The document with another value at a path of keys; ``None`` removes it."""
        kept = {at: where for at, where in self.places.items() if at[: len(path)] != path}
        new = {path[:length]: place for length in range(1, len(path) + 1)}
        return replace(self, value=_put(self.value, path, value), places=new | kept)


def load(text: str, name: str) -> Document:
    """Read a YAML document; ``name`` is the file's name for messages.

    Raises:
        ConfigError: the text is not YAML, with file, line and column.
    """
    try:
        return _Reader(yaml.SafeLoader(text), name).read()
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        where = f"{name}:{mark.line + 1}:{mark.column + 1}" if mark else name
        what = ", ".join(part for part in (error.problem, error.context) if part)
        raise ConfigError(Problem(where, f"broken YAML: {what}")) from None
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        what = f"broken YAML: character U+{error.character:04X} is not allowed"
        raise ConfigError(Problem(f"{name}:{line}", what)) from None


class _Reader:
    """Turns the nodes of one document into data, and notes their lines."""

    def __init__(self, loader: yaml.SafeLoader, name: str) -> None:
        self.loader = loader
        self.name = name
        self.places: dict[Path, str] = {(): f"{name}:1"}
        self.problems: list[Problem] = []
        self.open: list[yaml.Node] = []

    def read(self) -> Document:
        node = self.loader.get_single_node()
        value = None if node is None else self.data(node, ())
        return Document(value, self.places, tuple(self.problems))

    def data(self, node: yaml.Node, path: Path) -> Any:
        if node in self.open:
            problem = "found an alias inside of what it stands for"
            raise yaml.constructor.ConstructorError(None, None, problem, node.start_mark)
        self.open.append(node)
        try:
            return self.plain(node, path)
        finally:
            self.open.pop()

    def plain(self, node: yaml.Node, path: Path) -> Any:
        match node:
            case yaml.MappingNode():
                return self.mapping(node, path)
            case yaml.SequenceNode():
                return [self.item(child, (*path, index)) for index, child in enumerate(node.value)]
        return self.scalar(node)

    def scalar(self, node: yaml.Node) -> Any:
        try:
            return self.loader.construct_object(node)
        except ValueError as error:  # looks like a date or a number, and is none
            raise yaml.constructor.ConstructorError(None, None, str(error), node.start_mark) from None

    def item(self, node: yaml.Node, path: Path) -> Any:
        self.places[path] = self.where(node)
        return self.data(node, path)

    def mapping(self, node: yaml.MappingNode, path: Path) -> dict[str, Any]:
        self.note_duplicates(node)
        self.loader.flatten_mapping(node)
        values: dict[str, Any] = {}
        for key_node, value_node in node.value:
            key = self.key(key_node)
            self.places[*path, key] = self.where(key_node)
            values[key] = self.data(value_node, (*path, key))
        return values

    def key(self, node: yaml.Node) -> str:
        if node.tag == "tag:yaml.org,2002:str":
            return str(node.value)
        problem = Problem(self.where(node), f"the key {self.written(node)} is not text", "Put it in quotes.")
        self.problems.append(problem)
        return str(node.value)

    def note_duplicates(self, node: yaml.MappingNode) -> None:
        first: dict[str, yaml.Node] = {}
        for key_node, _ in node.value:
            key = str(key_node.value)
            if key in first:
                what = f"the key {key!r} is there twice, first in line {first[key].start_mark.line + 1}"
                self.problems.append(Problem(self.where(key_node), what, "Keep one of them."))
            first.setdefault(key, key_node)

    def where(self, node: yaml.Node) -> str:
        return f"{self.name}:{node.start_mark.line + 1}"

    @staticmethod
    def written(node: yaml.Node) -> str:
        return str(node.value) if isinstance(node, yaml.ScalarNode) else "in braces or brackets"


def _put(value: Any, path: Path, new: object) -> Any:
    if not path:
        return new
    mapping = dict(value) if isinstance(value, dict) else {}
    mapping[path[0]] = _put(mapping.get(path[0]), path[1:], new)
    return {key: item for key, item in mapping.items() if key != path[0] or item is not None}


def _merge(base: Any, patch: Any) -> Any:
    if not isinstance(patch, dict):
        return patch
    merged = dict(base) if isinstance(base, dict) else {}
    for key, value in patch.items():
        if value is None:
            merged.pop(key, None)
        else:
            merged[key] = _merge(merged.get(key), value)
    return merged
