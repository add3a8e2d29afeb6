"""The queries of the dashboards: parsed, with the labels that their answers have."""

import re
from collections.abc import Iterator, Mapping
from datetime import timedelta
from functools import cache, singledispatch
from pathlib import Path

import promql_parser as ast
import yaml

from exporter.metrics.families import FAMILIES, Kind

MONITORING = Path(__file__).parents[2] / "monitoring"

TARGET_LABELS = frozenset({"job", "instance"})
"""What Prometheus adds to whatever it scrapes."""

RANGES: Mapping[str, timedelta] = {"$__rate_interval": timedelta(minutes=7), "$__range": timedelta(hours=23)}
"""Grafana's variables for a time, and what stands for them while a query is parsed; the others are within strings."""


def parse(query: str) -> ast.Expr:
    """Parse a query with Grafana's variables in it; ValueError where it is not PromQL."""
    for variable, length in RANGES.items():
        query = query.replace(variable, ast.display_duration(length))
    return ast.parse(query)


def nodes(expr: ast.Expr) -> list[ast.Expr]:
    """Return the nodes of a query, each before what is in it."""
    found: list[ast.Expr] = []
    ast.walk(expr, found.append)
    return found


def selectors(expr: ast.Expr) -> list[ast.VectorSelector]:
    """Return the selectors of a query."""
    return [node for node in nodes(expr) if isinstance(node, ast.VectorSelector)]


def matchers(selector: ast.VectorSelector) -> set[str]:
    """Return the matchers of a selector as they are written."""
    return {str(matcher) for matcher in selector.matchers.matchers}


@cache
def recording_rules() -> set[str]:
    """Return the names of the recording rules under monitoring/."""
    documents = [yaml.safe_load(path.read_text()) for path in sorted(MONITORING.glob("*.rules.yml"))]
    return {
        rule["record"]
        for document in documents
        for group in document["groups"]
        for rule in group["rules"]
        if "record" in rule
    }


_ALERT = frozenset({"alertname", "alertstate", "severity", "user_pool"})
_LABELS_OF_LEVELS = frozenset({label for family in FAMILIES for label in family.labels})


@cache
def _families() -> Mapping[str, frozenset[str]]:
    plain = {family.name: frozenset(family.labels) for family in FAMILIES if family.kind is not Kind.HISTOGRAM}
    histograms = {
        name: frozenset(family.labels) | ({"le"} if name.endswith("_bucket") else frozenset())
        for family in FAMILIES
        for name in family.samples
    }
    return plain | histograms


def known(name: str) -> frozenset[str] | None:
    """Return the labels that the series of a name have, None where nobody makes such series."""
    if name == "ALERTS":
        return _ALERT
    if ":" in name:
        return _recorded(name)
    if re.fullmatch(r"up|scrape_\w+|process_\w+", name):
        return TARGET_LABELS
    own = _families().get(name)
    return None if own is None else own | TARGET_LABELS


def _recorded(name: str) -> frozenset[str] | None:
    """Return the labels of a recording rule: the job, and those that its level is named after."""
    if name not in recording_rules():
        return None
    level = f"_{name.partition(':')[0]}_"
    return frozenset({"job"} | {label for label in _LABELS_OF_LEVELS if f"_{label}_" in level})


@singledispatch
def labels(expr: ast.Expr) -> frozenset[str]:
    """Return the labels that the answer of a query can have."""
    del expr
    return frozenset()


@labels.register
def _(expr: ast.VectorSelector) -> frozenset[str]:
    return known(expr.name or "") or frozenset()


@labels.register
def _(expr: ast.MatrixSelector) -> frozenset[str]:
    return labels(expr.vector_selector)


@labels.register
def _(expr: ast.ParenExpr) -> frozenset[str]:
    return labels(expr.expr)


@labels.register
def _(expr: ast.BinaryExpr) -> frozenset[str]:
    return labels(expr.lhs) | labels(expr.rhs)


@labels.register
def _(expr: ast.Call) -> frozenset[str]:
    inner = frozenset(label for argument in expr.args for label in labels(argument))
    return inner - {"le"} if expr.func.name == "histogram_quantile" else inner


@labels.register
def _(expr: ast.AggregateExpr) -> frozenset[str]:
    inner = labels(expr.expr)
    return inner if str(expr.op) == "topk" else inner & by(expr)


def by(expr: ast.AggregateExpr) -> frozenset[str]:
    """Return the labels that a query sums by."""
    return frozenset(expr.modifier.labels if expr.modifier else ())


def legend_labels(legend: str) -> Iterator[str]:
    """Yield the labels that the name of a series is made of."""
    yield from re.findall(r"\{\{(\w+)\}\}", legend)
