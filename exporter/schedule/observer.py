"""What the polling tells of itself as it happens; the metrics listen."""

from enum import StrEnum
from typing import Protocol

from exporter.fetch.outcome import Outcome


class RequestPurpose(StrEnum):
    """What a request is for, so that one can see what the budget is spent on."""

    NEW = "new"
    """The newest events of a user, down to those known."""
    LOOK_BACK = "look_back"
    """Further pages down to known ground, once each `overlap`, for events that turned up late."""
    FIRST_WALK = "first_walk"
    """The history of a user never polled before."""
    DISCOVERY = "discovery"
    """Listings of users, and the pool's mode."""
    RETRY = "retry"
    """Again what has failed."""


class Observer(Protocol):
    """Hears of each request and poll. `request` is called from worker threads."""

    def request(self, user_pool: str, operation: str, outcome: Outcome, seconds: float) -> None:
        """Note that an HTTP attempt has ended."""
        ...

    def spent(self, user_pool: str, purpose: RequestPurpose) -> None:
        """Note what a request of the budget is spent on."""
        ...

    def poll(self, user_pool: str, outcome: Outcome) -> None:
        """Note that a poll of one user has ended."""
        ...

    def discovery(self, user_pool: str, outcome: Outcome) -> None:
        """Note that a pool's selectors were followed, by the outcome of the first that could not be, else `ok`."""
        ...

    def truncated_poll(self, user_pool: str) -> None:
        """Note that a history went deeper than `max_pages`: events may be missing."""
        ...
