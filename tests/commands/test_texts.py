"""What the commands print: numbers for people, and nothing that a terminal obeys."""

import json
from datetime import UTC, datetime

import pytest

from exporter.commands.budget_check import check_budget
from exporter.commands.gathered import Population
from exporter.commands.numbers import counted, duration_text, number_text
from exporter.commands.outputs import OUTPUTS
from exporter.commands.policy import has_policies, statement
from exporter.commands.report import Report
from exporter.commands.terminal import harmless
from exporter.configuration.models import Polling
from exporter.event.event import AuthEvent, Challenge, Context, Feedback, Risk
from exporter.simulator.world import auth_event

NOON = datetime(2026, 1, 31, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.4, "less than 1 s"),
        (15, "15 s"),
        (89.6, "1 min 30 s"),
        (2400, "40 min"),
        (3600, "1 h"),
        (5400, "1 h 30 min"),
        (3605, "1 h"),
        (86_400 * 2 + 3600, "2 d 1 h"),
        (86_400 * 4000, "4,000 d"),
    ],
)
def test_durations(seconds: float, text: str) -> None:
    """A duration is told in its greatest units, two at most."""
    assert duration_text(seconds) == text


@pytest.mark.parametrize(
    ("number", "text"), [(12_000, "12,000"), (13.3333, "13.3"), (5.0, "5"), (0.0556, "0.056"), (0.5, "0.5")]
)
def test_numbers(number: float, text: str) -> None:
    """Great numbers have separators, small ones two digits that tell."""
    assert number_text(number) == text
    assert (counted(1, "user"), counted(1200, "entry", "entries")) == ("1 user", "1,200 entries")


@pytest.mark.parametrize(
    ("polling", "populations", "lines"),
    [
        (
            {},
            [Population(12_000)],
            ["warning", "12,000 users at 5 requests/s are polled every 40 min; for 15 min you need 13.3 requests/s"],
        ),
        (
            {},
            [Population(50)],
            [
                "good",
                "50 users at 5 requests/s: everybody can be polled every 15 s (min_interval); max_staleness (15 min) is held",
            ],
        ),
        (
            {"requests_per_second": 0.5},
            [Population(1, whole=False), Population(200, rough=True)],
            [
                "note",
                "at least 201 users at 0.5 requests/s: everybody can be polled every 6 min 42 s; max_staleness (15 min) is held",
            ],
        ),
        (
            {},
            [Population(4000, rough=True, pages=67)],
            [
                "good",
                "polled every 13 min 38 s; max_staleness (15 min) is held; discovery takes 0.11 requests/s",
            ],
        ),
        (
            {"requests_per_second": 4.5},
            [Population(4000, pages=67)],
            [
                "warning",
                "4,000 users at 4.5 requests/s are polled every 15 min 12 s; for 15 min you need 4.6 requests/s, 0.11",
            ],
        ),
        (
            {"requests_per_second": 4.6},
            [Population(4000, pages=67)],
            ["good", "is held; discovery takes 0.11 requests/s"],
        ),
        ({"requests_per_second": 13.3}, [Population(12_000)], ["good", "every 15 min; max_staleness (15 min) is held"]),
        (
            {"requests_per_second": 1.7, "discovery_interval": "1m"},
            [Population(1500, pages=25)],
            ["warning", "are polled every 19 min 29 s; for 15 min you need 2.1 requests/s, 0.42 of them for discovery"],
        ),
        ({"requests_per_second": 0.001}, [Population(1)], ["warning", "1 user at 0.001 requests/s is polled every"]),
        ({}, [Population()], ["warning", "nobody is selected"]),
        ({}, [Population(whole=False)], ["skipped", "not known"]),
        (
            {"requests_per_second": 30.0},
            [Population(1)],
            ["note", "30 requests/s are 60% of AWS's default quota of 50"],
        ),
        ({"requests_per_second": 60.0}, [Population(1)], ["warning", "60 requests/s are 120% of AWS's default quota"]),
    ],
)
def test_budget(polling: dict[str, object], populations: list[Population], lines: list[str]) -> None:
    """A plain sentence tells how often the users are polled, and what `max_staleness` takes; none of that is a mistake."""
    said: list[str] = []
    report = Report(said.append)
    check_budget("default/eu-west-1", populations, Polling.model_validate(polling), report)
    mark, text = lines
    assert [line for line in said if line.split()[0] == mark and text in line]
    assert report.mistakes == 0


@pytest.mark.parametrize(
    ("region", "partition"),
    [
        ("eu-west-1", "aws"),
        ("us-gov-west-1", "aws-us-gov"),
        ("cn-north-1", "aws-cn"),
        ("eusc-de-east-1", "aws-eusc"),
        ("us-iso-east-1", "aws-iso"),
        ("xx-nowhere-1", "aws"),
    ],
)
def test_statement(region: str, partition: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The statement to add is JSON for the pool's own ARN, in the partition of its Region, whatever profile is set."""
    monkeypatch.setenv("AWS_PROFILE", "absent")
    made = json.loads(statement(["ListUsers", "DescribeUserPool"], region, "111122223333", f"{region}_Ab1"))
    assert made == {
        "Effect": "Allow",
        "Action": ["cognito-idp:ListUsers", "cognito-idp:DescribeUserPool"],
        "Resource": f"arn:{partition}:cognito-idp:{region}:111122223333:userpool/{region}_Ab1",
    }


@pytest.mark.parametrize(
    ("arn", "role"),
    [
        ("arn:aws-cn:sts::111122223333:assumed-role/reader/night.shift", "arn:aws-cn:iam::111122223333:role/reader"),
        ("arn:aws:iam::111122223333:user/ada", "arn:aws:iam::111122223333:user/ada"),
    ],
)
def test_who_has_policies(arn: str, role: str) -> None:
    """A session has no policies to add to: its role has."""
    assert has_policies(arn) == role


HOSTILE = "a\x1b[2J\x07\r\nb\t\u202ec\u2028d\x9b31m\u00a0e\ud800"


def test_hostile_text_is_harmless() -> None:
    """Nothing that a terminal obeys is left of a text; usual text of any language stays as it is."""
    safe = harmless(HOSTILE)
    assert safe.isprintable()
    assert safe.startswith("a\\x1b[2J\\x07\\r\\nb\\t\\u202ec")
    for usual in ("Chrome 126, Windows 10", "São Paulo", "東京", "C:\\x1b"):
        assert harmless(usual) == usual


def hostile_event() -> AuthEvent:
    """Return an event whose every text is hostile."""
    return auth_event(
        NOON,
        event_id=HOSTILE,
        event_type=HOSTILE,
        response=HOSTILE,
        risk=Risk(HOSTILE, HOSTILE, compromised_credentials=True),
        challenges=(Challenge(HOSTILE, None),),
        context=Context(HOSTILE, HOSTILE * 100, HOSTILE, HOSTILE, HOSTILE),
        feedback=Feedback(HOSTILE, HOSTILE, NOON),
    )


@pytest.mark.parametrize("output", OUTPUTS)
def test_outputs_are_harmless(output: str) -> None:
    """However hostile an event, what is printed has a line for it and nothing that a terminal obeys."""
    text = OUTPUTS[output]([hostile_event()])
    assert all(line.isprintable() for line in text.split("\n"))
    if output == "table":
        assert len(text.split("\n")) == 2


def test_table() -> None:
    """The table has a column for what matters, absent values are `-`, and texts that look like numbers stay as they are."""
    bare = AuthEvent("0012", NOON, None, None, None, (), None, None)
    full = auth_event(
        NOON,
        event_id="1e5",
        risk=Risk("Block", "High", compromised_credentials=True),
        challenges=(Challenge("Password", "Success"), Challenge("Mfa", "Failure")),
        feedback=Feedback("Invalid", "Admin", None),
    )
    head, first, second = OUTPUTS["table"]([bare, full]).split("\n")
    names = "time event response risk decision country city address device challenges feedback id"
    assert head.split() == names.split()
    assert first.split() == ["2026-01-31T12:00:00Z", *["-", "-", "-", "-", "-", "-", "-", "-", "-", "-"], "0012"]
    for cell in ("SignIn", "Pass", "High", "Block, compromised", "United Kingdom", "Loughborough", "192.0.2.99"):
        assert f"  {cell}  " in second
    assert second.endswith("Chrome 126, Windows 10  Password:Success Mfa:Failure  Admin:Invalid  1e5")
    assert (OUTPUTS["table"]([]), OUTPUTS["json"]([])) == ("no events", "[]")
