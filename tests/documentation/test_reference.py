"""The pages made from the code are up to date, and have everything that there is and nothing else."""

import re
from collections.abc import Iterator, Mapping
from typing import Any

import pytest
import yaml

from exporter import cli
from exporter.event.labels import FIELDS
from exporter.metrics.families import FAMILIES, Family
from exporter.metrics.instruments import Instruments
from exporter.metrics.view import PoolView, Presentation
from reference.pages import DOCS, PAGES
from tests.documentation.pages import ROOT, inline_code, rows

METRICS, CONFIGURATION, COMMAND_LINE = (f"docs/{name}.md" for name in ("metrics", "configuration", "command-line"))
FAMILY_ROWS = {row[0].strip("`"): row for row in rows(METRICS) if len(row) == 5}


def words(cell: str) -> list[str]:
    """Return what a cell has as code."""
    return re.findall(r"`([^`]+)`", cell)


@pytest.mark.parametrize("name", PAGES)
def test_pages_are_current(name: str) -> None:
    """A page made from the code is the one that the code makes: `make docs` writes it."""
    assert (DOCS / name).read_text(encoding="utf-8") == PAGES[name]()


def test_every_family_is_there_once() -> None:
    """The page of metrics has one row for each family, and none for anything else."""
    listed = [row[0].strip("`") for row in rows(METRICS) if len(row) == 5]
    assert sorted(listed) == sorted(family.name for family in FAMILIES)


@pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.name)
def test_families_are_told_as_they_are(family: Family) -> None:
    """A family's row has its type, its labels and its HELP."""
    _, kind, labels, text, appears = FAMILY_ROWS[family.name]
    assert (kind, tuple(words(labels)), text) == (family.kind.value, family.labels, family.help)
    assert appears


def test_every_label_is_explained() -> None:
    """The values of each label of each family are told, and of no other label; the API's own words are all there."""
    listed = {row[0].strip("`"): row[1] for row in rows(METRICS, "Labels")}
    assert set(listed) == {label for family in FAMILIES for label in family.labels}
    for label in ("event_type", "response", "risk_level", "risk_decision", "challenge"):
        assert set(FIELDS[label]) <= set(words(listed[label]))


def _shown_from_the_start() -> Iterator[str]:
    """Yield the families of which a pool that has just been configured has series."""
    view = PoolView("customers", Presentation("code", "plain", b"", 3600.0))
    yield from (name for name, block in view.blocks(0.0).items() if block.lines(openmetrics=False))
    instruments = Instruments()
    instruments.show_pool("customers")
    for family, series in instruments.sections():
        if any(block.lines(openmetrics=False) for block in series):
            yield family.name


def test_series_appear_when_it_is_said() -> None:
    """Families said to be there *at 0* are, before any event or request; those said to come with one, or *held*, are not."""
    shown = set(_shown_from_the_start())
    told = {name: row[4] for name, row in FAMILY_ROWS.items()}
    assert {name for name, when in told.items() if when == "at 0"} <= shown
    assert not shown & {name for name, when in told.items() if when.startswith(("held", "with", "while"))}


def _keys(document: Mapping[str, Any], path: str = "") -> Iterator[tuple[str, Any]]:
    """Yield the path and value of every key of a document that is not a section; a list of sections counts by its first."""
    for key, value in document.items():
        at = f"{path}.{key}".removeprefix(".")
        if isinstance(value, Mapping):
            yield from _keys(value, at)
        elif isinstance(value, list) and value and isinstance(value[0], Mapping):
            yield from _keys(value[0], f"{at}[]")
        else:
            yield at, value


EXAMPLE = dict(_keys(yaml.safe_load((ROOT / "config.example.yaml").read_text())))
SECTIONS = {key.rpartition(".")[0] for key in EXAMPLE}
KEY_ROWS = {
    f"{section}.{row[0].strip('`')}": row for section in SECTIONS for row in rows(CONFIGURATION, f"`{section}`")
}


def test_every_key_is_there() -> None:
    """The page has each key of config.example.yaml in its section, and no other, with a sentence about it."""
    assert set(KEY_ROWS) == set(EXAMPLE)
    assert len(KEY_ROWS) == len(rows(CONFIGURATION))
    assert all(row[1] and len(row[3].split()) > 2 for row in KEY_ROWS.values())


def test_defaults_are_those_of_the_example() -> None:
    """A key's default on the page is that of config.example.yaml; where there is none, the sentence says what holds."""
    for key, (_, _, default, text) in KEY_ROWS.items():
        if default == "required":
            assert key.endswith(".id")
        elif default and key != "user_pools[].users.usernames":
            assert yaml.safe_load(default.strip("`")) == EXAMPLE[key], key
        elif EXAMPLE[key] is not None and not default:
            assert "by default" in text, key


@pytest.mark.parametrize("command", cli._COMMANDS)
def test_every_flag_is_there(command: str) -> None:
    """Each command has its own section with each of its flags, those of its `--help`, and no other."""
    heading = f"`cognito-auth-exporter {command}`" if command else "`cognito-auth-exporter` without a command"
    listed = [words(row[0])[0] for row in rows(COMMAND_LINE, heading)]
    told = re.findall(r"^  (?:-\w, )?(--[\w.-]+)", cli._COMMANDS[command][0]().format_help(), re.MULTILINE)
    assert listed == told


def test_no_other_command_is_there() -> None:
    """The page of the command line names no command that does not exist, and every one that does."""
    named = {
        found[1] for code in inline_code(COMMAND_LINE) if (found := re.fullmatch(r"cognito-auth-exporter (\w+)", code))
    }
    assert named == set(cli._COMMANDS) - {""}
