"""Answers turned into pages: every field of the API, and nothing taken on trust."""

import time
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter.event.event import AuthEvent, Challenge, Context, Feedback, Risk
from exporter.fetch.answer import event_page, pool_description, user_page
from exporter.fetch.outcome import FetchError, Outcome
from exporter.fetch.source import EventPage, ListedUser

NOW = datetime(2026, 5, 1, 12, tzinfo=UTC)
CREATED = NOW - timedelta(minutes=5)
BARE = {"EventId": "e-1", "CreationDate": CREATED}
FULL = {
    "EventId": "768d375c-0000-4000-8000-000000000000",
    "EventType": "SignIn",
    "CreationDate": CREATED.astimezone(timezone(timedelta(hours=-7))),
    "EventResponse": "Pass",
    "EventRisk": {"RiskDecision": "AccountTakeover", "RiskLevel": "Low", "CompromisedCredentialsDetected": True},
    "ChallengeResponses": [
        {"ChallengeName": "Password", "ChallengeResponse": "Success"},
        {"ChallengeName": "Mfa", "ChallengeResponse": "Failure"},
    ],
    "EventContextData": {
        "IpAddress": "192.0.2.99",
        "DeviceName": "Chrome 126, Windows 10",
        "Timezone": "-07:00",
        "City": "null",
        "Country": "Côte d'Ivoire",
    },
    "EventFeedback": {"FeedbackValue": "Valid", "Provider": "Admin", "FeedbackDate": NOW},
}


def page_of(*entries: object) -> EventPage:
    """Return the page of an answer with these entries."""
    return event_page({"AuthEvents": list(entries)}, NOW)


def event_of(**fields: object) -> AuthEvent:
    """Return the event of an entry with these fields."""
    (event,) = page_of({**BARE, **fields}).events
    return event


def test_every_field_is_read() -> None:
    """Each field that the API has comes out typed, its date in UTC."""
    (event,) = page_of(FULL).events
    assert event == AuthEvent(
        event_id="768d375c-0000-4000-8000-000000000000",
        created=CREATED,
        event_type="SignIn",
        response="Pass",
        risk=Risk("AccountTakeover", "Low", compromised_credentials=True),
        challenges=(Challenge("Password", "Success"), Challenge("Mfa", "Failure")),
        context=Context("192.0.2.99", "Chrome 126, Windows 10", "-07:00", "null", "Côte d'Ivoire"),
        feedback=Feedback("Valid", "Admin", NOW),
    )
    assert event.created.tzinfo is UTC


def test_every_field_but_two_may_be_absent() -> None:
    """An event with an id and a date alone is an event."""
    assert event_of() == AuthEvent("e-1", CREATED, None, None, None, (), None, None)


FIELDS: list[tuple[str, object, str, object]] = [
    ("EventType", None, "event_type", None),
    ("EventType", "", "event_type", None),
    ("EventType", "a\0b\ud800c", "event_type", "a\ufffdb\ufffdc"),
    ("EventType", "\U0001f600\n", "event_type", "\U0001f600\n"),
    ("EventResponse", "\ud800" * 3000, "response", "\ufffd" * 512),
    ("EventRisk", None, "risk", None),
    ("EventRisk", {}, "risk", Risk(None, None, compromised_credentials=False)),
    ("EventRisk", {"CompromisedCredentialsDetected": None}, "risk", Risk(None, None, compromised_credentials=False)),
    ("ChallengeResponses", None, "challenges", ()),
    ("ChallengeResponses", [{}], "challenges", (Challenge(None, None),)),
    ("ChallengeResponses", [{"ChallengeName": "Mfa"}] * 5000, "challenges", (Challenge("Mfa", None),) * 100),
    ("EventContextData", None, "context", None),
    ("EventContextData", {"City": "x" * 10**6}, "context", Context(None, None, None, "x" * 512, None)),
    ("EventFeedback", None, "feedback", None),
    ("EventFeedback", {"FeedbackDate": "today"}, "feedback", Feedback(None, None, None)),
]


@pytest.mark.parametrize(("field", "value", "attribute", "expected"), FIELDS)
def test_what_is_absent_is_none_and_texts_are_bounded(
    field: str, value: object, attribute: str, expected: object
) -> None:
    """A member that is absent, null or an empty text is none, and texts are made storable and bounded."""
    assert getattr(event_of(**{field: value}), attribute) == expected


NO_RISK = Risk(None, None, compromised_credentials=False)
WRONG_TYPES: list[tuple[str, object, str, object]] = [
    ("EventType", 7, "event_type", None),
    ("EventType", ["SignIn"], "event_type", None),
    ("EventResponse", {}, "response", None),
    ("EventResponse", False, "response", None),
    ("EventRisk", "High", "risk", None),
    ("EventRisk", [], "risk", None),
    (
        "EventRisk",
        {"RiskLevel": 3, "RiskDecision": "Block"},
        "risk",
        Risk("Block", None, compromised_credentials=False),
    ),
    ("EventRisk", {"CompromisedCredentialsDetected": 1}, "risk", NO_RISK),
    ("EventRisk", {"CompromisedCredentialsDetected": "true"}, "risk", NO_RISK),
    ("ChallengeResponses", "Password", "challenges", ()),
    ("ChallengeResponses", {}, "challenges", ()),
    ("ChallengeResponses", [None, "x", {}], "challenges", (Challenge(None, None),)),
    ("ChallengeResponses", [{"ChallengeName": 1}], "challenges", (Challenge(None, None),)),
    ("EventContextData", [], "context", None),
    ("EventContextData", {"Country": 44, "City": "null"}, "context", Context(None, None, None, "null", None)),
    ("EventFeedback", "Valid", "feedback", None),
    ("EventFeedback", {"Provider": 1, "FeedbackValue": "Valid"}, "feedback", Feedback("Valid", None, None)),
]


@pytest.mark.parametrize(("field", "value", "attribute", "expected"), WRONG_TYPES)
def test_a_member_of_a_wrong_type_damages_its_entry(
    field: str, value: object, attribute: str, expected: object
) -> None:
    """An entry with a member of another type is not believed; what can be read of it is told beside."""
    page = page_of({**BARE, "EventId": "before"}, {**FULL, field: value}, {**BARE, "EventId": "after"})
    assert [event.event_id for event in page.events] == ["before", "after"]
    (entry,) = page.damaged
    assert entry.event is not None
    assert getattr(entry.event, attribute) == expected
    others = set(AuthEvent._fields) - {attribute}
    assert all(getattr(entry.event, name) == getattr(page_of(FULL).events[0], name) for name in others)


def test_the_same_damage_has_the_same_digest() -> None:
    """An entry that is shown damaged again is known again, and another damage of it is another one."""
    (first,) = page_of({**BARE, "EventType": 7}).damaged
    (again,) = page_of({**BARE, "EventType": 7}).damaged
    (other,) = page_of({**BARE, "EventType": 8}).damaged
    assert first == again
    assert first.digest != other.digest
    (nameless,), (dateless,) = (page_of(entry).damaged for entry in ({"CreationDate": CREATED}, {"EventId": "e-1"}))
    assert nameless.digest != dateless.digest


def test_each_damaged_entry_has_a_digest_of_its_own() -> None:
    """Entries of a page that have lost all that tells them apart are several; the order of members makes no other entry."""
    assert len({entry.digest for entry in page_of(None, None, {}, {}).damaged}) == 4
    assert page_of({"EventType": 7, **BARE}).damaged == page_of({**BARE, "EventType": 7}).damaged


def test_a_page_is_bounded() -> None:
    """A page of far more entries than can be asked for is no answer; one of a thousand is."""
    assert len(page_of(*[BARE] * 1000).events) == 1000
    with pytest.raises(FetchError, match="AuthEvents"):
        page_of(*[BARE] * 1001)


class Lost(tzinfo):
    """A zone that cannot say where it is."""

    def utcoffset(self, _: datetime | None) -> timedelta:
        raise ValueError

    def dst(self, _: datetime | None) -> None: ...

    def tzname(self, _: datetime | None) -> None: ...


NO_DATES: list[object] = [
    *(None, True, [], {}, {"year": 2026}, 0, -1, 1e300, -1e300, 10**400, NOW.timestamp() * 1000),
    *(float("nan"), float("inf"), float("-inf")),
    *("", "yesterday", "2026-13-45T00:00:00Z", "1777636800", "99999999999999999999", "2026-05-01T12:00\ud800"),
]

DAMAGED: dict[str, object] = {
    "null": None,
    "text": "event",
    "list": [],
    "structure": {},
    **{f"id {value!r:.20}": {**BARE, "EventId": value} for value in (None, "", 7, "x" * 1025, "a\0", "\ud800", ["e"])},
    **{f"date {value!r:.40}": {**BARE, "CreationDate": value} for value in NO_DATES},
    "before Cognito": {**BARE, "CreationDate": datetime(2013, 12, 31, 23, 59, tzinfo=UTC)},
    "tomorrow": {**BARE, "CreationDate": NOW + timedelta(days=1, seconds=1)},
    "first year": {**BARE, "CreationDate": datetime.min.replace(tzinfo=timezone(timedelta(hours=14)))},
    "last year": {**BARE, "CreationDate": datetime.max.replace(tzinfo=timezone(timedelta(hours=-14)))},
    "lost": {**BARE, "CreationDate": datetime(2026, 5, 1, tzinfo=Lost())},
}


@pytest.mark.parametrize("case", DAMAGED)
def test_an_entry_without_id_or_date_is_damaged(case: str) -> None:
    """An entry without a usable id or date is left out and told, and costs its neighbours nothing."""
    page = page_of({**BARE, "EventId": "before"}, DAMAGED[case], {**BARE, "EventId": "after"})
    assert [event.event_id for event in page.events] == ["before", "after"]
    assert [entry.event for entry in page.damaged] == [None]


DATES: list[tuple[object, datetime]] = [
    (datetime(2014, 1, 1, tzinfo=UTC), datetime(2014, 1, 1, tzinfo=UTC)),
    (NOW + timedelta(days=1), NOW + timedelta(days=1)),
    (CREATED.replace(tzinfo=None), CREATED),
    (CREATED.astimezone(timezone(timedelta(hours=9))), CREATED),
    (1723136049.929, datetime(2024, 8, 8, 16, 54, 9, 929000, UTC)),
    (1388534400, datetime(2014, 1, 1, tzinfo=UTC)),
    ("2026-05-01T11:55:00Z", CREATED),
    ("2026-05-01T13:55:00+02:00", CREATED),
    ("2026-05-01", NOW.replace(hour=0)),
]


@pytest.mark.parametrize(("date", "expected"), DATES)
def test_dates_become_utc(date: object, expected: datetime) -> None:
    """A date from Cognito's launch to a day ahead of our clock, as number or text, is taken; one without a zone is UTC."""
    created = event_of(CreationDate=date).created
    assert (created, created.tzinfo) == (expected, UTC)


def test_a_date_without_a_zone_is_utc_wherever_the_exporter_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    """A date without a zone is not taken for one of the machine's own zone."""
    with monkeypatch.context() as patch:
        patch.setenv("TZ", "Asia/Tokyo")
        time.tzset()
        assert event_of(CreationDate=CREATED.replace(tzinfo=None)).created == CREATED
    time.tzset()


@pytest.mark.parametrize("token", [None, "t", "e-1#2026-05-01T12:00:00Z", "x" * 131_072])
def test_tokens_are_passed_on(token: str | None) -> None:
    """A token is opaque: it is passed on as it is, and null is none; an empty page may carry one."""
    assert event_page({"AuthEvents": [], "NextToken": token}, NOW) == EventPage((), token)


BAD_TOKENS: list[object] = ["", 7, True, [], "x" * 131_073]
MALFORMED: list[object] = [
    *(None, [], "text", 7, {}, {"AuthEvents": None}, {"AuthEvents": {}}, {"AuthEvents": "[]"}, {"Users": []}),
    *({"AuthEvents": [], "NextToken": token} for token in BAD_TOKENS),
]


@pytest.mark.parametrize("answer", MALFORMED)
def test_an_answer_without_a_list_is_malformed(answer: object) -> None:
    """What is no page of events is an outcome, and never an empty history."""
    with pytest.raises(FetchError) as caught:
        event_page(answer, NOW)
    assert caught.value.outcome is Outcome.MALFORMED


def read_events(answer: object) -> object:
    """Read an answer as a page of events."""
    return event_page(answer, NOW)


def read_users(answer: object) -> object:
    """Read an answer as a page of users."""
    return user_page(answer, "NextToken", NOW)


WHAT_IS_WRONG: list[tuple[Callable[[object], object], object, str]] = [
    (read_events, None, "the answer"),
    (read_events, {}, "AuthEvents"),
    (read_events, {"AuthEvents": [], "NextToken": 7}, "NextToken"),
    (read_users, None, "the answer"),
    (read_users, {}, "Users"),
    (read_users, {"Users": [], "NextToken": 7}, "NextToken"),
    (read_users, {"Users": [None]}, "a listed user"),
    (read_users, {"Users": [{}]}, "Username"),
    (pool_description, None, "the answer"),
    (pool_description, {}, "UserPool"),
]


@pytest.mark.parametrize(("read", "answer", "what"), WHAT_IS_WRONG)
def test_what_is_malformed_is_named(read: Callable[[object], object], answer: object, what: str) -> None:
    """An answer that is refused tells which part of it is not what it should be, in the API's own word where it has one."""
    with pytest.raises(FetchError) as caught:
        read(answer)
    assert (str(caught.value), caught.value.outcome) == (f"{what} is not what the API describes", Outcome.MALFORMED)


def test_users_are_read() -> None:
    """A listing gives names as they are, the accounts' creation where it says so, and who may not sign in."""
    answer = {
        "Users": [
            {"Username": "bob", "UserCreateDate": CREATED, "Enabled": False},
            {"Username": "Zoë", "UserCreateDate": "x", "Enabled": True},
            {"Username": "eve"},
        ],
        "PaginationToken": "t",
    }
    page = user_page(answer, "PaginationToken", NOW)
    assert page.users == (ListedUser("bob", CREATED, enabled=False), ListedUser("Zoë", None), ListedUser("eve", None))
    assert page.next_token == "t"


@pytest.mark.parametrize("name", ["x", "x" * 1024, "two\nlines", "\U0001f600"])
def test_names_are_taken_as_they_are(name: str) -> None:
    """Whatever text can be stored, and is no longer than any name of Cognito, names an event or a user."""
    assert event_of(EventId=name).event_id == name
    assert user_page({"Users": [{"Username": name}]}, "NextToken", NOW).users == (ListedUser(name, None),)


BAD_USERS: list[object] = [
    None,
    {},
    {"Username": ""},
    {"Username": 7},
    {"Username": "a\ud800"},
    {"Username": "x" * 1025},
]


@pytest.mark.parametrize("user", BAD_USERS)
def test_a_user_without_a_name_spoils_the_listing(user: object) -> None:
    """A listing with a user that has no usable name is malformed: who is left out would be taken for no longer selected."""
    with pytest.raises(FetchError) as caught:
        user_page({"Users": [{"Username": "bob"}, user]}, "NextToken", NOW)
    assert caught.value.outcome is Outcome.MALFORMED


MODES: list[tuple[object, str | None]] = [
    ({"UserPoolAddOns": {"AdvancedSecurityMode": "ENFORCED"}}, "ENFORCED"),
    ({"UserPoolAddOns": {"AdvancedSecurityMode": 7}}, None),
    ({"UserPoolAddOns": {}}, None),
    ({"UserPoolAddOns": "OFF"}, None),
    ({}, None),
]


@pytest.mark.parametrize(("pool", "mode"), MODES)
def test_the_mode_is_read(pool: object, mode: str | None) -> None:
    """The mode comes in the API's words, and is None where the pool's description has none."""
    assert pool_description({"UserPool": pool}).threat_protection == mode


@pytest.mark.parametrize(("told", "users"), [(7, 7), (0, 0), (-1, None), ("7", None), (True, None), (None, None)])
def test_the_number_of_users_is_read(told: object, users: int | None) -> None:
    """The estimated number of users is a whole number, and None where the pool's description has none."""
    assert pool_description({"UserPool": {"EstimatedNumberOfUsers": told}}).estimated_users == users


# -- whatever comes --------------------------------------------------------------------------------------------------------

KEYS = st.sampled_from(
    [
        *FULL,
        *("RiskDecision", "RiskLevel", "CompromisedCredentialsDetected", "ChallengeName", "ChallengeResponse"),
        *("IpAddress", "City", "Country", "FeedbackValue", "Provider", "FeedbackDate", "AuthEvents", "NextToken"),
        *("Users", "Username", "UserCreateDate", "UserPool", "UserPoolAddOns", "AdvancedSecurityMode"),
    ]
)
LEAVES = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(st.characters(), max_size=20)
    | st.datetimes(timezones=st.none() | st.timezones())
)
JUNK = st.recursive(
    LEAVES,
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(KEYS | st.text(max_size=3), inner, max_size=8),
    max_leaves=30,
)
READERS = [read_events, read_users, pool_description]


@pytest.mark.parametrize("read", READERS)
@given(answer=JUNK | st.dictionaries(KEYS, JUNK, min_size=1))
def test_nothing_but_fetch_error_comes_of_junk(read: Any, answer: object) -> None:
    """Whatever an answer holds, it is a page or a FetchError."""
    with suppress(FetchError):
        read(answer)


@given(st.lists(JUNK, max_size=10), st.integers(0, 10))
def test_good_events_survive_among_junk(junk: list[Any], place: int) -> None:
    """A good event among junk is read, everything in it can be stored, and all entries are accounted for."""
    entries = [*junk[:place], FULL, *junk[place:]]
    page = page_of(*entries)
    assert FULL["EventId"] in [event.event_id for event in page.events]
    assert len(page.events) + len(page.damaged) == len(entries)
    repr(page).encode()
