"""What the exporter counts of itself; these start anew with the process."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.metrics import MetricWrapperBase

from exporter.fetch.outcome import Outcome
from exporter.ledger.ledger import PoolState
from exporter.metrics import families
from exporter.metrics.families import Family
from exporter.metrics.lags import LagHistogram
from exporter.schedule.observer import RequestPurpose


def _counter(family: Family, registry: CollectorRegistry) -> Counter:
    return Counter(family.name, family.help, family.labels, registry=registry)


def _gauge(family: Family, registry: CollectorRegistry) -> Gauge:
    return Gauge(family.name, family.help, family.labels, registry=registry)


def _histogram(family: Family, registry: CollectorRegistry) -> Histogram:
    return Histogram(family.name, family.help, family.labels, registry=registry, buckets=family.buckets)


class Instruments:
    """The exporter's own counters, gauges and histograms; `schedule.observer.Observer` among other things."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._requests = _counter(families.API_REQUESTS, registry)
        self._durations = _histogram(families.API_DURATION, registry)
        self._spent = _counter(families.SPENT_REQUESTS, registry)
        self._polls = _counter(families.POLLS, registry)
        self._discoveries = _counter(families.DISCOVERIES, registry)
        self._truncated = _counter(families.TRUNCATED_POLLS, registry)
        self._lags = LagHistogram(families.EVENT_LAG)
        registry.register(self._lags)
        self._unknown = _counter(families.UNKNOWN_VALUES, registry)
        self._folded = _counter(families.FOLDED_SERIES, registry)
        self._event_log_lines = _counter(families.EVENT_LOG_LINES, registry)
        self._event_log_failures = _counter(families.EVENT_LOG_FAILURES, registry)
        self._event_log_pending = _gauge(families.EVENT_LOG_PENDING, registry)
        self._reload_successful = _gauge(families.RELOAD_SUCCESSFUL, registry)
        self._reload_timestamp = _gauge(families.RELOAD_TIMESTAMP, registry)
        self._build = _gauge(families.BUILD_INFO, registry)

    def built(self, version: str, revision: str, python: str) -> None:
        """Tell what is running."""
        self._build.labels(version, revision, python).set(1)

    def reloaded(self, at: float | None) -> None:
        """Tell when (epoch seconds) the configuration was read, None where that failed."""
        self._reload_successful.set(at is not None)
        if at is not None:
            self._reload_timestamp.set(at)

    def request(self, user_pool: str, operation: str, outcome: Outcome, seconds: float) -> None:
        """Note that an HTTP attempt has ended."""
        self._requests.labels(user_pool, operation, outcome.value).inc()
        self._durations.labels(operation).observe(seconds)

    def spent(self, user_pool: str, purpose: RequestPurpose) -> None:
        """Note what a request of the budget is spent on."""
        self._spent.labels(user_pool, purpose.value).inc()

    def poll(self, user_pool: str, outcome: Outcome) -> None:
        """Note that a poll of one user has ended."""
        self._polls.labels(user_pool, outcome.value).inc()

    def discovery(self, user_pool: str, outcome: Outcome) -> None:
        """Note that a pool's selectors were followed."""
        self._discoveries.labels(user_pool, outcome.value).inc()

    def truncated_poll(self, user_pool: str) -> None:
        """Note that a history went deeper than `max_pages`."""
        self._truncated.labels(user_pool).inc()

    def committed(self, user_pool: str, change: PoolState) -> None:
        """Take in what a commit changed in a pool."""
        self._lags.observe(user_pool, change.lags)
        self._folded.labels(user_pool).inc(change.folded)
        for field, count in change.unknown_values.items():
            self._unknown.labels(field).inc(count)

    def event_log_lines(self, number: int) -> None:
        """Note that so many lines were written."""
        self._event_log_lines.inc(number)

    def event_log_failed(self) -> None:
        """Note that lines could not be written, or that nobody took them in time."""
        self._event_log_failures.inc()

    def event_log_pending(self, number: int) -> None:
        """Note how many lines are committed and not known to be written."""
        self._event_log_pending.set(number)

    def show_pool(self, user_pool: str) -> None:
        """Show a pool's series from the start."""
        self._lags.show(user_pool)
        for instrument in (self._truncated, self._folded):
            instrument.labels(user_pool)
        for outcome in Outcome:
            self._polls.labels(user_pool, outcome.value)
            self._discoveries.labels(user_pool, outcome.value)
        for purpose in RequestPurpose:
            self._spent.labels(user_pool, purpose.value)

    def hide_pool(self, user_pool: str) -> None:
        """Take a pool's series away: it has left the configuration."""
        self._lags.hide(user_pool)
        instruments: tuple[MetricWrapperBase, ...] = (
            self._requests, self._spent, self._polls, self._discoveries, self._truncated, self._folded,
        )  # fmt: skip
        for instrument in instruments:
            instrument.remove_by_labels({"user_pool": user_pool})
