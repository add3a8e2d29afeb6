"""What the pages are put together from."""

import textwrap
from collections.abc import Iterable, Sequence

NOTE = "<!-- Made from the code by `make docs`: change what stands there, not this page. -->"
"""What each page begins with: whoever opens the file is to know."""


_LONGEST_LINE = 150


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a table; a bar in a cell is written so that it does not end it."""
    return "\n".join((_row(head), "|" + "---|" * len(head), *map(_row, rows)))


def _row(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def prose(text: str) -> str:
    """Return sentences in lines that are not too long."""
    return textwrap.fill(text, _LONGEST_LINE, break_long_words=False, break_on_hyphens=False)


def code(text: str) -> str:
    """Return a word as code, nothing where there is none."""
    return f"`{text}`" if text else ""


def codes(words: Iterable[str]) -> str:
    """Return words as code, with commas between."""
    return ", ".join(map(code, words))


def page(*parts: str) -> str:
    """Return a page of these parts, an empty line between each."""
    return "\n\n".join((NOTE, *(part.strip() for part in parts))) + "\n"
