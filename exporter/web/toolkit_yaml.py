"""YAML as exporter-toolkit reads it: Go's yaml.v2, which is libyaml in Go and decodes a scalar by what its key wants.

https://pkg.go.dev/gopkg.in/yaml.v2, `UnmarshalStrict`
"""

import base64
import binascii
import re
from collections.abc import Iterator, Mapping
from typing import Any

import yaml

from exporter.configuration.document import KeyPath

_STANDARD = "tag:yaml.org,2002:"
_PLAIN = "!plain"
_DEEPEST = 32  # no key is deeper than 3; libyaml itself goes down until the stack is full
_NULL = re.compile(r"~|null|Null|NULL|")
_TRUE = frozenset(["y", "Y", "yes", "Yes", "YES", "true", "True", "TRUE", "on", "On", "ON"])
_FALSE = frozenset(["n", "N", "no", "No", "NO", "false", "False", "FALSE", "off", "Off", "OFF"])
_INTEGER = re.compile(r"[-+]?(0[bB]_*[01][01_]*|0[oO]?_*[0-7][0-7_]*|0[xX]_*[0-9a-fA-F][0-9a-fA-F_]*|[1-9][0-9_]*|0)")
_FINITE = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
_INFINITE = re.compile(r"[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)")
_OF_TYPE: Mapping[str, re.Pattern[str]] = {
    "null": _NULL,
    "bool": re.compile("|".join(sorted(_TRUE | _FALSE))),
    "int": _INTEGER,
    "float": re.compile(f"{_INTEGER.pattern}|{_FINITE.pattern}|{_INFINITE.pattern}"),
}
_MAPS: frozenset[KeyPath] = frozenset({("basic_auth_users",), ("http_server_config", "headers")})
"""Go's maps: what a merge sets may not be set again there, as it may be in structs, the others."""


class Plain(str):
    """A scalar without quotes: it may be a boolean or a number, where one is wanted."""

    __slots__ = ()


def as_boolean(value: object) -> bool | None:
    """Return what a scalar means as a boolean, or None."""
    if isinstance(value, Plain) and value in _TRUE | _FALSE:
        return value in _TRUE
    return None


def as_integer(value: object) -> int | None:
    """Return what a scalar means as an integer, or None; a fraction is cut off, as Go's decoder does."""
    number: float | None = None
    if isinstance(value, Plain) and _INTEGER.fullmatch(value):
        number = int(re.sub(r"^([-+]?)0(?=[0-7])", r"\g<1>0o", value.replace("_", "")), 0)
    elif isinstance(value, Plain) and _FINITE.fullmatch(value):
        number = float(value)
    return int(number) if number is not None and -(2**63) <= number < 2**63 else None


class ToolkitLoader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc] # libyaml where PyYAML has it
    """Makes `Plain`, text, None, lists and dictionaries of a text's first document."""

    yaml_implicit_resolvers: Mapping[str | None, list[tuple[str, re.Pattern[str]]]] = {
        "<": [(f"{_STANDARD}merge", re.compile("<<$"))],
        None: [(_PLAIN, re.compile(""))],
    }

    def __init__(self, text: str) -> None:
        _check_events(text)
        super().__init__(text)

    def get_single_node(self) -> yaml.Node | None:
        """Return the first document; Go does not look at others."""
        return self.get_node() if self.check_node() else None

    def construct_document(self, node: yaml.Node) -> Any:
        """Return the value of a document."""
        return _value(node, ())


def _check_events(text: str) -> None:
    """Refuse what libyaml takes and Go does not: a version other than 1.1, and depth without end."""
    depth = 0
    for event in yaml.parse(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader)):
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        if depth > _DEEPEST:
            raise _error("nested too deeply", event)
        if isinstance(event, yaml.DocumentStartEvent) and event.version not in {None, (1, 1)}:
            raise _error("only version 1.1 is known: take the line %YAML out", event)
        if isinstance(event, yaml.DocumentEndEvent):
            return


def _error(text: str, where: Any) -> yaml.MarkedYAMLError:
    """Return the error at a node or an event."""
    return yaml.MarkedYAMLError(problem=text, problem_mark=where.start_mark)


def _value(node: yaml.Node, path: KeyPath) -> Any:
    if isinstance(node, yaml.MappingNode):
        return _mapping(node, path)
    if isinstance(node, yaml.SequenceNode):
        return [_value(_in_flow(item, node), (*path, index)) for index, item in enumerate(node.value)]
    return _scalar(node)


def _in_flow(node: yaml.Node, around: yaml.CollectionNode) -> yaml.Node:
    """Return the node; between brackets a `?` ends a scalar without quotes, as libyaml had it when Go's was made of it."""
    if around.flow_style and isinstance(node, yaml.ScalarNode) and not node.style and "?" in node.value:
        raise _error("put what has a ? in it in quotes", node)
    return node


def _scalar(node: yaml.Node) -> str | None:
    """Return a scalar; a tag that Go does not know leaves it a text."""
    name = str(node.tag).removeprefix(_STANDARD)
    if name == "binary":
        return _binary(node)
    if node.tag != _PLAIN and name not in _OF_TYPE:
        return str(node.value)
    if name in _OF_TYPE and not _OF_TYPE[name].fullmatch(node.value):
        raise _error(f"this is no !!{name}", node)
    return None if _NULL.fullmatch(node.value) else Plain(node.value)


def _binary(node: yaml.Node) -> str:
    try:
        return base64.b64decode(re.sub("[\r\n]", "", node.value), validate=True).decode()
    except (binascii.Error, ValueError) as error:
        raise _error("!!binary wants a text in UTF-8, in base64", node) from error


def _mapping(node: yaml.MappingNode, path: KeyPath) -> dict[str, Any]:
    """Return a mapping; a merge counts where it stands, so that what comes later goes before it."""
    content: dict[str, Any] = {}
    merged: set[str] = set()
    for key, value in node.value:
        is_merge = (_in_flow(key, node).tag, key.value) == (f"{_STANDARD}merge", "<<")
        for name, each in (
            _merged(value, path) if is_merge else [(_key(key), _value(_in_flow(value, node), (*path, key.value)))]
        ):
            told = not is_merge and name == key.value and name not in merged  # the document tells of keys given twice
            if name in content and path in _MAPS and not told:
                raise _error(f'the key "{name}" is set already', key)
            content[name] = each
            merged |= {name} if is_merge else set()
    return content


def _key(node: yaml.Node) -> str:
    if not isinstance(node, yaml.ScalarNode):
        raise _error("a key has to be a text", node)
    return _scalar(node) or ""


def _merged(node: yaml.Node, path: KeyPath) -> Iterator[tuple[str, Any]]:
    """Yield what a merge sets, in the order in which it counts: of several mappings, the first goes before the others."""
    sources = list(reversed(node.value)) if isinstance(node, yaml.SequenceNode) else [node]
    for source in sources:
        if not isinstance(source, yaml.MappingNode):
            raise _error("<< wants a mapping, or a list of mappings", node)
        yield from _mapping(source, path).items()
