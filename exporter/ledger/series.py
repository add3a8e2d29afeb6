"""The series of the counter families in memory, as committed, and a transaction's changes over them."""

import json
from collections import Counter
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field, replace

from exporter.event.labels import Labels
from exporter.ledger.counters import COUNTERS, EVENTS, USER_EVENTS, event_increments, events_series
from exporter.ledger.database import Database

Key = tuple[int, str, tuple[str, ...]]
"""(pool row, family, labels)"""


@dataclass(slots=True)
class Series:
    """One label set of one family of one pool; rows of the table `series` stand for the same.

    A transaction changes copies of its own, which `SeriesBook.changing` makes.
    """

    id: int
    key: Key
    value: int = 0
    shown: bool = False
    last: float | None = None
    exemplar: str | None = None
    exemplar_at: float | None = None

    def row(self) -> tuple[object, ...]:
        """Return the columns of the table, in their order."""
        pool, family, labels = self.key
        text = json.dumps(labels, ensure_ascii=False, separators=(",", ":"))
        return (self.id, pool, family, text, self.value, self.shown, self.last, self.exemplar, self.exemplar_at)

    def note_event(self, created: float) -> None:
        """Keep the creation of an event of this series, where it is the newest."""
        if self.last is None or created > self.last:
            self.last = created

    def note_exemplar(self, event_id: str, created: float) -> None:
        """Keep an event that was counted in this series, where it is the newest."""
        if created >= (self.exemplar_at or 0.0):
            self.exemplar, self.exemplar_at = event_id, created

    @classmethod
    def of_row(cls, row: tuple[int, int, str, str, int, int, float | None, str | None, float | None]) -> "Series":
        """Return the series that `row()` gave these columns for."""
        series, pool, family, labels, value, shown, last, exemplar, exemplar_at = row
        key = (pool, family, tuple(json.loads(labels)))
        return cls(series, key, value, bool(shown), last, exemplar, exemplar_at)


@dataclass(slots=True)
class Tally:
    """Where events of the same labels stand in one transaction: their series of the events family, and all they are counted in.

    `folded`: one of these stands for label sets beyond `max_series`. `counted` is empty as long as none was counted.
    """

    events: Series
    folded: bool
    counted: list[Series] = field(default_factory=list)


class SeriesBook:
    """All committed series, and those changed by the transaction under way.

    A label set beyond `max_series` of its family and pool is folded: its open label becomes `other`. A series of a family that
    does not stand at zero from the start is held at zero until `held_since` + `series_hold`.
    """

    def __init__(self, rows: Iterable[Series], now: float) -> None:
        self._committed: dict[Key, Series] = {series.key: series for series in rows}
        self._batch: dict[Key, Series] = {}
        self._tallies: dict[tuple[int, Labels], Tally] = {}
        self._keys = {series.id: key for key, series in self._committed.items()}
        self._sizes = Counter(key[:2] for key in self._committed)
        self._next_id = max((series.id for series in self._committed.values()), default=0) + 1
        self._held_since = {s.key: now for s in self._committed.values() if s.value and not s.shown}
        self._zeros = {family: frozenset(counter.zeros()) for family, counter in COUNTERS.items()}

    def of_pool(self, pool: int) -> list[Series]:
        """Return the committed series of a pool."""
        return [series for series in self._committed.values() if series.key[0] == pool]

    def of_users(self, pool: int, names: Collection[str]) -> list[Series]:
        """Return the committed series of single users of a pool."""
        return [series for series in self.of_pool(pool) if series.key[1] == USER_EVENTS and series.key[2][0] in names]

    def forget(self, series: Iterable[Series]) -> None:
        """Let go of committed series that the state has no more."""
        for each in series:
            del self._committed[each.key], self._keys[each.id]
            self._sizes[each.key[:2]] -= 1
            self._held_since.pop(each.key, None)

    def find(self, pool: int, family: str, labels: tuple[str, ...], max_series: int) -> tuple[Series, bool]:
        """Return the series of a label set, made where there is none, and whether the label set was folded into it."""
        key = (pool, family, labels)
        known = self._at(key)
        if known is not None:
            return known, False
        counter = COUNTERS[family]
        if counter.open_label is None or self._sizes[pool, family] < max_series:
            return self._made(key), False
        folded = (pool, family, counter.folded(labels))
        return self._at(folded) or self._made(folded), True

    def _at(self, key: Key) -> Series | None:
        return self._batch.get(key) or self._committed.get(key)

    def _made(self, key: Key) -> Series:
        series = Series(self._next_id, key)
        self._next_id += 1
        self._sizes[key[:2]] += 1
        self._batch[key] = series
        self._keys[series.id] = key
        return series

    def changing(self, series: Series) -> Series:
        """Return a series as the transaction under way may change it; it is told anew after the commit."""
        changing = self._batch.get(series.key)
        if changing is None:
            changing = self._batch[series.key] = replace(series)
        return changing

    def touch(self, number: int) -> Series:
        """Return what `changing` does of the series with this row."""
        key = self._keys[number]
        return self._batch.get(key) or self.changing(self._committed[key])

    def discard(self) -> None:
        """Throw the transaction's changes away."""
        self._batch.clear()
        self._tallies.clear()
        self._keys = {series.id: key for key, series in self._committed.items()}
        self._sizes = Counter(key[:2] for key in self._committed)

    # -- counting ----------------------------------------------------------------------------------------------------------------

    def events_series(self, pool: int, labels: Labels, max_series: int) -> Series:
        """Return the series of the events family under which events of these labels stand, to read."""
        return self.find(pool, EVENTS, events_series(labels), max_series)[0]

    def tally(self, pool: int, labels: Labels, max_series: int) -> Tally:
        """Return where events of these labels stand; made once a transaction, as most events have the labels of many others."""
        tally = self._tallies.get((pool, labels))
        if tally is None:
            series, folded = self.find(pool, EVENTS, events_series(labels), max_series)
            tally = self._tallies[pool, labels] = Tally(self.changing(series), folded)
        return tally

    def count_event(self, pool: int, labels: Labels, tally: Tally, max_series: int) -> None:
        """Count an event in every series that its labels name."""
        if not tally.counted:
            for increment in event_increments(labels):
                series, folded = self.find(pool, *increment, max_series)
                tally.counted.append(self.changing(series))
                tally.folded |= folded
        for series in tally.counted:
            self.add(series)

    def add(self, series: Series) -> None:
        """Add one to a series of the transaction under way."""
        series.value += 1
        series.shown = series.shown or series.key[2] in self._zeros[series.key[1]]

    def release(self, now: float, hold: float) -> None:
        """Show the values of the series whose hold is over."""
        for key, since in self._held_since.items():
            if now < since:  # the clock was set back
                self._held_since[key] = now
            elif now >= since + hold:
                self.changing(self._committed[key]).shown = True

    def note_event(self, number: int, created: float) -> None:
        """Keep the creation of an event of the series with this row, where it is the newest."""
        series = self._at(self._keys[number])
        if series is not None and (series.last is None or created > series.last):
            self.changing(series).note_event(created)

    def write(self, connection: Database, hold: float) -> None:
        """Write the transaction's changes; with no hold set, new series show their value at once."""
        if hold <= 0:
            for series in self._batch.values():
                series.shown = series.shown or series.value > 0
        connection.executemany(
            "INSERT OR REPLACE INTO series VALUES (?,?,?,?,?,?,?,?,?)",
            [series.row() for series in self._batch.values()],
        )

    @property
    def changed(self) -> Collection[Series]:
        """The series that the transaction under way has changed so far."""
        return self._batch.values()

    def committed(self, now: float) -> list[Series]:
        """Take the transaction's changes as committed, and return them."""
        changed = list(self._batch.values())
        self._committed.update(self._batch)
        self._batch.clear()
        self._tallies.clear()
        for series in changed:
            self._follow_hold(series, now)
        return changed

    def _follow_hold(self, series: Series, now: float) -> None:
        if series.value and not series.shown:
            self._held_since.setdefault(series.key, now)
        else:
            self._held_since.pop(series.key, None)

    @property
    def holds(self) -> bool:
        """Tell whether any series is held at zero."""
        return bool(self._held_since)
