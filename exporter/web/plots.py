"""Small horizontal bar plots as inline SVG, drawn on the server.

All colours and fonts are the stylesheet's, as the Content-Security-Policy allows no style of an element's own. Widths are
shares of whatever room there is and heights are in em, so that a plot is as sharp on a telephone as on a wall.
"""

import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from exporter.schedule.status import Recent
from exporter.web.markup import Html, fill, join
from exporter.web.words import duration

_MOST_BARS = 8
_ROW = 2.25  # em
_LONGEST_NAME = 30  # columns of text; beyond, letters would run into the number in a narrow plot
_LEAST_BAR = 0.75  # per cent: one event among a million is seen


@dataclass(frozen=True, slots=True)
class Dimension:
    """What events are counted by. The values in `tones` stand first, in this order and in these colours, zeros too."""

    title: str
    tones: Mapping[str, str] = field(default_factory=dict)


DIMENSIONS_SHOWN: Mapping[str, Dimension] = {
    "event_type": Dimension("Event types"),
    "response": Dimension("Responses", {"Pass": "good", "Fail": "bad", "InProgress": "warn"}),
    "risk_level": Dimension("Risk levels", {"High": "bad", "Medium": "warn", "Low": "plain", "None": "none"}),
    "country": Dimension("Countries"),
}
"""By the key of the status."""


@dataclass(frozen=True, slots=True)
class Bar:
    """One row of a plot; `tone` is the class of its colour."""

    name: str
    count: int
    tone: str = "plain"


def bars(dimension: Dimension, counts: Mapping[str, int]) -> Sequence[Bar]:
    """Return the rows of a plot: values that have a meaning, then the others by count, the rest in one."""
    known = [Bar(value, counts.get(value, 0), tone) for value, tone in dimension.tones.items()]
    others = sorted(counts.keys() - dimension.tones.keys(), key=lambda value: (-counts[value], value))
    free = _MOST_BARS - len(known)
    shown = [Bar(value, counts[value]) for value in others[:free]]
    rest = others[free:]
    more = [Bar(f"{len(rest)} more", sum(counts[value] for value in rest), "none")] if rest else []
    return [*known, *shown, *more]


def plots(pool: str, anchor: str, recent: Recent | None, window: float) -> Html:
    """Return a pool's plots, or the sentence that says why there are none; `anchor` makes their ids unique."""
    if recent is None:
        return Html('<p class="quiet">Not known yet: no poll has been answered.</p>')
    if not any(recent["event_type"].values()):
        return fill('<p class="quiet">No events in the last $window.</p>', window=duration(window))
    drawn = (
        _plot(DIMENSIONS_SHOWN[name], counts, f"{anchor}-{name}", f"{pool}, last {duration(window)}")
        for name, counts in recent.items()
    )
    return fill('<div class="plots">$plots</div>', plots=join(drawn))


def _plot(dimension: Dimension, counts: Mapping[str, int], anchor: str, of: str) -> Html:
    rows = bars(dimension, counts)
    most = max(bar.count for bar in rows)
    return fill(
        '<figure><figcaption>$title</figcaption><svg class="plot" role="img" aria-labelledby="$anchor-title" '
        'aria-describedby="$anchor-numbers" width="100%" height="${height}em"><title id="$anchor-title">$title of $of</title>'
        '<desc id="$anchor-numbers">$numbers</desc>$rows</svg></figure>',
        title=dimension.title,
        of=_isolated(of),
        anchor=anchor,
        height=f"{len(rows) * _ROW:g}",
        numbers="; ".join(f"{_isolated(bar.name)}: {bar.count:,}" for bar in rows) + ".",
        rows=join(_row(bar, most, index * _ROW) for index, bar in enumerate(rows)),
    )


def _row(bar: Bar, most: int, top: float) -> Html:
    """Return a name and its number above their bar; a svg within a svg cuts off whatever is wider than it."""
    return fill(
        '<svg y="${top}em" width="100%" height="2em"><svg width="74%"><text y="1.05em">$name</text></svg>'
        '<text class="count" x="100%" y="1.05em" text-anchor="end">$count</text>'
        '<rect class="track" y="1.4em" width="100%" height="0.4em" rx="2"/>'
        '<rect class="$tone" y="1.4em" width="$width%" height="0.4em" rx="2"/></svg>',
        top=f"{top:g}",
        name=_isolated(_cut(bar.name)),
        count=f"{bar.count:,}",
        tone=bar.tone,
        width=f"{max(_LEAST_BAR, 100 * bar.count / most) if bar.count else 0:.4g}",
    )


def _isolated(name: str) -> str:
    """Return a name that turns nothing around it, whatever its direction (https://www.unicode.org/reports/tr9/)."""
    return f"\u2068{name}\u2069"


def _cut(name: str) -> str:
    """Return the name, or its beginning where it is too long to be shown."""
    if sum(_columns(name)) <= _LONGEST_NAME:
        return name
    kept, room = 0, _LONGEST_NAME - 1
    for columns in _columns(name):
        room -= columns
        if room < 0:
            break
        kept += 1
    return f"{name[:kept].rstrip()}…"


def _columns(name: str) -> Iterator[int]:
    """Yield how many columns each character takes: two for those of East Asia (https://www.unicode.org/reports/tr11/)."""
    for character in name:
        if unicodedata.combining(character):
            yield 0
        else:
            yield 2 if unicodedata.east_asian_width(character) in "WF" else 1
