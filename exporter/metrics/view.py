"""What is committed, as it is shown: the series of one pool under the labels the configuration asks for."""

import heapq
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

from exporter.event.labels import FIELDS, country_label
from exporter.event.pseudonym import pseudonym
from exporter.ledger.counters import COUNTERS, EVENTS, NEW_COUNTRY_SIGN_INS, OTHER, USER_EVENTS
from exporter.ledger.ledger import CounterState, EventState, FailedSignIns, PoolState

_FAILING_FOR = 86_400.0  # seconds after the last failure
_FAILURE_STEPS = {20: "20+", 10: "10-19", 5: "5-9", 3: "3-4", 1: "1-2"}
"""The least number of failures of each step, the highest first."""

Labels = tuple[str, ...]
Shown = tuple[Labels, float, str | None]
"""(labels, value, id of the newest event counted)"""


@dataclass(frozen=True, slots=True)
class Presentation:
    """How labels are shown: the mode for countries, the mode and key for users, the recent window in seconds."""

    country: Literal["code", "name", "none"]
    per_user: Literal["none", "hashed", "plain"]
    hash_key: bytes
    recent_window: float

    def labels(self, family: str, labels: Labels) -> Labels:
        """Return the labels under which a series of the ledger is shown."""
        return tuple(
            self._value(name, value)
            for name, value in zip(COUNTERS[family].labels, labels, strict=True)
            if not (name == "country" and self.country == "none")
        )

    def _value(self, name: str, value: str) -> str:
        if name == "country":
            return country_label(value, self.country)
        if name == "user" and self.per_user == "hashed" and value != OTHER:
            return pseudonym(self.hash_key, value)
        return value

    def shows(self, family: str) -> bool:
        """Tell whether a family is shown at all."""
        hidden = {NEW_COUNTRY_SIGN_INS: self.country == "none", USER_EVENTS: self.per_user == "none"}
        return not hidden.get(family, False)


class PoolView:
    """The committed series and recent events of one pool. It belongs to the event loop's thread."""

    def __init__(self, presentation: Presentation) -> None:
        self._presentation = presentation
        self._series: dict[str, dict[Labels, dict[int, CounterState]]] = {family: {} for family in COUNTERS}
        self._labels: dict[int, Labels] = {}
        self._zeros = {
            family: dict.fromkeys(presentation.labels(family, labels) for labels in counter.zeros())
            for family, counter in COUNTERS.items()
        }
        self._open: dict[str, EventState] = {}
        self._recent = _Recent()
        self._failing: dict[int, FailedSignIns] = {}

    def update(self, change: PoolState, now: float) -> None:
        """Take in what a commit changed; `now` is in epoch seconds."""
        for series in change.forgotten:
            self._forget(series)
        for state in change.counters:
            self._update_series(state)
        for event in change.events:
            self._update_event(event)
        for user, failed in change.failing.items():
            if failed is None:
                self._failing.pop(user, None)
            else:
                self._failing[user] = failed
        self._recent.expire(now - self._presentation.recent_window)

    def _update_series(self, state: CounterState) -> None:
        labels = self._labels.get(state.series)
        if labels is None:
            labels = self._labels[state.series] = self._presentation.labels(state.family, state.labels)
        self._series[state.family].setdefault(labels, {})[state.series] = state

    def _forget(self, series: int) -> None:
        labels = self._labels.pop(series, None)
        for shown in self._series.values():
            if labels in shown and shown[labels].pop(series, None) is not None and not shown[labels]:
                del shown[labels]

    def _update_event(self, event: EventState) -> None:
        if event.is_open:
            self._open[event.event_id] = event
        else:
            self._open.pop(event.event_id, None)
        self._recent.put(event)

    def counters(self, family: str) -> Iterator[Shown]:
        """Yield the series of a counter family."""
        if not self._presentation.shows(family):
            return
        shown = self._series[family]
        for labels in self._zeros[family]:
            if labels not in shown:
                yield labels, 0.0, None
        for labels, members in shown.items():
            values = [state for state in members.values() if state.value is not None]
            if values or labels in self._zeros[family]:
                newest = max(values, key=lambda state: state.last or 0.0, default=None)
                total = float(sum(state.value or 0 for state in values))
                yield labels, total, None if newest is None else newest.exemplar

    def last_events(self) -> Mapping[Labels, float]:
        """Return when the newest event of each label set was created (epoch seconds)."""
        return self._newest(EVENTS, slice(None))

    def user_last_events(self) -> Mapping[Labels, float]:
        """Return when the newest event of each user, event type and response was created (epoch seconds)."""
        return self._newest(USER_EVENTS, slice(3)) if self._presentation.shows(USER_EVENTS) else {}

    def _newest(self, family: str, part: slice) -> dict[Labels, float]:
        newest: dict[Labels, float] = {}
        for labels, members in self._series[family].items():
            for state in members.values():
                if state.last is not None:
                    newest[labels[part]] = max(newest.get(labels[part], 0.0), state.last)
        return newest

    def in_progress(self) -> Mapping[str, int]:
        """Return the number of events in progress by event type."""
        counts = Counter(dict.fromkeys(FIELDS["event_type"], 0))
        counts.update(event.event_type for event in self._open.values())
        return counts

    def failing_users(self, now: float) -> Mapping[str, int]:
        """Return the number of users whose latest sign-ins have all failed, by how many in a row.

        Who has not tried for a day is left out: nothing would end it.
        """
        since = now - _FAILING_FOR
        counts = Counter(dict.fromkeys(_FAILURE_STEPS.values(), 0))
        counts.update(_step(failed.failures) for failed in self._failing.values() if failed.failed_at > since)
        return counts

    def recent(self, now: float) -> tuple[Mapping[Labels, int], Mapping[Labels, int]]:
        """Return the number of recent events, and of distinct users behind them, by label set."""
        self._recent.expire(now - self._presentation.recent_window)
        events: Counter[Labels] = Counter()
        users: dict[Labels, set[int]] = defaultdict(set)
        for event in self._recent.events.values():
            labels = self._labels[event.series]
            events[labels] += 1
            users[labels].add(event.user)
        return events, {labels: len(who) for labels, who in users.items()}


def _step(failures: int) -> str:
    return next(step for least, step in _FAILURE_STEPS.items() if failures >= least)


class _Recent:
    """Events by id, the oldest of which expire first."""

    def __init__(self) -> None:
        self.events: dict[str, EventState] = {}
        self._by_age: list[tuple[float, str]] = []

    def put(self, event: EventState) -> None:
        if event.event_id not in self.events:
            heapq.heappush(self._by_age, (event.created, event.event_id))
        self.events[event.event_id] = event

    def expire(self, before: float) -> None:
        while self._by_age and self._by_age[0][0] <= before:
            del self.events[heapq.heappop(self._by_age)[1]]
