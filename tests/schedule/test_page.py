"""How many events are asked for."""

import pytest

from exporter.fetch.source import FULL_PAGE
from exporter.ledger.ledger import Lookout
from exporter.ledger.rules import Purpose
from exporter.schedule.page import is_full_page_due, page_size


def lookout(purpose: Purpose, known: int) -> Lookout:
    """Return what a walk has to know, for this purpose and so many known events."""
    return Lookout("ada", 0.0, 1, purpose, known)


@pytest.mark.parametrize(
    ("known", "expected", "size"), [(0, 0.0, 4), (1, 0.0, 5), (1, 1.0, 10), (30, 4.0, 48), (59, 0.0, 60), (0, 1e9, 60)]
)
def test_page_holds_what_is_expected(known: int, expected: float, size: int) -> None:
    """A page has room for the events that are known and expected, with some to spare, and is never more than AWS gives."""
    assert page_size(lookout(Purpose.NEW, known), expected, in_order=True) == size <= FULL_PAGE


@pytest.mark.parametrize(
    ("purpose", "known", "in_order", "is_full"),
    [
        (Purpose.NEW, 1, True, False),
        (Purpose.NEW, 1, False, True),
        (Purpose.LOOK_BACK, 0, True, False),
        (Purpose.LOOK_BACK, 1, True, False),
        (Purpose.LOOK_BACK, 2, True, True),
        (Purpose.LOOK_BACK, 1, False, True),
        (Purpose.FIRST_WALK, 0, True, True),
    ],
)
def test_full_pages_where_they_are_needed(purpose: Purpose, known: int, in_order: bool, is_full: bool) -> None:
    """A first walk, what moves known ground, and a pool whose pages come out of order are asked for full pages."""
    assert (page_size(lookout(purpose, known), 0.0, in_order=in_order) == FULL_PAGE) is is_full


@pytest.mark.parametrize("age", [15.0, 900.0, 1800.0])
@pytest.mark.parametrize("slot", [0, 1, 999_999])
def test_full_page_is_due_once_an_hour(slot: int, age: float) -> None:
    """Whoever is polled at least once an hour is asked for a full page in exactly one poll of each hour."""
    times = [1e9 + age * number for number in range(int(10 * 3600 / age))]
    assert sum(is_full_page_due(slot, now, age) for now in times) == 10


def test_full_page_is_due_after_a_long_gap() -> None:
    """Whoever was not polled for an hour or more is asked for a full page."""
    assert all(is_full_page_due(slot, 1e9 + slot, 3600.0) for slot in range(100))
