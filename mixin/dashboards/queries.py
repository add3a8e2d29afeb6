"""PromQL in the dashboards' words: whose series, and over which time."""

from exporter.metrics.families import Family, Kind

PER_BAR = "$__rate_interval"
"""The range of a panel over time: as long as what one point stands for, and never too short to hold two scrapes."""

IN_RANGE = "$__range"
"""The range of a single number: all of the time shown."""

_PROCESS = ('job=~"$job"', 'instance=~"$instance"')
_POOL = 'user_pool=~"$user_pool"'


def _selector(name: str, *matchers: str) -> str:
    return f"{name}{{{', '.join(matchers)}}}"


def of(family: Family, *matchers: str) -> str:
    """Return the chosen series of a family that match; of a histogram its buckets."""
    pool = (_POOL,) if "user_pool" in family.labels else ()
    name = f"{family.name}_bucket" if family.kind is Kind.HISTOGRAM else family.name
    return _selector(name, *_PROCESS, *pool, *matchers)


def scraped(name: str, *matchers: str) -> str:
    """Return the chosen series of what Prometheus and its client library say of every process."""
    return _selector(name, *_PROCESS, *matchers)


def recorded(rule: str, *matchers: str) -> str:
    """Return the chosen series of a recording rule, which are sums over instances: they have no such label."""
    level = rule.partition(":")[0]
    pool = (_POOL,) if level.startswith("user_pool") else ()
    return _selector(rule, _PROCESS[0], *pool, *matchers)


def increase(series: str, over: str = PER_BAR) -> str:
    """Return how many were added in a time."""
    return f"increase({series}[{over}])"


def rate(series: str) -> str:
    """Return how many were added a second."""
    return f"rate({series}[{PER_BAR}])"


def total(vector: str, *labels: str) -> str:
    """Return the sum for each value of the labels."""
    return _aggregated("sum", vector, labels)


def most(vector: str, *labels: str) -> str:
    """Return the maximum for each value of the labels."""
    return _aggregated("max", vector, labels)


def least(vector: str, *labels: str) -> str:
    """Return the minimum for each value of the labels."""
    return _aggregated("min", vector, labels)


def _aggregated(operator: str, vector: str, labels: tuple[str, ...]) -> str:
    by = f" by ({', '.join(labels)}) " if labels else ""
    return f"{operator}{by}({vector})"


def count(series: str, *labels: str) -> str:
    """Return a whole number of events in all of the time shown: increase() extrapolates a little."""
    return f"round({total(increase(series, IN_RANGE), *labels)})"


def some(vector: str) -> str:
    """Return what is above zero: lists and legends of zeros tell nothing, and nothing can be a share of zero."""
    return f"{vector} > 0"


def share(part: str, whole: str) -> str:
    """Return a part's share of the whole, nothing where there is no whole."""
    return f"{part} / ({some(whole)})"


def quantile(q: float, family: Family, *labels: str, over: str = PER_BAR) -> str:
    """Return a quantile of a histogram, for each value of the labels."""
    return f"histogram_quantile({q:g}, {total(increase(of(family), over), 'le', *labels)})"


def age(timestamp: str) -> str:
    """Return the seconds since then."""
    return f"time() - {timestamp}"
