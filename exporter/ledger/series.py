"""The series of the counter families in memory, as committed, and a transaction's changes over them."""

import json
import sqlite3
from collections import ChainMap, Counter
from collections.abc import Iterable, MutableMapping
from dataclasses import dataclass, replace

from exporter.ledger.counters import COUNTERS, Increment

Key = tuple[int, str, tuple[str, ...]]
"""(pool row, family, labels)"""


@dataclass(frozen=True, slots=True)
class Series:
    """One label set of one family of one pool; rows of the table `series` stand for the same."""

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

    @classmethod
    def of_row(cls, row: tuple[int, int, str, str, int, int, float | None, str | None, float | None]) -> "Series":
        """Return the series that `row()` gave these columns for."""
        series, pool, family, labels, value, shown, last, exemplar, exemplar_at = row
        key = (pool, family, tuple(json.loads(labels)))
        return cls(series, key, value, bool(shown), last, exemplar, exemplar_at)


class SeriesBook:
    """All committed series, and those changed by the transaction under way.

    A label set beyond `max_series` of its family and pool is folded: its open label becomes `other`. A series of a family that
    does not stand at zero from the start is held at zero until `held_since` + `series_hold`.
    """

    def __init__(self, rows: Iterable[Series], now: float) -> None:
        self._committed: dict[Key, Series] = {series.key: series for series in rows}
        self._batch: dict[Key, Series] = {}
        self._view: MutableMapping[Key, Series] = ChainMap(self._batch, self._committed)
        self._keys = {series.id: key for key, series in self._committed.items()}
        self._sizes = Counter(key[:2] for key in self._committed)
        self._next_id = max((series.id for series in self._committed.values()), default=0) + 1
        self._held_since = {s.key: now for s in self._committed.values() if s.value and not s.shown}
        self._zeros = {family: frozenset(counter.zeros()) for family, counter in COUNTERS.items()}

    def of_pool(self, pool: int) -> list[Series]:
        """Return the committed series of a pool."""
        return [series for series in self._committed.values() if series.key[0] == pool]

    def find(self, pool: int, family: str, labels: tuple[str, ...], max_series: int) -> tuple[Series, bool]:
        """Return the series of a label set, made where there is none, and whether the label set was folded into it."""
        key = (pool, family, labels)
        known = self._view.get(key)
        if known is not None:
            return known, False
        counter = COUNTERS[family]
        if counter.open_label is None or self._sizes[pool, family] < max_series:
            return self._made(key), False
        folded = (pool, family, counter.folded(labels))
        return self._view.get(folded) or self._made(folded), True

    def _made(self, key: Key) -> Series:
        series = Series(self._next_id, key)
        self._next_id += 1
        self._sizes[key[:2]] += 1
        self._batch[key] = series
        self._keys[series.id] = key
        return series

    def discard(self) -> None:
        """Throw the transaction's changes away."""
        self._batch.clear()
        self._keys = {series.id: key for key, series in self._committed.items()}
        self._sizes = Counter(key[:2] for key in self._committed)

    def add(self, series: Series, exemplar: tuple[str, float] | None) -> Series:
        """Add one; `exemplar` (event id, creation) is kept where it is the newest."""
        current = self._view[series.key]
        shown = current.shown or series.key[2] in self._zeros[series.key[1]]
        current = replace(current, value=current.value + 1, shown=shown)
        if exemplar is not None and exemplar[1] >= (current.exemplar_at or 0.0):
            current = replace(current, exemplar=exemplar[0], exemplar_at=exemplar[1])
        self._batch[series.key] = current
        return current

    def touch(self, *ids: int | None) -> None:
        """Have these series told anew after the commit: how their events stand has changed."""
        for number in ids:
            if number is not None:
                key = self._keys[number]
                self._batch.setdefault(key, self._view[key])

    def forget_event(self, number: int, created: float) -> None:
        """Keep the creation of a forgotten event of a series, where it is the newest."""
        key = self._keys[number]
        current = self._view[key]
        if created > (current.last or 0.0):
            self._batch[key] = replace(current, last=created)

    def release(self, now: float, hold: float) -> None:
        """Show the values of the series whose hold is over."""
        for key, since in self._held_since.items():
            if now < since:  # the clock was set back
                self._held_since[key] = now
            elif now >= since + hold:
                self._batch[key] = replace(self._view[key], shown=True)

    def write(self, connection: sqlite3.Connection, hold: float) -> None:
        """Write the transaction's changes; with no hold set, new series show their value at once."""
        if hold <= 0:
            self._batch.update(
                {key: replace(s, shown=True) for key, s in self._batch.items() if s.value and not s.shown}
            )
        connection.executemany(
            "INSERT OR REPLACE INTO series VALUES (?,?,?,?,?,?,?,?,?)",
            [series.row() for series in self._batch.values()],
        )

    def committed(self, now: float) -> list[Series]:
        """Take the transaction's changes as committed, and return them."""
        changed = list(self._batch.values())
        self._committed.update(self._batch)
        self._batch.clear()
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


def add_all(
    book: SeriesBook, pool: int, increments: Iterable[Increment], max_series: int, exemplar: tuple[str, float]
) -> bool:
    """Add the increments of one event; tell whether one of them was folded."""
    was_folded = False
    for increment in increments:
        series, folded = book.find(pool, increment.family, increment.labels, max_series)
        book.add(series, exemplar if increment.family == "events" else None)
        was_folded |= folded
    return was_folded
