"""Durations as Prometheus users write them: `90s`, `15m`, `1h30m`, `2d`."""

import re

DURATION = re.compile(r"(?=[0-9])(?:([0-9]{1,6})d)?(?:([0-9]{1,6})h)?(?:([0-9]{1,6})m)?(?:([0-9]{1,6})s)?")
_SECONDS = (86_400, 3_600, 60, 1)


def parse_duration(text: object) -> float:
    """Return a duration in seconds; the ValueError says what to write."""
    match = DURATION.fullmatch(text) if isinstance(text, str) else None
    if match is None:
        raise ValueError(
            f"{_quoted(text)} is no duration: write days, hours, minutes and seconds as 2d, 1h30m, 15m or 90s"
        )
    return float(sum(int(number or 0) * unit for number, unit in zip(match.groups(), _SECONDS, strict=True)))


def _quoted(value: object) -> str:
    return f'"{value}"' if isinstance(value, str) else "nothing" if value is None else str(value)
