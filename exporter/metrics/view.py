"""What is committed, as it is shown: the series of one pool under the labels the configuration asks for."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

from exporter.event.labels import FIELDS, country_label
from exporter.event.pseudonym import pseudonym
from exporter.ledger.counters import COUNTERS, EVENTS, OTHER, USER_EVENTS
from exporter.ledger.ledger import CounterState, PoolState
from exporter.metrics import families
from exporter.metrics.families import COMMITTED, COUNTED, Family
from exporter.metrics.gauges import FailingUsers, OpenEvents, RecentEvents
from exporter.metrics.merged import MergedSeries, newest, total, total_with_exemplar
from exporter.metrics.series import Block, Labels, Series

_NEWEST = {EVENTS: (families.LAST_EVENT, None), USER_EVENTS: (families.USER_LAST_EVENT, 3)}
"""By counter of the ledger, the gauge of when its newest event was, and by how many of its labels."""


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

    def names(self, family: Family) -> Labels:
        """Return the names of the labels that a family is shown with."""
        return tuple(name for name in family.labels if not (name == "country" and self.country == "none"))

    def shows(self, family: Family) -> bool:
        """Tell whether a family is shown at all."""
        hidden = {
            families.NEW_COUNTRY_SIGN_INS.name: self.country == "none",
            families.USER_EVENTS.name: self.per_user == "none",
            families.USER_LAST_EVENT.name: self.per_user == "none",
        }
        return not hidden.get(family.name, False)


class Refreshed(Protocol):
    """What notes changes, and writes them to its series when they are to be shown."""

    def refresh(self) -> None:
        """Bring the series up to what was noted."""
        ...


class PoolView:
    """The committed series and recent events of one pool. It belongs to the event loop's thread.

    A commit notes what it has changed, and a scrape renders that: neither goes through all there is.
    """

    def __init__(self, user_pool: str, presentation: Presentation) -> None:
        self._presentation = presentation
        self._labels: dict[int, tuple[str, Labels]] = {}
        self._series = {
            family.name: Series(family, presentation.names(family), fixed=(user_pool,))
            for family in COMMITTED
            if presentation.shows(family)
        }
        self._merged = dict(self._all_merged())
        series = self._series
        self._recent = RecentEvents(series[families.RECENT_EVENTS.name], series[families.RECENT_USERS.name])
        self._open = OpenEvents(series[families.IN_PROGRESS.name], FIELDS["event_type"])
        self._failing = FailingUsers(series[families.FAILING_USERS.name])
        every = (merged for family in self._merged.values() for merged in family)
        self._sources: Sequence[Refreshed] = (*every, self._recent, self._open, self._failing)

    def _all_merged(self) -> Iterator[tuple[str, list[MergedSeries]]]:
        """Yield what each family of the ledger is shown as; a family that is not shown as nothing."""
        for family in COUNTED:
            yield str(family.counts), list(self._merged_of(family)) if family.name in self._series else []

    def _merged_of(self, family: Family) -> Iterator[MergedSeries]:
        counts = str(family.counts)
        zeros = [self._presentation.labels(counts, labels) for labels in COUNTERS[counts].zeros()]
        merge = total_with_exemplar if family is families.EVENTS else total
        yield MergedSeries(self._series[family.name], merge, zeros=zeros)
        if counts in _NEWEST:
            gauge, labels = _NEWEST[counts]
            yield MergedSeries(self._series[gauge.name], newest, labels=labels)

    def update(self, change: PoolState, now: float) -> None:
        """Take in what a commit changed; `now` is in epoch seconds."""
        for number in change.forgotten:
            self._forget(number)
        for state in change.counters:
            self._put(state)
        before = now - self._presentation.recent_window
        for event in change.events:
            self._open.put(event)
            self._recent.put(event, self._labels[event.series][1], before)
        for user, failed in change.failing.items():
            self._failing.put(user, failed)
        self.expire(now)

    def _put(self, state: CounterState) -> None:
        known = self._labels.get(state.series)
        if known is None:
            known = self._labels[state.series] = state.family, self._presentation.labels(state.family, state.labels)
        for merged in self._merged[state.family]:
            merged.put(known[1], state)

    def _forget(self, number: int) -> None:
        if number in self._labels:
            family, labels = self._labels.pop(number)
            for merged in self._merged[family]:
                merged.forget(labels, number)

    def expire(self, now: float) -> None:
        """Let go of what is not recent any more; `now` is in epoch seconds."""
        self._recent.expire(now - self._presentation.recent_window)
        self._failing.expire(now)

    def blocks(self, now: float) -> Mapping[str, Block]:
        """Return the series of each family that is shown, by its name; `now` is in epoch seconds."""
        self.expire(now)
        for source in self._sources:
            source.refresh()
        return self._series

    def recent_events(self) -> Mapping[Labels, int]:
        """Return the number of recent events by label set, as of the last `expire`."""
        return self._recent.counts

    def in_progress(self) -> Mapping[str, int]:
        """Return the number of events in progress by event type."""
        return self._open.counts
