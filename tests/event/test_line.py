"""Lines of the event log: one JSON object each, whatever the API says, with personal data as it is asked for."""

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from exporter.event.event import AuthEvent, Challenge, Context, Feedback, Risk
from exporter.event.labels import ValueRules, label_event
from exporter.event.line import EventLine, PersonalData
from exporter.event.pseudonym import pseudonym

KEY = b"k" * 32
POOL = "eu-west-1_Test"
AT = datetime(2026, 1, 31, 8, 15, 0, 250_000, UTC)
EVENT = AuthEvent(
    event_id="event-1",
    created=AT,
    event_type="SignIn",
    response="Fail",
    risk=Risk("AccountTakeover", "High", compromised_credentials=True),
    challenges=(Challenge("Password", "Success"), Challenge("Mfa", "Failure")),
    context=Context("192.0.2.99", "Chrome 126, Windows 10", "-07:00", "Köln", "Germany"),
    feedback=Feedback("Invalid", "Admin", AT),
)
NOTHING = AuthEvent("event-2", AT, None, None, None, (), None, None)


def line_of(event: AuthEvent, personal_data: PersonalData = "plain", username: str = "ada") -> dict[str, Any]:
    """Return an event's line, read by a parser of JSON."""
    text = EventLine({POOL: "customers"}, personal_data, KEY).of_event(POOL, username, event, AT.timestamp())
    return dict(json.loads(text))


def remembered(event: AuthEvent, personal_data: PersonalData = "plain") -> dict[str, Any]:
    """Return the line of an event of which only the labels are known."""
    maker, labels = EventLine({}, personal_data, KEY), label_event(event, ValueRules({}))
    text = maker.of_labels(POOL, "ada", event.event_id, event.created.timestamp(), labels, AT.timestamp())
    return dict(json.loads(text))


def test_every_field_is_there() -> None:
    """A line says when it was counted, where, whose, and every field of the API's answer."""
    assert line_of(EVENT) == {
        "time": "2026-01-31T08:15:00.250000Z",
        "user_pool": "customers",
        "user_pool_id": POOL,
        "username": "ada",
        "complete": True,
        "event_id": "event-1",
        "created": "2026-01-31T08:15:00.250000Z",
        "event_type": "SignIn",
        "response": "Fail",
        "risk": {"decision": "AccountTakeover", "level": "High", "compromised_credentials": True},
        "challenges": [{"name": "Password", "response": "Success"}, {"name": "Mfa", "response": "Failure"}],
        "context": {
            "ip_address": "192.0.2.99",
            "device_name": "Chrome 126, Windows 10",
            "timezone": "-07:00",
            "city": "Köln",
            "country": "Germany",
        },
        "feedback": {"value": "Invalid", "provider": "Admin", "date": "2026-01-31T08:15:00.250000Z"},
    }


@pytest.mark.parametrize("mode", ["none", "hashed", "plain"])
@pytest.mark.parametrize("event", [EVENT, NOTHING])
def test_what_is_remembered_has_the_same_keys(event: AuthEvent, mode: PersonalData) -> None:
    """An event of which only labels are left has a line with every key, what the labels tell, and null elsewhere."""
    line, full = remembered(event, mode), line_of(event, mode)
    assert line["complete"] is False
    assert list(line) == list(full)
    for name in ("event_id", "created", "event_type", "response", "challenges"):
        assert line[name] == full[name]
    assert line["context"]["country"] == (full["context"] or {}).get("country")
    assert set(line["context"]) == set(line_of(EVENT, mode)["context"])
    assert line["risk"] == (full["risk"] or {"decision": None, "level": None, "compromised_credentials": False})
    assert (line["feedback"] is None) == (full["feedback"] is None)


def test_none_leaves_personal_data_out() -> None:
    """Without personal data its keys are absent; the country and all of the rest stay."""
    line, plain = line_of(EVENT, "none"), line_of(EVENT)
    assert plain.keys() - line.keys() == {"username"}
    assert line["context"] == {"timezone": "-07:00", "country": "Germany"}
    text = json.dumps(line, ensure_ascii=False)
    assert not [secret for secret in ("ada", "192.0.2.99", "Chrome", "Köln") if secret in text]


def test_hashed_is_what_the_metrics_show() -> None:
    """Hashed, a user name is its pseudonym in the metrics, and so are address, device and city; what is absent stays so."""
    line = line_of(EVENT, "hashed")
    values = [line["username"], *(line["context"][key] for key in ("ip_address", "device_name", "city"))]
    assert values == [pseudonym(KEY, text) for text in ("ada", "192.0.2.99", "Chrome 126, Windows 10", "Köln")]
    assert line_of(EVENT._replace(context=Context(None, None, None, None, None)), "hashed")["context"]["city"] is None


HOSTILE = [
    '"\\\n\r\t\0',
    "\u2028\u2029\x85\x7f",
    "\ud800",
    "\udfff\ud800",
    "x" * 2048,
    "💥" * 512,
    "",
    "null",
    "{}\n{}",
]


@pytest.mark.parametrize("mode", ["none", "hashed", "plain"])
@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_texts_make_one_line(text: str, mode: PersonalData) -> None:
    """Whatever texts an answer holds, a line is one line of strict JSON in UTF-8, and says them but for lone surrogates."""
    event = AuthEvent(
        text, AT, text, text, Risk(text, text, False), (Challenge(text, text),), Context(*[text] * 5), None
    )
    made = EventLine({POOL: text}, mode, KEY).of_event(POOL, text, event, AT.timestamp())
    data = made.encode()
    assert b"\n" not in data
    assert b"\r" not in data
    line = json.loads(data)
    assert line["event_type"] == line["context"]["country"] == text.encode("utf-8", "replace").decode()
