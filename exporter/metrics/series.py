"""The series of one metric family as lines: each is rendered when it has changed, and kept until it changes again."""

from collections.abc import Iterable, Mapping, Sequence
from threading import Lock
from typing import Protocol

from exporter.metrics import rendering
from exporter.metrics.families import Family

Labels = tuple[str, ...]


class Block(Protocol):
    """Lines of one family, beside those of other blocks."""

    def lines(self, *, openmetrics: bool) -> bytes:
        """Return all lines; only those that have changed are rendered."""
        ...


class Series:
    """Counters or gauges of one family, by label values.

    `names` are the labels that are shown, by default all of the family's. `fixed` are values of the first of them, the
    same in every series and not told again. Any thread may call.
    """

    def __init__(self, family: Family, names: Sequence[str] | None = None, fixed: Labels = ()) -> None:
        self.family = family
        self._names = family.labels if names is None else names
        self._fixed = fixed
        self._lock = Lock()
        self._values: dict[Labels, float] = {}
        self._event_ids: dict[Labels, str] = {}
        self._changed: dict[Labels, None] = {}
        self._prefixes: dict[Labels, str] = {}
        self._lines: dict[Labels, str] = {}
        self._exemplars: dict[Labels, str] = {}
        self._blocks: dict[bool, bytes] = {}

    def set(self, labels: Labels, value: float, event_id: str | None = None) -> None:
        """Set a value; the event is its exemplar, if its id is not too long for one."""
        with self._lock:
            self._set(labels, value, event_id)

    def put(self, values: Iterable[tuple[Labels, float | None, str | None]]) -> None:
        """Set many at once, as `set` does; a value of None takes the series away, if there is one."""
        with self._lock:
            for labels, value, event_id in values:
                if value is None:
                    self._remove(labels)
                else:
                    self._set(labels, value, event_id)

    def inc(self, labels: Labels = (), amount: float = 1.0) -> None:
        """Add to a value; adding nothing shows the series from the start."""
        with self._lock:
            self._set(labels, self._values.get(labels, 0.0) + amount, None)

    def remove(self, labels: Labels) -> None:
        """Take a series away, if there is one."""
        with self._lock:
            self._remove(labels)

    def remove_pool(self, user_pool: str) -> None:
        """Take away all series whose first label is this."""
        with self._lock:
            for labels in [labels for labels in self._values if labels[0] == user_pool]:
                self._remove(labels)

    def replace(self, values: Mapping[Labels, float]) -> None:
        """Set all values there are; only what differs is rendered anew."""
        with self._lock:
            for labels in self._values.keys() - values.keys():
                self._remove(labels)
            for labels, value in values.items():
                self._set(labels, value, None)

    def lines(self, *, openmetrics: bool) -> bytes:
        """Return all lines, the same object as long as nothing has changed."""
        with self._lock:
            if self._changed:
                self._render_changed()
            with_exemplars = openmetrics and bool(self._exemplars)  # nothing else differs between the formats
            if with_exemplars not in self._blocks:
                self._blocks[with_exemplars] = self._joined(self._exemplars if with_exemplars else {})
            return self._blocks[with_exemplars]

    def _set(self, labels: Labels, value: float, event_id: str | None) -> None:
        if self._values.get(labels) != value or self._event_ids.get(labels) != event_id:
            self._values[labels] = value
            self._changed[labels] = None
            if event_id is None:
                self._event_ids.pop(labels, None)
            else:
                self._event_ids[labels] = event_id

    def _remove(self, labels: Labels) -> None:
        if labels in self._values:
            for kept in (self._values, self._event_ids, self._changed, self._prefixes, self._lines, self._exemplars):
                kept.pop(labels, None)
            self._blocks.clear()

    def _render_changed(self) -> None:
        prefixes, values, number = self._prefixes, self._values, rendering.number
        self._add_prefixes([labels for labels in self._changed if labels not in prefixes])
        self._lines |= {labels: prefixes[labels] + number(values[labels]) for labels in self._changed}
        if self._event_ids or self._exemplars:
            self._render_exemplars()
        self._changed.clear()
        self._blocks.clear()

    def _add_prefixes(self, new: Sequence[Labels]) -> None:
        rendered = rendering.prefixes(self.family, self._names, ((*self._fixed, *labels) for labels in new))
        self._prefixes.update((labels, prefix) for labels, (prefix,) in zip(new, rendered, strict=True))

    def _render_exemplars(self) -> None:
        shown: dict[Labels, str] = {}
        for labels in self._changed:
            self._exemplars.pop(labels, None)
            event_id = self._event_ids.get(labels)
            if event_id is not None and rendering.is_exemplar(event_id):
                shown[labels] = event_id
        self._exemplars.update(zip(shown, rendering.exemplars(shown.values()), strict=True))

    def _joined(self, exemplars: Mapping[Labels, str]) -> bytes:
        lines: Iterable[str] = self._lines.values()
        if exemplars:
            lines = [line + exemplars.get(labels, "") for labels, line in self._lines.items()]
        return "\n".join([*lines, ""]).encode()
