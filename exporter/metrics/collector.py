"""The collector: reads the committed view and the status of the polling, and gives them to the registry as families."""

from collections.abc import Callable, Iterable, Iterator, Mapping

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector
from prometheus_client.samples import Exemplar

from exporter.metrics import families
from exporter.metrics.families import COUNTED, Family
from exporter.metrics.view import PoolView
from exporter.schedule.status import PoolStatus, Status

# The labels of an exemplar may take 128 characters together, names included:
# https://github.com/prometheus/OpenMetrics/blob/v1.0.0/specification/OpenMetrics.md#exemplars
_EXEMPLAR_LABEL = "event_id"
_LONGEST_EXEMPLAR = 128 - len(_EXEMPLAR_LABEL)


class CommittedCollector(Collector):
    """Families of what the ledger has committed and of how the polling does; nothing here waits for either."""

    def __init__(
        self,
        views: Callable[[], Mapping[str, PoolView]],
        status: Callable[[], Status],
        *,
        clock: Callable[[], float],
        with_country: Callable[[], bool],
        with_users: Callable[[], bool],
    ) -> None:
        self._views = views
        self._status = status
        self._clock = clock
        self._with_country = with_country
        self._with_users = with_users

    def collect(self) -> Iterator[Metric]:
        """Yield every family; called once a scrape."""
        views, status = self._views(), self._status()
        yield from self._counters(views)
        yield from self._event_gauges(views)
        yield from self._pool_gauges(status.pools)
        yield from self._polling_gauges(status)

    def _shown_labels(self, family: Family) -> tuple[str, ...]:
        return family.labels if self._with_country() else tuple(label for label in family.labels if label != "country")

    def _counters(self, views: Mapping[str, PoolView]) -> Iterator[Metric]:
        hidden = {families.NEW_COUNTRY_SIGN_INS: self._with_country(), families.USER_EVENTS: self._with_users()}
        for family in COUNTED:
            if hidden.get(family, True) and family.counts is not None:
                metric = CounterMetricFamily(family.name, family.help, labels=self._shown_labels(family))
                for pool, view in views.items():
                    for labels, value, exemplar in view.counters(family.counts):
                        shown = _exemplar(exemplar) if family is families.EVENTS else None
                        metric.add_metric([pool, *labels], value, exemplar=shown)
                yield metric

    def _event_gauges(self, views: Mapping[str, PoolView]) -> Iterator[Metric]:
        recent = {pool: view.recent(self._clock()) for pool, view in views.items()}
        yield self._gauge(families.RECENT_EVENTS, {pool: events for pool, (events, _) in recent.items()})
        yield self._gauge(families.RECENT_USERS, {pool: users for pool, (_, users) in recent.items()})
        yield self._gauge(families.LAST_EVENT, {pool: view.last_events() for pool, view in views.items()})
        in_progress: dict[str, dict[tuple[str, ...], float]] = {
            pool: {(event_type,): count for event_type, count in view.in_progress().items()}
            for pool, view in views.items()
        }
        yield self._gauge(families.IN_PROGRESS, in_progress)
        failing: dict[str, dict[tuple[str, ...], float]] = {
            pool: {(step,): count for step, count in view.failing_users(self._clock()).items()}
            for pool, view in views.items()
        }
        yield self._gauge(families.FAILING_USERS, failing)
        if self._with_users():
            yield self._gauge(families.USER_LAST_EVENT, {pool: view.user_last_events() for pool, view in views.items()})

    def _gauge(self, family: Family, pools: Mapping[str, Mapping[tuple[str, ...], float]]) -> Metric:
        values = (((pool, *labels), value) for pool, series in pools.items() for labels, value in series.items())
        return _gauge(family, values, self._shown_labels(family))

    def _pool_gauges(self, pools: Iterable[PoolStatus]) -> Iterator[Metric]:
        pools = tuple(pools)
        yield _gauge(families.UP, (((pool.name,), pool.up) for pool in pools))
        info = (((pool.name, pool.pool_id, pool.region, pool.threat_protection or ""), 1.0) for pool in pools)
        yield _gauge(families.POOL_INFO, info)
        users = (((pool.name, state), count) for pool in pools for state, count in pool.users.items())
        yield _gauge(families.USERS, users)
        newest = (((pool.name,), pool.newest_poll) for pool in pools if pool.newest_poll is not None)
        yield _gauge(families.NEWEST_POLL, newest)
        oldest = (((pool.name,), pool.oldest_poll) for pool in pools if pool.oldest_poll is not None)
        yield _gauge(families.OLDEST_POLL, oldest)

    def _polling_gauges(self, status: Status) -> Iterator[Metric]:
        yield _gauge(families.BUDGET, (((budget.account,), budget.allowed) for budget in status.budgets))
        yield _gauge(families.NEEDED, (((budget.account,), budget.needed) for budget in status.budgets))


def _gauge(
    family: Family, values: Iterable[tuple[tuple[str, ...], float]], labels: tuple[str, ...] | None = None
) -> Metric:
    metric = GaugeMetricFamily(family.name, family.help, labels=labels or family.labels)
    for label_values, value in values:
        metric.add_metric(label_values, float(value))
    return metric


def _exemplar(event_id: str | None) -> Exemplar | None:
    if event_id is None or len(event_id) > _LONGEST_EXEMPLAR:
        return None
    return Exemplar({_EXEMPLAR_LABEL: event_id}, 1.0)
