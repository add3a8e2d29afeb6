"""The walk shows everything above known ground, whatever the pages look like, and no more than it must."""

import asyncio
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from functools import partial
from itertools import accumulate, count

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter.event.event import AuthEvent, Challenge, Feedback
from exporter.fetch.outcome import FetchError, Outcome
from exporter.fetch.source import FULL_PAGE, DamagedEntry, EventPage
from exporter.fetch.walk import Walk, walk


def event(created: float, event_id: str | None = None, response: str = "Pass") -> AuthEvent:
    """Return an event created then (epoch seconds)."""
    at = datetime.fromtimestamp(created, UTC)
    return AuthEvent(event_id or f"e{created:g}", at, "SignIn", response, None, (), None, None)


class Pages:
    """A history cut into pages; tokens are page numbers."""

    def __init__(self, *pages: Sequence[AuthEvent], damaged: tuple[DamagedEntry, ...] = ()) -> None:
        self.pages = pages
        self.damaged = damaged
        self.asked = 0

    async def ask(self, token: str | None, limit: int) -> EventPage:
        """Answer a page."""
        assert limit == FULL_PAGE
        self.asked += 1
        number = 0 if token is None else int(token)
        following = str(number + 1) if number + 1 < len(self.pages) else None
        return EventPage(tuple(self.pages[number]), following, self.damaged)


class History:
    """A history that gives as many events as are asked for, `full` at most; `empty` pages with tokens come in between.

    A token says for which number of events it was given, and is refused with another.
    """

    def __init__(self, events: Sequence[AuthEvent], full: int = FULL_PAGE, empty: frozenset[int] = frozenset()) -> None:
        self.events = events
        self.full = full
        self.empty = empty
        self.asked: list[tuple[str | None, int]] = []

    async def ask(self, token: str | None, limit: int) -> EventPage:
        """Answer a page."""
        self.asked.append((token, limit))
        at, given_for, number = (0, limit, 0) if token is None else (int(part) for part in token.split("/"))
        assert given_for == limit, "a token of a page of another size"
        end = at if number in self.empty else at + min(limit, self.full)
        return EventPage(tuple(self.events[at:end]), f"{end}/{limit}/{number + 1}" if end < len(self.events) else None)


def take(
    pages: Pages | History, depth: float, max_pages: int = 200, tolerance: float = 600.0, limit: int = FULL_PAGE
) -> Walk:
    """Walk the pages to the end of the walk; the clock moves on by a second at each look."""
    clock = count(10_001)
    return asyncio.run(
        walk(
            pages.ask,
            clock=lambda: float(next(clock)),
            asked_at=10_000.0,
            depth=depth,
            max_pages=max_pages,
            tolerance=tolerance,
            limit=limit,
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


def test_stops_where_pages_have_one_event_each() -> None:
    """That a history goes back in time is seen over pages too, and ends the walk as it does within one."""
    pages = Pages(*[[event(at)] for at in (90, 80, 70, 60, 50)])
    assert (ids(take(pages, depth=75)), pages.asked) == (["e70", "e80", "e90"], 3)


def test_damaged_entries_of_all_pages_are_told() -> None:
    """What could not be read is told of each page, and once where pages show it twice."""
    damaged = [DamagedEntry(digest, None) for digest in ("a", "b", "c")]
    pages = {None: EventPage((), "2", tuple(damaged[:2])), "2": EventPage((), None, tuple(damaged[1:]))}

    async def ask(token: str | None, _: int) -> EventPage:
        return pages[token]

    found = asyncio.run(walk(ask, clock=lambda: 0.0, asked_at=0.0, depth=0.0, max_pages=200, tolerance=0.0))
    assert found.damaged == tuple(damaged)


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

    async def ask(_token: str | None, _limit: int) -> EventPage:
        return EventPage((event(90),), "again")

    with pytest.raises(FetchError) as caught:
        asyncio.run(walk(ask, clock=lambda: 0.0, asked_at=0.0, depth=0.0, max_pages=200, tolerance=0.0))
    assert caught.value.outcome is Outcome.MALFORMED
    assert str(caught.value) == "the API repeated a NextToken within one walk"


def test_final_answer_beats_in_progress() -> None:
    """An event shown twice within a walk keeps its final answer, whichever page came first."""
    for first, second in (("Pass", "InProgress"), ("InProgress", "Pass")):
        found = take(Pages([event(90, "x", first)], [event(90, "x", second), event(80)]), depth=0)
        assert [each.response for each in found.events if each.event_id == "x"] == ["Pass"]


@pytest.mark.parametrize("response", ["Pass", "InProgress"])
def test_the_latest_answer_is_kept(response: str) -> None:
    """Of an event shown twice, both times in the same state, the later answer counts: feedback or a challenge may have come."""
    earlier = event(90, "x", response)
    later = earlier._replace(feedback=Feedback("Valid", "Admin", None), challenges=(Challenge("Password", "Success"),))
    assert take(Pages([earlier, event(80)], [later, event(70)]), depth=0).events[-1] == later


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


# -- a small first page ------------------------------------------------------------------------------------------------------

NEWEST_FIRST = [event(at) for at in range(300, 100, -1)]

SMALL: dict[str, tuple[Callable[[], History], float, int, list[tuple[str | None, int]]]] = {
    "enough": (partial(History, NEWEST_FIRST), 297.5, 5, [(None, 5)]),
    "the whole history": (partial(History, NEWEST_FIRST[:4]), 0, 5, [(None, 5)]),
    "nobody has events": (partial(History, []), 0, 1, [(None, 1)]),
    "not enough": (partial(History, NEWEST_FIRST), 290, 5, [(None, 5), (None, 60)]),
    "as deep as the depth only": (partial(History, NEWEST_FIRST), 296, 5, [(None, 5), (None, 60)]),
    "one event": (partial(History, NEWEST_FIRST), 300.5, 1, [(None, 1), (None, 60)]),
    "shorter than asked for": (partial(History, NEWEST_FIRST, full=4), 298, 5, [(None, 5), (None, 60)]),
    "empty": (partial(History, NEWEST_FIRST, empty=frozenset({0})), 298, 5, [(None, 5), (None, 60), ("0/60/1", 60)]),
    "far from enough": (partial(History, NEWEST_FIRST), 200, 5, [(None, 5), (None, 60), ("60/60/1", 60)]),
    "a full page at once": (partial(History, NEWEST_FIRST), 200, 60, [(None, 60), ("60/60/1", 60)]),
}


@pytest.mark.parametrize("case", SMALL)
def test_a_small_page_that_does_not_suffice_begins_the_walk_again(case: str) -> None:
    """A small first page is all, or the walk begins again with full pages: its token is never used."""
    history_of, depth, limit, expected = SMALL[case]
    history = history_of()
    found = take(history, depth, limit=limit)
    assert history.asked == expected
    assert {each.created.timestamp() for each in found.events} >= {at for at in range(300, 100, -1) if at >= depth} & {
        each.created.timestamp() for each in history.events
    }


def test_what_cannot_be_read_is_part_of_a_small_page() -> None:
    """A small page with an unreadable entry among its events has as many as were asked for, and may suffice."""
    asked: list[int] = []

    async def ask(_: str | None, limit: int) -> EventPage:
        asked.append(limit)
        return EventPage(
            (event(90), event(80), event(70)), "more", (DamagedEntry("no id", None), DamagedEntry("no type", event(60)))
        )

    asyncio.run(walk(ask, clock=lambda: 0.0, asked_at=0.0, depth=75, max_pages=1, tolerance=0.0, limit=5))
    assert asked == [5]


def test_what_a_small_page_says() -> None:
    """A small page is the first page, but says nothing of where a full one would end: feedback is awaited until that is known."""
    found = take(History(NEWEST_FIRST), depth=297.5, limit=5)
    assert (len(found.first_page), found.first_page_since, found.truncated) == (5, None, False)
    assert (found.asked_at, found.answered_at) == (10_000.0, 10_001.0)


def test_what_a_walk_that_began_again_says() -> None:
    """Times and first page are those of the full pages, which alone are used; the walk began when it did."""
    found = take(History(NEWEST_FIRST), depth=290, limit=5)
    assert (len(found.first_page), found.first_page_since) == (60, 241.0)
    assert (found.asked_at, found.answered_at) == (10_000.0, 10_002.0)


def test_a_small_page_is_not_counted_among_max_pages() -> None:
    """`max_pages` full pages are asked for, whatever came before."""
    history = History(NEWEST_FIRST)
    found = take(history, depth=0, max_pages=2, limit=5)
    assert ([limit for _, limit in history.asked], found.truncated) == ([5, 60, 60], True)
    assert found.events[0].created.timestamp() == 181.0


@pytest.mark.parametrize(("order", "seconds"), [((5, 4, 3), 0.0), ((5, 3, 4), 1.0), ((1, 5, 4), 4.0), ((5, 5, 4), 0.0)])
def test_disorder_is_told(order: tuple[float, ...], seconds: float) -> None:
    """A walk tells by how much events stood below older ones."""
    assert take(Pages([event(at) for at in order]), depth=0).disorder == seconds


def disorder(created: Sequence[float]) -> float:
    """Return by how much events stand after older ones, at most."""
    oldest = list(accumulate(created, min))
    return max([0.0, *(at - before for before, at in zip(oldest, created[1:], strict=False))])


@st.composite
def histories(draw: st.DrawFn) -> list[AuthEvent]:
    """Return a history newest first but for some seconds of disorder, with many events at the same time."""
    jitter = draw(st.integers(0, 20))
    keys = draw(st.lists(st.tuples(st.integers(0, 300), st.integers(0, jitter)), max_size=200))
    ordered = sorted(keys, key=lambda key: key[0] + key[1], reverse=True)
    return [event(at, f"e{number}") for number, (at, _) in enumerate(ordered)]


@given(histories(), st.integers(1, 60), st.integers(1, 60), st.integers(0, 310), st.frozensets(st.integers(0, 5)))
def test_a_walk_with_any_limit_shows_what_is_to_be_shown(
    events: list[AuthEvent], limit: int, full: int, depth: int, empty: frozenset[int]
) -> None:
    """Whatever the first page's size: all at or above the depth is shown, as far as the disorder was shown.

    What a page does not show of the disorder, nobody can know; a walk of full pages has the same bound.
    """
    for size in (limit, FULL_PAGE):
        history = History(events, full, empty)
        found = take(history, depth, limit=size)
        created = [each.created.timestamp() for each in events]
        unseen = disorder(created) - disorder(created[: len(found.events)])
        shown = {each.event_id for each in found.events}
        assert shown >= {each.event_id for each in events if each.created.timestamp() >= depth + unseen}
        assert len(shown) == len(found.events)
        assert not found.truncated


@given(st.lists(st.integers(0, 300), max_size=200), st.integers(1, 60), st.integers(0, 310))
def test_any_limit_shows_the_same_as_a_full_page(created: list[int], limit: int, depth: int) -> None:
    """Newest first, with many at the same time: the events at or above the depth are the same for any limit."""
    events = [event(at, f"e{number}") for number, at in enumerate(sorted(created, reverse=True))]
    small, large = (
        [each for each in take(History(events), depth, limit=size).events if each.created.timestamp() >= depth]
        for size in (limit, FULL_PAGE)
    )
    assert small == large
