"""The examples for shippers of the event log: they parse, and every path, field and time format in them is one of a real line."""

import json
import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import yaml

from exporter.event.event import AuthEvent, Challenge, Context, Feedback, Risk
from exporter.event.line import EventLine

ROOT = Path(__file__).parents[1]
EXAMPLES = ROOT / "examples" / "event-log"
PAGE = (ROOT / "docs" / "event-log.md").read_text()
LOG = "/var/log/cognito-auth-exporter/events.jsonl"
AT = datetime(2026, 1, 31, 8, 15, 0, 250_001, UTC)
EVENT = AuthEvent(
    "event-1", AT, "SignIn", "Pass", Risk("NoRisk", None, False), (Challenge("Password", "Success"),),
    Context("192.0.2.99", "Chrome", "+00:00", "Köln", "Germany"), Feedback("Valid", "Admin", AT),
)  # fmt: skip
LINE: dict[str, Any] = json.loads(
    EventLine({"eu-west-1_Test": "customers"}, "plain", b"key").of_event("eu-west-1_Test", "ada", EVENT, AT.timestamp())
)


def example(name: str) -> Any:
    """Return an example's content."""
    return yaml.safe_load((EXAMPLES / name).read_text())


def test_each_example_is_told_of() -> None:
    """The page names each file of the folder, and reads the log from where it says to put it."""
    assert {path.name for path in EXAMPLES.iterdir()} == set(re.findall(r"\(\.\./examples/event-log/([\w.-]+)\)", PAGE))
    assert f"path: {LOG}" in PAGE


def test_each_key_of_a_line_is_told_of() -> None:
    """The page's table has each key of a line, those inside of objects too, in their order, and no other."""
    told = re.findall(r"^\| `([\w.]+)` \|", PAGE, re.MULTILINE)
    keys: list[str] = []
    for key, value in LINE.items():
        inner = value[0] if isinstance(value, list) else value
        keys += [f"{key}.{name}" for name in inner] if isinstance(inner, dict) else [key]
    assert told == keys


@pytest.mark.parametrize("name", ["vector.yaml", "fluent-bit.yaml", "otel-collector.yaml"])
def test_each_names_fields_of_a_line(name: str) -> None:
    """What an example takes out of a line is there."""
    text = (EXAMPLES / name).read_text()
    patterns = {
        "vector.yaml": r"\.line\.(\w+)",
        "fluent-bit.yaml": r"\$(\w+)|time_key: (\w+)|regex: (\w+)",
        "otel-collector.yaml": r"attributes\.(\w+)",
    }
    named = {field for found in re.finditer(patterns[name], text) for field in found.groups() if field}
    assert named <= LINE.keys()
    assert named >= {"time", "user_pool", "event_type", "response", "event_id"}


def _read(time: str, time_format: str) -> datetime:
    return datetime.strptime(time, time_format)  # noqa: DTZ007 - the format has to have the zone


def test_vector() -> None:
    """Vector reads the file, parses the time, tells repeated lines apart, and labels by few values."""
    config = example("vector.yaml")
    assert config["sources"]["event_log"]["include"] == [LOG]
    script = config["transforms"]["events"]["source"]
    assert re.findall(r'format: "(.*)"', script) == ["%+"]  # chrono's RFC 3339
    assert datetime.fromisoformat(LINE["time"]) == AT
    set_by_script = set(re.findall(r"^\.(\w+) =", script, re.MULTILINE))
    sink = config["sinks"]["loki"]
    shown = {**sink["labels"], **sink["structured_metadata"]}
    assert {name for value in shown.values() for name in re.findall(r"{{ (\w+) }}", value)} <= set_by_script
    assert set(sink["labels"]) == {"job", "user_pool", "event_type", "response"}
    assert set(config["transforms"]["once"]["fields"]["match"]) <= set_by_script
    stages = config["sources"] | config["transforms"]
    taken = [name for stage in [*config["transforms"].values(), sink] for name in stage["inputs"]]
    assert sorted(taken) == sorted(stages)


def test_fluent_bit() -> None:
    """Fluent Bit reads the file, by a parser that takes the time of a line, and labels by few values."""
    config = example("fluent-bit.yaml")
    source, output = config["pipeline"]["inputs"][0], config["pipeline"]["outputs"][0]
    assert source["path"] == LOG
    parser = {each["name"]: each for each in config["parsers"]}[source["parser"]]
    assert _read(LINE[parser["time_key"]], parser["time_format"].replace("%L", "%f")) == AT
    assert output["labels"].split(", ") == ["job=cognito-auth-exporter", "$user_pool", "$event_type", "$response"]
    assert output["structured_metadata"] == "event_id=$event_id"
    assert {source["tag"]} == {part["match"] for part in (output, *config["pipeline"]["filters"])}


GO_TIME = {
    "2006": "%Y", "01": "%m", "02": "%d", "15": "%H", "04": "%M", "05": "%S", "999999": "%f", "Z07:00": "%z",
}  # fmt: skip
"""Go's reference time, part by part: https://pkg.go.dev/time#pkg-constants"""


def test_otel_collector() -> None:
    """The collector reads the file, takes the time of a line by Go's layout, and keeps the fields that Loki is to have."""
    config = example("otel-collector.yaml")
    receiver = config["receivers"]["filelog"]
    assert receiver["include"] == [LOG]
    parse, retain = receiver["operators"]
    layout = re.sub("|".join(GO_TIME), lambda found: GO_TIME[found[0]], parse["timestamp"]["layout"])
    assert _read(LINE["time"], layout) == AT
    assert [field.removeprefix("attributes.") for field in retain["fields"]] == [
        "user_pool",
        "event_type",
        "response",
        "event_id",
    ]
    (pipeline,) = config["service"]["pipelines"].values()
    for kind in ("receivers", "processors", "exporters"):
        assert set(pipeline[kind]) == set(config[kind])
    assert receiver["storage"] in config["service"]["extensions"]


def test_logrotate() -> None:
    """The file is moved away, not copied and cut, and is not compressed while it may still be written or read."""
    text = (EXAMPLES / "logrotate.conf").read_text()
    directives = {line.strip() for line in text.splitlines() if line and not line.lstrip().startswith("#")}
    assert f"{LOG} {{" in directives
    assert directives >= {"nocreate", "delaycompress"}
    assert "copytruncate" not in directives
