"""An auth event as a JSON object: every field of the API's answer, in the exporter's names."""

from datetime import UTC, datetime
from typing import Any

from exporter.event.event import AuthEvent

Record = dict[str, Any]
"""A JSON object. The keys are always there; what the API left out is null."""


def record_of(event: AuthEvent) -> Record:
    """Return the fields of an event: values in the API's own words, times in RFC 3339 (UTC)."""
    risk, context, feedback = event.risk, event.context, event.feedback
    return {
        "event_id": event.event_id,
        "created": rfc3339(event.created),
        "event_type": event.event_type,
        "response": event.response,
        "risk": None if risk is None else risk._asdict(),
        "challenges": [challenge._asdict() for challenge in event.challenges],
        "context": None if context is None else context._asdict(),
        "feedback": None
        if feedback is None
        else {**feedback._asdict(), "date": None if feedback.date is None else rfc3339(feedback.date)},
    }


def rfc3339(moment: datetime) -> str:
    """Return an aware time in UTC, to the microsecond: `2026-01-31T08:15:00.250000Z`."""
    return moment.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
