"""Numbers and durations as people read them."""

_UNITS = ((86_400, "d"), (3_600, "h"), (60, "min"), (1, "s"))
_PARTS = 2


def number_text(number: float) -> str:
    """Return a number with separators: `12,000`, `13.3`, `0.042`."""
    if number >= 1:
        return f"{number:,.1f}".removesuffix(".0")
    return f"{number:.2g}"


def duration_text(seconds: float) -> str:
    """Return a duration in its two greatest units, to the second: `40 min`, `1 h 30 min`, `15 s`."""
    rest, parts = round(seconds), []
    for size, unit in _UNITS:
        count, rest = divmod(rest, size)
        if count:
            parts.append(f"{count:,} {unit}")
        elif parts:
            break
    return " ".join(parts[:_PARTS]) or "less than 1 s"


def counted(number: int, one: str, many: str = "") -> str:
    """Return a number of things: `1 user`, `12,000 users`."""
    return f"{number:,} {one if number == 1 else many or one + 's'}"
