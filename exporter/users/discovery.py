"""Turns a pool's selectors into users: groups, filters and all by listing the pool, then names and files."""

import re
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from hashlib import sha256

from exporter.configuration.errors import ConfigError
from exporter.configuration.models import Selectors
from exporter.configuration.users_file import read_users_file
from exporter.fetch.outcome import FetchError, Outcome
from exporter.fetch.source import EventSource, ListedUser, UserPage

BATCH = 1000
"""The most users that are handed over at once."""

_HOPELESS = frozenset({Outcome.NOT_AUTHORIZED, Outcome.CREDENTIALS, Outcome.CONNECTION, Outcome.TIMEOUT})
"""Outcomes that the next selector with the same operation would meet too."""

_BEGINNINGS = 3  # of one listing, whose tokens are good for an hour
_STATUS_FILTER = re.compile(r"\s*status\b")

Request = Callable[[str, Callable[[], UserPage]], Awaitable[UserPage]]
"""(operation, call) -> page: makes the call in a worker thread, within the budget."""

Read = Callable[[Callable[[], Sequence[str]]], Awaitable[Sequence[str]]]
"""(call) -> names: reads a part of a file in a worker thread."""

Take = Callable[[Sequence[ListedUser]], Awaitable[None]]
"""Takes in a batch of users as they are found; the same user may come again."""


@dataclass(frozen=True, slots=True)
class Failure:
    """A selector that could not be followed: its place below `users` in the configuration, and why.

    `of_pool` is False for a file, which says nothing of the pool.
    """

    selector: str
    outcome: Outcome
    message: str
    of_pool: bool = True


@dataclass(slots=True)
class Discovery:
    """How the selectors of a pool were followed.

    `failures` could not be, `unmatched` were and name nobody. `digest` stands for the selectors that list,
    and is empty where there are none.
    """

    failures: list[Failure] = field(default_factory=list)
    unmatched: list[str] = field(default_factory=list)
    digest: str = ""

    def fail(self, place: str, error: FetchError) -> None:
        """Note that a selector could not be followed."""
        self.failures.append(Failure(place, error.outcome, str(error)))

    @property
    def complete(self) -> bool:
        """Tell whether every selector was followed to its end, so that whoever is missing is no longer selected."""
        return not self.failures


async def discover(
    selectors: Selectors,
    source: EventSource,
    request: Request,
    read: Read,
    take: Take,
    *,
    answers: Callable[[], bool] = lambda: False,
) -> Discovery:
    """Follow every selector of a pool, handing over batches as they are found, without the excluded.

    A selector that fails does not keep the others from being followed. Listings come first: they tell when a user was created, by
    which the start is set, and it is set once, before a user is polled. `answers` tells whether the pool does: a group that is
    not found in one that does not answer says nothing, and in one that does it has no members.
    """
    found = Discovery(digest=_digest(selectors))
    excluded = frozenset(selectors.exclude)

    async def take_selected(users: Iterable[ListedUser]) -> None:
        selected = [user for user in users if user.username not in excluded]
        if selected:
            await take(selected)

    await _follow_listings(found, listings(selectors, source), request, take_selected, answers)
    for names in _batches(selectors.usernames):
        await take_selected(map(_named, names))
    for index, path in enumerate(selectors.files):
        await _read(found, f"files[{index}]", read_users_file(path, BATCH), read, take_selected)
    return found


def _digest(selectors: Selectors) -> str:
    if not (selectors.groups or selectors.filters or selectors.all):
        return ""
    lists = selectors.model_dump_json(include={"groups", "filters", "all"})
    return sha256(lists.encode()).hexdigest()


def _named(username: str) -> ListedUser:
    return ListedUser(username, None, by_name=True)


def _batches(names: Sequence[str]) -> Iterator[Sequence[str]]:
    return (names[at : at + BATCH] for at in range(0, len(names), BATCH))


PageAt = Callable[[str | None], UserPage]
TakeSelected = Callable[[Iterable[ListedUser]], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Listing:
    """A selector that has to list: its place in the configuration, the operation, its call for a token.

    Users who are disabled cannot sign in, and are selected only by a filter that asks for a status itself.
    """

    place: str
    operation: str
    page_at: PageAt
    with_disabled: bool = False

    def matches(self, user: ListedUser) -> bool:
        """Tell whether a user whom it lists is selected."""
        return user.enabled or self.with_disabled


def listings(selectors: Selectors, source: EventSource) -> Iterator[Listing]:
    """Yield the selectors that have to list, in the order in which they are followed."""
    for index, group in enumerate(selectors.groups):
        yield Listing(f"groups[{index}]", "ListUsersInGroup", partial(source.users_in_group, group))
    for index, expression in enumerate(selectors.filters):
        asks_status = _STATUS_FILTER.match(expression) is not None
        yield Listing(f"filters[{index}]", "ListUsers", partial(source.users, expression), asks_status)
    if selectors.all:
        yield Listing("all", "ListUsers", partial(source.users, None))


async def _follow_listings(
    found: Discovery,
    listings: Iterable[Listing],
    request: Request,
    take: TakeSelected,
    answers: Callable[[], bool],
) -> None:
    refused: dict[str, FetchError] = {}
    for listing in listings:
        error = refused.get(listing.operation) or await _list(found, listing, request, take)
        if error is None:
            continue
        if error.outcome is Outcome.POOL_NOT_FOUND and listing.operation == "ListUsersInGroup" and answers():
            found.unmatched.append(listing.place)
            continue
        found.fail(listing.place, error)
        if error.outcome in _HOPELESS:
            refused[listing.operation] = error


async def _read(found: Discovery, place: str, batches: Iterator[Sequence[str]], read: Read, take: TakeSelected) -> None:
    """Take in whom a file names, a batch at a time; each is read as the one before has been taken."""
    is_empty = True
    try:
        while names := await read(partial(next, batches, ())):
            is_empty = False
            await take(map(_named, names))
    except ConfigError as error:
        found.failures.append(Failure(place, Outcome.OTHER, str(error), of_pool=False))
        return
    if is_empty:
        found.unmatched.append(place)


async def _list(found: Discovery, listing: Listing, request: Request, take: TakeSelected) -> FetchError | None:
    """Take in whom a selector lists; return the error that kept it from being followed to its end."""
    listed = 0
    try:
        async for page in _pages(listing, request):
            users = [user for user in page.users if listing.matches(user)]
            listed += len(users)
            await take(users)
    except FetchError as error:
        return error
    if not listed:
        found.unmatched.append(listing.place)
    return None


async def _pages(listing: Listing, request: Request) -> AsyncIterator[UserPage]:
    """Yield the pages of a listing; one whose token is no longer good is listed from its beginning, some times."""
    for _ in range(_BEGINNINGS - 1):
        try:
            async for page in _pages_once(listing, request):
                yield page
        except _ExpiredTokenError:
            continue
        return
    async for page in _pages_once(listing, request):
        yield page


class _ExpiredTokenError(FetchError):
    """AWS does not take a token that it has given. It says so of parameters as such: those of the first page were good."""


async def _pages_once(listing: Listing, request: Request) -> AsyncIterator[UserPage]:
    token: str | None = None
    tokens: set[str] = set()
    while True:
        try:
            page = await request(listing.operation, partial(listing.page_at, token))
        except FetchError as error:
            if token is not None and error.outcome is Outcome.INVALID_PARAMETER:
                raise _ExpiredTokenError(error.outcome, str(error)) from error
            raise
        yield page
        token = page.next_token
        if token is None:
            return
        if token in tokens:
            raise FetchError(Outcome.MALFORMED, f"{listing.operation} repeated a token")
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
