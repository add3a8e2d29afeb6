"""A counted event as a line of the event log: one JSON object, with personal data as the configuration asks for it."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal

from exporter.event.event import AuthEvent, Challenge, Context, Feedback, Risk
from exporter.event.labels import NO_RISK_LEVEL, UNKNOWN, UNKNOWN_COUNTRY, Labels
from exporter.event.pseudonym import pseudonym
from exporter.event.record import Record, record_of, rfc3339

PersonalData = Literal["none", "hashed", "plain"]

PERSONAL: Mapping[str, tuple[str, ...]] = {"": ("username",), "context": ("ip_address", "device_name", "city")}
"""The keys of personal data, by the object in the line that holds them; "" is the line itself."""

_JSON = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"))  # made once: `json.dumps` makes one each time
_ABSENT = frozenset({UNKNOWN, UNKNOWN_COUNTRY, NO_RISK_LEVEL})


@dataclass(frozen=True, slots=True)
class EventLine:
    """How lines are made: the pools' names by id, what becomes of personal data, and the key it is hashed by."""

    names: Mapping[str, str]
    personal_data: PersonalData
    key: bytes

    def of_event(self, pool_id: str, username: str, event: AuthEvent, counted_at: float) -> str:
        """Return the line of an event as it was shown; `counted_at` is in epoch seconds."""
        return self._line(pool_id, username, counted_at, True, record_of(event))

    def of_labels(
        self, pool_id: str, username: str, event_id: str, created: float, labels: Labels, counted_at: float
    ) -> str:
        """Return the line of an event of which only its labels are left: the same keys, null where nothing is known."""
        return self._line(pool_id, username, counted_at, False, record_of(_remembered(event_id, created, labels)))

    def _line(self, pool_id: str, username: str, counted_at: float, complete: bool, fields: Record) -> str:
        record = {
            "time": rfc3339(datetime.fromtimestamp(counted_at, UTC)),
            "user_pool": self.names.get(pool_id, pool_id),
            "user_pool_id": pool_id,
            "username": username,
            "complete": complete,
            **fields,
        }
        if self.personal_data != "plain":
            self._protect(record)
        return _whole(_JSON.encode(record))

    def _protect(self, record: Record) -> None:
        protect = _PROTECTIONS[self.personal_data]
        for name, keys in PERSONAL.items():
            holder = record[name] if name else record
            if holder is not None:
                for key in keys:
                    protect(self.key, holder, key)


def _leave_out(_: bytes, holder: Record, name: str) -> None:
    del holder[name]


def _hash(key: bytes, holder: Record, name: str) -> None:
    value = holder[name]
    holder[name] = None if value is None else pseudonym(key, _whole(value))


_PROTECTIONS: Mapping[str, Callable[[bytes, Record, str], None]] = {"none": _leave_out, "hashed": _hash}


def _whole(text: str) -> str:
    """Return a text with "?" for each half of a surrogate pair, which UTF-8 does not have and strict readers of JSON refuse."""
    return text.encode("utf-8", "replace").decode()


def _remembered(event_id: str, created: float, labels: Labels) -> AuthEvent:
    """Return what labels tell of an event."""
    feedback = labels.feedback
    return AuthEvent(
        event_id=event_id,
        created=datetime.fromtimestamp(created, UTC),
        event_type=_value(labels.event_type),
        response=_value(labels.response),
        risk=Risk(_value(labels.risk_decision), _value(labels.risk_level), labels.compromised),
        challenges=tuple(Challenge(_value(name), _value(result)) for name, result in labels.challenges),
        context=Context(None, None, None, None, _value(labels.country)),
        feedback=None if feedback is None else Feedback(_value(feedback[0]), _value(feedback[1]), None),
    )


def _value(label: str) -> str | None:
    return None if label in _ABSENT else label
