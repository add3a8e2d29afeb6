"""The counters that the ledger keeps: their families, labels, and which of their series stand at zero from the start."""

from collections.abc import Iterator, Sequence
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
HIGH_RISK_SIGN_INS = "high_risk_sign_ins"
STOPPED_SIGN_INS = "stopped_sign_ins"
ABANDONED_FLOWS = "abandoned_flows"
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


_BOOLEANS = ("false", "true")
# Cognito logs each sign-up as InProgress, whatever becomes of it.
_FLOWS = tuple(event_type for event_type in FIELDS["event_type"] if event_type != "SignUp")
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
    HIGH_RISK_SIGN_INS: CounterFamily(("risk_decision",), zero_fields=(FIELDS["risk_decision"],)),
    STOPPED_SIGN_INS: CounterFamily(("challenge",), zero_fields=(("Mfa",),)),
    ABANDONED_FLOWS: CounterFamily(("event_type", "after_password"), zero_fields=(_FLOWS, _BOOLEANS)),
    USER_EVENTS: CounterFamily(("user", "event_type", "response", "risk_level"), open_label="user"),
}


_RIGHT_PASSWORD = ("Password", "Success")


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
    yield from _signals(labels)


def _signals(labels: Labels) -> Iterator[Increment]:
    """Yield what an event adds to the families that say what it is a sign of; most events are a sign of nothing."""
    if labels.response == "Pass":
        if (labels.event_type, labels.risk_level) == ("SignIn", "High"):
            yield Increment(HIGH_RISK_SIGN_INS, (labels.risk_decision,))
        return
    after_password = _after_password(labels)
    if labels.event_type == "SignIn" and (
        failed := [name for name, result in after_password or () if result == "Failure"]
    ):
        yield Increment(STOPPED_SIGN_INS, (failed[-1],))
    if labels.response == "InProgress" and labels.event_type != "SignUp":
        yield Increment(ABANDONED_FLOWS, (labels.event_type, _BOOLEANS[after_password is not None]))


def _after_password(labels: Labels) -> Sequence[tuple[str, str]] | None:
    """Return the challenges that came after the right password, None where that was not given."""
    if _RIGHT_PASSWORD not in labels.challenges:
        return None
    return labels.challenges[labels.challenges.index(_RIGHT_PASSWORD) + 1 :]
