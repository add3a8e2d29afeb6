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
_STANDARD = "tag:yaml.org,2002:"
_MERGE = f"{_STANDARD}merge"
_TEXTS = {
    f"{_STANDARD}timestamp",
    f"{_STANDARD}value",
}  # the models read times themselves; PyYAML has no value for a lone =
_STUMBLES = (AttributeError, LookupError, OverflowError, TypeError, ValueError)
_MOST_BITS = 1024  # of a number: no float is larger, and Python refuses to write out one of many thousand
_MOST_COPIES = 100_000  # a few aliases of aliases can make a small file grow beyond any memory


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
    """YAML's safe subset; what looks like a time stays text, as the models read times, and so does a lone =."""

    yaml_implicit_resolvers: dict[Any, Any] = {  # noqa: RUF012 - as PyYAML declares it
        first: [(tag, pattern) for tag, pattern in resolvers if tag not in _TEXTS]
        for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }

    def construct_object(self, node: yaml.Node, deep: bool = False) -> Any:
        """Return the value of a node. PyYAML trusts a tag that is written out, and stumbles over a text that does not fit it."""
        try:
            value = super().construct_object(node, deep)
        except _STUMBLES as error:
            kind = f"!!{str(node.tag).removeprefix(_STANDARD)}"
            raise yaml.MarkedYAMLError(problem=f"this is no {kind}", problem_mark=node.start_mark) from error
        if isinstance(value, int) and value.bit_length() > _MOST_BITS:
            raise yaml.MarkedYAMLError(problem="this number is too large", problem_mark=node.start_mark)
        return value


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
        _Places(file, document).note(node, ())
        document.content = loader.construct_document(node)
        return document
    finally:
        loader.dispose()


@dataclass(slots=True)
class _Places:
    """Notes where the nodes of a document stand, and what is wrong there.

    `around` are the nodes that the one at hand is in, `seen` all so far; `copies` is how often an alias led to one of these, by
    whatever path: two values of one key have the same. A mistake is told once, by however many aliases it stands in the document.
    """

    file: Path
    document: Document
    around: list[yaml.Node] = field(default_factory=list)
    seen: set[yaml.Node] = field(default_factory=set)
    copies: int = 0
    told: set[Position] = field(default_factory=set)

    def note(self, node: yaml.Node, path: KeyPath) -> None:
        """Note a node and all below it; raises `ConfigError` for a structure without end."""
        place = self.document.values[path] = _position(node)
        self.copies += node in self.seen
        self.seen.add(node)
        if node in self.around or self.copies > _MOST_COPIES:
            text = "an alias makes the document endless: write it out"
            raise ConfigError([Problem(self.file, text, *place, path_text(path))])
        self.around.append(node)
        if isinstance(node, yaml.SequenceNode):
            for index, item in enumerate(node.value):
                self.note(item, (*path, index))
        elif isinstance(node, yaml.MappingNode):
            self._note_mapping(node, path)
        elif _NO_CHARACTER.search(node.value):
            self._tell("an escape for half a character: write the character itself", place, path)
        self.around.pop()

    def _note_mapping(self, node: yaml.MappingNode, path: KeyPath) -> None:
        keys = self.document.keys
        for key, value in node.value:
            name = str(key.value) if isinstance(key, yaml.ScalarNode) else "?"  # a structure is no key of anything
            below, place = (*path, name), _position(key)
            if below in keys and key.tag == _MERGE:  # a mapping may be merged with several others
                below = (*path, f"<< in column {place[1]} of line {place[0]}")
            if keys.setdefault(below, place) != place:
                self._tell(f"this key stands in line {keys[below][0]} already", place, below)
            self.note(value, below)

    def _tell(self, text: str, place: Position, path: KeyPath) -> None:
        if place not in self.told:
            self.told.add(place)
            self.document.problems.append(Problem(self.file, text, *place, path_text(path)))


def _position(node: yaml.Node) -> Position:
    return node.start_mark.line + 1, node.start_mark.column + 1


def path_text(path: KeyPath) -> str:
    """Return a path as it is shown: `user_pools[0].users.groups[1]`."""
    text = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in path)
    return text.removeprefix(".")
