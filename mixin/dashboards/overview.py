"""Cognito auth / Overview: what happens. Sign-ins, failures, risk, countries, kinds of events, and how late it is known."""

from grafana_foundation_sdk.models.dashboard import Dashboard

from exporter.metrics.families import (
    EVENTS,
    FAILING_USERS,
    HIGH_RISK_SIGN_INS,
    LAST_EVENT,
    POOL_INFO,
    RECENT_USERS,
    UP,
    USERS,
)
from mixin.dashboards.frame import Line, Section, dashboard
from mixin.dashboards.panels import (
    FAIR,
    GOOD,
    RESPONSES,
    RISK_LEVELS,
    USUAL,
    WORST,
    Column,
    Query,
    Says,
    bars,
    curves,
    number,
    ranking,
    rows,
    world,
)
from mixin.dashboards.queries import IN_RANGE, count, increase, least, most, of, recorded, share, some, total
from mixin.dashboards.shared import delay, from_new_countries

_SIGN_IN = 'event_type="SignIn"'
_PASSED = 'response="Pass"'
_FAILED = 'response="Fail"'
_LATE = "Counted when a poll sees them, so later than they happened: see the delay."

_AT_A_GLANCE = Line(
    4,
    [
        number(
            Says("Sign-ins passed", f"Sign-ins with response Pass, counted in the time shown. {_LATE}"),
            count(of(EVENTS, _SIGN_IN, _PASSED)),
            base=GOOD,
        ),
        number(
            Says("Sign-ins failed", f"Sign-ins with response Fail, counted in the time shown. {_LATE}"),
            count(of(EVENTS, _SIGN_IN, _FAILED)),
        ),
        number(
            Says(
                "Share failed",
                "Of all sign-ins counted in the time shown, the share with response Fail.",
                "no sign-ins",
            ),
            share(
                total(increase(of(EVENTS, _SIGN_IN, _FAILED), IN_RANGE)),
                total(increase(of(EVENTS, _SIGN_IN), IN_RANGE)),
            ),
            unit="percentunit",
            base=GOOD,
            steps={0.2: FAIR, 0.5: WORST},
        ),
        number(
            Says(
                "High risk, passed",
                "Sign-ins that passed although threat protection judged them to be of high risk, in the time shown. "
                "Each is worth a look: see Threats.",
            ),
            count(of(HIGH_RISK_SIGN_INS)),
            base=GOOD,
            steps={1: WORST},
        ),
        from_new_countries(),
        number(
            Says("Users failing", "Users whose latest sign-ins have all failed, the last within a day, as of now."),
            total(of(FAILING_USERS)),
            base=GOOD,
            steps={1: FAIR},
        ),
        number(
            Says(
                "User pools",
                "Whether AWS answers for every chosen pool. Down: no such pool, no access, no credentials, no connection, "
                "or threat protection is off. See the table below.",
                "not scraped",
            ),
            least(of(UP)),
            texts={1: ("all up", GOOD), 0: ("down", WORST)},
        ),
        delay(),
    ],
)

_SIGN_INS = Line(
    9,
    [
        bars(
            Says(
                "Sign-ins by response",
                f"How many sign-ins were counted in the time of each bar. {_LATE} InProgress: never ended, and counted so "
                "after counting.settle.",
            ),
            [Query(total(increase(of(EVENTS, _SIGN_IN)), "response"), "{{response}}")],
            RESPONSES,
        ),
        curves(
            Says(
                "Failures against usual",
                "Failed sign-ins created in the recent window, an hour unless metrics.recent_window says otherwise, beside "
                "what usually comes with so many passed sign-ins at this hour. By creation, so the latest minutes fill up as "
                "polls see them. From recording rules: what is usual is known after an hour, and well after some days.",
            ),
            [
                Query(total(recorded("user_pool:cognito_auth_recent_failures:sum")), "now"),
                Query(total(recorded("user_pool:cognito_auth_recent_failures:usual")), USUAL),
            ],
            colours={"now": WORST},
        ),
        curves(
            Says(
                "Events against usual",
                "Events of all types created in the recent window, beside what is usual at this hour. "
                "Far less than usual can mean that users cannot reach the sign-in, or that the exporter cannot see them.",
            ),
            [
                Query(total(recorded("user_pool:cognito_auth_recent_events:sum")), "now"),
                Query(total(recorded("user_pool:cognito_auth_recent_events:usual")), USUAL),
            ],
        ),
    ],
)

_PLACES = Line(
    14,
    [
        world(
            Says(
                "Sign-ins by country",
                "Sign-ins of all responses counted in the time shown, where Cognito placed their addresses. Countries that are "
                "unknown, or folded into other, are not on the map, and none is with metrics.country other than code.",
            ),
            some(count(of(EVENTS, _SIGN_IN), "country")),
        ),
        ranking(
            Says("Top countries", "The ten countries with the most sign-ins of all responses in the time shown."),
            Query(f"topk(10, {some(count(of(EVENTS, _SIGN_IN), 'country'))})", "{{country}}"),
        ),
    ],
    widths=(16, 8),
)

_KINDS = Line(
    9,
    [
        bars(
            Says(
                "Risk levels",
                f"Events of all types by the level that threat protection gave them, in the time of each bar. {_LATE} "
                "None: judged, and of no risk. Unknown: not judged.",
            ),
            [Query(total(increase(of(EVENTS)), "risk_level"), "{{risk_level}}")],
            RISK_LEVELS,
        ),
        bars(
            Says("Types of events", f"Events of each type in the time of each bar. {_LATE}"),
            [Query(total(increase(of(EVENTS)), "event_type"), "{{event_type}}")],
        ),
        curves(
            Says(
                "Users behind recent events",
                "Distinct users behind the events created in the recent window (metrics.recent_window, an hour by default). "
                "A user with events of several responses, levels or countries is one in each.",
            ),
            [Query(total(of(RECENT_USERS), "event_type"), "{{event_type}}")],
        ),
    ],
)

_POOLS = Line(
    6,
    [
        rows(
            Says(
                "User pools",
                "Each chosen pool as it is now: whether AWS answers for it, the mode of its threat protection where known, "
                "how many of its users are selected, and when its newest known event was created.",
            ),
            [
                least(of(UP), "user_pool"),
                most(of(POOL_INFO), "user_pool", "user_pool_id", "pool_region", "threat_protection"),
                total(of(USERS), "user_pool"),
                f"{most(of(LAST_EVENT), 'user_pool')} * 1000",
            ],
            [
                Column("user_pool", "User pool"),
                Column("user_pool_id", "Id"),
                Column("pool_region", "Region"),
                Column("threat_protection", "Threat protection"),
                Column("Value #A", "State", texts={1: ("up", GOOD), 0: ("down", WORST)}),
                Column("Value #C", "Users"),
                Column("Value #D", "Last event", unit="dateTimeFromNow"),
            ],
        )
    ],
)


def build() -> Dashboard:
    """Return the dashboard."""
    return dashboard(
        "Overview",
        "What happens in the user pools: sign-ins, failures, risk, countries and kinds of events.",
        "now-24h",
        [
            Section("At a glance", [_AT_A_GLANCE, _SIGN_INS]),
            Section("Where from", [_PLACES]),
            Section("What", [_KINDS]),
            Section("User pools", [_POOLS]),
        ],
    )
