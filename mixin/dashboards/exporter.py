"""Cognito auth / Exporter: can the numbers be trusted? Delay, staleness, budget, errors, the state on disk, the process."""

from grafana_foundation_sdk.models.dashboard import Dashboard

from exporter.metrics.families import (
    API_DURATION,
    API_REQUESTS,
    BUDGET,
    BUILD_INFO,
    DISCOVERIES,
    EVENT_LAG,
    EVENT_LOG_FAILURES,
    EVENT_LOG_LINES,
    EVENT_LOG_PENDING,
    FOLDED_SERIES,
    IN_PROGRESS,
    LEDGER_COMMIT_FAILURES,
    LEDGER_LAST_COMMIT,
    LONGEST_WAIT,
    NEEDED,
    NEWEST_POLL,
    OLDEST_POLL,
    POLLS,
    RELOAD_SUCCESSFUL,
    RELOAD_TIMESTAMP,
    SPENT_REQUESTS,
    TRUNCATED_POLLS,
    UNKNOWN_VALUES,
    UNREADABLE_EVENTS,
    USERS,
)
from mixin.dashboards.frame import Line, Section, dashboard
from mixin.dashboards.panels import (
    BAD,
    FAIR,
    GOOD,
    LIMIT,
    OUTCOMES,
    USER_STATES,
    WORST,
    Column,
    Query,
    Says,
    bars,
    buckets,
    curves,
    number,
    rows,
    stack,
)
from mixin.dashboards.queries import (
    IN_RANGE,
    age,
    increase,
    least,
    most,
    of,
    quantile,
    rate,
    recorded,
    scraped,
    share,
    some,
    total,
)
from mixin.dashboards.shared import delay

_OLDEST_POLL_AGE = "user_pool:cognito_auth_oldest_poll_age_seconds:max"
_LONGEST_WAIT = "user_pool:cognito_auth_longest_wait_seconds:max"
_FAILED_POLLS = 'outcome!~"ok|user_not_found"'
_QUANTILES = (0.5, 0.9, 0.99)

_AT_A_GLANCE = Line(
    4,
    [
        number(
            Says("Processes", "Whether Prometheus reaches every chosen process of the exporter.", "not scraped"),
            least(scraped("up")),
            texts={1: ("all up", GOOD), 0: ("down", WORST)},
        ),
        delay(),
        number(
            Says(
                "Stalest user",
                "How long the stalest user of any chosen pool has waited, as a share of the longest wait that the budget allows "
                "there. Above 100 % polls come too late.",
                "no users",
            ),
            most(f"{recorded(_OLDEST_POLL_AGE)} / {recorded(_LONGEST_WAIT)}"),
            unit="percentunit",
            base=GOOD,
            steps={1.0: FAIR, 1.5: WORST},
        ),
        number(
            Says(
                "Budget needed",
                "What polling everybody within polling.max_staleness takes, as a share of what may be spent now, in the account "
                "where it is most. Above 100 % nobody is forgotten, but everybody waits longer.",
                "not known",
            ),
            most(recorded("account:cognito_auth_request_budget:ratio")),
            unit="percentunit",
            base=GOOD,
            steps={0.8: FAIR, 1: WORST},
        ),
        number(
            Says(
                "Throttled",
                "Share of the requests of the last 15 minutes that AWS throttled, in the pool where it is most.",
            ),
            most(recorded("user_pool:cognito_auth_api_requests_throttled:ratio_rate15m")),
            unit="percentunit",
            base=GOOD,
            steps={0.01: FAIR, 0.1: WORST},
        ),
        number(
            Says(
                "Polls failed",
                "Of the polls in the time shown, the share whose outcome was neither ok nor user_not_found.",
                "no polls",
            ),
            share(total(increase(of(POLLS, _FAILED_POLLS), IN_RANGE)), total(increase(of(POLLS), IN_RANGE))),
            unit="percentunit",
            base=GOOD,
            steps={0.01: FAIR, 0.1: WORST},
        ),
        number(
            Says(
                "State on disk",
                "Since when the state has taken no transaction; there is one every 15 seconds at least. While it takes none, "
                "nothing new is counted, and nothing is lost either.",
                "not scraped",
            ),
            most(age(of(LEDGER_LAST_COMMIT))),
            unit="s",
            base=GOOD,
            steps={60: FAIR, 300: WORST},
        ),
        number(
            Says(
                "Configuration",
                "Whether the configuration was last read without a mistake. After a mistake the one before is in use.",
                "not scraped",
            ),
            least(of(RELOAD_SUCCESSFUL)),
            texts={1: ("read", GOOD), 0: ("mistaken", WORST)},
        ),
    ],
)

_DELAY = Line(
    9,
    [
        buckets(
            Says(
                "Delay of events",
                "How many events were counted how long after their creation, in the time of each column. After the exporter "
                "was down, what it caught up on stands high.",
                "no events",
            ),
            total(increase(of(EVENT_LAG)), "le"),
        ),
        curves(
            Says(
                "Quantiles of the delay", "The delay within which half, nine of ten and 99 of 100 events were counted."
            ),
            [Query(quantile(q, EVENT_LAG), f"p{q * 100:g}") for q in _QUANTILES],
            unit="s",
        ),
        curves(
            Says(
                "Delay by pool",
                "The delay within which nine of ten events of an hour were counted, by pool, from a recording rule.",
            ),
            [Query(recorded("user_pool:cognito_auth_event_lag_seconds:p90"), "{{user_pool}}")],
            unit="s",
        ),
    ],
)

_USERS = Line(
    9,
    [
        curves(
            Says(
                "Stalest user",
                "Since when AWS has not answered for the stalest user of each pool, and the longest that anybody there should "
                "wait with the budget as it is: the dashed limit.",
            ),
            [
                Query(recorded(_OLDEST_POLL_AGE), "{{user_pool}}"),
                Query(recorded(_LONGEST_WAIT), f"{{{{user_pool}}}}, {LIMIT}"),
            ],
            unit="s",
        ),
        stack(
            Says(
                "Users by state",
                "Selected users. waiting: not polled yet. not_found: AWS does not know them. failing: their latest poll failed.",
            ),
            [Query(total(of(USERS), "state"), "{{state}}")],
            colours=USER_STATES,
        ),
        stack(
            Says(
                "Events in progress",
                "Events seen, and not counted yet, as they may still pass or fail. Each is counted by counting.settle.",
            ),
            [Query(total(of(IN_PROGRESS), "event_type"), "{{event_type}}")],
        ),
    ],
)

_POOLS = Line(
    5,
    [
        rows(
            Says("Polling of each pool", "Each chosen pool as it is now."),
            [
                f"{most(of(NEWEST_POLL), 'user_pool')} * 1000",
                f"{least(of(OLDEST_POLL), 'user_pool')} * 1000",
                most(of(LONGEST_WAIT), "user_pool"),
                total(of(USERS), "user_pool"),
                total(of(USERS, 'state="failing"'), "user_pool"),
            ],
            [
                Column("user_pool", "User pool"),
                Column("Value #A", "Last answer", unit="dateTimeFromNow"),
                Column("Value #B", "Stalest user", unit="dateTimeFromNow"),
                Column("Value #C", "Longest wait", unit="s"),
                Column("Value #D", "Users"),
                Column("Value #E", "Failing"),
            ],
        )
    ],
)

_REQUESTS = Line(
    9,
    [
        stack(
            Says("Polls by outcome", "Polls of one user each, a second."),
            [Query(some(total(rate(of(POLLS)), "outcome")), "{{outcome}}")],
            unit="ops",
            colours=OUTCOMES,
        ),
        stack(
            Says(
                "Requests by operation and outcome", "HTTP attempts at the API of Cognito, a second, retries included."
            ),
            [Query(total(rate(of(API_REQUESTS)), "operation", "outcome"), "{{operation}} {{outcome}}")],
            unit="reqps",
        ),
        stack(
            Says(
                "Requests by purpose",
                "What the requests of the budget were for, a second: new events, a look back for late ones, a user's first walk, "
                "discovery, retry.",
            ),
            [Query(total(rate(of(SPENT_REQUESTS)), "purpose"), "{{purpose}}")],
            unit="reqps",
        ),
    ],
)

_BUDGET = Line(
    9,
    [
        curves(
            Says(
                "Budget",
                "Requests a second that polling everybody within polling.max_staleness takes, by account, and what may be spent "
                "now: the dashed limit. Throttling cuts that at once, and it recovers slowly.",
            ),
            [
                Query(most(of(NEEDED), "account"), "{{account}}"),
                Query(most(of(BUDGET), "account"), f"{{{{account}}}}, {LIMIT}"),
            ],
            unit="reqps",
        ),
        curves(
            Says(
                "Throttled", "Share of the requests of 15 minutes that AWS throttled, by pool, from a recording rule."
            ),
            [Query(recorded("user_pool:cognito_auth_api_requests_throttled:ratio_rate15m"), "{{user_pool}}")],
            unit="percentunit",
        ).axis_soft_max(0.1),
        curves(
            Says("Answer times of AWS", "How long half and 99 of 100 HTTP attempts took at most, by operation."),
            [Query(quantile(q, API_DURATION, "operation"), f"{{{{operation}}}} p{q * 100:g}") for q in (0.5, 0.99)],
            unit="s",
        ),
    ],
)

_INEXACT = Line(
    9,
    [
        bars(
            Says(
                "Numbers to doubt",
                "In the time of each bar: polls that met a history deeper than polling.max_pages, so events may be missing; "
                "events that could not be read whole; events folded into country other by metrics.max_series; values that the "
                "API did not have when this version was written.",
            ),
            [
                Query(total(increase(of(TRUNCATED_POLLS))), "truncated polls"),
                Query(total(increase(of(UNREADABLE_EVENTS))), "unreadable events"),
                Query(total(increase(of(FOLDED_SERIES))), "folded events"),
                Query(total(increase(of(UNKNOWN_VALUES))), "unknown values"),
            ],
            {"truncated polls": WORST, "unreadable events": BAD},
        ),
        bars(
            Says(
                "Discoveries",
                "How often the selectors of a pool were followed, by the outcome of the first that could not be, in the time of "
                "each bar. While they fail, the users known before are polled.",
            ),
            [Query(some(total(increase(of(DISCOVERIES)), "outcome")), "{{outcome}}")],
            OUTCOMES,
        ),
        curves(
            Says(
                "State on disk",
                "Since when the state has taken no transaction, by process: a saw of 15 seconds where all is well.",
            ),
            [Query(most(age(of(LEDGER_LAST_COMMIT)), "instance"), "{{instance}}")],
            unit="s",
        ),
    ],
)

_WRITING = Line(
    8,
    [
        bars(
            Says(
                "Failures to write",
                "Attempts at the state and at the event log that failed, in the time of each bar; each is tried again.",
            ),
            [
                Query(total(increase(of(LEDGER_COMMIT_FAILURES))), "state"),
                Query(total(increase(of(EVENT_LOG_FAILURES))), "event log"),
            ],
            {"state": WORST, "event log": BAD},
        ),
        bars(
            Says("Event log", "Lines written to the event log in the time of each bar; none without event_log.path."),
            [Query(total(increase(of(EVENT_LOG_LINES))), "lines")],
        ),
        curves(
            Says(
                "Event log, waiting",
                "Lines of counted events that are kept until the event log takes them, by process.",
            ),
            [Query(most(of(EVENT_LOG_PENDING), "instance"), "{{instance}}")],
        ),
    ],
)

_PROCESSES = Line(
    5,
    [
        rows(
            Says("Processes", "Each chosen process of the exporter as it is now.", "not scraped"),
            [
                least(scraped("up"), "instance"),
                most(of(BUILD_INFO), "instance", "version", "revision", "pythonversion"),
                f"{most(scraped('process_start_time_seconds'), 'instance')} * 1000",
                f"{most(of(RELOAD_TIMESTAMP), 'instance')} * 1000",
            ],
            [
                Column("instance", "Instance"),
                Column("Value #A", "State", texts={1: ("up", GOOD), 0: ("down", WORST)}),
                Column("version", "Version"),
                Column("revision", "Revision"),
                Column("pythonversion", "Python"),
                Column("Value #C", "Started", unit="dateTimeFromNow"),
                Column("Value #D", "Configuration read", unit="dateTimeFromNow"),
            ],
        )
    ],
)

_RESOURCES = Line(
    8,
    [
        curves(
            Says("Memory", "Resident memory, by process."),
            [Query(scraped("process_resident_memory_bytes"), "{{instance}}")],
            unit="bytes",
        ),
        curves(
            Says("Processor", "Share of one processor's time, by process."),
            [Query(rate(scraped("process_cpu_seconds_total")), "{{instance}}")],
            unit="percentunit",
        ),
        curves(
            Says("Open files", "Share of the file descriptors that the process may open, sockets included."),
            [Query(f"{scraped('process_open_fds')} / {scraped('process_max_fds')}", "{{instance}}")],
            unit="percentunit",
        ),
        curves(
            Says("Scrapes", "How long Prometheus took to scrape the exporter. A scrape never waits for AWS."),
            [Query(scraped("scrape_duration_seconds"), "{{instance}}")],
            unit="s",
        ),
    ],
)


def build() -> Dashboard:
    """Return the dashboard."""
    return dashboard(
        "Exporter",
        "Whether the numbers can be trusted: how late they are, who waits, what AWS answers, what could not be written.",
        "now-6h",
        [
            Section("At a glance", [_AT_A_GLANCE]),
            Section("How late", [_DELAY, _USERS, _POOLS]),
            Section("Requests to AWS", [_REQUESTS, _BUDGET]),
            Section("What may be missing", [_INEXACT, _WRITING]),
            Section("Processes", [_PROCESSES, _RESOURCES]),
        ],
    )
