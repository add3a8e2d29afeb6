"""The seam where events come from. Today the API of Cognito is behind it; a log export could be tomorrow."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from exporter.event.event import AuthEvent

FULL_PAGE = 60
"""The most that AdminListUserAuthEvents, ListUsers and ListUsersInGroup give at once."""


@dataclass(frozen=True, slots=True)
class EventPage:
    """One page of a user's history.

    `damaged` counts entries without a usable id or date: what is left of the page is good, but the page does not make its
    stretch of history known. `next_token` is None at the end of the history; an empty page may carry one.
    """

    events: tuple[AuthEvent, ...]
    next_token: str | None
    damaged: int = 0


@dataclass(frozen=True, slots=True)
class ListedUser:
    """A user found by a listing; `created` is the account's creation, aware, in UTC, where the listing says it."""

    username: str
    created: datetime | None


@dataclass(frozen=True, slots=True)
class UserPage:
    """One page of a listing of users."""

    users: Sequence[ListedUser]
    next_token: str | None


class EventSource(Protocol):
    """One user pool. Each call is exactly one HTTP attempt, made in the calling thread.

    Every call raises `FetchError` where no usable answer came, and nothing else.
    """

    def auth_events(self, username: str, token: str | None, limit: int = FULL_PAGE) -> EventPage:
        """Return the page at `token` (the first, newest one for None) of the user's history: `limit` events, 60 at most."""
        ...

    def users(self, filter_expression: str | None, token: str | None) -> UserPage:
        """Return a page of all users of the pool, or of those that the ListUsers filter expression matches."""
        ...

    def users_in_group(self, group: str, token: str | None) -> UserPage:
        """Return a page of the members of a group."""
        ...

    def threat_protection(self) -> str | None:
        """Return the pool's mode in the API's words (`OFF`, `AUDIT`, `ENFORCED`), None where the answer has none."""
        ...

    def close(self) -> None:
        """Give connections back."""
        ...
