"""The runbook keeps step with the alerts, and what it tells people to paste works: queries, commands, links."""

import re
import shlex
import subprocess
from functools import cache
from itertools import takewhile
from pathlib import Path
from typing import Any, NamedTuple

import botocore.session
import pytest
import yaml
from botocore import xform_name
from botocore.model import ServiceModel

from exporter import cli
from exporter.metrics.families import FAMILIES
from tests.conftest import need

ROOT = Path(__file__).parents[2]
MONITORING = ROOT / "monitoring"
RUNBOOK = ROOT / "docs" / "runbook.md"
KIT = MONITORING / "README.md"
PAGES = [RUNBOOK, KIT]
DOCUMENTATION = [ROOT / "README.md", KIT, *sorted((ROOT / "docs").glob("*.md"))]

# In this order: somebody is being attacked before the exporter is.
ALERT_FILES = ("threats.rules.yml", "countries.rules.yml", "exporter.rules.yml")
PARTS = ["What it means.", "What to look at.", "What to do.", "When it is harmless."]
LONGEST = 35  # lines of a section: what is read at night fits on a screen

RESULTS = frozenset({"job", "instance", "le"})
"""Labels that Prometheus and histograms add to what the table of families has."""
FROM_PROMETHEUS = frozenset({"up"})
AWS_CLI = frozenset({"cli-input-json", "query", "max-items"})
"""Options of the AWS command line itself, beside the members of an operation's input."""
ENDS = frozenset("();<>|&\n")
"""Characters that end a command in a shell."""


def rules(file: str) -> list[dict[str, Any]]:
    """Return the rules of a file in `monitoring`."""
    return [rule for group in yaml.safe_load((MONITORING / file).read_text())["groups"] for rule in group["rules"]]


ALERTS = [rule for file in ALERT_FILES for rule in rules(file)]
RECORDED = {rule["record"]: rule["expr"] for rule in rules("recording.rules.yml")}
FAMILY_LABELS = {name: family.labels for family in FAMILIES for name in (family.samples or (family.name,))}


class Section(NamedTuple):
    """What stands under a heading of the second level."""

    heading: str
    text: str


def sections(page: Path) -> list[Section]:
    """Return the sections of a page in their order; what stands before the first heading is left out."""
    _, *found = re.split(r"^## ", page.read_text(), flags=re.MULTILINE)
    return [Section(*text.split("\n", 1)) for text in found]


BY_ALERT = [section for section in sections(RUNBOOK) if section.heading.startswith("CognitoAuth")]


def blocks(page: Path, language: str) -> list[str]:
    """Return a page's code blocks of a language, their indentation taken off."""
    found = re.findall(rf"^( *)```{language}\n(.*?)^ *```", page.read_text(), re.MULTILINE | re.DOTALL)
    return [re.sub(rf"^{indent}", "", text, flags=re.MULTILINE) for indent, text in found]


def anchors(page: Path) -> set[str]:
    """Return the anchors that GitHub gives to a page's headings."""
    headings = re.findall(r"^#+ (.+)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_all_files_with_alerts_are_known() -> None:
    """No alert escapes this file: each file of rules holds the recorded names or alerts that are looked at here."""
    assert {path.name for path in MONITORING.glob("*.rules.yml")} == {*ALERT_FILES, "recording.rules.yml"}
    assert ALERTS
    assert [rule for rule in ALERTS if "alert" not in rule] == []


def test_sections_are_the_alerts() -> None:
    """The runbook has one section for each alert, in the order of the rules, and none for anything else after the first."""
    headings = [section.heading for section in sections(RUNBOOK)]
    assert headings[-len(ALERTS) :] == [rule["alert"] for rule in ALERTS]
    assert len(BY_ALERT) == len(ALERTS)


@pytest.mark.parametrize("rule", ALERTS, ids=lambda rule: rule["alert"])
def test_runbook_url_leads_to_the_section(rule: dict[str, Any]) -> None:
    """An alert's `runbook_url` is its own section's address in the repository."""
    page, _, anchor = rule["annotations"]["runbook_url"].partition("/blob/main/")[2].partition("#")
    assert ROOT / page == RUNBOOK
    assert anchor == rule["alert"].lower()
    assert anchor in anchors(RUNBOOK)


@pytest.mark.parametrize("section", BY_ALERT, ids=lambda section: section.heading)
def test_sections_have_the_same_parts(section: Section) -> None:
    """Each section says what the alert means, what to look at (with a query), what to do, when it is harmless, and is short."""
    assert re.findall(r"^\*\*(.+?)\*\*", section.text, re.MULTILINE) == PARTS
    look_at = section.text.partition(PARTS[1])[2].partition(PARTS[2])[0]
    assert "```promql" in look_at
    assert len(section.text.strip().splitlines()) < LONGEST


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_to_sections_lead_to_headings(page: Path) -> None:
    """Every link to a section leads to a heading of the page that it names."""
    links = re.findall(r"\]\((?!https?://)([^)#]*)#([^)]+)\)", page.read_text())
    assert links
    for target, anchor in links:
        assert anchor in anchors((page.parent / target).resolve() if target else page), anchor


def test_queries_parse(tmp_path: Path) -> None:
    """Each PromQL block of the runbook is one expression that Prometheus takes."""
    promtool = need("promtool", "apt-get install prometheus")
    queries = blocks(RUNBOOK, "promql")
    assert len(queries) > len(ALERTS)
    recorded = [{"record": f"runbook:{number}", "expr": query} for number, query in enumerate(queries)]
    file = tmp_path / "runbook.rules.yml"
    file.write_text(yaml.safe_dump({"groups": [{"name": "runbook", "rules": recorded}]}))
    done = subprocess.run([promtool, "check", "rules", str(file)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"{len(queries)} rules found" in done.stdout


def names_in(query: str) -> set[str]:
    """Return the names of metrics in a query."""
    return set(re.findall(r"[a-z_:]*\bcognito_auth_[\w:]+|\bup\b", re.sub(r'"[^"]*"', '""', query)))


def label_names_in(query: str) -> set[str]:
    """Return the names of labels in a query's selectors and groupings."""
    bare = re.sub(r'"[^"]*"', '""', query)
    groupings = re.findall(r"\b(?:by|without|on|ignoring) \(([^)]*)\)", bare)
    return {
        *re.findall(r'(\w+)\s*(?:=~|!~|!=|=)\s*"', bare),
        *(name for each in groupings for name in re.findall(r"\w+", each)),
    }


@cache
def labels_of(name: str) -> frozenset[str]:
    """Return the labels that a family, or a recorded name by way of its expression, may have."""
    if name in RECORDED:
        return frozenset().union(*map(labels_of, names_in(RECORDED[name])))
    return RESULTS | frozenset(FAMILY_LABELS.get(name, ()))


@pytest.mark.parametrize("query", blocks(RUNBOOK, "promql"))
def test_queries_name_what_there_is(query: str) -> None:
    """A query of the runbook names families or recorded rules that exist, and labels that these have."""
    names = names_in(query)
    assert names
    assert names <= {*FAMILY_LABELS, *RECORDED, *FROM_PROMETHEUS}
    assert label_names_in(query) <= frozenset().union(*map(labels_of, names))


def test_a_wrong_query_is_found() -> None:
    """What the two tests above look at is seen: names, recorded names, labels of selectors and groupings."""
    query = (
        'sum by (user_pool, city) (a:cognito_auth_x:sum{land="DE, up", response!~"Pass"}) / cognito_auth_y_total > up'
    )
    assert names_in(query) == {"a:cognito_auth_x:sum", "cognito_auth_y_total", "up"}
    assert label_names_in(query) == {"user_pool", "city", "land", "response"}


def words(block: str) -> list[str]:
    """Return the words of shell commands as a shell would split them; what ends a command is a word by itself."""
    lexer = shlex.shlex(block.replace("\\\n", " "), posix=True, punctuation_chars="".join(ENDS))
    lexer.whitespace, lexer.whitespace_split, lexer.commenters = " \t", True, ""
    return list(lexer)


def commands(program: str) -> list[tuple[str, ...]]:
    """Return the arguments of each call of a program in the shell blocks of both pages; what stands there twice comes once."""
    found = [words(block) for page in PAGES for block in blocks(page, "sh")]
    calls = [each[at + 1 :] for each in found for at, word in enumerate(each) if word == program]
    return list(dict.fromkeys(tuple(takewhile(lambda word: not set(word) <= ENDS, call)) for call in calls))


@pytest.mark.parametrize("arguments", commands("cognito-auth-exporter"), ids=" ".join)
def test_commands_are_taken(arguments: tuple[str, ...]) -> None:
    """Every `cognito-auth-exporter` command to paste is one that the command's own parser takes."""
    parser, _ = cli._COMMANDS[arguments[0]]
    assert parser().parse_args(arguments[1:]).config_file == Path("$CONFIG")


@cache
def service_model(service: str) -> ServiceModel:
    """Return what botocore knows of a service."""
    return botocore.session.get_session().get_service_model(service)


@pytest.mark.parametrize("arguments", commands("aws"), ids=" ".join)
def test_aws_commands_are_operations(arguments: tuple[str, ...]) -> None:
    """Every `aws` command to paste is an operation with options that it has, and does not make a user billable."""
    service, operation, *rest = arguments
    model = service_model(service)
    name = {xform_name(each, "-"): each for each in model.operation_names}[operation]
    assert name != "AdminGetUser"
    options = model.operation_model(name).input_shape
    assert options is not None
    given = {word.removeprefix("--") for word in rest if word.startswith("--")}
    assert given <= {xform_name(member, "-") for member in options.members} | AWS_CLI
    if "cli-input-json" not in given:
        assert {xform_name(member, "-") for member in options.required_members} <= given


def test_commands_are_found() -> None:
    """The shell blocks are looked into: each way in which a command may begin or end there is seen."""
    assert words("while read -r x; do\n  a --b=\"$x\" |\n c 'd | e'\ndone < f") == [
        *("while", "read", "-r", "x", ";", "do", "\n", "a", "--b=$x", "|\n", "c", "d | e", "\n", "done", "<", "f")
    ]
    asked = {arguments[0] for arguments in commands("cognito-auth-exporter")}
    assert asked == {"check", "events"}
    assert {"cognito-idp"} <= {arguments[0] for arguments in commands("aws")}


def test_table_of_alerts_is_the_rules() -> None:
    """The kit's table of alerts has each alert with its severity and the link to its section, in the runbook's order."""
    rows = re.findall(r"^\| \[(\w+)\]\(\.\./docs/runbook\.md#(\w+)\) \| (\w+) \|", KIT.read_text(), re.MULTILINE)
    assert rows == [(rule["alert"], rule["alert"].lower(), rule["labels"]["severity"]) for rule in ALERTS]


@pytest.mark.parametrize("name", [family.name for family in FAMILIES])
def test_families_are_documented(name: str) -> None:
    """Each family of the table is told of in a page for users."""
    assert any(re.search(rf"(?<![\w:]){name}(?:_bucket)?(?![\w:])", page.read_text()) for page in DOCUMENTATION)
