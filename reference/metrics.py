"""docs/metrics.md: every family, from the table that the exporter serves them by."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from exporter.event.labels import FIELDS
from exporter.fetch.outcome import Outcome
from exporter.ledger.counters import COUNTERS, RISK_LEVELS
from exporter.metrics import families as f
from exporter.metrics.families import Family
from exporter.metrics.gauges import FAILURE_STEPS
from exporter.schedule.census import UserState
from exporter.schedule.observer import RequestPurpose
from reference.markdown import code, codes, prose, table
from reference.markdown import page as page_of

_INTRO = """
# The metrics

Served at `/metrics` as Prometheus text 0.0.4 or OpenMetrics 1.0.0; `/metrics?name[]=cognito_auth_up` shows a part
([serving.md](serving.md)). Names, types and labels are the public interface: [CHANGELOG.md](../CHANGELOG.md) tells of every
change. The alerts and dashboards of the [monitoring kit](../monitoring/README.md) are made of these; [signals.md](signals.md) says
what the rarer ones are a sign of.

How to read the last column:

- *at 0*: the series is there from the first scrape, for every known value of its labels.
- *held*: the series comes with its first event, stands at 0 for `metrics.series_hold`, and takes its value then, so that
  `increase()` sees the first step. After a restart it is there at once, with its value.
- anything else says when there is something to show.
"""


@dataclass(frozen=True, slots=True)
class _Section:
    """Families that are read together, with what there is to know of all of them."""

    heading: str
    text: str
    families: tuple[Family, ...]


_SECTIONS: Sequence[_Section] = (
    _Section(
        "What users do",
        "Counters of counted events. They are in the state: a restart or a kill takes nothing from them, and no event counts twice. All have the "
        "label `user_pool`.",
        (
            f.EVENTS, f.RISK_DECISIONS, f.COMPROMISED_CREDENTIALS, f.CHALLENGES, f.FEEDBACK, f.NEW_COUNTRY_SIGN_INS,
            f.HIGH_RISK_SIGN_INS, f.STOPPED_SIGN_INS, f.ABANDONED_FLOWS,
        ),
    ),
    _Section(
        "What is going on now",
        "Gauges of what Cognito shows, counted or not, from before `counting.start` too. An event in progress is one of them, and moves from one series "
        "to another when it ends.",
        (f.RECENT_EVENTS, f.RECENT_USERS, f.LAST_EVENT, f.IN_PROGRESS, f.FAILING_USERS),
    ),
    _Section(
        "By user",
        "Only with `metrics.per_user`: `hashed` or `plain` ([privacy.md](privacy.md)).",
        (f.USER_EVENTS, f.USER_LAST_EVENT),
    ),
    _Section("The pools", "Whether AWS answers for a pool.", (f.UP, f.POOL_INFO)),
    _Section(
        "Whether the numbers can be trusted",
        "How the polling does. From here on all counters and histograms begin anew with the process.",
        (
            f.USERS, f.OLDEST_POLL, f.NEWEST_POLL, f.LONGEST_WAIT, f.EVENT_LAG, f.POLLS, f.DISCOVERIES, f.TRUNCATED_POLLS,
            f.UNREADABLE_EVENTS, f.UNKNOWN_VALUES, f.FOLDED_SERIES,
        ),
    ),
    _Section(
        "What is asked of AWS",
        "[scaling.md](scaling.md) says what the budget is enough for.",
        (f.BUDGET, f.NEEDED, f.API_REQUESTS, f.SPENT_REQUESTS, f.API_DURATION),
    ),
    _Section(
        "The exporter itself",
        "State, event log, configuration and version.",
        (
            f.LEDGER_LAST_COMMIT, f.LEDGER_COMMIT_FAILURES, f.EVENT_LOG_LINES, f.EVENT_LOG_FAILURES, f.EVENT_LOG_PENDING,
            f.RELOAD_SUCCESSFUL, f.RELOAD_TIMESTAMP, f.BUILD_INFO,
        ),
    ),
)  # fmt: skip

_APPEARS: Mapping[Family, str] = {
    f.RECENT_EVENTS: "while one of its events is in the recent window",
    f.RECENT_USERS: "while one of its events is in the recent window",
    f.LAST_EVENT: "with its first event; it stays",
    f.IN_PROGRESS: "at 0",
    f.FAILING_USERS: "at 0",
    f.USER_LAST_EVENT: "with the user's first event; it stays",
    f.UP: "from the start; 0 until the first answer",
    f.POOL_INFO: "from the start",
    f.USERS: "from the start, each state",
    f.OLDEST_POLL: "once the users are known, if AWS knows any of them",
    f.NEWEST_POLL: "with the first answer",
    f.LONGEST_WAIT: "from the start",
    f.EVENT_LAG: "at 0",
    f.POLLS: "at 0",
    f.DISCOVERIES: "at 0",
    f.TRUNCATED_POLLS: "at 0",
    f.UNREADABLE_EVENTS: "at 0",
    f.UNKNOWN_VALUES: "with the first such value",
    f.FOLDED_SERIES: "at 0",
    f.BUDGET: "from the start",
    f.NEEDED: "from the start",
    f.API_REQUESTS: "with the first such attempt",
    f.SPENT_REQUESTS: "at 0",
    f.API_DURATION: "with the first such attempt",
    f.LEDGER_LAST_COMMIT: "from the start",
    f.LEDGER_COMMIT_FAILURES: "at 0",
    f.EVENT_LOG_LINES: "at 0",
    f.EVENT_LOG_FAILURES: "at 0",
    f.EVENT_LOG_PENDING: "at 0",
    f.RELOAD_SUCCESSFUL: "from the start",
    f.RELOAD_TIMESTAMP: "from the start",
    f.BUILD_INFO: "from the start",
}
"""When a series of a family is there; of the ledger's counters their own table says it."""

_LABELS: Mapping[str, str] = {
    "user_pool": "the pool's `name` in the configuration, else its id",
    "event_type": codes(FIELDS["event_type"]),
    "response": codes(FIELDS["response"]),
    "risk_level": f"{codes(RISK_LEVELS)}; `None` where threat protection gives no level, as with `NoRisk`; `Unknown` where it gives no risk at all",
    "risk_decision": f"{codes(FIELDS['risk_decision'])}; `Unknown` where threat protection gives no risk at all",
    "country": "by `metrics.country` an ISO 3166-1 alpha-2 code, a name as Cognito writes it (also where a name has no code), or no label; "
    "`unknown` where the API names none, `other` beyond `metrics.max_series`",
    "challenge": f"{codes(FIELDS['challenge'])}; in `{f.STOPPED_SIGN_INS.name}` the last that failed",
    "result": codes(FIELDS["challenge_result"]),
    "value": codes(FIELDS["feedback_value"]),
    "provider": f"who gave the feedback: {codes(FIELDS['feedback_provider'])}, or what the API says",
    "after_password": "`true` where the right password had been given, else `false`",
    "failures": f"steps of sign-ins failed in a row: {codes(reversed(FAILURE_STEPS.values()))}",
    "user": "the name by which the user is polled, or 16 hexadecimal digits in its place; `other` beyond `metrics.max_series`",
    "user_pool_id": "the pool's id",
    "pool_region": "the pool's Region",
    "threat_protection": "`OFF`, `AUDIT`, `ENFORCED`; empty where it is not known, as without leave for `DescribeUserPool`",
    "state": f"{codes(UserState)}: polled well, not polled yet, unknown to AWS, polls fail",
    "outcome": f"{codes(Outcome)}; [status.md](status.md) says what to do about each",
    "operation": "the operation of the API: `AdminListUserAuthEvents`, `ListUsers`, `ListUsersInGroup`, `DescribeUserPool`; of STS `GetCallerIdentity`, "
    "`AssumeRole`, `AssumeRoleWithWebIdentity`",
    "purpose": f"{codes(RequestPurpose)}: new events, a look back for late ones, a user's first walk, listings of users, again what has failed",
    "account": "the budget's name: account and Region, as `111122223333/eu-west-1`, or the credentials' while the account is not known "
    "([accounts.md](accounts.md))",
    "field": codes(FIELDS),
    "version": "the exporter's version",
    "revision": "the commit that the image was built from, empty elsewhere",
    "pythonversion": "Python's version",
}
"""What the values of each label are."""

_REST = """
Words are the API's own. A word that it did not have when this was written is passed on if it looks like an identifier (ASCII
letters and digits, at most 40), up to ten new ones a field, and counted by `cognito_auth_exporter_unknown_values_total`; beyond
that, and for anything else, it is `Other`. A word that is absent is `Unknown`, but for risk levels and countries, as above.

## Histograms

A histogram has `_bucket`, `_sum` and `_count`. Upper bounds of the buckets, in seconds:
"""

_LAST = """
## From prometheus_client

`process_cpu_seconds_total`, `process_resident_memory_bytes`, `process_virtual_memory_bytes`, `process_start_time_seconds`,
`process_open_fds`, `process_max_fds` and `python_info` are those that every Python exporter has. There are no `_created` series.

## Exemplars

On OpenMetrics `cognito_auth_events_total` carries an exemplar `{event_id="…"}`: the id of the newest event counted in the series,
by which the [event log](event-log.md) and AWS find it.
"""


def page() -> str:
    """Return the whole page."""
    histograms = table(
        ("family", "upper bounds"), ((code(each.name), _bounds(each)) for each in f.FAMILIES if each.buckets)
    )
    labels = table(("label", "values"), ((code(name), text) for name, text in _LABELS.items()))
    return page_of(_INTRO, *map(_part, _SECTIONS), "## Labels", labels, _REST, histograms, _LAST)


def _part(section: _Section) -> str:
    rows = (
        (code(each.name), each.kind.value, codes(each.labels), each.help, _appears(each)) for each in section.families
    )
    return f"## {section.heading}\n\n{prose(section.text)}\n\n" + table(
        ("family", "type", "labels", "what it says", "a series is there"), rows
    )


def _appears(family: Family) -> str:
    if family.counts is None:
        return _APPEARS[family]
    return "at 0" if COUNTERS[family.counts].zero_fields else "held"


def _bounds(family: Family) -> str:
    return ", ".join(f"{bound:g}" for bound in family.buckets)
