"""HTML from templates, where every value is escaped unless it was made here."""

import html
from collections.abc import Iterable, Sequence
from string import Template

Cell = tuple[str, str]
"""Class of a table's cell, and what stands in it."""


class Html(str):
    """Text that is HTML already: it is not escaped again."""

    __slots__ = ()


def fill(template: str, **values: str) -> Html:
    """Fill a `string.Template`; what is not Html is escaped, for elements and for quoted attributes."""
    escaped = {key: value if isinstance(value, Html) else html.escape(value) for key, value in values.items()}
    return Html(Template(template).substitute(escaped))


def join(parts: Iterable[Html]) -> Html:
    """Return the parts one after another."""
    return Html("".join(parts))


def mark(kind: str, text: str) -> Html:
    """Return the text as a coloured mark; `kind` is good, warn or bad."""
    return fill('<span class="mark $kind">$text</span>', kind=kind, text=text)


def marked(wrong: bool, kind: str, text: str) -> str:
    """Return the text, marked where something is wrong with it."""
    return mark(kind, text) if wrong else text


def two_lines(first: str, second: str) -> Html:
    """Return two lines, the second one small."""
    return fill("$first<small>$second</small>", first=first, second=second)


def table(caption: str, headings: Sequence[Cell], rows: Iterable[Sequence[Cell]]) -> Html:
    """Return a table; each row's first cell is its heading, and on a telephone each other cell shows its column's.

    The roles say again what the elements are: laid out as cards, browsers would not take them for a table any more.
    """
    head = join(
        fill('<th role="columnheader" scope="col" class="$kind">$text</th>', kind=kind, text=text)
        for kind, text in headings
    )
    body = join(_row([text for _, text in headings], row) for row in rows)
    template = (
        '<div class="card"><table role="table"><caption>$caption</caption>'
        '<thead role="rowgroup"><tr role="row">$head</tr></thead><tbody role="rowgroup">$body</tbody></table></div>'
    )
    return fill(template, caption=caption, head=head, body=body)


def _row(labels: Sequence[str], cells: Sequence[Cell]) -> Html:
    first = fill('<th role="rowheader" scope="row">$text</th>', text=cells[0][1])
    rest = (
        fill(
            '<td role="cell" class="$kind" data-label="$label"><span>$text</span></td>',
            kind=kind,
            label=label,
            text=text,
        )
        for label, (kind, text) in zip(labels[1:], cells[1:], strict=True)
    )
    return fill('<tr role="row">$first$rest</tr>', first=first, rest=join(rest))
