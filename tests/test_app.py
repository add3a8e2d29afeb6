"""The whole exporter in this process, over a state whose reads fail for a while: polling and counting outlive it."""

import asyncio
import json
import socket
import sqlite3
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import structlog

from exporter.app import Exporter, WebOptions
from exporter.configuration.models import Config
from exporter.derived import ledger_settings
from exporter.fetch.source import EventPage
from exporter.ledger.ledger import KnownUser, PoolState
from exporter.ledger.sqlite import SqliteLedger
from exporter.simulator.world import auth_event
from exporter.web.app import ReloadError
from tests.schedule.test_engine import Source


class Busy(Source):
    """A pool whose user signs in once more whenever asked for."""

    def __init__(self) -> None:
        super().__init__()
        self.may_answer.set()
        self._began = time.time()

    def auth_events(self, username: str, token: str | None, limit: int = 60) -> EventPage:
        """Show all sign-ins so far."""
        super().auth_events(username, token, limit)
        moments = [datetime.fromtimestamp(self._began + number / 1000, UTC) for number in range(self.asked[username])]
        events = [auth_event(moment, event_id=f"event {number}") for number, moment in enumerate(moments)]
        return EventPage(tuple(reversed(events)), None)


class FailingLedger(SqliteLedger):
    """A ledger whose state cannot be read as long as it is to fail so."""

    fails = ""

    def _unless_failing(self, what: str) -> None:
        if self.fails == what:
            raise sqlite3.OperationalError("disk I/O error")

    def users(self, pool_id: str, after: int, limit: int) -> Sequence[KnownUser]:
        """Read, or fail."""
        self._unless_failing("users")
        return super().users(pool_id, after, limit)

    def load(self, pool_id: str, now: float) -> PoolState:
        """Read, or fail."""
        self._unless_failing("load")
        return super().load(pool_id, now)


class House:
    """An exporter of one pool, in this process, with an event log."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.log = folder / "events.jsonl"
        self.next = self.config()
        self.ledger = FailingLedger(folder / "state.db", ledger_settings(self.next), time.time())
        self.source = Busy()
        listening = socket.create_server(("127.0.0.1", 0))
        self.exporter = Exporter(
            self.next,
            self.ledger,
            read_config=lambda: self.next,
            sources=lambda _: lambda *_: self.source,
            web=WebOptions([listening], "/metrics", enable_lifecycle=True, max_requests=40),
            logger=structlog.get_logger(),
        )

    def config(self, **event_log: str) -> Config:
        """Return a configuration."""
        sections: dict[str, Any] = {
            "user_pools": [{"id": "eu-west-1_Ab", "endpoint_url": "http://nowhere", "users": {"usernames": ["ada"]}}],
            "polling": {"min_interval": "1s", "max_staleness": "2s", "requests_per_second": 20.0},
            "counting": {"start": "beginning"},
            "state": {"path": str(self._folder / "state.db")},
            "event_log": {"path": str(self.log), **event_log},
        }
        return Config.model_validate(sections, context={"folder": self._folder})

    async def until_polls(self, more: int) -> None:
        """Wait until the user was polled so many more times."""
        wanted = self.source.asked["ada"] + more
        async with asyncio.timeout(60):
            while self.source.asked["ada"] < wanted:  # noqa: ASYNC110 - what is waited for tells nobody
                await asyncio.sleep(0.02)

    async def play(self, scene: Callable[["House"], Awaitable[None]]) -> list[str]:
        """Run a scene from a start to a clean end; return what nobody has caught."""
        uncaught: list[str] = []
        asyncio.get_running_loop().set_exception_handler(lambda _, context: uncaught.append(str(context)))
        running = asyncio.create_task(self.exporter.run())
        try:
            await self.until_polls(1)
            await scene(self)
        finally:
            self.exporter.stop()
            await asyncio.wait_for(running, 30)
        return uncaught

    @property
    def lines(self) -> set[str]:
        """The ids in the event log."""
        return {json.loads(line)["event_id"] for line in self.log.read_text().splitlines()}


def test_a_reload_outlives_a_state_that_cannot_be_read(tmp_path: Path) -> None:
    """A reload that cannot read the users of the state tries again, and the polling goes on once it can."""

    async def scene(house: House) -> None:
        house.ledger.fails = "users"
        reloading = asyncio.create_task(house.exporter.reload())
        with suppress(TimeoutError):
            await asyncio.wait_for(asyncio.shield(reloading), 0.5)
        assert not reloading.done()
        house.ledger.fails = ""
        await reloading
        await house.until_polls(2)
        assert house.exporter.stuck() is None

    assert asyncio.run(House(tmp_path).play(scene)) == []


def test_a_reload_that_fails_changes_nothing(tmp_path: Path) -> None:
    """Where the state cannot be read for the new configuration, the one before counts on, with its event log."""

    async def scene(house: House) -> None:
        house.next = house.config(path="")
        house.ledger.fails = "load"
        with pytest.raises(ReloadError, match="disk I/O error"):
            await house.exporter.reload()
        house.ledger.fails = ""
        await house.until_polls(2)

    house = House(tmp_path)
    assert asyncio.run(house.play(scene)) == []
    assert house.lines == {f"event {number}" for number in range(house.source.asked["ada"])}
