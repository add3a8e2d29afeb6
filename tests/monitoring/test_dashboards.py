"""The dashboards are what their source builds, hold to the rules, ask for what is there, and are of Grafana's own types."""

import json
import subprocess
from collections.abc import Callable, Mapping
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest

from exporter.metrics.families import FAMILIES, RECENT_EVENTS, USER_EVENTS, USER_LAST_EVENT
from mixin.dashboards.__main__ import BUILDERS, FOLDER, text
from tests.conftest import need
from tests.monitoring import dashboard_lint as lint

NAMES = sorted(BUILDERS)
SCHEMA = Path(__file__).parent / "schema"

Board = dict[str, Any]


def read(name: str) -> Board:
    """Return a dashboard as it is checked in."""
    board: Board = json.loads((FOLDER / name).read_text())
    return board


def test_no_other_dashboards() -> None:
    """Every dashboard that is checked in has a source, and each source is checked in."""
    assert sorted(path.name for path in FOLDER.iterdir()) == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_checked_in(name: str) -> None:
    """What is checked in is what the source builds."""
    assert (FOLDER / name).read_text() == text(BUILDERS[name]()), f"{name} is stale: run `make dashboards`"


@pytest.mark.parametrize("name", NAMES)
def test_rules(name: str) -> None:
    """Every dashboard holds to every rule, but for what is exempted with its reason."""
    assert lint.findings(read(name)) == []


@pytest.mark.parametrize("exemption", lint.EXEMPTIONS, ids=lambda it: f"{it.rule} {it.subject}")
def test_exemptions_are_needed(exemption: lint.Exemption) -> None:
    """Nothing is exempted that is nowhere needed, and each has its reason."""
    assert exemption.why
    assert any(exemption.covers(found) for name in NAMES for found in lint.every(read(name)))


NOT_SHOWN = {
    USER_EVENTS.name: "names users, and is there with metrics.per_user alone",
    USER_LAST_EVENT.name: "names users, and is there with metrics.per_user alone",
    RECENT_EVENTS.name: "is shown by its recording rules, beside what is usual",
}


def test_every_family_is_shown() -> None:
    """Every family of the exporter is on some dashboard, or is left out for a reason."""
    asked = "".join(target.query["expr"] for name in NAMES for target in lint.targets(read(name)))
    shown = {family.name for family in FAMILIES if f"{family.name}{{" in asked or f"{family.name}_bucket{{" in asked}
    assert {family.name for family in FAMILIES} - shown == set(NOT_SHOWN)


# --- each rule can fail


def first(board: Board, kind: str) -> Board:
    """Return a dashboard's first panel of a type."""
    found: Board = next(panel for panel in board["panels"] if panel["type"] == kind)
    return found


def variable(board: Board, name: str) -> Board:
    """Return a dashboard's variable of a name."""
    found: Board = next(it for it in board["templating"]["list"] if it["name"] == name)
    return found


def ask(expr: str, kind: str = "timeseries", legend: str = "") -> Callable[[Board], None]:
    """Return what makes the first panel of a type ask for something else."""

    def change(board: Board) -> None:
        first(board, kind)["targets"][0].update(expr=expr, legendFormat=legend)

    return change


CHOSEN = 'job=~"$job", instance=~"$instance", user_pool=~"$user_pool"'

BREAKS: Mapping[str, list[Callable[[Board], object]]] = {
    "template-datasource-rule": [lambda board: variable(board, "datasource").update(label="Prometheus")],
    "template-job-rule": [
        lambda board: variable(board, "job").update(allValue=".*"),
        lambda board: board["templating"]["list"].remove(variable(board, "job")),
    ],
    "template-instance-rule": [lambda board: variable(board, "instance").update(multi=False)],
    "template-pool-rule": [lambda board: variable(board, "user_pool").update(datasource={"uid": "fixed"})],
    "template-label-promql-rule": [
        lambda board: variable(board, "job").update(query="label_values(cognito_auth_up{, job)"),
        lambda board: variable(board, "job").update(query="label_values(cognito_auth_up, country)"),
        lambda board: variable(board, "job").update(query="cognito_auth_up"),
    ],
    "template-on-time-change-reload-rule": [lambda board: variable(board, "job").update(refresh=1)],
    "uneditable-dashboard": [lambda board: board.update(editable=True), lambda board: board.pop("editable")],
    "dashboard-frame-rule": [lambda board: board.update(uid="another"), lambda board: board.update(timezone="utc")],
    "dashboard-links-rule": [lambda board: board["links"][0].update(keepTime=False), lambda board: board.pop("links")],
    "dashboard-restarts-rule": [lambda board: board["annotations"]["list"].clear()],
    "panel-ids-rule": [lambda board: first(board, "stat").update(id=1), lambda board: first(board, "stat").pop("id")],
    "panel-grid-rule": [
        lambda board: first(board, "stat")["gridPos"].update(w=2),
        lambda board: first(board, "stat")["gridPos"].update(w=4),
        lambda board: first(board, "table")["gridPos"].update(w=25),
    ],
    "panel-datasource-rule": [
        lambda board: first(board, "table").update(datasource={"type": "prometheus", "uid": "P1"})
    ],
    "panel-title-description-rule": [
        lambda board: first(board, "stat").update(title=""),
        lambda board: first(board, "geomap").pop("description"),
    ],
    "panel-units-rule": [
        lambda board: first(board, "stat")["fieldConfig"]["defaults"].update(unit="seconds"),
        lambda board: first(board, "timeseries")["fieldConfig"]["defaults"].pop("unit"),
        lambda board: first(board, "table")["fieldConfig"]["overrides"][-1]["properties"][0].update(value="date"),
    ],
    "panel-no-targets-rule": [lambda board: first(board, "stat").update(targets=[])],
    "panel-no-value-rule": [lambda board: first(board, "stat")["fieldConfig"]["defaults"].pop("noValue")],
    "panel-columns-rule": [
        lambda board: first(board, "table")["transformations"][-1]["options"]["includeByName"].update(country=True),
        lambda board: first(board, "table")["fieldConfig"]["overrides"][0]["matcher"].update(options="No column"),
    ],
    "target-logql-rule": [lambda board: first(board, "stat")["targets"][0].update(datasource={"type": "loki"})],
    "target-logql-auto-rule": [lambda board: first(board, "stat")["targets"][0].update(datasource={"type": "loki"})],
    "target-promql-rule": [ask("sum(cognito_auth_up"), ask("summe(cognito_auth_up)"), ask("")],
    "target-rate-interval-rule": [
        ask(f"rate(cognito_auth_events_total{{{CHOSEN}}}[5m])"),
        ask(f"increase(cognito_auth_events_total{{{CHOSEN}}}[1h])", "stat"),
        ask(f"increase(cognito_auth_events_total{{{CHOSEN}}}[$__range])"),
    ],
    "target-job-rule": [
        ask('cognito_auth_up{instance=~"$instance", user_pool=~"$user_pool"}'),
        ask('user_pool:cognito_auth_recent_events:sum{user_pool=~"$user_pool"}'),
        ask('cognito_auth_up{job="$job", instance=~"$instance", user_pool=~"$user_pool"}'),
    ],
    "target-instance-rule": [ask('cognito_auth_up{job=~"$job", user_pool=~"$user_pool"}')],
    "target-pool-rule": [
        ask('cognito_auth_up{job=~"$job", instance=~"$instance"}'),
        ask('user_pool:cognito_auth_recent_events:sum{job=~"$job"}'),
    ],
    "target-counter-agg-rule": [
        ask(f"sum(cognito_auth_events_total{{{CHOSEN}}})"),
        ask(f"max_over_time(cognito_auth_events_total{{{CHOSEN}}}[$__rate_interval])"),
        ask(f"cognito_auth_exporter_event_lag_seconds_bucket{{{CHOSEN}}}"),
    ],
    "target-series-rule": [
        ask(f"cognito_auth_event_total{{{CHOSEN}}}"),
        ask(f'cognito_auth_up{{{CHOSEN}, country="DE"}}'),
        ask('user_pool:cognito_auth_recent_events:average{job=~"$job", user_pool=~"$user_pool"}'),
        ask('user_pool:cognito_auth_recent_events:sum{job=~"$job", user_pool=~"$user_pool", country="DE"}'),
    ],
    "target-labels-rule": [
        ask(f"sum by (country) (cognito_auth_up{{{CHOSEN}}})"),
        ask(f"cognito_auth_up{{{CHOSEN}}}", legend="{{country}}"),
        ask(f"sum by (job) (cognito_auth_up{{{CHOSEN}}})", legend="{{user_pool}}"),
    ],
    "target-instant-rule": [
        lambda board: first(board, "stat")["targets"][0].update(instant=False, range=True),
        lambda board: first(board, "timeseries")["targets"][0].update(instant=True, range=False),
    ],
}


def test_every_rule_is_broken_once() -> None:
    """There is no rule of which nobody knows whether it can fail."""
    assert set(BREAKS) == lint.RULES


@pytest.mark.parametrize(
    ("rule", "change"), [pytest.param(rule, change, id=rule) for rule, changes in BREAKS.items() for change in changes]
)
def test_rules_can_fail(rule: str, change: Callable[[Board], object]) -> None:
    """Each rule finds what is against it."""
    board = read("overview.json")
    change(board)
    assert rule in {found.rule for found in lint.findings(board)}


# --- types


def type_check(folder: Path, boards: Mapping[str, Board]) -> str:
    """Hold dashboards against Grafana's types, and return what the TypeScript compiler complains of."""
    need("node", "the TypeScript compiler runs on it")
    compiler = need(SCHEMA / "node_modules" / ".bin" / "tsc", "`make test` installs it where npm is")
    for name, board in boards.items():
        # A literal: the compiler looks for properties that are too much in literals alone.
        literal = f'import type {{ Dashboard }} from "{SCHEMA}/types";\nexport const board: Dashboard = {json.dumps(board)};\n'
        (folder / f"{name}.ts").write_text(literal)
    (folder / "tsconfig.json").write_text(json.dumps({"extends": f"{SCHEMA}/tsconfig.json", "include": ["*.ts"]}))
    checked = subprocess.run([compiler, "--project", folder], capture_output=True, text=True, check=False)
    assert checked.stderr == ""
    return checked.stdout


def test_types(tmp_path: Path) -> None:
    """Each dashboard is one of Grafana's schema, and each panel has the options and field configuration of its type."""
    assert type_check(tmp_path, {name.removesuffix(".json"): read(name) for name in NAMES}) == ""


MISTYPED: Mapping[str, Callable[[Board], object]] = {
    "word": lambda board: first(board, "timeseries")["fieldConfig"]["defaults"]["custom"].update(drawStyle="bar"),
    "number": lambda board: first(board, "timeseries")["fieldConfig"]["defaults"]["custom"].update(lineWidth="1"),
    "option": lambda board: first(board, "stat")["options"].update(colourMode="value"),
    "missing": lambda board: first(board, "stat")["options"].pop("graphMode"),
    "type": lambda board: first(board, "stat").update(type="statistic"),
    "other": lambda board: first(board, "stat").update(type="bargauge"),
    "nested": lambda board: first(board, "geomap")["options"]["layers"][0]["location"].update(mode="country"),
    "variable": lambda board: variable(board, "job").update(refresh=3),
    "link": lambda board: board["links"][0].update(type="dashboard"),
    "threshold": lambda board: first(board, "stat")["fieldConfig"]["defaults"]["thresholds"]["steps"][0].pop("color"),
    "dashboard": lambda board: board.update(readonly=True),
}


def test_wrong_types_are_found(tmp_path: Path) -> None:
    """What is of a wrong type, missing or too much is found, wherever it stands."""
    boards = {name: deepcopy(read("overview.json")) for name in MISTYPED}
    for name, change in MISTYPED.items():
        change(boards[name])
    complaints = type_check(tmp_path, boards)
    assert {name for name in MISTYPED if f"{name}.ts(" in complaints} == set(MISTYPED), complaints
