"""The walk through one user's history: from the newest event down to known ground."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field

from exporter.event.event import AuthEvent
from exporter.fetch.outcome import FetchError, Outcome
from exporter.fetch.source import FULL_PAGE, DamagedEntry, EventPage

IN_PROGRESS = "InProgress"

Ask = Callable[[str | None, int], Awaitable[EventPage]]
"""(token, how many events at most) -> page; the first, newest page for no token"""


@dataclass(frozen=True, slots=True)
class Walk:
    """A user's history from now down to known ground, as the API showed it.

    `asked_at` is when the walk began, `answered_at` when the first of the pages it shows was had, `depth` is how far back it was
    to reach, all in epoch seconds. `events` are oldest first, each id once. `first_page`: the ids of the first of these pages.
    `first_page_since` is the creation (epoch seconds) of the oldest event in the first page; None where that is no full page, or
    the whole history. `truncated`: the history goes on below `max_pages`. `damaged`: entries that could not be read whole, each
    content once. `disorder`: by how many seconds, at most, an event stood below an older one.
    """

    asked_at: float
    answered_at: float
    depth: float
    events: tuple[AuthEvent, ...]
    first_page: frozenset[str]
    first_page_since: float | None
    truncated: bool = False
    damaged: tuple[DamagedEntry, ...] = ()
    disorder: float = 0.0


@dataclass(slots=True)
class _Trail:
    """What the pages of a walk have shown so far, in the order shown."""

    depth: float
    tolerance: float
    pages: list[EventPage] = field(default_factory=list)
    events: dict[str, AuthEvent] = field(default_factory=dict)
    tokens: set[str | None] = field(default_factory=set)
    first: float | None = None
    last: float = float("inf")
    oldest: float = float("inf")
    disorder: float = 0.0
    damaged: dict[str, DamagedEntry] = field(default_factory=dict)

    def add(self, page: EventPage) -> None:
        """Take a page in; an event shown twice keeps its latest answer, a final one before one in progress."""
        self.pages.append(page)
        self.damaged |= {entry.digest: entry for entry in page.damaged}
        self._follow([event.created.timestamp() for event in page.events])
        for event in page.events:
            known = self.events.get(event.event_id)
            if known is None or known.response == IN_PROGRESS or event.response != IN_PROGRESS:
                self.events[event.event_id] = event

    def _follow(self, times: Sequence[float]) -> None:
        """Note how far back in time the creations of a page go, and by how much they stand out of order."""
        if not times:
            return
        for created in times:
            if created > self.oldest:
                self.disorder = max(self.disorder, created - self.oldest)
            else:
                self.oldest = created
        self.first = times[0] if self.first is None else self.first
        self.last = times[-1]

    @property
    def next_token(self) -> str | None:
        """The token of the page below those shown, None at the end of the history."""
        return self.pages[-1].next_token

    @property
    def suffices(self) -> bool:
        """Whether everything created at or after `depth` has been shown.

        The API promises no order. That it goes back in time is believed once the walk has done so; by as much as its events
        stood out of order, the walk goes deeper, and beyond `tolerance` seconds of disorder it goes to the end.
        """
        backwards = self.first is not None and self.first > self.last
        reached = backwards and self.disorder <= self.tolerance and self.oldest < self.depth - self.disorder
        return reached or self.next_token is None

    def step(self) -> str | None:
        """Return the token of the next page; raise `FetchError` where the API has given it in this walk already."""
        token = self.next_token
        if token in self.tokens:
            raise FetchError(Outcome.MALFORMED, "the API repeated a NextToken within one walk")
        self.tokens.add(token)
        return token


async def walk(
    ask: Ask,
    *,
    clock: Callable[[], float],
    asked_at: float,
    depth: float,
    max_pages: int,
    tolerance: float,
    limit: int = FULL_PAGE,
) -> Walk:
    """Walk from the newest event until everything created at or after `depth` (epoch seconds) has been shown.

    `ask` answers a page, `clock` gives epoch seconds. The first page is asked for with `limit` events. Where these do not suffice
    the walk begins again, with full pages: whether a token is good for another number of events is not known. `max_pages` bounds
    the full pages. Raises `FetchError` where a page cannot be had or a token comes twice: such a walk says nothing about the
    ground it did not reach, so nothing of it is used.

    Of a walk that began again only the full pages are used, and `answered_at` is the answer of the first of these: up to then a
    younger event may have turned up, and be shown. `asked_at` stays the earlier moment, at which no page used had been asked for.
    Whatever had turned up by then had turned up when they were; and all that is reckoned from it - a mark that is no younger, an
    `overlap` or a `settle` that is over - comes later than it could, never earlier.
    """
    if limit < FULL_PAGE:
        small, answered_at = await _begun(ask, clock, limit, _Trail(depth, tolerance))
        if small.suffices and not _is_short(small.pages[0], limit):
            return _finished(small, asked_at, answered_at, first_page_since=None)
    trail, answered_at = await _begun(ask, clock, FULL_PAGE, _Trail(depth, tolerance))
    for _ in range(max_pages - 1):
        if trail.suffices:
            break
        trail.add(await ask(trail.step(), FULL_PAGE))
    return _finished(trail, asked_at, answered_at, first_page_since=_since(trail.pages[0]))


async def _begun(ask: Ask, clock: Callable[[], float], limit: int, trail: _Trail) -> tuple[_Trail, float]:
    """Return the trail with the first page, and when that was had."""
    page = await ask(None, limit)
    answered_at = clock()
    trail.add(page)
    return trail, answered_at


def _is_short(page: EventPage, limit: int) -> bool:
    """Tell whether a page has fewer events than asked for, and more below: the number is then not what the API pages by."""
    return page.next_token is not None and len(page.events) + len(page.damaged) < limit


def _finished(trail: _Trail, asked_at: float, answered_at: float, *, first_page_since: float | None) -> Walk:
    return Walk(
        asked_at=asked_at,
        answered_at=answered_at,
        depth=trail.depth,
        events=tuple(sorted(trail.events.values(), key=lambda event: event.created)),
        first_page=frozenset(event.event_id for event in trail.pages[0].events),
        first_page_since=first_page_since,
        truncated=not trail.suffices,
        damaged=tuple(trail.damaged.values()),
        disorder=trail.disorder,
    )


def _since(page: EventPage) -> float | None:
    """Return the creation of the page's oldest event, None where the history ends with the page or it shows no event."""
    if page.next_token is None:
        return None
    return min((event.created.timestamp() for event in page.events), default=None)
