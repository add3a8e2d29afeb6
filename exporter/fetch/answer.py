"""Turns the answers of the API, as their JSON has them, into pages: nothing in an answer is taken on trust."""

import re
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import TypeGuard

from exporter.event.event import AuthEvent, Challenge, Context, Feedback, Risk
from exporter.fetch.outcome import FetchError, Outcome
from exporter.fetch.source import EventPage, ListedUser, PoolDescription, UserPage

_COGNITO_LAUNCHED = datetime(2014, 1, 1, tzinfo=UTC)
_CLOCK_ERROR = timedelta(days=1)
_LONGEST_NAME = 1024  # an EventId is a UUID, a user name has at most 128 characters (botocore's model)
_LONGEST_TOKEN = 131_072  # the model's bound of a NextToken
_LONGEST_TEXT = 2048
_MOST_CHALLENGES = 100
_DATES = (float, int, str, datetime)
_UNSTORABLE = re.compile("[\0\ud800-\udfff]")  # SQLite's JSON ends at NUL, and UTF-8 has no lone surrogates
_REPLACEMENT = "\ufffd"


def event_page(answer: object, now: datetime) -> EventPage:
    """Return the page that an answer of `AdminListUserAuthEvents` holds; `now` bounds what is taken for a date.

    Raises `FetchError` (malformed) where the answer has no list of events or a token that is none: such an answer must
    not pass for the end of a history.
    """
    page = _structure(answer, "the answer")
    entries, latest = _list(page, "AuthEvents"), now + _CLOCK_ERROR
    events = tuple([event for entry in entries if (event := _event(entry, latest)) is not None])
    return EventPage(events, _token(page, "NextToken"), damaged=len(entries) - len(events))


def user_page(answer: object, token_key: str, now: datetime) -> UserPage:
    """Return the page that an answer of a listing of users holds; its token is under `token_key`.

    Raises `FetchError` (malformed) also where a single user has no usable name: whoever is left out of a listing would
    be taken for no longer selected.
    """
    page, latest = _structure(answer, "the answer"), now + _CLOCK_ERROR
    users = tuple(_user(entry, latest) for entry in _list(page, "Users"))
    return UserPage(users, _token(page, token_key))


def pool_description(answer: object) -> PoolDescription:
    """Return what an answer of `DescribeUserPool` says: `AdvancedSecurityMode` and `EstimatedNumberOfUsers`.

    Raises `FetchError` (malformed) where the answer describes no pool.
    """
    pool = _structure(_structure(answer, "the answer").get("UserPool"), "UserPool")
    return PoolDescription(
        threat_protection=_text(_optional(pool, "UserPoolAddOns").get("AdvancedSecurityMode")),
        estimated_users=_count(pool.get("EstimatedNumberOfUsers")),
    )


def _malformed(what: str) -> FetchError:
    return FetchError(Outcome.MALFORMED, f"{what} is not what the API describes")


def _structure(value: object, what: str) -> dict[object, object]:
    if not isinstance(value, dict):
        raise _malformed(what)
    return value


def _list(page: dict[object, object], key: str) -> Sequence[object]:
    value = page.get(key)
    if not isinstance(value, list):
        raise _malformed(key)
    return value


def _token(page: dict[object, object], key: str) -> str | None:
    token = page.get(key)
    if token is None or (isinstance(token, str) and 0 < len(token) <= _LONGEST_TOKEN):
        return token
    raise _malformed(key)


def _event(entry: object, latest: datetime) -> AuthEvent | None:
    """Return the event, None where it has no usable id or date."""
    if not isinstance(entry, dict):
        return None
    get = entry.get
    event_id, created = get("EventId"), _date(get("CreationDate"), latest)
    if not _is_name(event_id) or created is None:
        return None
    return AuthEvent(
        event_id, created, _text(get("EventType")), _text(get("EventResponse")),
        _risk(get("EventRisk")), _challenges(get("ChallengeResponses")),
        _context(get("EventContextData")), _feedback(get("EventFeedback"), latest),
    )  # fmt: skip


def _risk(value: object) -> Risk | None:
    if not isinstance(value, dict):
        return None
    get = value.get
    return Risk(_text(get("RiskDecision")), _text(get("RiskLevel")), get("CompromisedCredentialsDetected") is True)


def _challenges(value: object) -> tuple[Challenge, ...]:
    if not isinstance(value, list):
        return ()
    steps = [
        Challenge(_text(step.get("ChallengeName")), _text(step.get("ChallengeResponse")))
        for step in value[:_MOST_CHALLENGES]
        if isinstance(step, dict)
    ]
    return tuple(steps)


def _context(value: object) -> Context | None:
    if not isinstance(value, dict):
        return None
    get = value.get
    return Context(
        _text(get("IpAddress")),
        _text(get("DeviceName")),
        _text(get("Timezone")),
        _text(get("City")),
        _text(get("Country")),
    )


def _feedback(value: object, latest: datetime) -> Feedback | None:
    if not isinstance(value, dict):
        return None
    return Feedback(
        _text(value.get("FeedbackValue")), _text(value.get("Provider")), _date(value.get("FeedbackDate"), latest)
    )


def _user(entry: object, latest: datetime) -> ListedUser:
    user = _structure(entry, "a listed user")
    username = user.get("Username")
    if not _is_name(username):
        raise _malformed("Username")
    return ListedUser(username, _date(user.get("UserCreateDate"), latest), user.get("Enabled") is not False)


def _optional(page: dict[object, object], key: str) -> dict[object, object]:
    value = page.get(key)
    return value if isinstance(value, dict) else {}


def _count(value: object) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else None


def _is_name(value: object) -> TypeGuard[str]:
    """Tell whether a value names something. Names are stored and sent as they are: nothing in them is replaced."""
    return (
        isinstance(value, str)
        and 0 < len(value) <= _LONGEST_NAME
        and (value.isprintable() or not _UNSTORABLE.search(value))
    )


def _text(value: object) -> str | None:
    """Return a text that can be stored and shown, None where the value is no text or an empty one."""
    if not value or not isinstance(value, str):
        return None
    # the usual case, quickly: what is unstorable is unprintable
    if len(value) <= _LONGEST_TEXT and value.isprintable():
        return value
    return _UNSTORABLE.sub(_REPLACEMENT, value[:_LONGEST_TEXT])


def _date(value: object, latest: datetime) -> datetime | None:
    """Return a date in UTC, None where the value is no date on which something can have happened in Cognito.

    The API gives seconds since the epoch; other stand-ins give text. A date without a zone is taken for UTC.
    """
    if not isinstance(value, _DATES) or isinstance(value, bool):
        return None
    try:
        date = _in_utc(value)
    except (ValueError, OverflowError, OSError):
        return None
    return date if _COGNITO_LAUNCHED <= date <= latest else None


def _in_utc(value: float | str | datetime) -> datetime:
    if isinstance(value, (float, int)):
        return datetime.fromtimestamp(value, UTC)
    date = datetime.fromisoformat(value) if isinstance(value, str) else value
    return date.replace(tzinfo=UTC) if date.tzinfo is None else date.astimezone(UTC)
