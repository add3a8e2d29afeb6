"""What the polling says of itself at one moment: filled by the poller, shown on the status page."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

from exporter.schedule.advice import advice_on

DIMENSIONS = ("event_type", "response", "risk_level", "country")
"""By what recent events are counted, in the order of the labels of `cognito_auth_recent_events`."""

Recent = Mapping[str, Mapping[str, int]]
"""Numbers of events by dimension and value."""


def by_dimension(events: Mapping[tuple[str, ...], int], *, with_country: bool) -> Recent:
    """Return numbers of events by label set as numbers by the values of each label."""
    dimensions = DIMENSIONS if with_country else DIMENSIONS[:-1]
    counts: Mapping[str, Counter[str]] = {dimension: Counter() for dimension in dimensions}
    for labels, number in events.items():
        for dimension, value in zip(dimensions, labels, strict=True):
            counts[dimension][value] += number
    return counts


@dataclass(frozen=True, slots=True)
class ErrorStatus:
    """A request or poll that failed, without any user's name or address.

    `at` is in epoch seconds; `outcome` is one of the closed set of the metrics. `path` is that of the key in the configuration
    that it is about, empty where it is about none.
    """

    at: float
    operation: str
    outcome: str
    message: str
    path: str = ""

    @property
    def advice(self) -> str:
        """What to do about it."""
        return advice_on(self.outcome)


@dataclass(frozen=True, slots=True)
class BudgetStatus:
    """The request budget of one account in one Region, in requests per second.

    `budget` is what the configuration gives, `allowed` what may be spent now, `needed` what `max_staleness` takes.
    `longest_wait` is for how many seconds at most a user waits for a poll with what there is. `spent` is the rate of the last
    minute, None in the first seconds.
    """

    account: str
    budget: float
    allowed: float
    needed: float
    longest_wait: float
    spent: float | None = None

    @property
    def left(self) -> float | None:
        """What is left of what may be spent now, None until it is known what is spent."""
        return None if self.spent is None else max(0.0, self.allowed - self.spent)


@dataclass(frozen=True, slots=True)
class PoolStatus:
    """One user pool.

    `users` counts them by state: `ok`, `waiting`, `not_found`, `failing`. `oldest_poll` and `newest_poll` are the last
    successful polls of the stalest and the freshest user in epoch seconds, `lag_seconds` is from creation to being
    counted for the events counted last; None where there is none yet. `account` names the budget the pool spends,
    `threat_protection` is its mode in the API's words where known. `recent` are the numbers of events of the recent window by
    value of each dimension, None until a poll has told, or where they were not asked for. The selectors that match nobody, and
    those that the last discovery could not follow, are paths in the configuration.
    """

    name: str
    pool_id: str
    region: str
    account: str
    up: bool
    users: Mapping[str, int]
    oldest_poll: float | None
    newest_poll: float | None
    lag_seconds: float | None
    in_progress: int
    errors: tuple[ErrorStatus, ...]
    threat_protection: str | None = None
    recent: Recent | None = None
    unmatched_selectors: tuple[str, ...] = ()
    unfollowed_selectors: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Status:
    """The whole exporter at `now`; `now` and `started` in epoch seconds, `max_staleness` and `recent_window` in seconds.

    `stuck` says why the polling makes no progress though it could, `reload_error` why the last reload changed nothing.
    `state_error` says why the state cannot be written or read.
    """

    version: str
    now: float
    started: float
    pools: tuple[PoolStatus, ...]
    budgets: tuple[BudgetStatus, ...]
    max_staleness: float
    recent_window: float
    ready: bool
    stuck: str | None
    reload_error: str | None
    state_error: str | None = None
