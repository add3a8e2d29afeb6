"""The seam where events come from. Today the API of Cognito is behind it; a log export could be tomorrow."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple, Protocol

from exporter.event.event import AuthEvent

FULL_PAGE = 60
"""The most that AdminListUserAuthEvents, ListUsers and ListUsersInGroup give at once."""


class DamagedEntry(NamedTuple):
    """An entry of a page that is not what the API describes: without a usable id or date, or with a member of a wrong type.

    `digest` stands for its content, the same whenever it is shown so. `event` is what can be read of it, wrong members taken for
    absent ones; None without a usable id or date.
    """

    digest: str
    event: AuthEvent | None


@dataclass(frozen=True, slots=True)
class EventPage:
    """One page of a user's history.

    What is left of a page beside `damaged` entries is good, but the page does not make its stretch of history known.
    `next_token` is None at the end of the history; an empty page may carry one.
    """

    events: tuple[AuthEvent, ...]
    next_token: str | None
    damaged: tuple[DamagedEntry, ...] = ()


@dataclass(frozen=True, slots=True)
class ListedUser:
    """A user found by a listing, or `by_name` where the configuration or a file names them.

    `created` is the account's creation, aware, in UTC, where the listing says it; `enabled` is False for who may not sign in.
    """

    username: str
    created: datetime | None
    enabled: bool = True
    by_name: bool = False


@dataclass(frozen=True, slots=True)
class UserPage:
    """One page of a listing of users."""

    users: Sequence[ListedUser]
    next_token: str | None


@dataclass(frozen=True, slots=True)
class PoolDescription:
    """What a pool says of itself, None where it does not.

    `threat_protection` is the mode in the API's words (`OFF`, `AUDIT`, `ENFORCED`), `estimated_users` their number, roughly.
    """

    threat_protection: str | None
    estimated_users: int | None


@dataclass(frozen=True, slots=True)
class Caller:
    """Who asks: the AWS account (12 digits) and the ARN of the user or the role's session."""

    account: str
    arn: str


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

    def describe(self) -> PoolDescription:
        """Return what the pool says of itself."""
        ...

    def caller(self) -> Caller:
        """Return who asks, by STS: this spends nothing of Cognito's quotas.

        Raises `StandInError`, without a request, where the pool is at a stand-in for Cognito and STS would be AWS's own.
        """
        ...

    def sent_at(self) -> float | None:
        """Return when (`time.monotonic`) the oldest request under way was sent to the pool, None where none has been.

        Whoever waits for credentials has not sent one: how long that takes is up to STS, or to a program of the user's.
        """
        ...

    def close(self) -> None:
        """Give connections back."""
        ...
