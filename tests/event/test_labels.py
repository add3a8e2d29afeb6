"""The label rules: the API's own words, new values within bounds, and what is absent."""

from collections import Counter
from datetime import UTC, datetime

import botocore.session
import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter.event.event import AuthEvent, Challenge, Context, Feedback, Risk
from exporter.event.labels import FIELDS, Labels, ValueRules, country_label, label_event

EVENT = AuthEvent(
    event_id="e-1",
    created=datetime(2026, 5, 1, tzinfo=UTC),
    event_type="SignIn",
    response="Pass",
    risk=Risk("AccountTakeover", "Low", compromised_credentials=True),
    challenges=(Challenge("Password", "Success"), Challenge("Mfa", "Failure")),
    context=Context("192.0.2.99", "Chrome 126, Windows 10", "-07:00", "Loughborough", "United Kingdom"),
    feedback=Feedback("Valid", "Admin", None),
)
LABELS = Labels(
    event_type="SignIn",
    response="Pass",
    risk_level="Low",
    risk_decision="AccountTakeover",
    country="United Kingdom",
    compromised=True,
    challenges=(("Password", "Success"), ("Mfa", "Failure")),
    feedback=("Valid", "Admin"),
)
SHAPES = {
    "event_type": "EventType",
    "response": "EventResponseType",
    "risk_level": "RiskLevelType",
    "risk_decision": "RiskDecisionType",
    "challenge": "ChallengeName",
    "challenge_result": "ChallengeResponse",
    "feedback_value": "FeedbackValueType",
}


def in_country(name: str | None) -> AuthEvent:
    """Return an event from a country of that name."""
    return EVENT._replace(context=Context(None, None, None, None, name))


def test_known_values_are_those_of_the_api() -> None:
    """The values known are those of botocore's service model; a newer model's new value is noticed here."""
    model = botocore.session.Session().get_service_model("cognito-idp")
    modelled = {field: tuple(model.shape_for(shape).metadata["enum"]) for field, shape in SHAPES.items()}
    assert {**modelled, "feedback_provider": ("Admin",)} == FIELDS


def test_the_api_s_words_are_the_labels() -> None:
    """An event in the API's own words keeps them, and nothing is reported as new."""
    rules = ValueRules({})
    assert label_event(EVENT, rules) == LABELS
    assert rules.drain() == ([], Counter())


def test_what_is_absent_is_unknown() -> None:
    """An event of which all is absent is `Unknown` everywhere; absent values are not reported."""
    rules = ValueRules({})
    bare = AuthEvent("e-1", EVENT.created, None, None, None, (Challenge(None, None),), None, None)
    unknown = "Unknown"
    assert label_event(bare, rules) == Labels(
        *(unknown,) * 4, "unknown", compromised=False, challenges=((unknown, unknown),), feedback=None
    )
    assert rules.drain() == ([], Counter())


RISKS = [
    (None, ("Unknown", "Unknown", False)),
    (Risk("NoRisk", None, compromised_credentials=False), ("None", "NoRisk", False)),
    (Risk("Block", None, compromised_credentials=True), ("None", "Block", True)),
    (Risk(None, "High", compromised_credentials=False), ("High", "Unknown", False)),
    (Risk(None, None, compromised_credentials=False), ("None", "Unknown", False)),
    (Risk("Challenge", "Critical", compromised_credentials=False), ("Critical", "Challenge", False)),
    (Risk("not sure", "?", compromised_credentials=False), ("Other", "Other", False)),
]


@pytest.mark.parametrize(("risk", "expected"), RISKS)
def test_risk(risk: Risk | None, expected: tuple[str, str, bool]) -> None:
    """A level that is absent is `None`, a risk that is absent is `Unknown`."""
    labels = label_event(EVENT._replace(risk=risk), ValueRules({}))
    assert (labels.risk_level, labels.risk_decision, labels.compromised) == expected


COUNTRIES = [
    *((absent, "unknown") for absent in (None, "", " ", "null", "NULL", "Null ", "unknown", "Unknown", " UNKNOWN\t")),
    ("  South Korea ", "South Korea"),
    ("Nullarbor", "Nullarbor"),
    ("Î" * 100, "Î" * 80),
]


@pytest.mark.parametrize(("name", "expected"), COUNTRIES)
def test_countries_are_kept_by_name(name: str | None, expected: str) -> None:
    """A country is its name, 80 characters at most; absent, empty, `null` and `unknown` in any case are `unknown`."""
    assert label_event(in_country(name), ValueRules({})).country == expected


SHOWN = [
    ("South Korea", "code", "KR"),
    ("South Korea", "name", "South Korea"),
    ("South Korea", "none", ""),
    ("Atlantis", "code", "Atlantis"),
    ("unknown", "code", "unknown"),
    ("unknown", "name", "unknown"),
    ("other", "code", "other"),
]


@pytest.mark.parametrize(("name", "mode", "expected"), SHOWN)
def test_countries_are_shown_by_mode(name: str, mode: str, expected: str) -> None:
    """A country is shown as its code, its name or not at all; a name without a code is shown as it is."""
    assert country_label(name, mode) == expected  # type: ignore[arg-type]


VALUES = [
    (None, "Unknown", 0),
    ("", "Unknown", 0),
    ("SignIn", "SignIn", 0),
    ("signin", "signin", 1),
    ("PasskeySignIn2", "PasskeySignIn2", 1),
    ("x" * 40, "x" * 40, 1),
    ("x" * 41, "Other", 1),
    ("Sign In", "Other", 1),
    ("SignIn\n", "Other", 1),
    ("Señal", "Other", 1),
    ("١٢٣", "Other", 1),  # digits, but not of ASCII
    ("alice@example.com", "Other", 1),
]


@pytest.mark.parametrize(("value", "label", "unknown"), VALUES)
def test_new_values_pass_if_they_look_like_identifiers(value: str | None, label: str, unknown: int) -> None:
    """A value that the API did not have passes if it looks like an identifier, and each that is new to us is reported."""
    rules = ValueRules({})
    assert rules.label("event_type", value) == label
    accepted = [("event_type", label)] if unknown and label != "Other" else []
    assert rules.drain() == (accepted, Counter({"event_type": 1} if unknown else {}))


def test_ten_new_values_pass() -> None:
    """Ten new values of a field pass, then new ones are `Other`; those accepted stay, and other fields have their own."""
    rules = ValueRules({"response": {f"Old{number}" for number in range(4)}})
    assert [rules.label("response", f"New{number}") for number in range(8)] == [
        *(f"New{number}" for number in range(6)),
        *("Other", "Other"),
    ]
    assert rules.label("response", "Old3") == "Old3"
    assert rules.label("response", "New5") == "New5"
    assert rules.label("risk_level", "New9") == "New9"
    accepted, unknown = rules.drain()
    assert accepted == [*(("response", f"New{number}") for number in range(6)), ("risk_level", "New9")]
    assert unknown == {"response": 10, "risk_level": 1}


def test_a_word_the_api_has_since_learnt_takes_no_place() -> None:
    """A value that was new to an older version, and is the API's own word now, leaves its place to another."""
    rules = ValueRules({"response": {"Pass", *(f"Old{number}" for number in range(9))}})
    assert [rules.label("response", value) for value in ("New0", "New1")] == ["New0", "Other"]


def test_a_rejected_transaction_accepts_nothing() -> None:
    """The accepted values of the state are never changed by the rules, so that a rejected transaction leaves no trace."""
    state: dict[str, set[str]] = {"response": {"Old"}}
    rules = ValueRules(state)
    rules.label("response", "New")
    rules.label("challenge", "New")
    assert state == {"response": {"Old"}}


def test_drain_begins_anew() -> None:
    """What has been reported is not reported again, and what was accepted stays so."""
    rules = ValueRules({})
    rules.label("response", "New")
    assert rules.drain() == ([("response", "New")], Counter({"response": 1}))
    assert rules.drain() == ([], Counter())
    assert rules.label("response", "New") == "New"
    assert rules.drain() == ([], Counter({"response": 1}))


@pytest.mark.parametrize("text", ["", "{}", "[]", "null", "7", "[1,2,3,4,5,6,7]", "[1,2,3,4,5,true,[[1]],null]"])
def test_damaged_json_is_a_value_error(text: str) -> None:
    """Labels that cannot be read from the state are a ValueError, not a crash of another kind."""
    with pytest.raises(ValueError):  # noqa: PT011 - json and the unpacking of lists have messages of their own
        Labels.from_json(text)


# -- whatever comes --------------------------------------------------------------------------------------------------------

TEXTS = st.none() | st.sampled_from(["SignIn", "High", "null", "New1", "New2"]) | st.text(max_size=100)
EVENTS = st.builds(
    AuthEvent,
    event_id=st.just("e"),
    created=st.just(EVENT.created),
    event_type=TEXTS,
    response=TEXTS,
    risk=st.none() | st.builds(Risk, TEXTS, TEXTS, st.booleans()),
    challenges=st.lists(st.builds(Challenge, TEXTS, TEXTS), max_size=4).map(tuple),
    context=st.none() | st.builds(Context, TEXTS, TEXTS, TEXTS, TEXTS, TEXTS),
    feedback=st.none() | st.builds(Feedback, TEXTS, TEXTS, st.none()),
)


def words(labels: Labels) -> list[str]:
    """Return all label values but the country."""
    pairs = [*labels.challenges, *([labels.feedback] if labels.feedback else [])]
    fields = [labels.event_type, labels.response, labels.risk_level, labels.risk_decision]
    return [*fields, *(word for pair in pairs for word in pair)]


@given(st.lists(EVENTS, max_size=40))
def test_labels_are_few_and_plain(events: list[AuthEvent]) -> None:
    """Whatever comes, labels are plain identifiers, never more than ten new ones a field, and the country can be encoded."""
    rules = ValueRules({})
    for labels in [label_event(event, rules) for event in events]:
        assert all(word.isascii() and word.isalnum() and len(word) <= 40 for word in words(labels))
        assert 0 < len(labels.country.encode()) <= 320
    accepted, _ = rules.drain()
    assert len(set(accepted)) == len(accepted)
    assert max(Counter(field for field, _ in accepted).values(), default=0) <= 10
    assert all(value not in FIELDS[field] for field, value in accepted)


@given(EVENTS)
def test_json_gives_labels_back(event: AuthEvent) -> None:
    """Labels stored with an open event come back as they were, from one line."""
    labels = label_event(event, ValueRules({}))
    text = labels.to_json()
    assert "\n" not in text
    assert Labels.from_json(text) == labels


def test_new_values_are_noticed_of_each_event() -> None:
    """Labels made once for many events are those of the API's own words: of other values each event counts."""
    rules = ValueRules({})
    usual = [label_event(EVENT._replace(event_id=f"e-{number}"), rules) for number in range(3)]
    unusual = [label_event(EVENT._replace(response="Delayed"), rules) for _ in range(3)]
    assert usual == [label_event(EVENT, ValueRules({}))] * 3
    assert ({each.response for each in unusual}, rules.unknown) == ({"Delayed"}, {"response": 3})
