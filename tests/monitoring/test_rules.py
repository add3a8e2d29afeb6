"""The rules and alerts of monitoring/: promtool takes them, each alert is tried out, and they name nothing that is not there."""

import json
import re
import subprocess
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import promql_parser
import pytest
import yaml
from promql_parser import AggModifierType, AggregateExpr, BinaryExpr, Expr, VectorSelector

from exporter.metrics.families import FAMILIES, PREFIX
from tests.conftest import need

Rule = dict[str, Any]

MONITORING = Path(__file__).parents[2] / "monitoring"
RULE_FILES = sorted(MONITORING.glob("*.rules.yml"))
TEST_FILES = sorted((MONITORING / "tests").glob("*.test.yml"))
TESTS = {file: yaml.safe_load(file.read_text()) for file in TEST_FILES}
DASHBOARDS = sorted((MONITORING / "dashboards").glob("*.json"))

RUNBOOK = "https://github.com/cognito-auth-exporter/cognito-auth-exporter/blob/main/docs/runbook.md#"
LISTED = "country:cognito_auth_allowed:info"
"""What users record in the file of countries: its rules are a comment there."""

TARGET_LABELS = frozenset({"job", "instance", "pod", "node"})
"""What Prometheus adds to each series, by itself or as it is commonly set up in Kubernetes."""
SAMPLES = {sample: family for family in FAMILIES for sample in family.samples or (family.name,)}
LABELS = {
    name: frozenset(family.labels) | TARGET_LABELS | ({"le"} if name.endswith("_bucket") else set())
    for name, family in SAMPLES.items()
}


def _rules() -> Iterator[Rule]:
    for file in RULE_FILES:
        for group in yaml.safe_load(file.read_text())["groups"]:
            yield from group["rules"]


RULES = list(_rules())
ALERTS = [rule for rule in RULES if "alert" in rule]
RECORDED = [rule["record"] for rule in RULES if "record" in rule]


def _name(rule: Rule) -> str:
    return str(rule.get("alert", rule.get("record")))


def _file_name(file: Path) -> str:
    return file.name


def _parts(text: str) -> list[Expr]:
    """Return all that an expression is made of."""
    parts: list[Expr] = []
    promql_parser.walk(promql_parser.parse(text), parts.append)
    return parts


def _selected(text: str) -> set[str]:
    """Return the names of the metrics in an expression."""
    return {str(part.name) for part in _parts(text) if isinstance(part, VectorSelector)}


def _promtool(*arguments: str | Path) -> None:
    promtool = need("promtool", "apt-get install prometheus")
    done = subprocess.run([promtool, *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("file", RULE_FILES, ids=_file_name)
def test_promtool_takes_the_rules(file: Path) -> None:
    """A rule file gives promtool nothing to say, with everything that it can look for."""
    _promtool("check", "rules", "--lint=all", "--lint-fatal", file)


@pytest.mark.parametrize("file", TEST_FILES, ids=_file_name)
def test_alerts_do_what_their_comments_say(file: Path) -> None:
    """Each alert fires, stays quiet and ends as its test file says."""
    _promtool("test", "rules", file)


@pytest.mark.parametrize("file", TEST_FILES, ids=_file_name)
def test_groups_are_evaluated_in_a_known_order(file: Path) -> None:
    """A test names all groups of its rule files in the order of their needs: promtool takes the others in any order."""
    groups = [
        group["name"]
        for name in TESTS[file]["rule_files"]
        for group in yaml.safe_load((file.parent / name).read_text())["groups"]
    ]
    assert TESTS[file]["group_eval_order"] == groups


def _trials(alert: str) -> Iterator[list[bool]]:
    """Yield for each promtool test whether the alert fires, in the order of time."""
    for tests in TESTS.values():
        for test in tests["tests"]:
            cases = [case for case in test.get("alert_rule_test", ()) if case["alertname"] == alert]
            cases.sort(key=lambda case: promql_parser.parse_duration(case["eval_time"]))
            yield [bool(case.get("exp_alerts")) for case in cases]


@pytest.mark.parametrize("rule", ALERTS, ids=_name)
def test_each_alert_is_seen_to_begin_and_to_end(rule: Rule) -> None:
    """Some promtool test shows each alert quiet, then firing, then quiet again."""
    trials = [trial for trial in _trials(rule["alert"]) if True in trial]
    assert any(not trial[0] and not trial[-1] for trial in trials)


@pytest.mark.parametrize("rule", ALERTS, ids=_name)
def test_each_alert_says_what_a_person_needs(rule: Rule) -> None:
    """Each alert has a severity, a kind, a summary, a description and a place in the runbook; a threat says how late it is."""
    threat = rule["labels"]["kind"] == "threat"
    assert rule["labels"].keys() == {"severity", "kind"}
    assert rule["labels"]["severity"] in {"critical", "warning", "info"}
    assert rule["labels"]["kind"] in {"threat", "exporter"}
    assert rule["annotations"].keys() == {"summary", "description", "runbook_url"} | ({"delay"} if threat else set())
    assert all(text.strip() for text in rule["annotations"].values())
    assert rule["annotations"]["runbook_url"] == RUNBOOK + rule["alert"].lower()


def test_names_of_alerts() -> None:
    """Names of alerts are CamelCase, begin as the project's do, and are unique."""
    names = [rule["alert"] for rule in ALERTS]
    assert [name for name in names if not re.fullmatch(r"CognitoAuth([A-Z][a-z]+)+", name)] == []
    assert [name for name, number in Counter(names).items() if number > 1] == []


def test_names_of_recorded_series() -> None:
    """What is recorded is named level:metric:operation, and unique."""
    assert [name for name in RECORDED if not re.fullmatch(rf"[a-z_]+:{PREFIX}[a-z_]+:[a-z0-9_]+", name)] == []
    assert [name for name, number in Counter(RECORDED).items() if number > 1] == []


def _panel_expressions() -> Iterator[str]:
    """Yield what the dashboards show; their variables and ranges are no PromQL, so that names are looked for in the text."""
    for file in DASHBOARDS:
        yield json.dumps(json.loads(file.read_text()))


@pytest.mark.parametrize("name", RECORDED)
def test_what_is_recorded_is_used(name: str) -> None:
    """Nothing is recorded that no other rule, annotation or dashboard reads."""
    others = [rule for rule in RULES if rule.get("record") != name]
    by_rules = any(name in _selected(rule["expr"]) for rule in others)
    by_texts = any(name in text for rule in ALERTS for text in rule["annotations"].values())
    assert by_rules or by_texts or any(name in text for text in _panel_expressions())


@pytest.mark.parametrize("rule", RULES, ids=_name)
def test_rules_name_what_is_there(rule: Rule) -> None:
    """Each name in a rule is a family of the exporter, something recorded, or Prometheus's own `up`."""
    assert _selected(rule["expr"]) <= SAMPLES.keys() | set(RECORDED) | {LISTED, "up"}


@pytest.mark.parametrize("rule", RULES, ids=_name)
def test_rules_match_labels_that_are_there(rule: Rule) -> None:
    """Each label that a rule matches is one of the family's."""
    wrong = {
        (part.name, matcher.name)
        for part in _parts(rule["expr"])
        if isinstance(part, VectorSelector) and part.name in LABELS
        for matcher in part.matchers.matchers
        if matcher.name not in LABELS[str(part.name)]
    }
    assert wrong == set()


def _aggregations(text: str) -> Iterator[tuple[set[str], set[str]]]:
    """Yield for each aggregation the labels of its `by` clause, and the names that it aggregates."""
    for part in _parts(text):
        if isinstance(part, AggregateExpr) and part.modifier and part.modifier.type == AggModifierType.By:
            yield set(part.modifier.labels), _selected(part.expr.prettify())


@pytest.mark.parametrize("rule", RULES, ids=_name)
def test_sums_are_by_labels_of_what_they_sum(rule: Rule) -> None:
    """A `by` clause has only labels of each family that it aggregates: any other would be empty, and a join on it would fail."""
    wrong = [
        (name, labels - LABELS[name])
        for labels, names in _aggregations(rule["expr"])
        for name in names & LABELS.keys()
        if labels - LABELS[name]
    ]
    assert wrong == []


def _joins(text: str) -> Iterator[set[str]]:
    """Yield the labels of each `on` clause."""
    for part in _parts(text):
        if isinstance(part, BinaryExpr) and part.modifier is not None and part.modifier.matching is not None:
            yield set(part.modifier.matching.labels)


@pytest.mark.parametrize("rule", RULES, ids=_name)
def test_joins_are_on_labels_that_are_there(rule: Rule) -> None:
    """An `on` clause has only labels of the exporter's families, or of all targets: on others everything would match."""
    assert all(labels <= TARGET_LABELS.union(*LABELS.values()) for labels in _joins(rule["expr"]))
