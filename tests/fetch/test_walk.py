"""The walk shows everything above known ground, whatever the pages look like, and no more than it must."""

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter.event.event import AuthEvent
from exporter.fetch.outcome import FetchError, Outcome
from exporter.fetch.source import EventPage
from exporter.fetch.walk import Walk, walk


def event(created: float, event_id: str | None = None, response: str = "Pass") -> AuthEvent:
    """Return an event created then (epoch seconds)."""
    at = datetime.fromtimestamp(created, UTC)
    return AuthEvent(event_id or f"e{created:g}", at, "SignIn", response, None, (), None, None)


class Pages:
    """A history cut into pages; tokens are page numbers."""

    def __init__(self, *pages: Sequence[AuthEvent], damaged: int = 0) -> None:
        self.pages = pages
        self.damaged = damaged
        self.asked = 0

    async def ask(self, token: str | None) -> EventPage:
        """Answer a page."""
        self.asked += 1
        number = 0 if token is None else int(token)
        following = str(number + 1) if number + 1 < len(self.pages) else None
        return EventPage(tuple(self.pages[number]), following, self.damaged)


def take(pages: Pages, depth: float, max_pages: int = 200, tolerance: float = 600.0) -> Walk:
    """Walk the pages to the end of the walk."""
    return asyncio.run(
        walk(
            pages.ask, clock=lambda: 10_001.0, asked_at=10_000.0, depth=depth, max_pages=max_pages, tolerance=tolerance
        )
    )


def ids(found: Walk) -> list[str]:
    """Return the ids that a walk showed, oldest first."""
    return [each.event_id for each in found.events]


def test_stops_below_known_ground() -> None:
    """A walk asks for no page below known ground."""
    pages = Pages([event(90), event(80)], [event(70), event(60)], [event(50)])
    found = take(pages, depth=75)
    assert (pages.asked, found.truncated) == (2, False)
    assert ids(found) == ["e60", "e70", "e80", "e90"]


def test_goes_on_through_equal_timestamps() -> None:
    """An event as old as known ground is shown, though it stands on the next page."""
    pages = Pages([event(90), event(80, "a")], [event(80, "b"), event(70)], [event(60)])
    assert ids(take(pages, depth=80)) == ["e70", "a", "b", "e90"]


def test_empty_page_with_token_is_not_the_end() -> None:
    """An empty page with a token does not hide what comes after it."""
    assert ids(take(Pages([], [event(90)], [], [event(80)]), depth=0)) == ["e80", "e90"]


@pytest.mark.parametrize(
    "pages",
    [
        [[event(10), event(20)], [event(30), event(40)], [event(50), event(60)]],
        [[event(10)], [event(60)], [event(30)]],
        [[event(40), event(10), event(30)], [event(60), event(20)], [event(50)]],
    ],
    ids=["oldest first", "one a page", "shuffled"],
)
def test_believes_order_only_when_seen(pages: list[list[AuthEvent]]) -> None:
    """Where history is not newest first, the walk goes on to its end and misses nothing."""
    found = take(Pages(*pages), depth=55, tolerance=5.0)
    assert set(ids(found)) >= {"e60"}
    assert not found.truncated


def test_goes_deeper_by_the_disorder_seen() -> None:
    """Events that stand out of order by some seconds do not hide one just above known ground."""
    pages = Pages([event(90), event(95), event(79)], [event(81), event(70)], [event(60)])
    assert "e81" in ids(take(pages, depth=80))


def test_max_pages_truncates() -> None:
    """A history deeper than max_pages ends the walk and is told."""
    pages = Pages(*[[event(100 - n)] for n in range(10)])
    found = take(pages, depth=0, max_pages=3)
    assert (pages.asked, found.truncated) == (3, True)


def test_last_allowed_page_may_be_the_last() -> None:
    """A history of exactly max_pages is not truncated."""
    assert not take(Pages([event(3)], [event(2)]), depth=0, max_pages=2).truncated


def test_repeated_token_breaks_off() -> None:
    """A token that comes twice ends the walk as malformed instead of going round for ever."""

    async def ask(_token: str | None) -> EventPage:
        return EventPage((event(90),), "again")

    with pytest.raises(FetchError) as caught:
        asyncio.run(walk(ask, clock=lambda: 0.0, asked_at=0.0, depth=0.0, max_pages=200, tolerance=0.0))
    assert caught.value.outcome is Outcome.MALFORMED


def test_final_answer_beats_in_progress() -> None:
    """An event shown twice within a walk keeps its final answer, whichever page came first."""
    for first, second in (("Pass", "InProgress"), ("InProgress", "Pass")):
        found = take(Pages([event(90, "x", first)], [event(90, "x", second), event(80)]), depth=0)
        assert [each.response for each in found.events if each.event_id == "x"] == ["Pass"]


def test_first_page_is_told_apart() -> None:
    """What belongs to the first page, and since when, is known: feedback depends on it."""
    found = take(Pages([event(90), event(80)], [event(70)]), depth=0)
    assert (found.first_page, found.first_page_since) == (frozenset({"e90", "e80"}), 80.0)
    assert take(Pages([event(90)]), depth=0).first_page_since is None


@given(
    st.lists(st.integers(0, 1000), unique=True, max_size=40),
    st.integers(1, 7),
    st.integers(0, 1000),
)
def test_shows_all_above_depth(created: list[int], size: int, depth: int) -> None:
    """Whatever the history, page size and depth: everything at or above the depth is shown."""
    history = [event(at) for at in sorted(created, reverse=True)]
    pages = [history[at : at + size] for at in range(0, len(history), size)] or [[]]
    shown = {each.created.timestamp() for each in take(Pages(*pages), depth=depth).events}
    assert shown >= {at for at in created if at >= depth}
