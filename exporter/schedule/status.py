"""What the polling says of itself at one moment: filled by the poller, shown on the status page."""

from collections.abc import Mapping
from dataclasses import dataclass


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


@dataclass(frozen=True, slots=True)
class BudgetStatus:
    """The request budget of one account in one Region, in requests per second.

    `budget` is what the configuration gives, `allowed` what may be spent now, `needed` what `max_staleness` takes.
    `longest_wait` is for how many seconds at most a user waits for a poll with what there is.
    """

    account: str
    budget: float
    allowed: float
    needed: float
    longest_wait: float


@dataclass(frozen=True, slots=True)
class PoolStatus:
    """One user pool.

    `users` counts them by state: `ok`, `waiting`, `not_found`, `failing`. `oldest_poll` and `newest_poll` are the last
    successful polls of the stalest and the freshest user in epoch seconds, `lag_seconds` is from creation to being
    counted for the events counted last; None where there is none yet. `account` names the budget the pool spends,
    `threat_protection` is its mode in the API's words where known.
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


@dataclass(frozen=True, slots=True)
class Status:
    """The whole exporter at `now`; `now` and `started` in epoch seconds, `max_staleness` in seconds.

    `stuck` says why the polling makes no progress though it could, `reload_error` why the last reload changed nothing.
    """

    version: str
    now: float
    started: float
    pools: tuple[PoolStatus, ...]
    budgets: tuple[BudgetStatus, ...]
    max_staleness: float
    ready: bool
    stuck: str | None
    reload_error: str | None
