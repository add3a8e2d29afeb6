"""What the exporter counts of itself; these start anew with the process."""

from collections.abc import Iterator

from exporter.fetch.outcome import Outcome
from exporter.ledger.ledger import PoolState
from exporter.metrics import families
from exporter.metrics.exposition import Section
from exporter.metrics.histogram import Histogram
from exporter.metrics.series import Series
from exporter.schedule.observer import RequestPurpose


class Instruments:
    """The exporter's own counters, gauges and histograms; `schedule.observer.Observer` among other things."""

    def __init__(self) -> None:
        self._requests = Series(families.API_REQUESTS)
        self._durations = Histogram(families.API_DURATION)
        self._spent = Series(families.SPENT_REQUESTS)
        self._polls = Series(families.POLLS)
        self._discoveries = Series(families.DISCOVERIES)
        self._truncated = Series(families.TRUNCATED_POLLS)
        self._lags = Histogram(families.EVENT_LAG)
        self._unknown = Series(families.UNKNOWN_VALUES)
        self._folded = Series(families.FOLDED_SERIES)
        self._unreadable = Series(families.UNREADABLE_EVENTS)
        self._event_log_lines = Series(families.EVENT_LOG_LINES)
        self._event_log_failures = Series(families.EVENT_LOG_FAILURES)
        self._event_log_pending = Series(families.EVENT_LOG_PENDING)
        self._ledger_last_commit = Series(families.LEDGER_LAST_COMMIT)
        self._ledger_failures = Series(families.LEDGER_COMMIT_FAILURES)
        self._reload_successful = Series(families.RELOAD_SUCCESSFUL)
        self._reload_timestamp = Series(families.RELOAD_TIMESTAMP)
        self._build = Series(families.BUILD_INFO)
        self._of_pools = (
            self._requests, self._spent, self._polls, self._discoveries, self._truncated, self._lags, self._folded,
            self._unreadable,
        )  # fmt: skip
        self._of_process = (
            self._event_log_lines, self._event_log_failures, self._event_log_pending, self._reload_successful,
            self._reload_timestamp, self._ledger_failures,
        )  # fmt: skip
        for series in self._of_process:
            series.set((), 0.0)

    def sections(self) -> Iterator[Section]:
        """Yield every family with its series."""
        of_process = (*self._of_process, self._ledger_last_commit, self._build)
        for series in (*self._of_pools, self._durations, self._unknown, *of_process):
            yield series.family, [series]

    def built(self, version: str, revision: str, python: str) -> None:
        """Tell what is running."""
        self._build.set((version, revision, python), 1.0)

    def reloaded(self, at: float | None) -> None:
        """Tell when (epoch seconds) the configuration was read, None where that failed."""
        self._reload_successful.set((), at is not None)
        if at is not None:
            self._reload_timestamp.set((), at)

    def request(self, user_pool: str, operation: str, outcome: Outcome, seconds: float) -> None:
        """Note that an HTTP attempt has ended."""
        self._requests.inc((user_pool, operation, outcome.value))
        self._durations.observe((operation,), [seconds])

    def spent(self, user_pool: str, purpose: RequestPurpose) -> None:
        """Note what a request of the budget is spent on."""
        self._spent.inc((user_pool, purpose.value))

    def poll(self, user_pool: str, outcome: Outcome) -> None:
        """Note that a poll of one user has ended."""
        self._polls.inc((user_pool, outcome.value))

    def discovery(self, user_pool: str, outcome: Outcome) -> None:
        """Note that a pool's selectors were followed."""
        self._discoveries.inc((user_pool, outcome.value))

    def truncated_poll(self, user_pool: str) -> None:
        """Note that a history went deeper than `max_pages`."""
        self._truncated.inc((user_pool,))

    def committed(self, user_pool: str, change: PoolState) -> None:
        """Take in what a commit changed in a pool."""
        self._lags.observe((user_pool,), change.lags)
        self._folded.inc((user_pool,), change.folded)
        self._unreadable.inc((user_pool,), change.unreadable)
        for field, count in change.unknown_values.items():
            self._unknown.inc((field,), count)

    def event_log_lines(self, number: int) -> None:
        """Note that so many lines were written."""
        self._event_log_lines.inc(amount=number)

    def event_log_failed(self) -> None:
        """Note that lines could not be written, or that nobody took them in time."""
        self._event_log_failures.inc()

    def event_log_pending(self, number: int) -> None:
        """Note how many lines are committed and not known to be written."""
        self._event_log_pending.set((), number)

    def ledger_committed(self, at: float) -> None:
        """Note when (epoch seconds) the state took a transaction."""
        self._ledger_last_commit.set((), at)

    def ledger_failed(self) -> None:
        """Note that the state could not be written or read."""
        self._ledger_failures.inc()

    def show_pool(self, user_pool: str) -> None:
        """Show a pool's series from the start."""
        self._lags.observe((user_pool,), ())
        for series in (self._truncated, self._folded, self._unreadable):
            series.inc((user_pool,), 0.0)
        for outcome in Outcome:
            self._polls.inc((user_pool, outcome.value), 0.0)
            self._discoveries.inc((user_pool, outcome.value), 0.0)
        for purpose in RequestPurpose:
            self._spent.inc((user_pool, purpose.value), 0.0)

    def hide_pool(self, user_pool: str) -> None:
        """Take a pool's series away: it has left the configuration."""
        for series in self._of_pools:
            series.remove_pool(user_pool)
