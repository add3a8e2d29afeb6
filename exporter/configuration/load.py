"""Reads the configuration file: every mistake at once, each with its file, line, column and path, or the whole of it."""

import difflib
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from exporter.configuration.document import Document, KeyPath, path_text, read_document
from exporter.configuration.errors import ConfigError, Problem
from exporter.configuration.models import Config

_Model = TypeVar("_Model", bound=BaseModel)


def load(file: Path) -> Config:
    """Return the configuration in a file; paths in it are relative to the file. Raises `ConfigError`."""
    document = read_document(file, "name another with --config.file")
    if document.content is None:
        raise ConfigError([Problem(file, "the file is empty: write user_pools, as in config.example.yaml")])
    context = {"folder": file.absolute().parent, "file": file.absolute()}
    return validate(Config, file, document, context, also=_twice(file, document))


def validate(
    model: type[_Model], file: Path, document: Document, context: Mapping[str, Any], also: Iterable[Problem] = ()
) -> _Model:
    """Return a file's document as a model. Raises `ConfigError` with every mistake in it, and those that are `also` known."""
    problems = [*document.problems, *also]
    try:
        validated = model.model_validate(document.content, context=dict(context))
    except ValidationError as error:
        every = error.errors(include_url=False)
        problems += [_problem(model, file, document, each) for each in every if each["type"] not in _CONSEQUENCES]
    if problems:
        raise ConfigError(sorted(problems, key=lambda problem: (problem.line or 0, problem.column or 0)))
    return validated


def _twice(file: Path, document: Document) -> Iterator[Problem]:
    """Yield the ids and names that two user pools share; a pool without a name is called by its id."""
    pools: Any = document.content.get("user_pools") if isinstance(document.content, dict) else None
    for key in ("id", "name"):
        first: dict[str, int] = {}
        for index, pool in enumerate(pools if isinstance(pools, list) else []):
            value = pool.get(key, pool.get("id")) if isinstance(pool, dict) else None
            if not isinstance(value, str) or first.setdefault(value, index) == index:
                continue
            if key in pool or key in pools[first[value]]:  # else both are called by one id, which is told already
                line, column = document.position(("user_pools", index, key))
                text = f"user_pools[{first[value]}] has this {key} already"
                yield Problem(file, text, line, column, f"user_pools[{index}].{key}")


def _problem(model: type[BaseModel], file: Path, document: Document, details: ErrorDetails) -> Problem:
    path = details["loc"]
    if details["type"] == "invalid_key":
        path = (*path[:-1], str(path[-1]))
    unknown = details["type"] in _UNKNOWN_KEY
    line, column = document.position(path, of_key=unknown)
    text = _unknown_key(model, path) if unknown else _text(details)
    return Problem(file, text, line, column, path_text(path))


def _text(details: ErrorDetails) -> str:
    explain = _TEXTS.get(details["type"])
    return explain(details) if explain is not None else details["msg"]


def _unknown_key(model: type[BaseModel], path: KeyPath) -> str:
    known = list(_keys_at(model, path[:-1]))
    near = difflib.get_close_matches(str(path[-1]), known, 1)
    return "unknown key" + (f': did you mean "{near[0]}"?' if near else f"; known here: {', '.join(known)}")


def _keys_at(model: type[BaseModel], path: KeyPath) -> Iterator[str]:
    """Yield the keys that a mapping at this path may have."""
    for part in path:
        if isinstance(part, str):
            model = _model_in(model.model_fields[part].annotation)
    yield from (field.alias or name for name, field in model.model_fields.items())


def _model_in(annotation: Any) -> type[BaseModel]:
    """Return the model that a field holds, by itself or many of it."""
    inner = getattr(annotation, "__args__", (annotation,))
    return next(each for each in inner if isinstance(each, type) and issubclass(each, BaseModel))


def _not_among(details: ErrorDetails) -> str:
    return f"{_shown(details['input'])} is none of {details['ctx']['expected']}"


def _wrong_type(wanted: str) -> Callable[[ErrorDetails], str]:
    return lambda details: f"{_shown(details['input'])} is not {wanted}"


def _not_text(details: ErrorDetails) -> str:
    return f"{_kind(details['input'])} is not a text: put it in quotes as it is to be read"


def _wrong_kind(wanted: str) -> Callable[[ErrorDetails], str]:
    return lambda details: f"{_kind(details['input'])} is not {wanted}"


def _bound(words: str, key: str) -> Callable[[ErrorDetails], str]:
    return lambda details: f"has to be {words} {details['ctx'][key]}"


_STRUCTURES: Mapping[type, str] = {dict: "a mapping", list: "a list", type(None): "nothing"}
_KINDS = {**_STRUCTURES, int: "a number", float: "a number", bool: "a truth value", str: "a text"}


def _kind(value: object) -> str:
    """Return what a value of a mistake is, where it may be a user's name or a secret: mistakes go into the log, too."""
    return _KINDS.get(type(value), "this")


def _shown(value: object) -> str:
    """Return a value of a mistake as one short word or phrase."""
    if type(value) in _STRUCTURES:
        return _STRUCTURES[type(value)]
    return f'"{value}"' if isinstance(value, str) else str(value).lower() if isinstance(value, bool) else str(value)


_UNKNOWN_KEY = frozenset({"extra_forbidden", "invalid_key"})
_CONSEQUENCES = frozenset({"default_factory_not_called"})
"""Errors that only say that there are others."""

_TEXTS: Mapping[str, Callable[[ErrorDetails], str]] = {
    "missing": lambda _: "this key is required",
    "value_error": lambda details: str(details["ctx"]["error"]),
    "literal_error": _not_among,
    "string_type": _not_text,
    "bool_type": _wrong_type("true or false"),
    "int_type": _wrong_type("a whole number"),
    "float_type": _wrong_type("a number"),
    "finite_number": _wrong_type("a finite number"),
    "list_type": _wrong_kind("a list: write [...] or lines that begin with -"),
    "tuple_type": _wrong_kind("a list: write [...] or lines that begin with -"),
    "dict_type": lambda _: "this is not a mapping of keys",  # and may hold secrets
    "model_type": _wrong_kind("a mapping of keys"),
    "greater_than": _bound("greater than", "gt"),
    "greater_than_equal": _bound("at least", "ge"),
    "less_than_equal": _bound("at most", "le"),
}
"""How pydantic's kinds of errors are put: https://docs.pydantic.dev/latest/errors/validation_errors/"""
