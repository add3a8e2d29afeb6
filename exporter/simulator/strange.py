"""Answers that are JSON, and wrong or odd in their members: what the service might say on a bad day."""

import zlib
from bisect import bisect_left
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from exporter.simulator.faults import Kind
from exporter.simulator.operations import LARGEST_PAGE, LISTINGS, Call
from exporter.simulator.tokens import Position, same_page_token, token_for
from exporter.simulator.wire import Answer

_IN_PROGRESS = "InProgress"
_YEAR_9999 = 253_402_300_799.0
_BEFORE_1970 = -86_400.0
_OVERFULL = 1000
_LONG_CITY = "Llanfair" * 125_000

_WRONG_TYPES: Sequence[Answer] = (
    {"EventId": 7},
    {"EventType": 7},
    {"CreationDate": {}},
    {"CreationDate": True},
    {"EventResponse": ["Pass"]},
    {"EventRisk": "High"},
    {"EventRisk": {"RiskDecision": "AccountTakeover", "RiskLevel": 3}},
    {"EventRisk": {"RiskDecision": ["NoRisk"]}},
    {"EventRisk": {"RiskDecision": "NoRisk", "CompromisedCredentialsDetected": "false"}},
    {"ChallengeResponses": {"ChallengeName": "Password", "ChallengeResponse": "Success"}},
    {"ChallengeResponses": ["Password"]},
    {"ChallengeResponses": [{"ChallengeName": "Password", "ChallengeResponse": True}]},
    {"EventContextData": "United Kingdom"},
    {"EventContextData": {"Country": 44}},
    {"EventContextData": {"City": ["Loughborough"], "Country": "United Kingdom"}},
    {"EventFeedback": "Valid"},
    {"EventFeedback": {"FeedbackValue": 1, "Provider": "Admin"}},
)
_MAY_BE_MISSING = ("EventType", "EventResponse", "EventRisk", "ChallengeResponses", "EventContextData")


@dataclass(frozen=True, slots=True)
class Draft:
    """A good answer before it is spoilt: the call, the answer, and another user's newest auth event for who wants one."""

    call: Call
    answer: Answer
    foreign_event: Callable[[], Answer | None]

    @property
    def events(self) -> list[Answer]:
        """The auth events of the page."""
        return list(self.answer["AuthEvents"])

    @property
    def limit(self) -> int:
        """How many auth events were asked for."""
        return self.call.limit or LARGEST_PAGE

    def showing(self, events: Sequence[Answer]) -> Answer:
        """Return the answer with other auth events."""
        return self.answer | {"AuthEvents": list(events)}

    def cut(self, length: int) -> "Draft":
        """Return the answer with so many auth events at most, and the token to those after them."""
        kept = self.events[:length]
        if len(kept) == len(self.events):
            return self
        token = token_for(Position("after", kept[-1]["EventId"]))
        return Draft(self.call, {"AuthEvents": kept, "NextToken": token}, self.foreign_event)


def missing_member(event: Answer) -> str:
    """Return the member that an auth event lacks where MISSING_MEMBER strikes."""
    return _MAY_BE_MISSING[_pick(event, len(_MAY_BE_MISSING))]


def _pick(event: Answer, choices: int) -> int:
    """Return one of so many numbers, for an auth event always the same."""
    return zlib.crc32(event["EventId"].encode()) % choices


def _without(member: str) -> Callable[[Answer], Answer]:
    return lambda event: {name: value for name, value in event.items() if name != member}


def _with(**members: object) -> Callable[[Answer], Answer]:
    return lambda event: event | members


def _with_a_wrong_type(event: Answer) -> Answer:
    return event | _WRONG_TYPES[_pick(event, len(_WRONG_TYPES))]


def _in(event: Answer, **context: str) -> Answer:
    return event | {"EventContextData": event.get("EventContextData", {}) | context}


def _newest(change: Callable[[Answer], Answer]) -> Callable[[Draft], Answer]:
    def changed(draft: Draft) -> Answer:
        return draft.showing([*map(change, draft.events[:1]), *draft.events[1:]])

    return changed


def _lacking(draft: Draft) -> Answer:
    return draft.showing([_without(missing_member(event))(event) for event in draft.events])


def _duplicated(draft: Draft) -> Answer:
    if draft.limit == 1:
        return draft.answer
    half = draft.cut(draft.limit // 2)
    return half.showing([event for event in half.events for _ in range(2)])


def _in_versions(draft: Draft) -> Answer:
    """Show an auth event as it is among what it is not: of the states that have ended the last holds, before any in progress."""
    short = draft.cut(max(1, draft.limit - 2))
    events = short.events
    ended = next((at for at, event in enumerate(events) if event.get("EventResponse") != _IN_PROGRESS), None)
    if ended is None or len(events) + 2 > draft.limit:
        return draft.answer
    event = events[ended]
    versions = [_in(event, Country="Atlantis"), event, event | {"EventResponse": _IN_PROGRESS}]
    return short.showing([*events[:ended], *versions, *events[ended + 1 :]])


def _with_a_foreign_event(draft: Draft) -> Answer:
    """Show another user's event in the page in which a history that had it would show it."""
    foreign, short = draft.foreign_event(), draft.cut(max(1, draft.limit - 1))
    events = short.events
    if foreign is None or len(events) == draft.limit:
        return draft.answer
    place = bisect_left(events, -foreign["CreationDate"], key=lambda event: -event["CreationDate"])
    if place == len(events) and "NextToken" in short.answer:
        return draft.answer
    return short.showing([*events[:place], foreign, *events[place:]])


def _overfull(draft: Draft) -> Answer:
    events = draft.events
    return draft.showing(events * (_OVERFULL // len(events) + 1)) if events else draft.answer


def _with_same_token(draft: Draft) -> Answer:
    return draft.answer | {LISTINGS[draft.call.operation].token: draft.call.token}


def _empty(draft: Draft) -> Answer:
    listing = LISTINGS[draft.call.operation]
    return {listing.items: [], listing.token: same_page_token(draft.call.token)}


STRANGE: Mapping[Kind | str, Callable[[Draft], Answer]] = {
    Kind.NO_EVENT_ID: _newest(_without("EventId")),
    Kind.NO_CREATION_DATE: _newest(_without("CreationDate")),
    Kind.WRONG_TYPE: _newest(_with_a_wrong_type),
    Kind.MISSING_MEMBER: _lacking,
    Kind.YEAR_9999: _newest(_with(CreationDate=_YEAR_9999)),
    Kind.BEFORE_1970: _newest(_with(CreationDate=_BEFORE_1970)),
    Kind.LONG_CITY: _newest(lambda event: _in(event, City=_LONG_CITY)),
    Kind.DUPLICATES: _duplicated,
    Kind.TWO_VERSIONS: _in_versions,
    Kind.FOREIGN_EVENT: _with_a_foreign_event,
    Kind.OVERFULL_PAGE: _overfull,
    Kind.REPEATED_TOKEN: _with_same_token,
    Kind.EMPTY_PAGE: _empty,
}
"""What the kinds of faults that concern members make of an answer."""
