"""Turns the answers of the API, as their JSON has them, into pages: nothing in an answer is taken on trust."""

import json
import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from typing import Any, TypeGuard

from exporter.event.event import AuthEvent, Challenge, Context, Feedback, Risk
from exporter.fetch.outcome import FetchError, Outcome
from exporter.fetch.source import DamagedEntry, EventPage, ListedUser, PoolDescription, UserPage

_COGNITO_LAUNCHED = datetime(2014, 1, 1, tzinfo=UTC)
_CLOCK_ERROR = timedelta(days=1)
_LONGEST_NAME = 1024  # an EventId is a UUID, a user name has at most 128 characters (botocore's model)
_LONGEST_TOKEN = 131_072  # the model's bound of a NextToken
_LONGEST_TEXT = 512  # a DeviceName is the longest there is, some 40 characters
_MOST_CHALLENGES = 100
_MOST_ENTRIES = 1000  # of a page: 60 can be asked for, and not all that answers in Cognito's stead heeds this
_DATES = (float, int, str, datetime)
_UNSTORABLE = re.compile("[\0\ud800-\udfff]")  # SQLite's JSON ends at NUL, and UTF-8 has no lone surrogates
_REPLACEMENT = "\ufffd"

# What the API describes of an entry, beside its id and date: https://docs.aws.amazon.com/cognito-user-identity-pools/latest/APIReference/API_AuthEventType.html
_MEMBERS: Mapping[str, Any] = {
    "EventType": str,
    "EventResponse": str,
    "EventRisk": {"RiskDecision": str, "RiskLevel": str, "CompromisedCredentialsDetected": bool},
    "ChallengeResponses": [{"ChallengeName": str, "ChallengeResponse": str}],
    "EventContextData": {"IpAddress": str, "DeviceName": str, "Timezone": str, "City": str, "Country": str},
    "EventFeedback": {"FeedbackValue": str, "Provider": str, "FeedbackDate": _DATES},
}


class _WrongType(Exception):  # noqa: N818 - it never leaves this module
    """A member is there, and of a type that the API does not describe."""


def event_page(answer: object, now: datetime) -> EventPage:
    """Return the page that an answer of `AdminListUserAuthEvents` holds; `now` bounds what is taken for a date.

    Raises `FetchError` (malformed) where the answer has no list of events or a token that is none: such an answer must
    not pass for the end of a history.
    """
    page = _structure(answer, "the answer")
    latest, events, damaged, alike = now + _CLOCK_ERROR, [], [], Counter[str]()
    for entry in _list(page, "AuthEvents"):
        try:
            events.append(_event(entry, latest))
        except _WrongType:
            one = _damaged(entry, latest)
            alike[one.digest] += 1  # several may have lost all that tells them apart: each is waited for
            damaged.append(one._replace(digest=f"{one.digest}.{alike[one.digest]}"))
    return EventPage(tuple(events), _token(page, "NextToken"), tuple(damaged))


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
        threat_protection=_text(_fitting(_optional(pool, "UserPoolAddOns").get("AdvancedSecurityMode"), str)),
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
    if not isinstance(value, list) or len(value) > _MOST_ENTRIES:
        raise _malformed(key)
    return value


def _token(page: dict[object, object], key: str) -> str | None:
    token = page.get(key)
    if token is None or (isinstance(token, str) and 0 < len(token) <= _LONGEST_TOKEN):
        return token
    raise _malformed(key)


def _event(entry: object, latest: datetime) -> AuthEvent:
    """Return the event. Raises `_WrongType` where it has no usable id or date, or anything is of a wrong type."""
    if not isinstance(entry, dict):
        raise _WrongType
    get = entry.get
    event_id, created = get("EventId"), _date(get("CreationDate"), latest)
    if not _is_name(event_id) or created is None:
        raise _WrongType
    return AuthEvent(
        event_id, created, _text(get("EventType")), _text(get("EventResponse")),
        _risk(get("EventRisk")), _challenges(get("ChallengeResponses")),
        _context(get("EventContextData")), _feedback(get("EventFeedback"), latest),
    )  # fmt: skip


def _damaged(entry: object, latest: datetime) -> DamagedEntry:
    """Return an entry that is not believed, with what can be read of it."""
    digest = sha256(json.dumps(entry, sort_keys=True, default=repr).encode()).hexdigest()
    try:
        return DamagedEntry(digest, _event(_readable(entry), latest))
    except _WrongType:
        return DamagedEntry(digest, None)


def _readable(entry: object) -> object:
    if not isinstance(entry, dict):
        return None
    return entry | {name: _fitting(entry.get(name), described) for name, described in _MEMBERS.items()}


def _fitting(value: object, described: Any) -> object:
    """Return what there is of a value as described, None where it is of another type."""
    if isinstance(described, Mapping):
        return {n: _fitting(value.get(n), d) for n, d in described.items()} if isinstance(value, dict) else None
    if isinstance(described, list):
        (each,) = described
        fitting = [_fitting(item, each) for item in value] if isinstance(value, list) else []
        return [item for item in fitting if item is not None]
    return value if isinstance(value, described) else None


def _risk(value: object) -> Risk | None:
    if value is None:
        return None
    get = _members(value)
    return Risk(_text(get("RiskDecision")), _text(get("RiskLevel")), _flag(get("CompromisedCredentialsDetected")))


def _challenges(value: object) -> tuple[Challenge, ...]:
    if value is None:
        return ()
    if not isinstance(value, list):
        raise _WrongType
    steps = map(_members, value[:_MOST_CHALLENGES])
    return tuple([Challenge(_text(get("ChallengeName")), _text(get("ChallengeResponse"))) for get in steps])


def _context(value: object) -> Context | None:
    if value is None:
        return None
    get = _members(value)
    return Context(
        _text(get("IpAddress")),
        _text(get("DeviceName")),
        _text(get("Timezone")),
        _text(get("City")),
        _text(get("Country")),
    )


def _feedback(value: object, latest: datetime) -> Feedback | None:
    if value is None:
        return None
    get = _members(value)
    return Feedback(_text(get("FeedbackValue")), _text(get("Provider")), _date(get("FeedbackDate"), latest))


def _user(entry: object, latest: datetime) -> ListedUser:
    user = _structure(entry, "a listed user")
    username = user.get("Username")
    if not _is_name(username):
        raise _malformed("Username")
    return ListedUser(username, _date(user.get("UserCreateDate"), latest), user.get("Enabled") is not False)


def _optional(page: dict[object, object], key: str) -> dict[object, object]:
    value = page.get(key)
    return value if isinstance(value, dict) else {}


def _members(value: object) -> Callable[[str], object]:
    """Return what gets the members of a structure."""
    if not isinstance(value, dict):
        raise _WrongType
    return value.get


def _flag(value: object) -> bool:
    if value is None or isinstance(value, bool):
        return value is True
    raise _WrongType


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
    """Return a text that can be stored and shown, None where it is absent or empty. Raises `_WrongType` for what is no text."""
    if not isinstance(value, str):
        if value is None:
            return None
        raise _WrongType
    if not value:
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
