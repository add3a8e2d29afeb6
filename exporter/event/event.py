"""The auth event, typed: every field of `AuthEventType` in the API of Cognito."""

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True)
class Challenge:
    """One step of a sign-in and its result, as the API writes them (`Password`, `Success`)."""

    name: str | None
    response: str | None


@dataclass(frozen=True, slots=True)
class Risk:
    """Cognito's verdict. `level` is absent with `NoRisk` and with `Block` from an always-block address."""

    decision: str | None
    level: str | None
    compromised_credentials: bool


@dataclass(frozen=True, slots=True)
class Context:
    """Where the request came from, as Cognito saw it. `city` and `country` may be the string `null`."""

    ip_address: str | None
    device_name: str | None
    timezone: str | None
    city: str | None
    country: str | None


@dataclass(frozen=True, slots=True)
class Feedback:
    """An administrator's or user's verdict, attached later to an event."""

    value: str | None
    provider: str | None
    date: datetime | None


@dataclass(frozen=True, slots=True)
class AuthEvent:
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
