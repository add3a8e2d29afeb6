"""Lines as prometheus_client writes them: its escaping and its numbers are used here, and nowhere written anew."""

from collections.abc import Callable, Iterable, Iterator, Sequence

from prometheus_client import generate_latest as generate_text
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.openmetrics.exposition import generate_latest as generate_openmetrics
from prometheus_client.registry import Collector
from prometheus_client.samples import Exemplar
from prometheus_client.utils import floatToGoString

from exporter.metrics.families import Family, Kind

# The labels of an exemplar may take 128 characters together, names included:
# https://github.com/prometheus/OpenMetrics/blob/v1.0.0/specification/OpenMetrics.md#exemplars
_EXEMPLAR_LABEL = "event_id"
_LONGEST_EXEMPLAR = 128 - len(_EXEMPLAR_LABEL)

END = b"# EOF\n"
"""The last line of OpenMetrics."""

number: Callable[[float], str] = floatToGoString
"""Returns a value as it is written, in the way of Go."""

_ONE_VALUE: dict[Kind, type[CounterMetricFamily | GaugeMetricFamily]] = {
    Kind.COUNTER: CounterMetricFamily,
    Kind.GAUGE: GaugeMetricFamily,
}
_ZERO = "0.0"


class _Metrics(Collector):
    """Some metrics, as a registry would collect them."""

    def __init__(self, metrics: Iterable[Metric]) -> None:
        self._metrics = metrics

    def collect(self) -> Iterable[Metric]:
        return self._metrics


def render(metrics: Iterable[Metric], *, openmetrics: bool) -> bytes:
    """Return metrics in OpenMetrics, but for its end, or in the text format."""
    if openmetrics:
        return bytes(generate_openmetrics(_Metrics(metrics))).removesuffix(END)
    return generate_text(_Metrics(metrics))


def header(family: Family, *, openmetrics: bool) -> bytes:
    """Return a family's lines of metadata, `# UNIT` in OpenMetrics alone."""
    return render([_metric(family, (), ())], openmetrics=openmetrics)


def prefixes(family: Family, names: Sequence[str], series: Iterable[Sequence[str]]) -> Iterator[tuple[str, ...]]:
    """Yield for each label set what its lines are but for their values: one line, or all those of a histogram."""
    lines = _lines(_metric(family, names, series), openmetrics=False)
    size = len(family.buckets) + 3 if family.kind is Kind.HISTOGRAM else 1  # +Inf, the count and the sum
    for start in range(0, len(lines), size):
        yield tuple(line.removesuffix(_ZERO) for line in lines[start : start + size])


def is_exemplar(event_id: str) -> bool:
    """Tell whether an event can be an exemplar, by the length of its id."""
    return len(event_id) <= _LONGEST_EXEMPLAR


def exemplars(event_ids: Iterable[str]) -> Iterator[str]:
    """Yield for each id of an event what stands behind the value of the line that it is an exemplar of."""
    metric = CounterMetricFamily("e", "")
    for event_id in event_ids:
        metric.add_metric((), 0.0, exemplar=Exemplar({_EXEMPLAR_LABEL: event_id}, 1.0))
    for line in _lines(metric, openmetrics=True):
        yield line.removeprefix(f"e_total {_ZERO}")


def _metric(family: Family, names: Sequence[str], series: Iterable[Sequence[str]]) -> Metric:
    """Return a family with these label sets, all values of which are zero."""
    if family.kind is Kind.HISTOGRAM:
        histogram = HistogramMetricFamily(family.name, family.help, labels=names, unit=family.unit)
        buckets = [(number(bound), 0.0) for bound in (*family.buckets, float("inf"))]
        for labels in series:
            histogram.add_metric(labels, buckets, 0.0)
        return histogram
    metric = _ONE_VALUE[family.kind](family.name, family.help, labels=names, unit=family.unit)
    for labels in series:
        metric.add_metric(labels, 0.0)
    return metric


def _lines(metric: Metric, *, openmetrics: bool) -> list[str]:
    """Return the lines of samples. Not by splitlines(): a label value may hold any end of a line but the escaped one."""
    text = render([metric], openmetrics=openmetrics).decode()
    return [line for line in text.split("\n")[:-1] if not line.startswith("# ")]
