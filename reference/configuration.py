"""docs/configuration.md: every key of the configuration file, from the models."""

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from exporter.configuration.durations import DURATION
from exporter.configuration.models import Config
from reference.markdown import code, prose, table
from reference.markdown import page as page_of

Schema = Mapping[str, Any]

_INTRO = """
# The configuration file

YAML, by default `config.yaml` in the folder where the exporter is started (`--config.file`). It needs no more than this:

```yaml
user_pools:
  - id: eu-west-1_Ab129faBb
    users:
      usernames: [alice, bob]
```

[config.example.yaml](../config.example.yaml) shows every key with its default, and [config.schema.json](../config.schema.json)
lets editors complete and check the file as you write. What is wrong is told all at once, each mistake with file, line, column and
path; an unknown key, or one that is given twice, is a mistake:

```sh
.venv/bin/cognito-auth-exporter check --config.file=config.yaml
```

- *Durations* are written with d, h, m and s: `90s`, `15m`, `1h30m`, `24h`, `2d`; 3650d at most.
- *Paths* are relative to the configuration file.
- *A name that looks like a number* is quoted: `usernames: ["0042"]`.
- *Changes* are read with SIGHUP, or `POST /-/reload` under `--web.enable-lifecycle` ([serving.md](serving.md)). A file with a
  mistake changes nothing.
- *Secrets* have no place in it: AWS keys come from boto3's chain or a profile, passwords for scrapes from the
  [web configuration](web-configuration.md), the key for pseudonyms from a file.
"""

_SECTIONS: Sequence[tuple[str, str]] = (
    ("user_pools[]", "[accounts.md](accounts.md) tells of several accounts and Regions."),
    (
        "user_pools[].credentials",
        "[accounts.md](accounts.md) says what each combination signs with, and what IAM has to allow.",
    ),
    ("user_pools[].users", "[users.md](users.md) says when they are looked up, and what becomes of those who leave."),
    ("polling", "[scaling.md](scaling.md) says which budget your users need."),
    ("counting", "[design.md](design.md) says why an event counts once by these."),
    (
        "state",
        "[privacy.md](privacy.md) says what the file holds, [security.md](security.md) what it is worth to a thief.",
    ),
    ("metrics", "[metrics.md](metrics.md) has every family; [scaling.md](scaling.md) counts the series."),
    ("event_log", "[event-log.md](event-log.md) has every key of a line."),
)
"""Path of each section, in the order of the file, and where more stands."""

_SCALARS: Mapping[str, str] = {
    "string": "text",
    "boolean": "`true` or `false`",
    "null": "",
    "integer": "whole number",
    "number": "number",
}
_DURATION = f"^{DURATION.pattern}$"


def page() -> str:
    """Return the whole page."""
    schema = Config.model_json_schema()
    sections = dict(_sections(schema, schema, ""))
    return page_of(_INTRO, *(part for path, more in _SECTIONS for part in _parts(path, sections[path], schema, more)))


def keys() -> Iterator[str]:
    """Yield the path of every key that is not a section."""
    schema = Config.model_json_schema()
    for path, section in _sections(schema, schema, ""):
        yield from (f"{path}.{key}" for key, value in section["properties"].items() if _target(value, schema) is None)


def _sections(section: Schema, root: Schema, path: str) -> Iterator[tuple[str, Schema]]:
    """Yield every section below one, with its path."""
    for key, value in section["properties"].items():
        target = _target(value, root)
        if target is not None:
            name = f"{path}.{key}".removeprefix(".") + ("[]" if value.get("type") == "array" else "")
            yield name, {"description": value.get("description", ""), **target}
            yield from _sections(target, root, name)


def _target(value: Schema, root: Schema) -> Schema | None:
    """Return the section that a key holds, or a list of; None where it holds a value."""
    reference = value.get("items", value).get("$ref")
    return root["$defs"][reference.rpartition("/")[2]] if reference else None


def _parts(path: str, section: Schema, root: Schema, more: str) -> Sequence[str]:
    required = section.get("required", ())
    rows = [
        (code(key), _kind(value, root), _default(key, value, required), value["description"].replace("\n", " "))
        for key, value in section["properties"].items()
        if _target(value, root) is None
    ]
    return (
        f"## {code(path)}",
        prose(f"{section['description']} {more}"),
        table(("key", "value", "default", "what it says"), rows),
    )


def _kind(value: Schema, root: Schema) -> str:
    """Return what a key may hold, in words."""
    if "anyOf" in value:
        return next(filter(None, (_kind(each, root) for each in value["anyOf"])))
    if "enum" in value:
        return ", ".join(map(code, value["enum"]))
    if value.get("pattern") == _DURATION:
        return "duration"
    if value["type"] == "array":
        return f"list of {_SCALARS[value['items']['type']]}s"
    return _SCALARS[value["type"]] + _bounds(value)


def _bounds(value: Schema) -> str:
    least, above, most, longest = (value.get(key) for key in ("minimum", "exclusiveMinimum", "maximum", "maxLength"))
    found = [
        f"at least {least:,}" if least is not None else "",
        f"above {above:,}" if above is not None else "",
        f"at most {most:,}" if most is not None else "",
        f"at most {longest} characters" if longest is not None else "",
    ]
    return "".join(f", {bound}" for bound in found if bound)


def _default(key: str, value: Schema, required: Sequence[str]) -> str:
    """Return the default as it is written in a file; nothing where the text says what holds without the key."""
    if key in required:
        return "required"
    default = value.get("default")
    if default is None:
        return ""
    if isinstance(default, float):
        return code(f"{default:g}")
    return code(default or '""') if isinstance(default, str) else code(json.dumps(default))
