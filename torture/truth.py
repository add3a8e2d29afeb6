"""What has to be counted of a world's events, by the words of the documentation and by none of the exporter's own counting."""

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence

from exporter.event.countries import country_code
from exporter.event.event import AuthEvent, Challenge

Key = tuple[str, ...]
"""The name of a counter family, and the values of its labels but `user_pool`."""

EVENTS = "cognito_auth_events_total"

_IDENTIFIER = re.compile(r"[A-Za-z0-9]{1,40}")
_RIGHT_PASSWORD = Challenge("Password", "Success")


def expected(histories: Iterable[Iterable[AuthEvent]]) -> Mapping[Key, int]:
    """Return the counters above 0 that these users' events make, each event as it stands in the end."""
    counts: Counter[Key] = Counter()
    for history in histories:
        oldest_first = sorted(history, key=lambda event: event.created)
        for event in oldest_first:
            counts.update(_of_event(event))
        counts.update(_new_countries(oldest_first))
    return counts


def differences(shown: Mapping[Key, float], truth: Mapping[Key, int]) -> list[str]:
    """Return a line for each label set that is not as it has to be; one that stands at 0 is as good as none."""
    wrong = sorted(key for key in {*shown, *truth} if shown.get(key, 0) != truth.get(key, 0))
    return [f"{' '.join(key)}: {shown.get(key, 0):g} shown, {truth.get(key, 0)} is the truth" for key in wrong]


def country(name: str | None) -> str:
    """Return the label of a country by its name, code or absence."""
    if (name or "null").casefold() in {"null", "unknown"}:
        return "unknown"
    return country_code(str(name)) or str(name)


def _word(value: str | None) -> str:
    if not value:
        return "Unknown"
    return value if _IDENTIFIER.fullmatch(value) else "Other"


def _of_event(event: AuthEvent) -> Iterator[Key]:
    """Yield what an event adds to the families that need nothing else to be known."""
    kind, response, place = _word(event.event_type), _word(event.response), _place(event)
    level, decision = _verdict(event)
    yield EVENTS, kind, response, level, place
    yield "cognito_auth_risk_decisions_total", kind, level, decision
    if event.risk is not None and event.risk.compromised_credentials:
        yield "cognito_auth_compromised_credentials_total", kind, response
    for challenge in event.challenges:
        yield "cognito_auth_challenges_total", _word(challenge.name), _word(challenge.response)
    if event.feedback is not None:
        yield "cognito_auth_feedback_total", _word(event.feedback.value), _word(event.feedback.provider)
    if (kind, response, level) == ("SignIn", "Pass", "High"):
        yield "cognito_auth_high_risk_sign_ins_total", decision
    yield from _stopped_or_abandoned(event)


def _place(event: AuthEvent) -> str:
    return country(event.context and event.context.country)


def _verdict(event: AuthEvent) -> tuple[str, str]:
    if event.risk is None:
        return "Unknown", "Unknown"
    return event.risk.level or "None", _word(event.risk.decision)


def _stopped_or_abandoned(event: AuthEvent) -> Iterator[Key]:
    had_password = _RIGHT_PASSWORD in event.challenges
    later = event.challenges[event.challenges.index(_RIGHT_PASSWORD) + 1 :] if had_password else ()
    failed = [challenge.name for challenge in later if challenge.response == "Failure"]
    if failed and event.event_type == "SignIn" and event.response != "Pass":
        yield "cognito_auth_stopped_sign_ins_total", _word(failed[-1])
    if event.response == "InProgress" and event.event_type != "SignUp":
        yield "cognito_auth_abandoned_flows_total", _word(event.event_type), str(had_password).lower()


def _new_countries(oldest_first: Sequence[AuthEvent]) -> Iterator[Key]:
    """Yield each country of a passed sign-in but the first, once."""
    passed = [event for event in oldest_first if (event.event_type, event.response) == ("SignIn", "Pass")]
    known = [place for place in dict.fromkeys(map(_place, passed)) if place != "unknown"]
    return (("cognito_auth_new_country_sign_ins_total", place) for place in known[1:])
