"""Times, lengths of time and rates, as people read them."""

import itertools
from datetime import UTC, datetime

_UNITS = ((86400, "d"), (3600, "h"), (60, "m"), (1, "s"))


def duration(seconds: float) -> str:
    """Return a length of time in its two largest units, as `1h 30m`; negative ones, of clocks that differ, as `0s`."""
    rest = max(0, round(seconds))
    for (large, large_unit), (small, small_unit) in itertools.pairwise(_UNITS):
        if rest >= large:
            few = rest % large // small
            return f"{rest // large}{large_unit}" + (f" {few}{small_unit}" if few else "")
    return f"{rest}s"


def ago(at: float | None, now: float) -> str:
    """Return how long ago something was; None is never."""
    return "never" if at is None else f"{duration(now - at)} ago"


def utc(at: float) -> str:
    """Return a time in epoch seconds as date and time of day."""
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def rate(per_second: float) -> str:
    """Return a rate without digits that say nothing."""
    return f"{per_second:,.2f}".rstrip("0").rstrip(".")


def many(number: int, one: str) -> str:
    """Return the number with its noun, as `1 pool` and `2 pools`."""
    return f"{number:,} {one}" if number == 1 else f"{number:,} {one}s"
