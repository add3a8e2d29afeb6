"""What a part of the bench found: rows of one Markdown table."""

from collections.abc import Iterable
from dataclasses import astuple, dataclass
from typing import Literal

_HEAD = ("part", "case", "figure", "ratio or value", "goal", "met")
_MET = {True: "yes", False: "no", None: "-"}
_SIGNS = {"<=": "≤", ">=": "≥"}


@dataclass(frozen=True, slots=True)
class Row:
    """One figure; `unit` is empty for a ratio, `met` is None where there is no goal."""

    part: str
    case: str
    figure: str
    value: float
    unit: str
    goal: str
    met: bool | None


@dataclass(frozen=True, slots=True)
class Goal:
    """A bound that a figure is to keep."""

    sign: Literal["<=", ">="]
    limit: float

    def __str__(self) -> str:
        return f"{_SIGNS[self.sign]} {number(self.limit)}"

    def is_met(self, value: float) -> bool:
        """Tell whether the value keeps the bound."""
        return value <= self.limit if self.sign == "<=" else value >= self.limit


def row(part: str, case: str, figure: str, value: float, unit: str = "", goal: Goal | None = None) -> Row:
    """Return a row, judged by its goal if it has one."""
    if goal is None:
        return Row(part, case, figure, value, unit, "-", None)
    return Row(part, case, figure, value, unit, f"{goal} {unit}".strip(), goal.is_met(value))


def markdown(rows: Iterable[Row]) -> str:
    """Return the rows as a Markdown table."""
    lines = [_HEAD, ("---",) * len(_HEAD), *map(_cells, rows)]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def _cells(one: Row) -> tuple[str, ...]:
    part, case, figure, value, unit, goal, met = astuple(one)
    return part, case, figure, f"{number(value)} {unit}".strip(), goal, _MET[met]


def number(value: float) -> str:
    """Return three significant digits, and all those before the point."""
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"  # noqa: PLR2004 - three digits
