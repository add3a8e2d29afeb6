"""Series of the ledger that are shown under one label set: spellings of one country, or all countries where none is shown."""

from collections.abc import Callable, Collection

from exporter.ledger.ledger import CounterState
from exporter.metrics.series import Labels, Series

Merged = tuple[float | None, str | None]
"""A value, None for none, and the id of the event that is its exemplar."""


def total(states: Collection[CounterState]) -> Merged:
    """Return the sum of what was counted."""
    counted = [state.value for state in states if state.value is not None]
    return float(sum(counted)) if counted else None, None


def total_with_exemplar(states: Collection[CounterState]) -> Merged:
    """Return the sum of what was counted, and the id of the newest event among it."""
    counted = [state for state in states if state.value is not None]
    newest_counted = (
        max(counted, key=lambda state: state.last or 0.0) if len(counted) > 1 else next(iter(counted), None)
    )
    return total(counted)[0], newest_counted.exemplar if newest_counted is not None else None


def newest(states: Collection[CounterState]) -> Merged:
    """Return when the newest event was created (epoch seconds)."""
    return max((state.last for state in states if state.last is not None), default=None), None


class MergedSeries:
    """Keeps the series of a family as the ledger's make them; only what has changed is merged anew."""

    def __init__(
        self,
        series: Series,
        merge: Callable[[Collection[CounterState]], Merged],
        *,
        labels: int | None = None,
        zeros: Collection[Labels] = (),
    ) -> None:
        """Merge into series, by as many of the labels, and keep these label sets at zero while nothing is counted there."""
        self._series = series
        self._merge = merge
        self._shown = slice(labels)
        self._zeros = dict.fromkeys(zeros)  # in order
        self._members: dict[Labels, dict[int, CounterState]] = {}
        self._changed: dict[Labels, None] = {}
        for zero in self._zeros:
            series.set(zero, 0.0)

    def put(self, labels: Labels, state: CounterState) -> None:
        """Take in a series of the ledger as it stands now."""
        shown = labels[self._shown]
        if shown not in self._members:
            self._series.remove(shown)  # what has been counted stands behind the zeros
        self._members.setdefault(shown, {})[state.series] = state
        self._changed[shown] = None

    def forget(self, labels: Labels, number: int) -> None:
        """Let go of a series of the ledger."""
        shown = labels[self._shown]
        members = self._members[shown]
        del members[number]
        if not members:
            del self._members[shown]
        self._changed[shown] = None

    def refresh(self) -> None:
        """Bring the series shown up to what was taken in."""
        changed, self._changed = self._changed, {}
        self._series.put(map(self._now, changed))

    def _now(self, labels: Labels) -> tuple[Labels, float | None, str | None]:
        value, event_id = self._merge(self._members.get(labels, {}).values())
        return labels, 0.0 if value is None and labels in self._zeros else value, event_id
