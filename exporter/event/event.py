"""The auth event, typed: every field of `AuthEventType` in the API of Cognito.

A history has thousands of events, each of four or more of these: a named tuple is made in a quarter of the time of a frozen
dataclass.
"""

from datetime import datetime
from typing import NamedTuple


class Challenge(NamedTuple):
    """One step of a sign-in and its result, as the API writes them (`Password`, `Success`)."""

    name: str | None
    response: str | None


class Risk(NamedTuple):
    """Cognito's verdict. `level` is absent with `NoRisk` and with `Block` from an always-block address."""

    decision: str | None
    level: str | None
    compromised_credentials: bool


class Context(NamedTuple):
    """Where the request came from, as Cognito saw it. `city` and `country` may be the string `null`."""

    ip_address: str | None
    device_name: str | None
    timezone: str | None
    city: str | None
    country: str | None


class Feedback(NamedTuple):
    """An administrator's or user's verdict, attached later to an event."""

    value: str | None
    provider: str | None
    date: datetime | None


class AuthEvent(NamedTuple):
    """One auth event as an answer of `AdminListUserAuthEvents` showed it.

    `event_id` is unique within its user pool; `created` is aware, in UTC. Every other field may be absent (None), or hold a
    value the API did not have when this was written.
    """

    event_id: str
    created: datetime
    event_type: str | None
    response: str | None
    risk: Risk | None
    challenges: tuple[Challenge, ...]
    context: Context | None
    feedback: Feedback | None
