"""How many there are of what comes and goes: recent events and their users, users whose sign-ins fail."""

import heapq
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping

from exporter.ledger.ledger import EventState, FailedSignIns
from exporter.metrics.series import Labels, Series

_FAILING_FOR = 86_400.0  # seconds after the last failure
_MOST_STALE = 4  # times as many places in the line as users, before it is made anew: a user gets one at each failure
FAILURE_STEPS = {20: "20+", 10: "10-19", 5: "5-9", 3: "3-4", 1: "1-2"}
"""The least number of failures of each step, the highest first."""


class Headcount:
    """A gauge that counts; label sets of `always` are shown at zero too."""

    def __init__(self, series: Series, always: Iterable[Labels] = ()) -> None:
        self._series = series
        self._counts = Counter(dict.fromkeys(always, 0))
        self._always = frozenset(self._counts)
        self._changed = dict.fromkeys(self._counts)

    @property
    def counts(self) -> Mapping[Labels, int]:
        """The numbers by label set."""
        return self._counts

    def add(self, labels: Labels, number: int) -> None:
        """Count so many more, or fewer."""
        self._counts[labels] += number
        self._changed[labels] = None
        if not self._counts[labels] and labels not in self._always:
            del self._counts[labels]

    def refresh(self) -> None:
        """Bring the series up to what was counted."""
        changed, self._changed = self._changed, {}
        self._series.put((labels, self._counts.get(labels), None) for labels in changed)


class OpenEvents:
    """The events in progress, by type."""

    def __init__(self, series: Series, event_types: Iterable[str]) -> None:
        self._events: dict[str, Labels] = {}
        self._count = Headcount(series, ((event_type,) for event_type in event_types))

    @property
    def counts(self) -> Mapping[str, int]:
        """The numbers by event type."""
        return {event_type: count for (event_type,), count in self._count.counts.items()}

    def refresh(self) -> None:
        """Bring the series up to what was taken in."""
        self._count.refresh()

    def put(self, event: EventState) -> None:
        """Take in an event as it stands now."""
        before = self._events.pop(event.event_id, None)
        if before is not None:
            self._count.add(before, -1)
        if event.is_open:
            self._events[event.event_id] = (event.event_type,)
            self._count.add((event.event_type,), 1)


class RecentEvents:
    """Events by id, and the users behind them; the oldest expire first."""

    def __init__(self, events: Series, users: Series) -> None:
        self._events: dict[str, tuple[Labels, int]] = {}
        self._by_age: list[tuple[float, str]] = []
        self._users: defaultdict[Labels, Counter[int]] = defaultdict(Counter)
        self._event_count, self._user_count = Headcount(events), Headcount(users)

    @property
    def counts(self) -> Mapping[Labels, int]:
        """The numbers of events by label set."""
        return self._event_count.counts

    def refresh(self) -> None:
        """Bring the series up to what was taken in."""
        self._event_count.refresh()
        self._user_count.refresh()

    def put(self, event: EventState, labels: Labels, before: float) -> None:
        """Take in an event as it stands now, unless it was created up to this moment (epoch seconds): it would only expire."""
        if event.event_id in self._events:
            self._take_out(event.event_id)
        elif event.created > before:
            heapq.heappush(self._by_age, (event.created, event.event_id))
        else:
            return
        self._events[event.event_id] = labels, event.user
        self._event_count.add(labels, 1)
        self._users[labels][event.user] += 1
        if self._users[labels][event.user] == 1:
            self._user_count.add(labels, 1)

    def expire(self, before: float) -> None:
        """Let go of what was created up to this moment (epoch seconds)."""
        while self._by_age and self._by_age[0][0] <= before:
            self._take_out(heapq.heappop(self._by_age)[1])

    def _take_out(self, event_id: str) -> None:
        labels, user = self._events.pop(event_id)
        self._event_count.add(labels, -1)
        self._users[labels][user] -= 1
        if not self._users[labels][user]:
            del self._users[labels][user]
            self._user_count.add(labels, -1)
        if not self._users[labels]:
            del self._users[labels]


class FailingUsers:
    """Users whose latest sign-ins have all failed, by how many in a row.

    Who has not tried for a day is left out: nothing would end it.
    """

    def __init__(self, series: Series) -> None:
        self._users: dict[int, FailedSignIns] = {}
        self._counted: dict[int, Labels] = {}
        self._by_age: list[tuple[float, int]] = []
        self._now = 0.0
        self._count = Headcount(series, ((step,) for step in FAILURE_STEPS.values()))

    def refresh(self) -> None:
        """Bring the series up to what was taken in."""
        self._count.refresh()

    def put(self, user: int, failed: FailedSignIns | None) -> None:
        """Take in the sign-ins of a user that failed in a row, None where the latest did not."""
        self._leave_out(user)
        self._users.pop(user, None)
        if failed is not None:
            self._users[user] = failed
            self._take_in(user)

    def expire(self, now: float) -> None:
        """Leave out who has not tried for a day; `now` is in epoch seconds, and may be before that of the last call."""
        if now < self._now:
            for user in self._users.keys() - self._counted.keys():
                self._take_in(user)
        self._now = now
        while self._by_age and self._by_age[0][0] <= now - _FAILING_FOR:
            failed_at, user = heapq.heappop(self._by_age)
            if user in self._counted and self._users[user].failed_at <= failed_at:
                self._leave_out(user)
        if len(self._by_age) > _MOST_STALE * len(self._counted) + _MOST_STALE:
            self._by_age = [(self._users[user].failed_at, user) for user in self._counted]
            heapq.heapify(self._by_age)

    def _take_in(self, user: int) -> None:
        failed = self._users[user]
        self._counted[user] = _step(failed.failures)
        self._count.add(self._counted[user], 1)
        heapq.heappush(self._by_age, (failed.failed_at, user))

    def _leave_out(self, user: int) -> None:
        step = self._counted.pop(user, None)
        if step is not None:
            self._count.add(step, -1)


def _step(failures: int) -> Labels:
    return (next(step for least, step in FAILURE_STEPS.items() if failures >= least),)
