"""Auth events as `events` prints them: a table for people, JSON for programs."""

import json
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC

from tabulate import tabulate

from exporter.commands.terminal import harmless
from exporter.event.event import AuthEvent, Context
from exporter.event.record import record_of

_NOTHING = "-"
_LONGEST = 80  # characters of a cell


def _table(events: Sequence[AuthEvent]) -> str:
    """Return a table with a line for each event; what the API left out is `-`."""
    if not events:
        return "no events"
    rows = [[_cell(value(event)) for value in _COLUMNS.values()] for event in events]
    return tabulate(rows, list(_COLUMNS), tablefmt="plain", disable_numparse=True)


def _json(events: Sequence[AuthEvent]) -> str:
    return json.dumps([record_of(event) for event in events], indent=2)


def _cell(text: str | None) -> str:
    safe = harmless(text or "").strip() or _NOTHING
    return safe if len(safe) <= _LONGEST else safe[: _LONGEST - 1] + "…"


def _of_context(field: str) -> Callable[[AuthEvent], str | None]:
    position = Context._fields.index(field)
    return lambda event: None if event.context is None else event.context[position]


def _risk_level(event: AuthEvent) -> str | None:
    return None if event.risk is None else event.risk.level


def _decision(event: AuthEvent) -> str | None:
    risk = event.risk
    if risk is None:
        return None
    return f"{risk.decision or _NOTHING}, compromised" if risk.compromised_credentials else risk.decision


def _challenges(event: AuthEvent) -> str:
    return " ".join(f"{each.name or _NOTHING}:{each.response or _NOTHING}" for each in event.challenges)


def _feedback(event: AuthEvent) -> str | None:
    feedback = event.feedback
    return None if feedback is None else ":".join(each for each in (feedback.provider, feedback.value) if each)


_COLUMNS: Mapping[str, Callable[[AuthEvent], str | None]] = {
    "time": lambda event: event.created.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
    "event": lambda event: event.event_type,
    "response": lambda event: event.response,
    "risk": _risk_level,
    "decision": _decision,
    "country": _of_context("country"),
    "city": _of_context("city"),
    "address": _of_context("ip_address"),
    "device": _of_context("device_name"),
    "challenges": _challenges,
    "feedback": _feedback,
    "id": lambda event: event.event_id,
}

OUTPUTS: Mapping[str, Callable[[Sequence[AuthEvent]], str]] = {"table": _table, "json": _json}
"""What makes text of events, by its name on the command line. None of it holds what a terminal obeys."""
