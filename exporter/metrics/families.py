"""Every metric family, declared once: name, type, labels, help. The code, the documentation and the tests read this table."""

from dataclasses import dataclass, field
from enum import StrEnum

from exporter.ledger import counters

PREFIX = "cognito_auth_"
OWN = "cognito_auth_exporter_"


class Kind(StrEnum):
    """The type of a family, as `# TYPE` names it."""

    COUNTER = "counter"
    GAUGE = "gauge"
    HISTOGRAM = "histogram"


_UNITS = frozenset({"seconds", "bytes"})


def unit_of(name: str) -> str:
    """Return the unit in which a family's name ends, `_total` aside; empty where there is none."""
    last = name.removesuffix("_total").rpartition("_")[2]
    return last if last in _UNITS else ""


@dataclass(frozen=True, slots=True)
class Family:
    """One metric family. `counts` names the ledger's counter behind it; `buckets` are upper bounds in seconds."""

    name: str
    kind: Kind
    help: str
    labels: tuple[str, ...] = ()
    counts: str | None = None
    buckets: tuple[float, ...] = field(default=())

    @property
    def unit(self) -> str:
        """What `# UNIT` says, empty where the name ends in none."""
        return unit_of(self.name)

    @property
    def samples(self) -> tuple[str, ...]:
        """The names of the samples of a histogram; of other families there is one, the family's own."""
        if self.kind is not Kind.HISTOGRAM:
            return ()
        return tuple(f"{self.name}_{part}" for part in ("bucket", "count", "sum"))


_POOL = ("user_pool",)
_SERIES = (*_POOL, *counters.COUNTERS[counters.EVENTS].labels)


def _counter(name: str, ledger_family: str, text: str) -> Family:
    return Family(PREFIX + name, Kind.COUNTER, text, (*_POOL, *counters.COUNTERS[ledger_family].labels), ledger_family)


EVENTS = _counter("events_total", counters.EVENTS, "Auth events, each counted once with its final response.")
RISK_DECISIONS = _counter(
    "risk_decisions_total",
    counters.RISK_DECISIONS,
    "Auth events by threat protection's decision. In AUDIT mode the decision is a verdict, not an action.",
)
COMPROMISED_CREDENTIALS = _counter(
    "compromised_credentials_total",
    counters.COMPROMISED_CREDENTIALS,
    "Auth events in which Cognito found the password among leaked ones.",
)
CHALLENGES = _counter("challenges_total", counters.CHALLENGES, "Challenges answered in counted auth events.")
FEEDBACK = _counter("feedback_total", counters.FEEDBACK, "Feedback given on counted auth events, once an event.")
NEW_COUNTRY_SIGN_INS = _counter(
    "new_country_sign_ins_total",
    counters.NEW_COUNTRY_SIGN_INS,
    "Passed sign-ins of a user from a country new for that user; the first ever known is not new.",
)
HIGH_RISK_SIGN_INS = _counter(
    "high_risk_sign_ins_total",
    counters.HIGH_RISK_SIGN_INS,
    "Passed sign-ins that threat protection judged to be of high risk.",
)
STOPPED_SIGN_INS = _counter(
    "stopped_sign_ins_total",
    counters.STOPPED_SIGN_INS,
    "Sign-ins that did not pass and failed a challenge after the right password: a known password stopped by MFA.",
)
ABANDONED_FLOWS = _counter(
    "abandoned_flows_total",
    counters.ABANDONED_FLOWS,
    "Auth events counted while still in progress, sign-ups apart; after_password: the right password had been given.",
)
USER_EVENTS = _counter("user_events_total", counters.USER_EVENTS, "Auth events of one user, each counted once.")

RECENT_EVENTS = Family(
    PREFIX + "recent_events", Kind.GAUGE, "Auth events created within the recent window, as they stand now.", _SERIES
)
RECENT_USERS = Family(PREFIX + "recent_users", Kind.GAUGE, "Distinct users behind the recent auth events.", _SERIES)
LAST_EVENT = Family(
    PREFIX + "last_event_timestamp_seconds", Kind.GAUGE, "When the newest auth event known was created.", _SERIES
)
USER_LAST_EVENT = Family(
    PREFIX + "user_last_event_timestamp_seconds",
    Kind.GAUGE,
    "When the newest auth event known of one user was created.",
    (*_POOL, "user", "event_type", "response"),
)
IN_PROGRESS = Family(
    PREFIX + "in_progress_events", Kind.GAUGE, "Auth events seen in progress and not settled.", (*_POOL, "event_type")
)
FAILING_USERS = Family(
    PREFIX + "failing_users",
    Kind.GAUGE,
    "Users whose latest sign-ins have all failed, by how many of them in a row; the last within a day.",
    (*_POOL, "failures"),
)
UP = Family(
    PREFIX + "up",
    Kind.GAUGE,
    "1 if the pool's latest answer was events, or that a user does not exist; 0 if not.",
    _POOL,
)
POOL_INFO = Family(
    PREFIX + "user_pool_info",
    Kind.GAUGE,
    "The user pool behind the label user_pool; always 1.",
    (*_POOL, "user_pool_id", "pool_region", "threat_protection"),
)

BUILD_INFO = Family(
    OWN + "build_info", Kind.GAUGE, "What is running; always 1.", ("version", "revision", "pythonversion")
)
RELOAD_SUCCESSFUL = Family(
    OWN + "config_last_reload_successful",
    Kind.GAUGE,
    "1 if the configuration was last read without a mistake, 0 if not.",
)
RELOAD_TIMESTAMP = Family(
    OWN + "config_last_reload_success_timestamp_seconds",
    Kind.GAUGE,
    "When the configuration was last read without a mistake.",
)
API_REQUESTS = Family(
    OWN + "api_requests_total", Kind.COUNTER, "HTTP attempts at the API of Cognito.", (*_POOL, "operation", "outcome")
)
API_DURATION = Family(
    OWN + "api_request_duration_seconds",
    Kind.HISTOGRAM,
    "How long HTTP attempts at the API of Cognito took.",
    ("operation",),
    buckets=(0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0),
)
SPENT_REQUESTS = Family(
    OWN + "api_requests_by_purpose_total",
    Kind.COUNTER,
    "Requests of the budget by what they are for: new events, a look back for late ones, a user's first walk, discovery, retry.",
    (*_POOL, "purpose"),
)
POLLS = Family(OWN + "polls_total", Kind.COUNTER, "Polls of one user each.", (*_POOL, "outcome"))
DISCOVERIES = Family(
    OWN + "discoveries_total",
    Kind.COUNTER,
    "Times that a pool's selectors were followed, by the outcome of the first that could not be, else ok.",
    (*_POOL, "outcome"),
)
TRUNCATED_POLLS = Family(
    OWN + "truncated_polls_total",
    Kind.COUNTER,
    "Polls that met a history deeper than max_pages: events may be missing.",
    _POOL,
)
USERS = Family(OWN + "users", Kind.GAUGE, "Selected users by state.", (*_POOL, "state"))
NEWEST_POLL = Family(
    OWN + "last_successful_poll_timestamp_seconds",
    Kind.GAUGE,
    "When AWS last answered for any user of the pool.",
    _POOL,
)
OLDEST_POLL = Family(
    OWN + "oldest_poll_timestamp_seconds",
    Kind.GAUGE,
    "When AWS last answered for the stalest user of the pool whom it knows; the selection counts for one never polled.",
    _POOL,
)
LONGEST_WAIT = Family(
    OWN + "longest_wait_seconds",
    Kind.GAUGE,
    "Nobody in the pool waits longer for a poll while AWS answers: max_staleness, or 1.25 rounds where the budget is too small.",
    _POOL,
)
EVENT_LAG = Family(
    OWN + "event_lag_seconds",
    Kind.HISTOGRAM,
    "From an auth event's creation to its being counted.",
    _POOL,
    buckets=(5.0, 15.0, 30.0, 60.0, 120.0, 300.0, 600.0, 900.0, 1800.0, 3600.0, 7200.0, 21600.0, 86400.0),
)
BUDGET = Family(OWN + "request_budget_per_second", Kind.GAUGE, "Requests a second that may be spent now.", ("account",))
NEEDED = Family(
    OWN + "requests_needed_per_second",
    Kind.GAUGE,
    "Requests a second that it takes to poll everybody whom AWS knows within max_staleness, discovery included.",
    ("account",),
)
UNKNOWN_VALUES = Family(
    OWN + "unknown_values_total", Kind.COUNTER, "Values that the API did not have when this was written.", ("field",)
)
UNREADABLE_EVENTS = Family(
    OWN + "unreadable_events_total",
    Kind.COUNTER,
    "Events that could not be read whole for six hours: counted with what can be read, or left out without an id or date.",
    _POOL,
)
FOLDED_SERIES = Family(
    OWN + "folded_series_total", Kind.COUNTER, "Auth events counted in a series folded by max_series.", _POOL
)
EVENT_LOG_LINES = Family(OWN + "event_log_lines_total", Kind.COUNTER, "Lines written to the event log.")
EVENT_LOG_FAILURES = Family(
    OWN + "event_log_failures_total",
    Kind.COUNTER,
    "Attempts at the event log that failed, or that nobody took within 10 seconds.",
)
EVENT_LOG_PENDING = Family(
    OWN + "event_log_pending_lines", Kind.GAUGE, "Lines of counted events that are kept until the event log takes them."
)

LEDGER_LAST_COMMIT = Family(
    OWN + "ledger_last_commit_timestamp_seconds",
    Kind.GAUGE,
    "When the state was opened, or last took a transaction, of which there is one every 15 seconds at least.",
)
LEDGER_COMMIT_FAILURES = Family(
    OWN + "ledger_commit_failures_total",
    Kind.COUNTER,
    "Attempts to write or read the state that failed; each is tried again.",
)

COUNTED = (
    EVENTS, RISK_DECISIONS, COMPROMISED_CREDENTIALS, CHALLENGES, FEEDBACK, NEW_COUNTRY_SIGN_INS, HIGH_RISK_SIGN_INS,
    STOPPED_SIGN_INS, ABANDONED_FLOWS, USER_EVENTS,
)  # fmt: skip
"""Families of the ledger's counters."""

COMMITTED = (
    *COUNTED, RECENT_EVENTS, RECENT_USERS, LAST_EVENT, IN_PROGRESS, FAILING_USERS, USER_LAST_EVENT,
)  # fmt: skip
"""Families of what is committed."""

FAMILIES = (
    *COMMITTED, UP, POOL_INFO,
    BUILD_INFO, RELOAD_SUCCESSFUL, RELOAD_TIMESTAMP, API_REQUESTS, API_DURATION, SPENT_REQUESTS, POLLS, DISCOVERIES,
    TRUNCATED_POLLS, USERS,
    NEWEST_POLL, OLDEST_POLL, LONGEST_WAIT, EVENT_LAG, BUDGET, NEEDED, UNKNOWN_VALUES, FOLDED_SERIES, UNREADABLE_EVENTS,
    EVENT_LOG_LINES, EVENT_LOG_FAILURES, EVENT_LOG_PENDING, LEDGER_LAST_COMMIT, LEDGER_COMMIT_FAILURES,
)  # fmt: skip
"""All of them."""
