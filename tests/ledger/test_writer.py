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
from exporter.ledger.ledger import CommitError, Poll, PoolState
from exporter.ledger.rules import Settings
from exporter.ledger.sqlite import SqliteLedger
from exporter.ledger.writer import Writer
from exporter.users.discovery import start_rule

POOL = "eu-west-1_Test"
NOW = 1_700_000_000.0
SETTINGS = Settings(settle=900, overlap=600, recent_window=3600, series_hold=0, max_series=5000, per_user=False)


def poll_of(username: str, began: int, *ids: str) -> Poll:
    """Return a poll that showed these events."""
    at = datetime.fromtimestamp(NOW, UTC)
    events = tuple(AuthEvent(each, at, "SignIn", "Pass", None, (), None, None) for each in ids)
    return Poll(POOL, username, NOW, began, Walk(NOW, NOW, 0.0, events, frozenset(ids), None))


class Stage:
    """A writer over a real ledger, and what it published."""

    def __init__(self, path: Path) -> None:
        self.ledger = SqliteLedger(path, SETTINGS, NOW)
        self.published: list[Mapping[str, PoolState]] = []
        self.writer = Writer(self.ledger, self.published.append, lambda: NOW, structlog.get_logger())

    async def play(self, scene: Callable[["Stage"], Awaitable[None]]) -> None:
        """Run a scene while the writer writes, then close everything."""
        await self.writer.select(
            POOL,
            {name: ListedUser(name, None) for name in "abc"},
            lambda _: True,
            began=NOW,
            start=start_rule("beginning"),
        )
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
        polls = [poll_of(name, 0, f"{name}1", f"{name}2") for name in "abc"]
        await asyncio.gather(*(stage.writer.record(poll) for poll in polls))
        assert stage.shown() == 6
        assert sum(bool(change) for change in stage.published) == 1

    asyncio.run(Stage(tmp_path / "state.db").play(scene))


def test_full_disk_loses_nothing(tmp_path: Path) -> None:
    """While the disk is full polls wait and old numbers stay; once there is room the same polls are committed."""

    async def scene(stage: Stage) -> None:
        await stage.writer.record(poll_of("a", 0, "a1"))
        pages = stage.ledger._db.execute("PRAGMA page_count").fetchone()[0]
        stage.ledger._db.execute(f"PRAGMA max_page_count = {pages}")
        many = asyncio.create_task(stage.writer.record(poll_of("b", 0, *(f"b{n}" * 50 for n in range(500)))))
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
        lost = asyncio.create_task(stage.writer.record(poll_of("b", 0, *(f"b{n}" * 50 for n in range(500)))))
        await asyncio.sleep(0)
        stage.writer.close()
        with pytest.raises(CommitError):
            await asyncio.wait_for(lost, 30)

    asyncio.run(Stage(tmp_path / "state.db").play(scene))


def test_a_poll_that_cannot_be_judged_stops_no_other(tmp_path: Path) -> None:
    """A fault in one poll of a batch is that poll's alone: the others are committed, and so is what comes after."""

    async def scene(stage: Stage) -> None:
        polls = [poll_of("a", 0, "a1"), poll_of("a stranger", 0, "x"), poll_of("b", 0, "b1")]
        results = await asyncio.gather(*(stage.writer.record(poll) for poll in polls), return_exceptions=True)
        assert [result is None for result in results] == [True, False, True]
        await stage.writer.record(poll_of("c", 0, "c1"))
        assert stage.shown() == 3

    asyncio.run(Stage(tmp_path / "state.db").play(scene))


def test_abandoned_walks_are_forgotten(tmp_path: Path) -> None:
    """A walk that brought nothing no longer keeps old rows."""

    async def scene(stage: Stage) -> None:
        lookout = await stage.writer.look_out(POOL, "a", NOW)
        stage.writer.abandon(lookout)
        assert not stage.writer._walks

    asyncio.run(Stage(tmp_path / "state.db").play(scene))


def test_close_ends_with_a_poll_that_nobody_waits_for(tmp_path: Path) -> None:
    """A poll still queued at the close is written, and the writing ends, though its poller has gone."""

    async def scene(stage: Stage) -> None:
        waiting = asyncio.create_task(stage.writer.record(poll_of("a", 0, "a1")))
        await asyncio.sleep(0)
        waiting.cancel()
        stage.writer.close()

    stage = Stage(tmp_path / "state.db")
    asyncio.run(asyncio.wait_for(stage.play(scene), 30))
    assert stage.shown() == 1
