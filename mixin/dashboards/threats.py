"""Cognito auth / Threats: what is wrong. Alerts, decisions, leaked passwords, new countries, second factors, guessing."""

from grafana_foundation_sdk.models.dashboard import Dashboard

from exporter.metrics.families import (
    ABANDONED_FLOWS,
    CHALLENGES,
    COMPROMISED_CREDENTIALS,
    EVENTS,
    FAILING_USERS,
    FEEDBACK,
    HIGH_RISK_SIGN_INS,
    NEW_COUNTRY_SIGN_INS,
    RISK_DECISIONS,
    STOPPED_SIGN_INS,
)
from mixin.dashboards.frame import Line, Section, dashboard
from mixin.dashboards.panels import (
    BAD,
    DECISIONS,
    FAILURES_IN_A_ROW,
    GOOD,
    RESPONSES,
    USUAL,
    VERDICTS,
    WORST,
    Column,
    Query,
    Says,
    bars,
    curves,
    number,
    rows,
    stack,
    states,
)
from mixin.dashboards.queries import count, increase, of, recorded, some, total
from mixin.dashboards.shared import from_new_countries

_HALFWAY = 'after_password="true"'

_ALERTS = Line(
    10,
    [
        states(
            Says(
                "Alerts firing",
                "The alerts of monitoring/*.rules.yml while they fire, for any job and pool: one about what is missing bears "
                "neither label. Alertmanager names the pool. Each tells later than it happened, by the delay of the polls.",
                "no alert fired",
            ),
            Query(
                'max by (alertname) (ALERTS{alertname=~"CognitoAuth.*", alertstate="firing"})',
                "{{alertname}}",
            ),
            {1: ("firing", WORST)},
        )
    ],
)

_AT_A_GLANCE = Line(
    4,
    [
        number(
            Says("High risk, passed", "Sign-ins that passed although judged to be of high risk, in the time shown."),
            count(of(HIGH_RISK_SIGN_INS)),
            base=GOOD,
            steps={1: WORST},
        ),
        number(
            Says(
                "Leaked passwords, passed",
                "Events with response Pass in which Cognito found the password among leaked ones, in the time shown: "
                "whoever has the list can come in too.",
            ),
            count(of(COMPROMISED_CREDENTIALS, 'response="Pass"')),
            base=GOOD,
            steps={1: WORST},
        ),
        from_new_countries(),
        number(
            Says(
                "Stopped by a second factor",
                "Sign-ins that failed a challenge after the right password, in the time shown: somebody may know the password.",
            ),
            count(of(STOPPED_SIGN_INS)),
            base=GOOD,
            steps={1: BAD},
        ),
        number(
            Says(
                "Abandoned after password",
                "Flows in which the right password was given and then nothing more, in the time shown.",
            ),
            count(of(ABANDONED_FLOWS, _HALFWAY)),
            base=GOOD,
            steps={1: BAD},
        ),
        number(
            Says(
                "Users being guessed",
                "Users with ten or more failed sign-ins in a row, the last within a day, as of now.",
            ),
            total(recorded("user_pool:cognito_auth_guessed_users:sum")),
            base=GOOD,
            steps={1: WORST},
        ),
    ],
)

_RISK = Line(
    9,
    [
        bars(
            Says(
                "Decisions",
                "What threat protection decided on events of all types, in the time of each bar. In audit mode a decision is a "
                "verdict that stopped nobody. Unknown: not judged.",
            ),
            [Query(total(increase(of(RISK_DECISIONS)), "risk_decision"), "{{risk_decision}}")],
            DECISIONS,
        ),
        curves(
            Says(
                "Decisions against usual",
                "Events counted within an hour that threat protection decided to be a takeover or to block, beside what usually "
                "comes with so many passed sign-ins at this hour. From recording rules.",
            ),
            [
                Query(
                    total(
                        recorded(f"user_pool_risk_decision:cognito_auth_risk_decisions:{what}"),
                        "risk_decision",
                    ),
                    legend,
                )
                for what, legend in (("increase1h", "{{risk_decision}}"), ("usual", f"{{{{risk_decision}}}}, {USUAL}"))
            ],
            colours=DECISIONS,
        ),
        bars(
            Says(
                "High risk, passed",
                "Sign-ins that passed although judged to be of high risk, by the decision, in the time of each bar.",
            ),
            [Query(total(increase(of(HIGH_RISK_SIGN_INS)), "risk_decision"), "{{risk_decision}}")],
            DECISIONS,
        ),
    ],
)

_CREDENTIALS = Line(
    9,
    [
        bars(
            Says(
                "Leaked passwords",
                "Events in which Cognito found the password among leaked ones, by their response, in the time of each bar.",
            ),
            [Query(total(increase(of(COMPROMISED_CREDENTIALS)), "response"), "{{response}}")],
            RESPONSES,
        ),
        stack(
            Says(
                "Users failing in a row",
                "Users whose latest sign-ins have all failed, by how many of them in a row; each is left out a day after the "
                "last. Few users at a high step: guessing against them. Many at a low step: one password tried on many.",
            ),
            [Query(total(of(FAILING_USERS), "failures"), "{{failures}}")],
            colours=FAILURES_IN_A_ROW,
        ),
        curves(
            Says(
                "Recoveries against usual",
                "ForgotPassword and ResendCode events created in the recent window, beside what usually comes with so many "
                "passed sign-ins at this hour. A burst can be somebody who tries addresses, or mails at your cost.",
            ),
            [
                Query(total(recorded("user_pool:cognito_auth_recent_recoveries:sum")), "now"),
                Query(total(recorded("user_pool:cognito_auth_recent_recoveries:usual")), USUAL),
            ],
        ),
    ],
)

_SECOND_FACTORS = Line(
    9,
    [
        bars(
            Says(
                "After the right password",
                "Sign-ins that failed a challenge after the right password, and flows that ended in nothing after it, "
                "in the time of each bar.",
            ),
            [
                Query(total(increase(of(STOPPED_SIGN_INS)), "challenge"), "stopped by {{challenge}}"),
                Query(total(increase(of(ABANDONED_FLOWS, _HALFWAY)), "event_type"), "abandoned {{event_type}}"),
            ],
        ),
        curves(
            Says(
                "Share stopped",
                "Of the challenges after the right password that were counted within an hour, the share that stopped a sign-in.",
            ),
            [Query(recorded("user_pool:cognito_auth_stopped_sign_ins:ratio1h"), "{{user_pool}}")],
            unit="percentunit",
        ),
        bars(
            Says("Challenges", "Challenges answered in counted events, by kind and result, in the time of each bar."),
            [Query(total(increase(of(CHALLENGES)), "challenge", "result"), "{{challenge}} {{result}}")],
        ),
    ],
)

_PLACES = Line(
    9,
    [
        bars(
            Says(
                "New countries",
                "Passed sign-ins from a country new for that user, in the time of each bar. A traveller or a VPN looks the same.",
                "none, or metrics.country is none",
            ),
            [Query(some(total(increase(of(NEW_COUNTRY_SIGN_INS)), "country")), "{{country}}")],
        ),
        rows(
            Says(
                "New countries by pool",
                "Passed sign-ins from a country new for that user, in the time shown.",
                "none, or metrics.country is none",
            ),
            [some(count(of(NEW_COUNTRY_SIGN_INS), "user_pool", "country"))],
            [Column("user_pool", "User pool"), Column("country", "Country"), Column("Value", "Sign-ins")],
            sort="Sign-ins",
        ),
    ],
)

_SERIES = ("user_pool", "event_type", "response", "risk_level", "country")

_TO_LOOK_AT = Line(
    11,
    [
        rows(
            Says(
                "Series to look at",
                "The twenty series with the most events that failed or were of high risk, in the time shown. "
                "Who they were is in the event log, or in the Cognito console.",
                "no such event",
            ),
            [
                "topk(20, "
                + " or ".join(
                    some(count(of(EVENTS, which), *_SERIES)) for which in ('risk_level="High"', 'response="Fail"')
                )
                + ")"
            ],
            [
                Column("user_pool", "User pool"),
                Column("event_type", "Type"),
                Column("response", "Response"),
                Column("risk_level", "Risk"),
                Column("country", "Country"),
                Column("Value", "Events"),
            ],
            sort="Events",
        ),
        bars(
            Says(
                "Feedback",
                "Feedback given on counted events, in the time of each bar. Invalid: somebody says that it was not the user.",
                "no feedback given",
            ),
            [Query(total(increase(of(FEEDBACK)), "value"), "{{value}}")],
            VERDICTS,
        ),
    ],
    widths=(16, 8),
)


def build() -> Dashboard:
    """Return the dashboard."""
    return dashboard(
        "Threats",
        "What is wrong in the user pools: alerts, decisions, leaked passwords, guessing, second factors, new countries.",
        "now-24h",
        [
            Section("At a glance", [_AT_A_GLANCE, _ALERTS]),
            Section("Risk", [_RISK]),
            Section("Passwords", [_CREDENTIALS]),
            Section("Second factors", [_SECOND_FACTORS]),
            Section("Places", [_PLACES]),
            Section("What to look at", [_TO_LOOK_AT]),
        ],
    )
