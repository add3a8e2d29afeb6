"""A YAML document and the position of each of its nodes, so that a mistake can be shown where it stands."""

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import yaml

from exporter.configuration.errors import ConfigError, Problem
from exporter.configuration.text_file import read_text

KeyPath = tuple[str | int, ...]
"""Keys and indexes from the top of a document to a node."""

Position = tuple[int, int]
"""Line and column, both from 1."""

_NO_CHARACTER = re.compile("[\ud800-\udfff]")  # lone surrogates: no encoding has them
_MERGE = "tag:yaml.org,2002:merge"
_MOST_NODES = 1_000_000  # a few aliases of aliases can make a small file grow beyond any memory


@dataclass(slots=True)
class Document:
    """The values of a document, and where they stand. `keys` are the positions of keys, `values` those of values."""

    content: Any
    keys: dict[KeyPath, Position] = field(default_factory=dict)
    values: dict[KeyPath, Position] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)
    """What YAML itself lets pass: keys given twice, characters that are none."""

    def position(self, path: KeyPath, *, of_key: bool = False) -> Position:
        """Return where a value (or its key) stands; for what is not there, where the nearest thing around it stands."""
        if of_key and path in self.keys:
            return self.keys[path]
        while path and path not in self.values:
            path = path[:-1]
        return self.values.get(path, (1, 1))


class Loader(Protocol):
    """What PyYAML's loaders do: make a tree of nodes of a text, and values of the nodes."""

    def get_single_node(self) -> yaml.Node | None: ...

    def construct_document(self, node: yaml.Node, /) -> Any: ...

    def dispose(self) -> None: ...


class _Loader(yaml.SafeLoader):
    """YAML's safe subset; what looks like a time stays text, as durations and RFC 3339 times are read by the models."""

    yaml_implicit_resolvers: dict[Any, Any] = {  # noqa: RUF012 - as PyYAML declares it
        first: [(tag, pattern) for tag, pattern in resolvers if tag != "tag:yaml.org,2002:timestamp"]
        for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }


def read_document(file: Path, hint: str, loader: Callable[[str], Loader] = _Loader, limit: int = -1) -> Document:
    """Read a YAML file of `limit` bytes at most.

    Raises `ConfigError`: it cannot be read (`hint` says how to mend that), or it is no YAML that could be used.
    """
    text = read_text(file, hint, limit)
    try:
        return _parse(file, text, loader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        place = () if mark is None else (mark.line + 1, mark.column + 1)
        raise ConfigError([Problem(file, f"not YAML: {error.problem or error.context}", *place)]) from error
    except yaml.reader.ReaderError as error:
        line = text[: error.position].count("\n") + 1
        raise ConfigError([Problem(file, "not YAML: a character that YAML does not allow", line)]) from error
    except RecursionError as error:
        raise ConfigError([Problem(file, "not usable YAML: nested too deeply")]) from error
    except (ValueError, OverflowError) as error:
        raise ConfigError([Problem(file, f"not usable YAML: {error}")]) from error


def _parse(file: Path, text: str, load: Callable[[str], Loader]) -> Document:
    loader = load(text)
    try:
        node = loader.get_single_node()
        document = Document(None)
        if node is None:
            return document
        _mark(file, document, node, (), [])
        document.content = loader.construct_document(node)
        return document
    finally:
        loader.dispose()


def _mark(file: Path, document: Document, node: yaml.Node, path: KeyPath, around: list[yaml.Node]) -> None:
    """Note where a node and all below it stand, and what is wrong there; raises `ConfigError` for a structure without end."""
    line, column = node.start_mark.line + 1, node.start_mark.column + 1
    document.values[path] = (line, column)
    if node in around or len(document.values) > _MOST_NODES:
        text = "an alias makes the document endless: write it out"
        raise ConfigError([Problem(file, text, line, column, path_text(path))])
    around.append(node)
    if isinstance(node, yaml.SequenceNode):
        for index, item in enumerate(node.value):
            _mark(file, document, item, (*path, index), around)
    elif isinstance(node, yaml.MappingNode):
        _mark_mapping(file, document, node, path, around)
    elif _NO_CHARACTER.search(node.value):
        text = "an escape for half a character: write the character itself"
        document.problems.append(Problem(file, text, line, column, path_text(path)))
    around.pop()


def _mark_mapping(
    file: Path, document: Document, node: yaml.MappingNode, path: KeyPath, around: list[yaml.Node]
) -> None:
    for key, value in node.value:
        below = (*path, str(key.value))
        line, column = key.start_mark.line + 1, key.start_mark.column + 1
        if below in document.keys and key.tag == _MERGE:  # a mapping may be merged with several others
            below = (*path, f"<< in column {column} of line {line}")
        if below in document.keys:
            text = f"this key stands in line {document.keys[below][0]} already"
            document.problems.append(Problem(file, text, line, column, path_text(below)))
        document.keys.setdefault(below, (line, column))
        _mark(file, document, value, below, around)


def path_text(path: KeyPath) -> str:
    """Return a path as it is shown: `user_pools[0].users.groups[1]`."""
    text = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in path)
    return text.removeprefix(".")
