"""How many events to ask for, so that a poll is one page and no larger than it has to be: most of a call's cost is its events."""

import math

from exporter.fetch.source import FULL_PAGE
from exporter.ledger.ledger import Lookout
from exporter.ledger.rules import Purpose

_SPARE = 4  # the event that shows that known ground is reached, and some for pages in disorder
_FULL_PAGE_EACH = 3600.0  # seconds: feedback on events further down is looked for so often


def page_size(lookout: Lookout, expected: float, *, in_order: bool) -> int:
    """Return how many events to ask for, where `expected` new ones are.

    A full page, where more is to be learned than what is new: by the first walk, and by a look back over more than one known
    event, which moves known ground. And where pages of the pool have not come newest first: a small page shows less of such a
    disorder, by which a walk knows how deep to go.
    """
    is_small = in_order and (
        lookout.purpose is Purpose.NEW or (lookout.purpose is Purpose.LOOK_BACK and lookout.known <= 1)
    )
    return _fitted(lookout.known, expected) if is_small else FULL_PAGE


def _fitted(known: int, expected: float) -> int:
    """Return a size for the events that have to be shown again and the new ones.

    Twice the expected number and thrice its standard deviation (Poisson's): more come rarely, and cost one more request.
    """
    return min(FULL_PAGE, known + math.ceil(2 * expected + 3 * math.sqrt(expected)) + _SPARE)


def is_full_page_due(slot: int, now: float, age: float) -> bool:
    """Tell whether, since the poll `age` seconds ago, the time of the hour has passed at which this user's full page is due.

    Users have different times, by their slots, so that full pages are spread over the hour.
    """
    phase = slot * 0.618034 % 1.0  # multiples of the golden ratio are spread evenly
    return math.floor(now / _FULL_PAGE_EACH + phase) > math.floor((now - age) / _FULL_PAGE_EACH + phase)
