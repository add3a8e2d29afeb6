"""What is made from the models, and what shows them: the JSON Schema and config.example.yaml."""

import json
from pathlib import Path
from typing import Any, get_type_hints

import yaml
from jsonschema import Draft202012Validator
from pydantic import BaseModel

from exporter.configuration.load import load
from exporter.configuration.models import Config, Credentials, Selectors, UserPool
from exporter.configuration.schema import json_schema

ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "config.example.yaml"


def _is_model(kind: object) -> bool:
    return isinstance(kind, type) and issubclass(kind, BaseModel)


SECTIONS: list[tuple[type[BaseModel], tuple[str | int, ...]]] = [
    (Config, ()),
    (UserPool, ("user_pools", 0)),
    (Credentials, ("user_pools", 0, "credentials")),
    (Selectors, ("user_pools", 0, "users")),
    *((model, (name,)) for name, model in get_type_hints(Config).items() if _is_model(model)),
]


def at(document: Any, path: tuple[str | int, ...]) -> Any:
    """Return what stands at a path of a document."""
    for part in path:
        document = document[part]
    return document


def test_schema_is_current() -> None:
    """The schema that is checked in is the one that the models give: `make schema` writes it."""
    assert (ROOT / "config.schema.json").read_text() == json_schema()


def test_schema_takes_the_example_and_refuses_mistakes() -> None:
    """Editors are told of unknown keys and bad durations, and nothing of a good file."""
    schema = json.loads(json_schema())
    Draft202012Validator.check_schema(schema)
    validator = Draft202012Validator(schema)
    example = yaml.safe_load(EXAMPLE.read_text())
    assert list(validator.iter_errors(example)) == []
    for wrong in ({"nonsense": 1}, {"polling": {"max_staleness": "15"}}, {"metrics": {"country": "iso"}}):
        assert list(validator.iter_errors(example | wrong)) != []


def test_example_shows_every_key() -> None:
    """config.example.yaml has each key of each model, and no other."""
    document = yaml.safe_load(EXAMPLE.read_text())
    for model, path in SECTIONS:
        assert list(at(document, path)) == list(model.model_fields), path


def test_example_shows_the_defaults(tmp_path: Path) -> None:
    """What config.example.yaml says beside the pool and its user names is what holds without it."""
    example = load(EXAMPLE)
    least = tmp_path / "config.yaml"
    least.write_text("user_pools: [{id: eu-west-1_Ab129faBb, users: {usernames: [alice, bob]}}]\n")
    default = load(least)
    assert example.model_dump(exclude={"state"}) == default.model_dump(exclude={"state"})
    assert example.state.path == ROOT / default.state.path.relative_to(tmp_path)  # type: ignore[union-attr]
