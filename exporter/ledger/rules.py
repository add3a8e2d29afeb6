"""The counting rules: what one poll of one user adds, given what is known of that user and of the events shown.

Pure functions over what the store read; docs/design.md tells why the promises follow from them. What is made for each event or
poll is a named tuple, which is made in a third of the time of a frozen dataclass.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import IntEnum, StrEnum
from math import inf
from typing import NamedTuple

from exporter.event.countries import country_code
from exporter.event.event import AuthEvent
from exporter.event.labels import UNKNOWN_COUNTRY, Labels, ValueRules, label_event
from exporter.fetch.walk import IN_PROGRESS, Walk
from exporter.ledger.counters import FEEDBACK, NEW_COUNTRY_SIGN_INS, Increment

HISTORY_KEPT = 2 * 366 * 86_400.0
"""Seconds: Cognito keeps auth events for two years.

https://docs.aws.amazon.com/cognito/latest/developerguide/cognito-user-pool-settings-threat-protection.html
"""


NEWEST_KEPT = 3
"""Of each user so many of the newest counted events are never forgotten: by them another name of the same person is known."""

UNREADABLE_FOR = 6 * 3600.0
"""Seconds that an entry which cannot be read whole is waited for: a passing fault is long over by then."""


@dataclass(frozen=True, slots=True)
class Settings:
    """What the configuration says of counting; times in seconds."""

    settle: float
    overlap: float
    recent_window: float
    series_hold: float
    max_series: int
    per_user: bool


class Purpose(StrEnum):
    """Why a walk goes as deep as it does."""

    FIRST_WALK = "first_walk"
    """The user was never polled: down to the start, and over the recent window."""
    LOOK_BACK = "look_back"
    """Once each `overlap`: down to known ground, for what turned up late."""
    NEW = "new"
    """Between those: down to the newest event known."""


class Standing(IntEnum):
    """How an event stands in the ledger."""

    OPEN = 0  # seen in progress, not counted yet
    COUNTED = 1
    UNCOUNTED = 2  # from before the start, or turned up too late: shown in gauges only


class Ground(NamedTuple):
    """What is known of a user's history; times in epoch seconds.

    Events created before `start` are never counted. Those in [start, floor) are known ground: counted, or too late. `mark` is
    the newest creation shown by the walk of `mark_at`, the last one to reach known ground; `overlap` later the next one does, and
    known ground moves up to the mark.
    `first_page_since` is the lowest creation at which feedback is still awaited.
    """

    start: float
    floor: float
    mark: float | None = None
    mark_at: float | None = None
    newest: float | None = None
    first_page_since: float = 0.0
    polled_at: float | None = None

    def knows(self, created: float) -> bool:
        """Tell whether an event created then has been judged already, should the ledger not remember it."""
        return self.start <= created < self.floor


class KnownEvent(NamedTuple):
    """What the ledger remembers of an event; `labels` only while it is open. `ended`: it was not in progress when seen last."""

    event_id: str
    created: float
    standing: Standing
    feedback: bool
    labels: Labels | None = None
    ended: bool = False

    def has_nothing_to_say(self, shown: AuthEvent) -> bool:
        """Tell whether an event shown again changes nothing: the common case of a page's younger part."""
        return self.ended and self.standing is Standing.COUNTED and (self.feedback or shown.feedback is None)


@dataclass(frozen=True, slots=True)
class Memory:
    """All that the ledger knows that bears on one poll of one user.

    `known`: the shown events it remembers, by id. `open_events`: this user's events in progress. `aliases`: the ground of other
    names of the same person. `countries`: those of earlier passed sign-ins.
    """

    ground: Ground
    known: Mapping[str, KnownEvent]
    open_events: Sequence[KnownEvent]
    aliases: Sequence[Ground] = ()
    countries: frozenset[str] = frozenset()


class Update(NamedTuple):
    """How an event stands after a poll. `counted`: it was counted by this very poll; `extra` is what is added besides."""

    event: KnownEvent
    labels: Labels
    counted: bool = False
    extra: tuple[Increment, ...] = ()

    @property
    def is_in_progress(self) -> bool:
        """Tell whether the event may still end, so that it stands under other labels then."""
        return self.labels.response == IN_PROGRESS


@dataclass(slots=True)
class Judgement:
    """What a poll changes: events to remember, increments, the user's ground, countries, and sightings only for gauges."""

    ground: Ground
    updates: list[Update] = field(default_factory=list)
    sightings: list[tuple[Labels, float]] = field(default_factory=list)
    new_countries: set[str] = field(default_factory=set)


def judge_walk(walk: Walk, memory: Memory, rules: ValueRules, settings: Settings) -> Judgement:
    """Judge every event of a walk, oldest first, then the open ones it no longer shows, and move known ground."""
    judgement = Judgement(ground=moved(memory.ground, walk, settings))
    judge = _Judge(walk, memory, rules, settings, judgement)
    for event in walk.events:
        judge.event(event)
    if not walk.damaged:
        judgement.updates += _settled(_gone(walk, memory.open_events, settings), walk.asked_at, settings)
    return judgement


def without_given_up(walk: Walk, waited_for: Collection[str]) -> Walk:
    """Return a walk whose damaged entries are only those waited for, by their digests; of the others counts what can be read."""
    shown = {event.event_id for event in walk.events}
    given_up = {
        entry.event.event_id: entry.event
        for entry in walk.damaged
        if entry.digest not in waited_for and entry.event is not None and entry.event.event_id not in shown
    }
    events = sorted([*walk.events, *given_up.values()], key=lambda event: event.created)
    waiting = tuple(entry for entry in walk.damaged if entry.digest in waited_for)
    return replace(walk, events=tuple(events), damaged=waiting)


def shows_history(walk: Walk, newest_counted: Sequence[str]) -> bool:
    """Tell whether a walk has shown the history of another user, of whom these are the newest counted events within its reach.

    Then both names are one person's. One of three may have come under a wrong user, or may not be shown; damaged entries may be
    any of them.
    """
    shown = {event.event_id for event in walk.events}
    alike = sum(event_id in shown for event_id in newest_counted) + len(walk.damaged)
    return 2 * alike > len(newest_counted) > 0


def _gone(walk: Walk, open_events: Sequence[KnownEvent], settings: Settings) -> Sequence[KnownEvent]:
    """Return the open events that a walk should have shown and did not.

    One below a truncated walk, or as old as the oldest event of it, may still be there; given up after twice `settle`, it is
    not walked down to for ever.
    """
    shown = {event.event_id for event in walk.events}
    missing = [event for event in open_events if event.event_id not in shown]
    if not walk.truncated:
        return missing
    since = min((event.created.timestamp() for event in walk.events), default=inf)
    return [event for event in missing if event.created > since or walk.asked_at >= event.created + 2 * settings.settle]


def judge_gone(asked_at: float, memory: Memory, settings: Settings) -> Judgement:
    """Judge the open events of a user whom AWS no longer knows."""
    return Judgement(memory.ground._replace(polled_at=asked_at), [*_settled(memory.open_events, asked_at, settings)])


def moved(ground: Ground, walk: Walk, settings: Settings) -> Ground:
    """Return the ground after a walk; a damaged walk makes nothing known."""
    if walk.damaged:
        return ground._replace(polled_at=walk.asked_at)
    newest = walk.events[-1] if walk.events else None
    if newest is not None and newest.created.timestamp() >= (ground.newest or 0.0):
        ground = ground._replace(newest=newest.created.timestamp())
    since = max(ground.first_page_since, walk.first_page_since or 0.0)
    went_deep = walk.depth <= ground.floor
    ground = ground._replace(polled_at=walk.asked_at, first_page_since=since)
    return _rotated(ground, walk, settings.overlap) if went_deep else ground


def as_of_clock(ground: Ground, clock_set_at: float, now: float) -> Ground:
    """Return the ground by a clock that was set at `clock_set_at`: the time since a mark from before that is not known.

    Such a mark counts as set at that moment, and one that lies ahead of the clock as set just now, so that known ground moves
    later than it could, never earlier.
    """
    if ground.mark_at is None:
        return ground
    since = known_since(ground.mark_at, clock_set_at, now)
    return ground if since == ground.mark_at else ground._replace(mark_at=since)


def known_since(since: float, clock_set_at: float, now: float) -> float:
    """Return from when on a time that began at `since` is known to have run, by a clock that was set at `clock_set_at`."""
    if since > now:
        return now
    return clock_set_at if since < clock_set_at <= now else since


def _rotated(ground: Ground, walk: Walk, overlap: float) -> Ground:
    """Move known ground up to a mark that is `overlap` old, and set the next mark.

    A mark never lies past the walk that set it, and its age counts from the first page's answer: younger events may have turned
    up until then. A walk that began before the mark, and is recorded after it, moves nothing.
    """
    if _waits(ground, walk.asked_at, overlap):
        return ground
    newest = None if ground.newest is None else min(ground.newest, walk.asked_at)
    if ground.mark_at is None:
        return ground._replace(mark=newest, mark_at=walk.answered_at)
    if walk.asked_at < ground.mark_at:
        return ground
    floor = ground.floor if ground.mark is None else max(ground.floor, ground.mark)
    return ground._replace(floor=floor, mark=newest, mark_at=walk.answered_at)


def _waits(ground: Ground, now: float, overlap: float) -> bool:
    return ground.mark_at is not None and ground.mark_at <= now < ground.mark_at + overlap


def purpose_of(ground: Ground, settings: Settings, now: float) -> Purpose:
    """Return what a walk is for that begins `now`."""
    if ground.polled_at is None:
        return Purpose.FIRST_WALK
    return Purpose.NEW if _waits(ground, now, settings.overlap) else Purpose.LOOK_BACK


def reach(ground: Ground, oldest_open: float | None, settings: Settings, now: float) -> float:
    """Return how far back (epoch seconds) a walk that begins `now` has to go.

    The first walk reaches the start and back over `recent_window`, so that the gauges are complete. Once each `overlap` a walk
    goes down to known ground, to find what turned up late below the first page; those between stop at the newest event known.
    Every walk reaches the oldest open event.
    """
    depth = {
        Purpose.FIRST_WALK: min(ground.floor, now - settings.recent_window),
        Purpose.LOOK_BACK: ground.floor,
        Purpose.NEW: max(ground.floor, ground.newest or 0.0),
    }[purpose_of(ground, settings, now)]
    return depth if oldest_open is None else min(depth, oldest_open)


def _settled(gone: Sequence[KnownEvent], asked_at: float, settings: Settings) -> Iterator[Update]:
    """Count open events that are no longer shown, as they stood last, once they had `settle` to finish."""
    for event in gone:
        if event.labels is not None and asked_at >= event.created + settings.settle:
            yield _counted(event.event_id, event.created, event.labels)


def _counted(event_id: str, created: float, labels: Labels, extra: tuple[Increment, ...] = ()) -> Update:
    has_feedback = labels.feedback is not None
    if labels.feedback is not None:
        extra = (*extra, Increment(FEEDBACK, labels.feedback))
    after = KnownEvent(event_id, created, Standing.COUNTED, has_feedback)
    return Update(after, labels, True, extra)


class _Judge:
    """Judges the events of one walk in the order of their creation."""

    def __init__(self, walk: Walk, memory: Memory, rules: ValueRules, settings: Settings, judgement: Judgement) -> None:
        self._walk = walk
        self._memory = memory
        self._rules = rules
        self._settings = settings
        self._judgement = judgement
        self._first_walk = memory.ground.polled_at is None
        self._recent_since = walk.asked_at - settings.recent_window
        self._countable_since = max(memory.ground.start, memory.ground.floor)
        self._feedback_since = max(g.first_page_since for g in (memory.ground, *memory.aliases))

    def event(self, event: AuthEvent) -> None:
        """Judge one event and note what it changes."""
        known = self._memory.known.get(event.event_id)
        if known is None:
            self._new(event, event.created.timestamp())
        elif not known.has_nothing_to_say(event):
            self._judgement.updates.append(self._again(event, known))

    def _new(self, event: AuthEvent, created: float) -> None:
        """Judge an event that the ledger does not remember: on a first walk that is every one."""
        if self._countable(created):
            self._judgement.updates.append(self._counted_or_open(event, created, *self._labelled(event)))
        elif self._awaits_feedback(event, created):
            judged = KnownEvent(event.event_id, created, Standing.COUNTED, feedback=False)
            self._judgement.updates.append(_seen_again(judged, self._labelled(event)[0]))
        elif created > self._recent_since:
            judged = KnownEvent(event.event_id, created, Standing.UNCOUNTED, feedback=False)
            self._judgement.updates.append(Update(judged, self._labelled(event)[0]))
        elif self._first_walk:
            self._judgement.sightings.append((self._labelled(event)[0], created))

    def _again(self, event: AuthEvent, known: KnownEvent) -> Update:
        """Judge an event that the ledger remembers."""
        labels, country = self._labelled(event, is_new=False)
        if known.standing is Standing.COUNTED:
            return _seen_again(known, labels)
        if known.standing is Standing.OPEN or self._countable(event.created.timestamp()):
            return self._counted_or_open(event, known.created, labels, country)
        return Update(known, labels)

    def _labelled(self, event: AuthEvent, *, is_new: bool = True) -> tuple[Labels, tuple[Increment, ...]]:
        """Return the labels of an event, and what is added should it be the first from its country."""
        labels = label_event(event, self._rules, is_new=is_new)
        return labels, self._new_country(labels)

    def _countable(self, created: float) -> bool:
        """Tell whether an event not counted so far is to be: above known ground, and not judged under another name."""
        if created < self._countable_since:
            return False
        return not (self._memory.aliases and any(alias.knows(created) for alias in self._memory.aliases))

    def _counted_or_open(
        self, event: AuthEvent, created: float, labels: Labels, country: tuple[Increment, ...]
    ) -> Update:
        if event.response == IN_PROGRESS and self._walk.asked_at < created + self._settings.settle:
            return Update(KnownEvent(event.event_id, created, Standing.OPEN, False, labels), labels)
        return _counted(event.event_id, created, labels, country)

    def _awaits_feedback(self, event: AuthEvent, created: float) -> bool:
        """Tell whether feedback on a counted and forgotten event is to be counted now: it is still in the first page."""
        return (
            event.feedback is not None
            and event.event_id in self._walk.first_page
            and created >= self._feedback_since
            and any(ground.knows(created) for ground in (self._memory.ground, *self._memory.aliases))
        )

    def _new_country(self, labels: Labels) -> tuple[Increment, ...]:
        """Learn the country of a passed sign-in; return the increment where it is new and not the first."""
        if (labels.event_type, labels.response) != ("SignIn", "Pass") or labels.country == UNKNOWN_COUNTRY:
            return ()
        before, new = self._memory.countries, self._judgement.new_countries
        country = country_code(labels.country) or labels.country
        if country in before or country in new:
            return ()
        is_first = not (before or new)
        new.add(country)
        return () if is_first else (Increment(NEW_COUNTRY_SIGN_INS, (labels.country,)),)


def _seen_again(known: KnownEvent, labels: Labels) -> Update:
    """Return how a counted event stands now; feedback that came meanwhile is counted, once."""
    if labels.feedback is None or known.feedback:
        return Update(known, labels)
    return Update(known._replace(feedback=True), labels, extra=(Increment(FEEDBACK, labels.feedback),))
