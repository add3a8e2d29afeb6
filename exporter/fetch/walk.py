"""The walk through one user's history: from the newest event down to known ground."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field

from exporter.event.event import AuthEvent
from exporter.fetch.outcome import FetchError, Outcome
from exporter.fetch.source import EventPage

IN_PROGRESS = "InProgress"

Ask = Callable[[str | None], Awaitable[EventPage]]


@dataclass(frozen=True, slots=True)
class Walk:
    """A user's history from now down to known ground, as the API showed it.

    `asked_at` and `answered_at` are when the first page was asked for and had, `depth` is how far back the walk was to reach, all
    in epoch seconds. `events` are oldest first, each id once.
    `first_page_since` is the creation (epoch seconds) of the oldest event in the first page, None where the first page is the
    whole history. `truncated`: the history goes on below `max_pages`. `damaged`: entries that could not be read.
    """

    asked_at: float
    answered_at: float
    depth: float
    events: tuple[AuthEvent, ...]
    first_page: frozenset[str]
    first_page_since: float | None
    truncated: bool = False
    damaged: int = 0


@dataclass(slots=True)
class _Trail:
    """What the pages of a walk have shown so far, in the order shown."""

    events: dict[str, AuthEvent] = field(default_factory=dict)
    tokens: set[str] = field(default_factory=set)
    first: float | None = None
    last: float = float("inf")
    oldest: float = float("inf")
    disorder: float = 0.0
    damaged: int = 0

    def add(self, page: EventPage) -> None:
        """Take a page in; an event shown twice keeps its latest answer, a final one before one in progress."""
        self.damaged += page.damaged
        for event in page.events:
            created = event.created.timestamp()
            self.first = created if self.first is None else self.first
            self.disorder = max(self.disorder, created - self.oldest)
            self.oldest = min(self.oldest, created)
            self.last = created
            known = self.events.get(event.event_id)
            if known is None or known.response == IN_PROGRESS or event.response != IN_PROGRESS:
                self.events[event.event_id] = event

    def reached(self, depth: float, tolerance: float) -> bool:
        """Tell whether everything created at or after `depth` has been shown.

        The API promises no order. That it goes back in time is believed once the walk has done so; by as much as its events
        stood out of order, the walk goes deeper, and beyond `tolerance` seconds of disorder it goes to the end.
        """
        backwards = self.first is not None and self.first > self.last
        return backwards and self.disorder <= tolerance and self.oldest < depth - self.disorder


async def walk(
    ask: Ask, *, clock: Callable[[], float], asked_at: float, depth: float, max_pages: int, tolerance: float
) -> Walk:
    """Walk from the newest event until everything created at or after `depth` (epoch seconds) has been shown.

    `ask` answers a page for a token, `clock` gives epoch seconds. Raises `FetchError` where a page cannot be had or a token comes
    twice: such a walk says nothing about the ground it did not reach, so nothing of it is used.
    """
    trail = _Trail()
    page = first = await ask(None)
    answered_at = clock()
    trail.add(page)
    for _ in range(max_pages - 1):
        if page.next_token is None or trail.reached(depth, tolerance):
            break
        if page.next_token in trail.tokens:
            raise FetchError(Outcome.MALFORMED, "the API repeated a NextToken within one walk")
        trail.tokens.add(page.next_token)
        page = await ask(page.next_token)
        trail.add(page)
    truncated = page.next_token is not None and not trail.reached(depth, tolerance)
    return _finished(trail, first, asked_at=asked_at, answered_at=answered_at, depth=depth, truncated=truncated)


def _finished(
    trail: _Trail, first: EventPage, *, asked_at: float, answered_at: float, depth: float, truncated: bool
) -> Walk:
    return Walk(
        asked_at=asked_at,
        answered_at=answered_at,
        depth=depth,
        events=tuple(sorted(trail.events.values(), key=lambda event: event.created)),
        first_page=frozenset(event.event_id for event in first.events),
        first_page_since=_oldest(first.events) if first.next_token is not None else None,
        truncated=truncated,
        damaged=trail.damaged,
    )


def _oldest(events: Sequence[AuthEvent]) -> float | None:
    return min((event.created.timestamp() for event in events), default=None)
