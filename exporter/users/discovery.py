"""Turns a pool's selectors into users: names and files at once, groups and filters by listing the pool."""

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

from exporter.configuration.errors import ConfigError
from exporter.configuration.models import Selectors
from exporter.fetch.outcome import FetchError, Outcome
from exporter.fetch.source import EventSource, ListedUser, UserPage

_HOPELESS = frozenset({Outcome.NOT_AUTHORIZED, Outcome.CREDENTIALS, Outcome.CONNECTION, Outcome.TIMEOUT})
"""Outcomes that the next selector with the same operation would meet too."""

Request = Callable[[str, Callable[[], UserPage]], Awaitable[UserPage]]
"""(operation, call) -> page: makes the call in a worker thread, within the budget."""

Read = Callable[[Path], Awaitable[Sequence[str]]]
"""File of user names -> the names, read in a worker thread; raises `ConfigError`."""


@dataclass(frozen=True, slots=True)
class Failure:
    """A selector that could not be followed: its place below `users` in the configuration, and why."""

    selector: str
    outcome: Outcome
    message: str


@dataclass(slots=True)
class Discovery:
    """The users found, by name, without the excluded ones, and the selectors that failed."""

    users: dict[str, ListedUser] = field(default_factory=dict)
    failures: list[Failure] = field(default_factory=list)
    unmatched: list[str] = field(default_factory=list)
    """Selectors that were followed and name nobody."""

    def fail(self, place: str, error: FetchError) -> None:
        """Note that a selector could not be followed."""
        self.failures.append(Failure(place, error.outcome, str(error)))

    @property
    def complete(self) -> bool:
        """Tell whether every selector was followed to its end, so that whoever is missing is no longer selected."""
        return not self.failures


async def discover(selectors: Selectors, source: EventSource, request: Request, read: Read) -> Discovery:
    """Follow every selector of a pool; one that fails does not keep the others from being followed."""
    found = Discovery()
    for name in selectors.usernames:
        _add(found, selectors, ListedUser(name, None))
    for index, path in enumerate(selectors.files):
        await _read(found, selectors, f"files[{index}]", partial(read, path))
    refused: dict[str, FetchError] = {}
    for place, operation, page_at in _listings(selectors, source):
        if operation in refused:
            found.fail(place, refused[operation])
            continue
        error = await _list(found, selectors, place, _pages(operation, page_at, request))
        if error is not None and error.outcome in _HOPELESS:
            refused[operation] = error
    return found


PageAt = Callable[[str | None], UserPage]


def _listings(selectors: Selectors, source: EventSource) -> list[tuple[str, str, PageAt]]:
    """Return (place in the configuration, operation, call for a token) of each selector that has to list."""
    groups = [
        (f"groups[{index}]", "ListUsersInGroup", partial(source.users_in_group, group))
        for index, group in enumerate(selectors.groups)
    ]
    filters = [
        (f"filters[{index}]", "ListUsers", partial(source.users, expression))
        for index, expression in enumerate(selectors.filters)
    ]
    everybody = [("all", "ListUsers", partial(source.users, None))] if selectors.all else []
    return [*groups, *filters, *everybody]


def _add(found: Discovery, selectors: Selectors, user: ListedUser) -> None:
    """Take a user in, unless excluded; a listing's word on the creation is kept."""
    known = found.users.get(user.username)
    if user.username not in selectors.exclude and (known is None or known.created is None):
        found.users[user.username] = user


async def _read(
    found: Discovery, selectors: Selectors, place: str, read: Callable[[], Awaitable[Sequence[str]]]
) -> None:
    try:
        names = await read()
    except ConfigError as error:
        found.failures.append(Failure(place, Outcome.OTHER, str(error)))
        return
    for name in names:
        _add(found, selectors, ListedUser(name, None))
    if not names:
        found.unmatched.append(place)


async def _list(
    found: Discovery, selectors: Selectors, place: str, pages: AsyncIterator[UserPage]
) -> FetchError | None:
    """Take in whom a selector lists; return the error that kept it from being followed to its end."""
    listed = 0
    try:
        async for page in pages:
            listed += len(page.users)
            for user in page.users:
                _add(found, selectors, user)
    except FetchError as error:
        found.fail(place, error)
        return error
    if not listed:
        found.unmatched.append(place)
    return None


async def _pages(operation: str, page_at: PageAt, request: Request) -> AsyncIterator[UserPage]:
    token: str | None = None
    tokens: set[str] = set()
    while True:
        page = await request(operation, partial(page_at, token))
        yield page
        token = page.next_token
        if token is None:
            return
        if token in tokens:
            raise FetchError(Outcome.MALFORMED, f"{operation} repeated a token")
        tokens.add(token)


def start_rule(start: str | float | datetime) -> Callable[[float, float | None, float | None], float]:
    """Return when counting starts for a user, by `counting.start`; all times in epoch seconds.

    The rule takes the moment of the first selection, the user's creation and the pool's first discovery, the latter two None
    where unknown. A user created after the pool's first discovery starts at the creation at the latest.
    """

    def of(selected_at: float, created: float | None, discovered: float | None) -> float:
        base = _base(start, selected_at)
        is_newcomer = created is not None and discovered is not None and created > discovered
        return min(base, created) if is_newcomer and created is not None and not isinstance(start, datetime) else base

    return of


def _base(start: str | float | datetime, selected_at: float) -> float:
    if isinstance(start, datetime):
        return start.astimezone(UTC).timestamp()
    if isinstance(start, float):
        return selected_at - start
    return {"now": selected_at, "beginning": 0.0}[start]
