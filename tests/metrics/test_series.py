"""Series as lines: what they tell is what prometheus_client tells of the same values, and nothing is rendered twice."""

import math
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.openmetrics.exposition import generate_latest as generate_openmetrics
from prometheus_client.registry import Collector
from prometheus_client.samples import Exemplar

from exporter.metrics import rendering
from exporter.metrics.exposition import Exposition
from exporter.metrics.families import API_DURATION, EVENTS, LAST_EVENT, Family, Kind
from exporter.metrics.histogram import Histogram
from exporter.metrics.series import Block, Labels, Series

COUNTED = Family("things_total", Kind.COUNTER, 'Help with "quotes", \\ and\nlines.', ("user_pool", "thing"))
NOTED = Family("thing_seconds", Kind.GAUGE, "When.", ("user_pool", "thing"))
OBSERVED = Family("wait_seconds", Kind.HISTOGRAM, "How long.", ("user_pool",), buckets=(0.5, 1.0, 20000000.0))
NAMES = {"things_total", "thing_seconds", "wait_seconds"}

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=12) | st.sampled_from(
    ['"', "\\", "\n", "\\n", "\r\x85\u2028"]
)
LABELS = st.tuples(TEXT, TEXT)
VALUES = st.floats() | st.integers(-(10**300), 10**300)
EVENT_IDS = st.none() | TEXT | st.integers(115, 125).map(lambda size: "é" * size)
"""Ids about as long as an exemplar may have them, and others."""


class Once(Collector):
    """Metrics to be collected."""

    def __init__(self, *metrics: Metric) -> None:
        self._metrics = metrics

    def collect(self) -> Iterator[Metric]:
        yield from self._metrics


def exposition(*blocks: tuple[Family, Block]) -> Exposition:
    """Return what is served of these."""
    return Exposition(lambda: [(family, [block]) for family, block in blocks])


def as_prometheus_client(*metrics: Metric) -> tuple[bytes, bytes]:
    """Return what prometheus_client serves of metrics, in both formats."""
    registry = CollectorRegistry()
    registry.register(Once(*metrics))
    return generate_latest(registry), generate_openmetrics(registry)


def both(shown: Exposition) -> tuple[bytes, bytes]:
    """Return our families in both formats."""
    return shown.text(NAMES), shown.openmetrics(NAMES)


@given(st.dictionaries(LABELS, st.tuples(VALUES, EVENT_IDS), max_size=8), st.dictionaries(LABELS, VALUES, max_size=8))
def test_equal_to_prometheus_client(
    counted: Mapping[Labels, tuple[float, str | None]], noted: Mapping[Labels, float]
) -> None:
    """Any label values and numbers are told as prometheus_client tells them; an exemplar is there if it is short enough."""
    counter, gauge = Series(COUNTED), Series(NOTED, fixed=("pool",))
    their_counter = CounterMetricFamily(COUNTED.name, COUNTED.help, labels=COUNTED.labels)
    their_gauge = GaugeMetricFamily(NOTED.name, NOTED.help, labels=NOTED.labels, unit="seconds")
    for labels, (value, event_id) in counted.items():
        counter.set(labels, value, event_id)
        short = event_id is not None and len("event_id") + len(event_id) <= 128
        their_counter.add_metric(labels, value, exemplar=Exemplar({"event_id": event_id or ""}, 1.0) if short else None)
    for (_, thing), value in noted.items():
        gauge.set((thing,), value)
    for thing, value in {thing: value for (_, thing), value in noted.items()}.items():
        their_gauge.add_metric(("pool", thing), value)
    assert both(exposition((COUNTED, counter), (NOTED, gauge))) == as_prometheus_client(their_counter, their_gauge)


@given(st.lists(st.lists(st.floats(0, 1e12), max_size=5), max_size=5))
def test_histogram_equal_to_prometheus_client(commits: list[list[float]]) -> None:
    """A histogram that takes in many values at once tells what prometheus_client tells of its buckets."""
    histogram = Histogram(OBSERVED)
    theirs = HistogramMetricFamily(OBSERVED.name, OBSERVED.help, labels=OBSERVED.labels, unit="seconds")
    total = 0.0
    for values in commits:
        histogram.observe(("pool",), values)
        for value in values:
            total += value
    if commits:
        seen = [value for values in commits for value in values]
        bounds = {"0.5": 0.5, "1.0": 1.0, "2e+07": 20000000.0, "+Inf": math.inf}
        buckets = [(name, float(sum(value <= bound for value in seen))) for name, bound in bounds.items()]
        theirs.add_metric(["pool"], buckets, total)
    assert both(exposition((OBSERVED, histogram))) == as_prometheus_client(theirs)


def set_again(series: Series, labels: Labels) -> None:
    """Take a series away and put it back."""
    series.remove(labels)
    series.set(labels, 7.0)


CHANGES: dict[str, Callable[[Series], None]] = {
    "set": lambda series: series.set(("a", "x"), 5.0),
    "new": lambda series: series.set(("c", "x"), 1.0),
    "inc": lambda series: series.inc(("a", "x")),
    "an exemplar": lambda series: series.set(("a", "x"), 1.0, "event-9"),
    "no exemplar": lambda series: series.set(("b", "x"), 2.0),
    "remove": lambda series: series.remove(("a", "x")),
    "remove and set": lambda series: set_again(series, ("a", "x")),
    "remove what is not there": lambda series: series.remove(("z", "x")),
    "remove a pool": lambda series: series.remove_pool("b"),
    "replace": lambda series: series.replace({("b", "x"): 2.0, ("d", "x"): 4.0}),
    "replace by nothing": lambda series: series.replace({}),
}


def filled() -> Series:
    """Return a series with something in it."""
    series = Series(EVENTS, COUNTED.labels)
    series.set(("a", "x"), 1.0)
    series.set(("b", "x"), 2.0, "event-1")
    return series


@pytest.mark.parametrize("change", CHANGES)
def test_a_change_is_shown_as_if_it_had_always_been_so(change: str) -> None:
    """Whatever changes after a scrape is told by the next as by one that never told anything before."""
    scraped, fresh = filled(), filled()
    for openmetrics in (False, True):
        scraped.lines(openmetrics=openmetrics)
    for series in (scraped, fresh):
        CHANGES[change](series)
    for openmetrics in (False, True):
        assert scraped.lines(openmetrics=openmetrics) == fresh.lines(openmetrics=openmetrics)


def test_what_has_not_changed_is_not_rendered_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is set as it stood is served as the same object; after a change only the line that has changed is rendered."""
    rendered: list[float] = []
    number = rendering.number
    monkeypatch.setattr(rendering, "number", lambda value: rendered.append(value) or number(value))  # type: ignore[func-returns-value]
    series = filled()
    before = [series.lines(openmetrics=openmetrics) for openmetrics in (False, True)]
    assert rendered == [1.0, 2.0]
    series.inc(("a", "x"), 0.0)
    series.set(("b", "x"), 2.0, "event-1")
    after = [series.lines(openmetrics=openmetrics) for openmetrics in (False, True)]
    assert all(one is other for one, other in zip(before, after, strict=True))
    series.set(("b", "x"), 3.0, "event-2")
    assert series.lines(openmetrics=True) != before[1]
    assert rendered == [1.0, 2.0, 3.0]


ASKED = {
    "a family": ({"cognito_auth_events_total"}, {"cognito_auth_events_total"}),
    "a family as OpenMetrics names it": ({"cognito_auth_events"}, {"cognito_auth_events_total"}),
    "a histogram": (
        {API_DURATION.name},
        {f"{API_DURATION.name}_bucket", f"{API_DURATION.name}_count", f"{API_DURATION.name}_sum"},
    ),
    "samples of a histogram": ({f"{API_DURATION.name}_sum"}, {f"{API_DURATION.name}_sum"}),
    "two": ({LAST_EVENT.name, f"{API_DURATION.name}_count"}, {LAST_EVENT.name, f"{API_DURATION.name}_count"}),
    "of the process": ({"process_cpu_seconds_total"}, {"process_cpu_seconds_total"}),
    "of the process, as OpenMetrics names it": ({"process_cpu_seconds"}, {"process_cpu_seconds_total"}),
    "unknown": ({"nothing", "", "cognito_auth", "event_id"}, set()),
    "none": (set(), set()),
}


@pytest.mark.parametrize("case", ASKED)
def test_names(case: str) -> None:
    """A family is shown whole by its name in either format, a sample alone by its own; the rest is an empty exposition."""
    names, expected = ASKED[case]
    duration = Histogram(API_DURATION)
    duration.observe(("ListUsers",), [0.3])
    last = Series(LAST_EVENT, COUNTED.labels)
    last.set(("a", "x"), 1.0)
    shown = exposition((EVENTS, filled()), (LAST_EVENT, last), (API_DURATION, duration))
    for text in (shown.text(names).decode(), shown.openmetrics(names).decode()):
        assert {re.split("[ {]", line)[0] for line in text.splitlines() if line[0] != "#"} == expected


def test_units() -> None:
    """OpenMetrics tells the unit of each family whose name ends in one, those of the process too, and of no other."""
    lines = exposition((EVENTS, Series(EVENTS)), (LAST_EVENT, Series(LAST_EVENT))).openmetrics().decode().splitlines()
    units = dict(line.split()[2:] for line in lines if line.startswith("# UNIT "))
    assert (
        units.items()
        >= {
            LAST_EVENT.name: "seconds",
            "process_resident_memory_bytes": "bytes",
            "process_cpu_seconds": "seconds",
        }.items()
    )
    named = {line.split()[2] for line in lines if line.startswith("# TYPE ")}
    assert units.keys() == {name for name in named if name.endswith(("_seconds", "_bytes"))}
    assert not replace(COUNTED, name="budget_per_second").unit
