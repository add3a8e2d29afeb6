"""What an event is called in the metrics: the API's own words, and the rules for values that it did not have."""

import json
import re
from collections import Counter
from collections.abc import Callable, Collection, Hashable, Iterable, Mapping
from functools import partial
from types import MappingProxyType
from typing import Literal, NamedTuple

from exporter.event.countries import country_code
from exporter.event.event import AuthEvent, Context, Feedback, Risk

UNKNOWN = "Unknown"
OTHER = "Other"
NO_RISK_LEVEL = "None"
UNKNOWN_COUNTRY = "unknown"

# Every value of the enumerations in botocore's service model; a provider is free text there, and `Admin` is what
# AdminUpdateAuthEventFeedback leaves.
FIELDS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "event_type": ("SignIn", "SignUp", "ForgotPassword", "PasswordChange", "ResendCode"),
        "response": ("Pass", "Fail", "InProgress"),
        "risk_level": ("Low", "Medium", "High"),
        "risk_decision": ("NoRisk", "AccountTakeover", "Block"),
        "challenge": ("Password", "Mfa"),
        "challenge_result": ("Success", "Failure"),
        "feedback_value": ("Valid", "Invalid"),
        "feedback_provider": ("Admin",),
    }
)

Label = Callable[[str, str | None], str]
"""(field, value) -> label"""

_MOST_NEW_VALUES = 10
_LONGEST_COUNTRY = 80
_IDENTIFIER = re.compile(r"[A-Za-z0-9]{1,40}")
_NO_COUNTRY = frozenset({"", "null", "unknown"})


class ValueRules:
    """Decides which values become labels, within one transaction.

    `accepted` are the new values that the state holds, by field. They are read and never changed: a transaction that is
    rejected throws its rules away, and nothing was accepted.
    """

    def __init__(self, accepted: Mapping[str, Collection[str]]) -> None:
        self._accepted = accepted
        self.accepted_now: list[tuple[str, str]] = []
        """(field, value) of those accepted since the last `drain`, for the state."""
        self.unknown: Counter[str] = Counter()
        """How often each field held a value that is not one of the API's words, since the last `drain`."""
        self.plain: dict[Hashable, Labels] = {}
        """The labels of events that hold nothing but the API's words, by what they say: most events say what many others do."""
        self.others = 0
        """How often a value was labelled that is not one of these words; each time counts, so that such labels are not kept."""
        self._new: dict[str, set[str]] = {}

    def label(self, field: str, value: str | None, *, is_new: bool = True) -> str:
        """Return the label of a field's value; absent is `Unknown`. `is_new`: of an event that was not seen before."""
        if not value:
            return UNKNOWN
        if value in FIELDS[field]:
            return value
        self.others += 1
        if is_new:
            self.unknown[field] += 1
        return value if self._accepts(field, value) else OTHER

    def drain(self) -> tuple[list[tuple[str, str]], Counter[str]]:
        """Return `accepted_now` and `unknown`, and begin both anew; what was accepted stays so."""
        drained = self.accepted_now, self.unknown
        self.accepted_now, self.unknown = [], Counter()
        return drained

    def _accepts(self, field: str, value: str) -> bool:
        known, new = self._accepted.get(field, ()), self._new.setdefault(field, set())
        if value in known or value in new:
            return True
        # A value accepted by an older version may have become one of the API's words since.
        taken = len(new) + sum(word not in FIELDS[field] for word in known)
        if taken >= _MOST_NEW_VALUES or not _IDENTIFIER.fullmatch(value):
            return False
        new.add(value)
        self.accepted_now.append((field, value))
        return True


class Labels(NamedTuple):
    """What the metrics say of an event. `country` is the name as Cognito writes it; `feedback` is (value, provider).

    One is made for each event shown, and finds its series: a named tuple is made and hashed in a fraction of the time.
    """

    event_type: str
    response: str
    risk_level: str
    risk_decision: str
    country: str
    compromised: bool
    challenges: tuple[tuple[str, str], ...]
    feedback: tuple[str, str] | None

    def to_json(self) -> str:
        """Return the labels in one line of JSON: a list in the order of the fields."""
        return json.dumps(self, separators=(",", ":"))

    @classmethod
    def from_json(cls, text: str) -> "Labels":
        """Return what `to_json` wrote; raises ValueError for anything else."""
        try:
            *words, compromised, challenges, feedback = json.loads(text)
            event_type, response, risk_level, risk_decision, country = words
            return cls(
                event_type, response, risk_level, risk_decision, country,
                compromised=compromised, challenges=tuple(_pair(each) for each in challenges),
                feedback=None if feedback is None else _pair(feedback),
            )  # fmt: skip
        except TypeError as error:
            raise ValueError(str(error)) from error


def _pair(values: Iterable[str]) -> tuple[str, str]:
    first, second = values
    return first, second


def label_event(event: AuthEvent, rules: ValueRules, *, is_new: bool = True) -> Labels:
    """Return what the metrics say of an event; new values are noticed of one that `is_new`, not at each poll that shows it."""
    said = _said(event)
    labels = rules.plain.get(said)
    if labels is None:
        before = rules.others
        labels = _labels(event, partial(rules.label, is_new=is_new))
        if rules.others == before:
            rules.plain[said] = labels
    return labels


def _said(event: AuthEvent) -> Hashable:
    """Return all that labels are made of: of events that say the same, labels are made once."""
    _, _, event_type, response, risk, challenges, context, feedback = event
    country = None if context is None else context.country
    said_later = None if feedback is None else (feedback.value, feedback.provider)
    return event_type, response, risk, challenges, country, said_later


def _labels(event: AuthEvent, label: Label) -> Labels:
    level, decision = _risk(event.risk, label)
    challenges = [
        (label("challenge", each.name), label("challenge_result", each.response)) for each in event.challenges
    ]
    return Labels(
        event_type=label("event_type", event.event_type),
        response=label("response", event.response),
        risk_level=level,
        risk_decision=decision,
        country=_country(event.context),
        compromised=event.risk is not None and event.risk.compromised_credentials,
        challenges=tuple(challenges),
        feedback=_feedback(event.feedback, label),
    )


def country_label(name: str, mode: Literal["code", "name", "none"]) -> str:
    """Return how a country of `Labels` is shown: its ISO 3166-1 code where it has one, its name, or nothing."""
    if mode == "none":
        return ""
    return (country_code(name) or name) if mode == "code" else name


def _risk(risk: Risk | None, label: Label) -> tuple[str, str]:
    """Return (level, decision). A level is left out with `NoRisk`, which is not the same as a risk not known."""
    if risk is None:
        return UNKNOWN, UNKNOWN
    level = label("risk_level", risk.level) if risk.level else NO_RISK_LEVEL
    return level, label("risk_decision", risk.decision)


def _country(context: Context | None) -> str:
    name = (context.country or "").strip() if context is not None else ""
    return UNKNOWN_COUNTRY if name.casefold() in _NO_COUNTRY else name[:_LONGEST_COUNTRY]


def _feedback(feedback: Feedback | None, label: Label) -> tuple[str, str] | None:
    if feedback is None:
        return None
    return label("feedback_value", feedback.value), label("feedback_provider", feedback.provider)
