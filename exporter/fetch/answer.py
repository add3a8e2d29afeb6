"""Turns the answers of the API, as boto3 gives them, into pages: nothing in an answer is taken on trust."""

import re
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import TypeGuard

from exporter.event.event import AuthEvent, Challenge, Context, Feedback, Risk
from exporter.fetch.outcome import FetchError, Outcome
from exporter.fetch.source import EventPage, ListedUser, UserPage

_COGNITO_LAUNCHED = datetime(2014, 1, 1, tzinfo=UTC)
_CLOCK_ERROR = timedelta(days=1)
_LONGEST_NAME = 1024  # an EventId is a UUID, a user name has at most 128 characters (botocore's model)
_LONGEST_TOKEN = 131_072  # the model's bound of a NextToken
_LONGEST_TEXT = 2048
_MOST_CHALLENGES = 100
_UNSTORABLE = re.compile("[\0\ud800-\udfff]")  # SQLite's JSON ends at NUL, and UTF-8 has no lone surrogates
_REPLACEMENT = "\ufffd"


def event_page(answer: object, now: datetime) -> EventPage:
    """Return the page that an answer of `AdminListUserAuthEvents` holds; `now` bounds what is taken for a date.

    Raises `FetchError` (malformed) where the answer has no list of events or a token that is none: such an answer must
    not pass for the end of a history.
    """
    page = _structure(answer, "the answer")
    entries = _list(page, "AuthEvents")
    events = tuple(event for entry in entries if (event := _event(entry, now)) is not None)
    return EventPage(events, _token(page, "NextToken"), damaged=len(entries) - len(events))


def user_page(answer: object, token_key: str, now: datetime) -> UserPage:
    """Return the page that an answer of a listing of users holds; its token is under `token_key`.

    Raises `FetchError` (malformed) also where a single user has no usable name: whoever is left out of a listing would
    be taken for no longer selected.
    """
    page = _structure(answer, "the answer")
    users = tuple(_user(entry, now) for entry in _list(page, "Users"))
    return UserPage(users, _token(page, token_key))


def protection_mode(answer: object) -> str | None:
    """Return the `AdvancedSecurityMode` in an answer of `DescribeUserPool`, None where it has none.

    Raises `FetchError` (malformed) where the answer describes no pool.
    """
    pool = _structure(_structure(answer, "the answer").get("UserPool"), "UserPool")
    return _text(_optional(pool, "UserPoolAddOns").get("AdvancedSecurityMode"))


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


def _event(entry: object, now: datetime) -> AuthEvent | None:
    """Return the event, None where it has no usable id or date."""
    if not isinstance(entry, dict):
        return None
    event_id, created = entry.get("EventId"), _date(entry.get("CreationDate"), now)
    if not _is_name(event_id) or created is None:
        return None
    return AuthEvent(
        event_id=event_id,
        created=created,
        event_type=_text(entry.get("EventType")),
        response=_text(entry.get("EventResponse")),
        risk=_risk(entry.get("EventRisk")),
        challenges=_challenges(entry.get("ChallengeResponses")),
        context=_context(entry.get("EventContextData")),
        feedback=_feedback(entry.get("EventFeedback"), now),
    )


def _risk(value: object) -> Risk | None:
    if not isinstance(value, dict):
        return None
    detected = value.get("CompromisedCredentialsDetected") is True
    return Risk(_text(value.get("RiskDecision")), _text(value.get("RiskLevel")), detected)


def _challenges(value: object) -> tuple[Challenge, ...]:
    if not isinstance(value, list):
        return ()
    return tuple(
        Challenge(_text(step.get("ChallengeName")), _text(step.get("ChallengeResponse")))
        for step in value[:_MOST_CHALLENGES]
        if isinstance(step, dict)
    )


def _context(value: object) -> Context | None:
    if not isinstance(value, dict):
        return None
    return Context(
        ip_address=_text(value.get("IpAddress")),
        device_name=_text(value.get("DeviceName")),
        timezone=_text(value.get("Timezone")),
        city=_text(value.get("City")),
        country=_text(value.get("Country")),
    )


def _feedback(value: object, now: datetime) -> Feedback | None:
    if not isinstance(value, dict):
        return None
    return Feedback(
        _text(value.get("FeedbackValue")), _text(value.get("Provider")), _date(value.get("FeedbackDate"), now)
    )


def _user(entry: object, now: datetime) -> ListedUser:
    user = _structure(entry, "a listed user")
    username = user.get("Username")
    if not _is_name(username):
        raise _malformed("Username")
    return ListedUser(username, _date(user.get("UserCreateDate"), now))


def _optional(page: dict[object, object], key: str) -> dict[object, object]:
    value = page.get(key)
    return value if isinstance(value, dict) else {}


def _is_name(value: object) -> TypeGuard[str]:
    """Tell whether a value names something. Names are stored and sent as they are: nothing in them is replaced."""
    return isinstance(value, str) and 0 < len(value) <= _LONGEST_NAME and not _UNSTORABLE.search(value)


def _text(value: object) -> str | None:
    """Return a text that can be stored and shown, None where the value is no text or an empty one."""
    if not isinstance(value, str) or not value:
        return None
    if (
        len(value) <= _LONGEST_TEXT and value.isprintable()
    ):  # the usual case, quickly: what is unstorable is unprintable
        return value
    return _UNSTORABLE.sub(_REPLACEMENT, value[:_LONGEST_TEXT])


def _date(value: object, now: datetime) -> datetime | None:
    """Return a date in UTC, None where the value is no date on which something can have happened in Cognito.

    A date without a zone is taken for UTC.
    """
    if not isinstance(value, datetime):
        return None
    try:
        date = value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)
    except (ValueError, OverflowError, OSError):
        return None
    return date if _COGNITO_LAUNCHED <= date <= now + _CLOCK_ERROR else None
