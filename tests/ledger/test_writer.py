"""The writer: polls that wait together are committed together, a failing disk loses nothing, and nobody waits for ever."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path

import pytest
import structlog

from exporter.event.event import AuthEvent
from exporter.fetch.source import ListedUser
from exporter.fetch.walk import Walk
from exporter.ledger.counters import EVENTS
from exporter.ledger.ledger import CommitError, DiscoveryEnd, Lookout, Poll, PoolState
from exporter.ledger.rules import Settings
from exporter.ledger.sqlite import SqliteLedger
from exporter.ledger.writer import Writer
from exporter.users.discovery import start_rule

POOL = "eu-west-1_Test"
NOW = 1_700_000_000.0
SETTINGS = Settings(settle=900, overlap=600, recent_window=3600, series_hold=0, max_series=5000, per_user=False)


A, B, C = 1, 2, 3  # the rows of the users, in the order of their selection
STRANGER = 99


def poll_of(user: int, began: int, *ids: str) -> Poll:
    """Return a poll that showed these events."""
    at = datetime.fromtimestamp(NOW, UTC)
    events = tuple(AuthEvent(each, at, "SignIn", "Pass", None, (), None, None) for each in ids)
    return Poll(POOL, user, NOW, began, Walk(NOW, NOW, 0.0, events, frozenset(ids), None))


class Stage:
    """A writer over a real ledger, and what it published."""

    def __init__(self, path: Path) -> None:
        self.ledger = SqliteLedger(path, SETTINGS, NOW)
        self.published: list[Mapping[str, PoolState]] = []
        self.writer = Writer(self.ledger, self.published.append, lambda: NOW, structlog.get_logger())

    async def play(self, scene: Callable[["Stage"], Awaitable[None]]) -> None:
        """Run a scene while the writer writes, then close everything."""
        users = [ListedUser(name, None) for name in "abc"]
        added = await self.writer.select(POOL, users, began=NOW, start=start_rule("beginning"))
        assert [user.user for user in added] == [A, B, C]
        writing = asyncio.create_task(self.writer.run())
        try:
            await scene(self)
        finally:
            self.writer.close()
            await writing
            await self.writer.finish()

    def shown(self) -> int:
        """Return the newest published total."""
        states = [state for change in self.published for pool in change.values() for state in pool.counters]
        return max((state.value or 0 for state in states if state.family == EVENTS), default=0)


def test_waiting_polls_share_a_commit(tmp_path: Path) -> None:
    """Polls that wait at once are one transaction, and each returns only when it is published."""

    async def scene(stage: Stage) -> None:
        polls = [poll_of(user, 0, f"{user}1", f"{user}2") for user in (A, B, C)]
        await asyncio.gather(*(stage.writer.record(poll) for poll in polls))
        assert stage.shown() == 6
        assert sum(bool(change) for change in stage.published) == 1

    asyncio.run(Stage(tmp_path / "state.db").play(scene))


def test_a_commit_is_bounded_by_its_events(tmp_path: Path) -> None:
    """Polls of long histories are not all one transaction: a walk that waits to begin waits for some thousand events."""

    async def scene(stage: Stage) -> None:
        polls = [poll_of(user, 0, *(f"{user}-{n}" for n in range(6000))) for user in (A, B, C)]
        await asyncio.gather(*(stage.writer.record(poll) for poll in polls))
        totals = [state.value for change in stage.published for pool in change.values() for state in pool.counters]
        assert [total for total in totals if total and total >= 6000] == [12_000, 12_000, 18_000, 18_000]

    asyncio.run(Stage(tmp_path / "state.db").play(scene))


def test_full_disk_loses_nothing(tmp_path: Path) -> None:
    """While the disk is full polls wait and old numbers stay; once there is room the same polls are committed."""

    async def scene(stage: Stage) -> None:
        await stage.writer.record(poll_of(A, 0, "a1"))
        pages = stage.ledger._db.execute("PRAGMA page_count").fetchone()[0]
        stage.ledger._db.execute(f"PRAGMA max_page_count = {pages}")
        many = asyncio.create_task(stage.writer.record(poll_of(B, 0, *(f"b{n}" * 50 for n in range(500)))))
        await asyncio.wait([many], timeout=1.5)
        assert not many.done()
        assert stage.shown() == 1
        stage.ledger._db.execute("PRAGMA max_page_count = 1000000")
        await asyncio.wait_for(many, 30)
        assert stage.shown() == 501

    asyncio.run(Stage(tmp_path / "state.db").play(scene))


def test_stop_with_a_full_disk_ends(tmp_path: Path) -> None:
    """An exporter that stops while the disk is full gives the polls up: they will be polled again."""

    async def scene(stage: Stage) -> None:
        pages = stage.ledger._db.execute("PRAGMA page_count").fetchone()[0]
        stage.ledger._db.execute(f"PRAGMA max_page_count = {pages}")
        lost = asyncio.create_task(stage.writer.record(poll_of(B, 0, *(f"b{n}" * 50 for n in range(500)))))
        await asyncio.sleep(0)
        stage.writer.close()
        with pytest.raises(CommitError):
            await asyncio.wait_for(lost, 30)

    asyncio.run(Stage(tmp_path / "state.db").play(scene))


def test_a_poll_that_cannot_be_judged_stops_no_other(tmp_path: Path) -> None:
    """A fault in one poll of a batch is that poll's alone: the others are committed, and so is what comes after."""

    async def scene(stage: Stage) -> None:
        polls = [poll_of(A, 0, "a1"), poll_of(STRANGER, 0, "x"), poll_of(B, 0, "b1")]
        results = await asyncio.gather(*(stage.writer.record(poll) for poll in polls), return_exceptions=True)
        assert [result is None for result in results] == [True, False, True]
        await stage.writer.record(poll_of(C, 0, "c1"))
        assert stage.shown() == 3

    asyncio.run(Stage(tmp_path / "state.db").play(scene))


def test_abandoned_walks_are_forgotten(tmp_path: Path) -> None:
    """A walk that brought nothing no longer keeps old rows."""

    async def scene(stage: Stage) -> None:
        lookout = await stage.writer.look_out(A, NOW)
        stage.writer.abandon(lookout)
        assert not stage.writer._walks

    asyncio.run(Stage(tmp_path / "state.db").play(scene))


def test_close_ends_with_a_poll_that_nobody_waits_for(tmp_path: Path) -> None:
    """A poll still queued at the close is written, and the writing ends, though its poller has gone."""

    async def scene(stage: Stage) -> None:
        waiting = asyncio.create_task(stage.writer.record(poll_of(A, 0, "a1")))
        await asyncio.sleep(0)
        waiting.cancel()
        stage.writer.close()

    stage = Stage(tmp_path / "state.db")
    asyncio.run(asyncio.wait_for(stage.play(scene), 30))
    assert stage.shown() == 1


def test_the_end_of_a_discovery_settles_who_is_gone(tmp_path: Path) -> None:
    """Whoever is deselected with an event in progress long ago has it counted as it stood, by the end of the discovery."""

    async def scene(stage: Stage) -> None:
        open_since = datetime.fromtimestamp(NOW - SETTINGS.settle, UTC)
        event = AuthEvent("a1", open_since, "SignIn", "InProgress", None, (), None, None)
        walk = Walk(NOW - SETTINGS.settle, NOW - SETTINGS.settle, 0.0, (event,), frozenset(), None)
        await stage.writer.record(Poll(POOL, A, walk.asked_at, 0, walk))
        assert stage.shown() == 0
        began = NOW + 1
        users = [ListedUser(name, None) for name in "bcd"]
        added = await stage.writer.select(POOL, users, began=began, start=start_rule("now"))
        removed = await deselected(stage.writer, began)
        await stage.writer.settle_lingering(POOL)
        assert ([user.selected_at for user in added], removed, stage.shown()) == ([began], [A], 1)
        assert [user.user for user in await stage.writer.users(POOL, B, 10)] == [C, added[0].user]

    asyncio.run(Stage(tmp_path / "state.db").play(scene))


async def deselected(writer: Writer, began: float) -> list[int]:
    """End the discovery that began then, and return the rows of all who are deselected."""
    removed: list[int] = []
    after: int | None = 0
    while after is not None:
        part = await writer.deselect(POOL, DiscoveryEnd(began, began, complete=True, selectors="others"), after=after)
        removed += part.removed
        after = part.after
    return removed


def test_a_look_out_that_fails_is_told_to_who_asked(tmp_path: Path) -> None:
    """Asked for together, look-outs fail apart, and the next ones are answered; walks are counted until they end."""

    async def scene(stage: Stage) -> None:
        asked = [stage.writer.look_out(user, NOW) for user in (A, 10_000, B)]
        first, failed, last = await asyncio.gather(*asked, return_exceptions=True)
        assert isinstance(failed, LookupError)
        assert isinstance(first, Lookout)
        assert isinstance(last, Lookout)
        assert (first.username, last.username) == ("a", "b")
        assert stage.writer._walks.total() == 2
        for lookout in (first, last, await stage.writer.look_out(A, NOW)):
            stage.writer.abandon(lookout)
        assert not stage.writer._walks

    asyncio.run(Stage(tmp_path / "state.db").play(scene))


def test_the_end_of_a_large_discovery_keeps_nobody_waiting(tmp_path: Path) -> None:
    """Ten thousand users taken out at once are taken out in steps: a poll beside it is committed before the last."""

    async def scene(stage: Stage) -> None:
        many = [ListedUser(f"user{number}", None) for number in range(12_000)]
        await stage.writer.select(POOL, many, began=NOW, start=start_rule("now"))
        ended = asyncio.create_task(deselected(stage.writer, NOW + 1))
        await stage.writer.record(poll_of(A, 0, "a1"))
        assert not ended.done()
        assert len(await ended) == 12_003

    asyncio.run(Stage(tmp_path / "state.db").play(scene))
