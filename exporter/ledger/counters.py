"""The counters that the ledger keeps: their families, labels, and which of their series stand at zero from the start."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product
from typing import NamedTuple

from exporter.event.labels import FIELDS, Labels

EVENTS = "events"
RISK_DECISIONS = "risk_decisions"
COMPROMISED_CREDENTIALS = "compromised_credentials"
CHALLENGES = "challenges"
FEEDBACK = "feedback"
NEW_COUNTRY_SIGN_INS = "new_country_sign_ins"
USER_EVENTS = "user_events"

OTHER = "other"
"""What the open label of a family becomes beyond `max_series`."""


@dataclass(frozen=True, slots=True)
class CounterFamily:
    """One counter family: its label names, the fields whose known values it shows at zero, its label without a closed set."""

    labels: tuple[str, ...]
    zero_fields: tuple[tuple[str, ...], ...] = ()
    open_label: str | None = None

    def zeros(self) -> Iterator[tuple[str, ...]]:
        """Yield the label sets that stand at zero from the start: every combination of the known values."""
        return product(*self.zero_fields) if self.zero_fields else iter(())

    def folded(self, labels: tuple[str, ...]) -> tuple[str, ...]:
        """Return the label set with the open label made `other`."""
        return tuple(
            OTHER if name == self.open_label else value for name, value in zip(self.labels, labels, strict=True)
        )


RISK_LEVELS = ("None", *FIELDS["risk_level"])

COUNTERS: dict[str, CounterFamily] = {
    EVENTS: CounterFamily(("event_type", "response", "risk_level", "country"), open_label="country"),
    RISK_DECISIONS: CounterFamily(
        ("event_type", "risk_level", "risk_decision"),
        zero_fields=(FIELDS["event_type"], RISK_LEVELS, FIELDS["risk_decision"]),
    ),
    COMPROMISED_CREDENTIALS: CounterFamily(
        ("event_type", "response"), zero_fields=(FIELDS["event_type"], FIELDS["response"])
    ),
    CHALLENGES: CounterFamily(("challenge", "result"), zero_fields=(FIELDS["challenge"], FIELDS["challenge_result"])),
    FEEDBACK: CounterFamily(("value", "provider")),
    NEW_COUNTRY_SIGN_INS: CounterFamily(("country",), open_label="country"),
    USER_EVENTS: CounterFamily(("user", "event_type", "response", "risk_level"), open_label="user"),
}


class Increment(NamedTuple):
    """One to add to one series."""

    family: str
    labels: tuple[str, ...]


def events_series(labels: Labels) -> tuple[str, ...]:
    """Return the labels under which an event stands in the families by type, response, risk level and country."""
    return (labels.event_type, labels.response, labels.risk_level, labels.country)


def user_events_series(user: str, labels: Labels) -> tuple[str, ...]:
    """Return the labels under which an event stands in the families of one user."""
    return (user, labels.event_type, labels.response, labels.risk_level)


def event_increments(labels: Labels) -> Iterator[Increment]:
    """Yield what an event adds when it is counted, its feedback apart."""
    yield Increment(EVENTS, events_series(labels))
    yield Increment(RISK_DECISIONS, (labels.event_type, labels.risk_level, labels.risk_decision))
    if labels.compromised:
        yield Increment(COMPROMISED_CREDENTIALS, (labels.event_type, labels.response))
    for challenge, result in labels.challenges:
        yield Increment(CHALLENGES, (challenge, result))
