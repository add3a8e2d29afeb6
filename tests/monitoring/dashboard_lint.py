"""What a dashboard has to hold to: the rules of grafana/dashboard-linter, stricter here and there, and the house's own."""

import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

import promql_parser as ast
from grafana_foundation_sdk.models import units

from tests.monitoring import promql

Json = Mapping[str, Any]

WIDTH = 24
PANELS_AT_ONCE = frozenset({"stat", "bargauge", "table", "geomap"})
"""Types of panel that show how things are at the end, rather than over time."""

VALID_UNITS = frozenset(value for value in vars(units).values() if isinstance(value, str))
COUNTING = frozenset({"rate", "irate", "increase"})


@dataclass(frozen=True, slots=True)
class Finding:
    """What is wrong, where: the subject is what the finding is about, by which it can be exempted."""

    rule: str
    where: str
    subject: str
    wrong: str


@dataclass(frozen=True, slots=True)
class Exemption:
    """Subjects that a rule does not apply to, as a regular expression, and why."""

    rule: str
    subject: str
    why: str

    def covers(self, finding: Finding) -> bool:
        """Say whether a finding is none, for this reason."""
        return self.rule == finding.rule and re.search(self.subject, finding.subject) is not None


EXEMPTIONS = (
    Exemption("target-instance-rule", r"^\w+:", "a recording rule sums over instances: its series have no such label"),
    Exemption("target-job-rule", r"^ALERTS$", "an alert that something is missing has no job"),
    Exemption("target-instance-rule", r"^ALERTS$", "an alert that something is missing has no instance"),
    Exemption("target-pool-rule", r"^ALERTS$", "an alert on the process or on an account has no pool"),
    Exemption(
        "target-rate-interval-rule",
        r"\[\$__range\] at once$",
        "a number of all the time shown is asked once, at its end, and has to reach back to its start; "
        "grafana/dashboard-linter leaves increase() alone altogether",
    ),
)

Found = Iterator[tuple[str, str]]
"""What is found wrong: its subject, and what is wrong about it."""


def panels(board: Json) -> list[Json]:
    """Return the panels of a dashboard, rows apart."""
    flat = [panel for outer in board["panels"] for panel in (outer, *outer.get("panels", ()))]
    return [panel for panel in flat if panel["type"] != "row"]


@dataclass(frozen=True, slots=True)
class Target:
    """A query and its panel; `expr` is None where it cannot be parsed, which is a rule of its own."""

    panel: Json
    query: Json
    expr: ast.Expr | None

    @property
    def at_once(self) -> bool:
        """Whether it is asked for one point of time alone."""
        return self.query.get("instant") is True and self.query.get("range") is not True

    @property
    def nodes(self) -> Sequence[ast.Expr]:
        """The nodes of the query, each before what is in it."""
        return promql.nodes(self.expr) if self.expr else ()

    @property
    def selectors(self) -> Sequence[ast.VectorSelector]:
        """The selectors of the query."""
        return promql.selectors(self.expr) if self.expr else ()


def _parsed(query: str) -> ast.Expr | None:
    try:
        return promql.parse(query)
    except ValueError:
        return None


def targets(board: Json) -> Iterator[Target]:
    """Yield the queries of a dashboard, those of its annotations among them."""
    for panel in panels(board):
        for query in panel.get("targets", ()):
            yield Target(panel, query, _parsed(query.get("expr", "")))
    for annotation in board["annotations"]["list"]:
        yield Target({"title": annotation["name"], "type": "annotation"}, annotation, _parsed(annotation["expr"]))


def _variables(board: Json) -> dict[str, Json]:
    return {variable["name"]: variable for variable in board["templating"]["list"]}


# --- of the dashboard


def _frame(board: Json) -> Found:
    """Find what is not as on the others: a dashboard is known by its uid, title and tag."""
    name = board["title"].rpartition(" / ")[2]
    expected = {
        "uid": f"cognito-auth-{name.lower()}",
        "title": f"Cognito auth / {name}",
        "tags": ["cognito-auth"],
        "timezone": "browser",
        "refresh": "1m",
    }
    yield from ((key, f"is {board.get(key)!r}") for key, value in expected.items() if board.get(key) != value)


def _restarts(board: Json) -> Found:
    if not any(
        annotation.get("useValueForTime") and "process_start_time_seconds" in annotation["expr"]
        for annotation in board["annotations"]["list"]
    ):
        yield "annotations", "restarts are not marked"


def _links(board: Json) -> Found:
    """Look for the way to the others, with the time and what is chosen."""
    if not any(
        link["type"] == "dashboards" and link["tags"] == board["tags"] and link["keepTime"] and link["includeVars"]
        for link in board.get("links", ())
    ):
        yield "links", "no link to the others that keeps time and variables"


def _uneditable(board: Json) -> Found:
    if board.get("editable") is not False:
        yield "editable", "edits would be lost: dashboards are built"


def _datasource_variable(board: Json) -> Found:
    found = [variable for variable in board["templating"]["list"] if variable["type"] == "datasource"]
    if [(it["name"], it["label"], it["query"]) for it in found] != [("datasource", "Data source", "prometheus")]:
        yield "datasource", "not one variable for a Prometheus, called datasource and Data source"


def _label_variable(name: str, label: str) -> Callable[[Json], Found]:
    """Return the rule of a variable that offers a label's values."""
    expected = {
        "type": "query", "label": label, "multi": True, "includeAll": True, "allValue": ".+",
        "datasource": {"type": "prometheus", "uid": "${datasource}"},
    }  # fmt: skip

    def check(board: Json) -> Found:
        variable = _variables(board).get(name, {})
        yield from ((key, f"is {variable.get(key)!r}") for key, value in expected.items() if variable.get(key) != value)

    return check


def _variable_queries(board: Json) -> Iterator[tuple[str, str, ast.Expr | None]]:
    """Yield name, label and selector of each variable that asks for a label's values."""
    for variable in board["templating"]["list"]:
        if variable["type"] == "query":
            asked = re.fullmatch(r"label_values\((.+), (\w+)\)", variable["query"])
            yield variable["name"], asked[2] if asked else "", _parsed(asked[1]) if asked else None


def _variable_promql(board: Json) -> Found:
    for name, label, expr in _variable_queries(board):
        if expr is None or label not in promql.labels(expr):
            yield name, f"does not ask for the values of a label that is there: {label!r}"


def _variables_reload(board: Json) -> Found:
    for name, variable in _variables(board).items():
        if variable["type"] == "query" and variable.get("refresh") != 2:
            yield name, "is not asked anew when the time changes"


def _unique_ids(board: Json) -> Found:
    ids = Counter(panel.get("id") for outer in board["panels"] for panel in (outer, *outer.get("panels", ())))
    yield from ((f"id {number}", "is not one panel's") for number, times in ids.items() if number is None or times > 1)


def _grid(board: Json) -> Found:
    """Find where panels lie upon each other, and where nothing lies."""
    places = [panel["gridPos"] for panel in board["panels"]]
    cells = Counter(
        cell
        for place in places
        for cell in product(range(place["x"], place["x"] + place["w"]), range(place["y"], place["y"] + place["h"]))
    )
    grid = set(product(range(WIDTH), range(max(place["y"] + place["h"] for place in places))))
    for column, line in sorted(grid | set(cells)):
        if (column, line) not in grid or cells[column, line] != 1:
            yield f"column {column}, line {line}", f"has {cells[column, line]} panels"


# --- of each panel


def _datasource(panel: Json) -> Found:
    if panel.get("datasource") != {"type": "prometheus", "uid": "${datasource}"}:
        yield "datasource", "is not the chosen one"


def _words(panel: Json) -> Found:
    """Look for what tells a reader what a panel shows."""
    said = {"title": panel.get("title"), "description": panel.get("description")}
    yield from ((key, "is missing") for key, value in said.items() if not value)


def _no_value(panel: Json) -> Found:
    if not panel["fieldConfig"]["defaults"].get("noValue"):
        yield "noValue", "is missing"


def _units(panel: Json) -> Found:
    config = panel["fieldConfig"]
    overrides = [it["value"] for override in config["overrides"] for it in override["properties"] if it["id"] == "unit"]
    for unit in [config["defaults"].get("unit"), *overrides]:
        if unit not in VALID_UNITS:
            yield "unit", f"{unit!r} is none of Grafana's"


def _some_targets(panel: Json) -> Found:
    if not panel.get("targets"):
        yield "targets", "there are none"


def _columns(panel: Json) -> Found:
    """Find columns of a table that no query answers, and what is said of columns that are not there."""
    if panel["type"] != "table":
        return
    options = next(it["options"] for it in panel["transformations"] if it["id"] == "organize")
    queries = {query["refId"]: _parsed(query["expr"]) for query in panel["targets"]}
    answered = {label for expr in queries.values() if expr for label in promql.labels(expr)}
    answered |= {f"Value #{letter}" for letter in queries} if len(queries) > 1 else {"Value"}
    yield from ((column, "is in no answer") for column in options["includeByName"] if column not in answered)
    spoken_of = {override["matcher"]["options"] for override in panel["fieldConfig"]["overrides"]}
    yield from ((heading, "is no column") for heading in sorted(spoken_of - set(options["renameByName"].values())))


# --- of each query


def _no_loki(target: Target) -> Found:
    if target.query.get("datasource", {}).get("type", "prometheus") != "prometheus":
        yield "datasource", "is no Prometheus: here are no rules for others"


def _promql(target: Target) -> Found:
    if target.expr is None:
        yield target.query.get("expr", ""), "is not PromQL"


def _rate_interval(target: Target) -> Found:
    wanted = promql.RANGES["$__rate_interval"]
    names = {length: variable for variable, length in promql.RANGES.items()}
    for node in target.nodes:
        if isinstance(node, ast.MatrixSelector) and node.range != wanted:
            when = "at once" if target.at_once else "over time"
            yield f"[{names.get(node.range, node.range)}] {when}", "is no $__rate_interval"


def _matcher(label: str, matcher: str) -> Callable[[Target], Found]:
    """Return the rule that whoever has a label is chosen by it."""

    def check(target: Target) -> Found:
        for selector in target.selectors:
            needed = label in promql.TARGET_LABELS or label in (promql.known(selector.name or "") or ())
            if needed and matcher not in promql.matchers(selector):
                yield selector.name or "", f"without {matcher}"

    return check


def _counters(target: Target) -> Found:
    """Find counters by themselves, which mean nothing: they start anew with their process."""
    nodes = target.nodes
    for index, node in enumerate(nodes):
        if isinstance(node, ast.VectorSelector) and re.search(r"_(total|bucket|count|sum)$", node.name or ""):
            around = nodes[max(index - 2, 0)]
            if not (isinstance(around, ast.Call) and around.func.name in COUNTING):
                yield node.name or "", f"is in none of {sorted(COUNTING)}"


def _known_series(target: Target) -> Found:
    for selector in target.selectors:
        labels = promql.known(selector.name or "")
        if labels is None:
            yield selector.name or "", "is no family, no recording rule, and nothing that Prometheus makes"
            continue
        wrong = {matcher.name for matcher in selector.matchers.matchers} - labels
        yield from ((selector.name or "", f"has no label {label}") for label in sorted(wrong))


def _known_labels(target: Target) -> Found:
    """Find sums and names of series by labels that are not there."""
    if target.expr is None:
        return
    for node in target.nodes:
        if isinstance(node, ast.AggregateExpr):
            yield from (
                (label, "is summed by, and not there") for label in sorted(promql.by(node) - promql.labels(node.expr))
            )
    labels = promql.labels(target.expr)
    legend = target.query.get("legendFormat", target.query.get("titleFormat", ""))
    yield from (
        (label, "is in the legend, and not in the answer")
        for label in promql.legend_labels(legend)
        if label not in labels
    )


def _at_once(target: Target) -> Found:
    """Find panels over time that ask for one point, and others that ask for a range in vain."""
    if target.at_once != (target.panel["type"] in PANELS_AT_ONCE):
        yield target.panel["type"], "asks for a range" if not target.at_once else "asks for one point"


DASHBOARD_RULES: Mapping[str, Callable[[Json], Found]] = {
    "template-datasource-rule": _datasource_variable,
    "template-job-rule": _label_variable("job", "Job"),
    "template-instance-rule": _label_variable("instance", "Instance"),
    "template-label-promql-rule": _variable_promql,
    "template-on-time-change-reload-rule": _variables_reload,
    "uneditable-dashboard": _uneditable,
    "template-pool-rule": _label_variable("user_pool", "User pool"),
    "dashboard-frame-rule": _frame,
    "dashboard-links-rule": _links,
    "dashboard-restarts-rule": _restarts,
    "panel-ids-rule": _unique_ids,
    "panel-grid-rule": _grid,
}
PANEL_RULES: Mapping[str, Callable[[Json], Found]] = {
    "panel-datasource-rule": _datasource,
    "panel-title-description-rule": _words,
    "panel-units-rule": _units,
    "panel-no-targets-rule": _some_targets,
    "panel-no-value-rule": _no_value,
    "panel-columns-rule": _columns,
}
TARGET_RULES: Mapping[str, Callable[[Target], Found]] = {
    "target-logql-rule": _no_loki,
    "target-logql-auto-rule": _no_loki,
    "target-promql-rule": _promql,
    "target-rate-interval-rule": _rate_interval,
    "target-job-rule": _matcher("job", 'job=~"$job"'),
    "target-instance-rule": _matcher("instance", 'instance=~"$instance"'),
    "target-counter-agg-rule": _counters,
    "target-pool-rule": _matcher("user_pool", 'user_pool=~"$user_pool"'),
    "target-series-rule": _known_series,
    "target-labels-rule": _known_labels,
    "target-instant-rule": _at_once,
}
RULES = frozenset({*DASHBOARD_RULES, *PANEL_RULES, *TARGET_RULES})


def every(board: Json) -> Iterator[Finding]:
    """Yield what is found in a dashboard, exempted or not."""
    title = board["title"]
    for rule, of_dashboard in DASHBOARD_RULES.items():
        yield from (Finding(rule, title, *found) for found in of_dashboard(board))
    for panel in panels(board):
        for rule, of_panel in PANEL_RULES.items():
            yield from (Finding(rule, f"{title}, {panel.get('title')}", *found) for found in of_panel(panel))
    for target in targets(board):
        for rule, of_target in TARGET_RULES.items():
            where = f"{title}, {target.panel.get('title')}, {target.query.get('refId', 'annotation')}"
            yield from (Finding(rule, where, *found) for found in of_target(target))


def findings(board: Json) -> list[Finding]:
    """Return what is wrong with a dashboard."""
    return [found for found in every(board) if not any(exemption.covers(found) for exemption in EXEMPTIONS)]
