"""Turns a pool's selectors into users: names and files at once, groups and filters by listing the pool."""

from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial

from exporter.configuration.errors import ConfigError
from exporter.configuration.models import Selectors
from exporter.configuration.users_file import read_users_file
from exporter.fetch.outcome import FetchError, Outcome
from exporter.fetch.source import EventSource, ListedUser, UserPage

BATCH = 1000
"""The most users that are handed over at once."""

_HOPELESS = frozenset({Outcome.NOT_AUTHORIZED, Outcome.CREDENTIALS, Outcome.CONNECTION, Outcome.TIMEOUT})
"""Outcomes that the next selector with the same operation would meet too."""

Request = Callable[[str, Callable[[], UserPage]], Awaitable[UserPage]]
"""(operation, call) -> page: makes the call in a worker thread, within the budget."""

Read = Callable[[Callable[[], Sequence[str]]], Awaitable[Sequence[str]]]
"""(call) -> names: reads a part of a file in a worker thread."""

Take = Callable[[Sequence[ListedUser]], Awaitable[None]]
"""Takes in a batch of users as they are found; the same user may come again."""


@dataclass(frozen=True, slots=True)
class Failure:
    """A selector that could not be followed: its place below `users` in the configuration, and why."""

    selector: str
    outcome: Outcome
    message: str


@dataclass(slots=True)
class Discovery:
    """How the selectors of a pool were followed."""

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


async def discover(selectors: Selectors, source: EventSource, request: Request, read: Read, take: Take) -> Discovery:
    """Follow every selector of a pool, handing over batches as they are found, without the excluded.

    A selector that fails does not keep the others from being followed. Listings come first: they tell when a user was created, by
    which the start is set, and it is set once, before a user is polled.
    """
    found = Discovery()
    excluded = frozenset(selectors.exclude)

    async def take_selected(users: Iterable[ListedUser]) -> None:
        selected = [user for user in users if user.username not in excluded]
        if selected:
            await take(selected)

    await _follow_listings(found, _listings(selectors, source), request, take_selected)
    for names in _batches(selectors.usernames):
        await take_selected(ListedUser(name, None) for name in names)
    for index, path in enumerate(selectors.files):
        await _read(found, f"files[{index}]", read_users_file(path, BATCH), read, take_selected)
    return found


def _batches(names: Sequence[str]) -> Iterator[Sequence[str]]:
    return (names[at : at + BATCH] for at in range(0, len(names), BATCH))


PageAt = Callable[[str | None], UserPage]
TakeSelected = Callable[[Iterable[ListedUser]], Awaitable[None]]


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


async def _follow_listings(
    found: Discovery, listings: Iterable[tuple[str, str, PageAt]], request: Request, take: TakeSelected
) -> None:
    refused: dict[str, FetchError] = {}
    for place, operation, page_at in listings:
        if operation in refused:
            found.fail(place, refused[operation])
            continue
        error = await _list(found, place, _pages(operation, page_at, request), take)
        if error is not None and error.outcome in _HOPELESS:
            refused[operation] = error


async def _read(found: Discovery, place: str, batches: Iterator[Sequence[str]], read: Read, take: TakeSelected) -> None:
    """Take in whom a file names, a batch at a time; each is read as the one before has been taken."""
    is_empty = True
    try:
        while names := await read(partial(next, batches, ())):
            is_empty = False
            await take(ListedUser(name, None) for name in names)
    except ConfigError as error:
        found.failures.append(Failure(place, Outcome.OTHER, str(error)))
        return
    if is_empty:
        found.unmatched.append(place)


async def _list(found: Discovery, place: str, pages: AsyncIterator[UserPage], take: TakeSelected) -> FetchError | None:
    """Take in whom a selector lists; return the error that kept it from being followed to its end."""
    listed = 0
    try:
        async for page in pages:
            listed += len(page.users)
            await take(page.users)
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
