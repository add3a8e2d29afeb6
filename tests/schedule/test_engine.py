"""The engine over a source that answers as the test wants, with a real ledger: users come and go while they are polled."""

import asyncio
import random
import threading
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path

import structlog

from exporter.configuration.models import Config
from exporter.fetch.outcome import FetchError, Outcome
from exporter.fetch.source import Caller, EventPage, PoolDescription, UserPage
from exporter.ledger.ledger import CommitError, Deselection, DiscoveryEnd
from exporter.ledger.rules import Settings
from exporter.ledger.sqlite import SqliteLedger
from exporter.ledger.writer import Writer
from exporter.metrics.instruments import Instruments
from exporter.schedule.clock import WallClock
from exporter.schedule.engine import Engine
from exporter.schedule.poller import PoolPoller
from exporter.schedule.requests import Surroundings

SETTINGS = Settings(settle=900, overlap=600, recent_window=3600, series_hold=0, max_series=5000, per_user=False)


class Source:
    """Cognito's answers: nothing for anybody, as long as the test lets it answer."""

    def __init__(self) -> None:
        self.may_answer = threading.Event()
        self.asked: Counter[str] = Counter()
        self.at_once: Counter[str] = Counter()
        self.failing = False
        self.sent: float | None = None
        self._under_way: Counter[str] = Counter()
        self._lock = threading.Lock()

    def auth_events(self, username: str, token: str | None, limit: int = 60) -> EventPage:
        """Answer once it is let."""
        with self._lock:
            self.asked[username] += 1
            self._under_way[username] += 1
            self.at_once[username] = max(self.at_once[username], self._under_way[username])
        self.may_answer.wait(30)
        with self._lock:
            self._under_way[username] -= 1
        if self.failing:
            raise FetchError(Outcome.SERVER_ERROR, "a test")
        return EventPage((), None)

    def users(self, filter_expression: str | None, token: str | None) -> UserPage:
        """List nobody."""
        return UserPage((), None)

    def users_in_group(self, group: str, token: str | None) -> UserPage:
        """List nobody."""
        return UserPage((), None)

    def describe(self) -> PoolDescription:
        """Tell the mode."""
        return PoolDescription("AUDIT", None)

    def caller(self) -> Caller:
        """Tell who asks."""
        return Caller("111122223333", "arn:aws:iam::111122223333:user/test")

    def sent_at(self) -> float | None:
        """Tell what the test says."""
        return self.sent

    def close(self) -> None:
        """Do nothing."""


class FailingLedger(SqliteLedger):
    """A ledger whose disk fails, once it is to, at the second part of a deselection."""

    is_to_fail = False

    def deselect(self, pool_id: str, end: DiscoveryEnd, *, after: int, limit: int) -> Deselection:
        """Fail once."""
        if after and self.is_to_fail:
            self.is_to_fail = False
            raise CommitError("the test's disk")
        return super().deselect(pool_id, end, after=after, limit=limit)


class Stage:
    """An engine of one pool whose users are those in a file."""

    def __init__(self, folder: Path) -> None:
        self.file = folder / "users.txt"
        self.select("ada")
        self.source = Source()
        self.ahead = 0.0
        logger = structlog.get_logger()
        self.ledger = FailingLedger(folder / "state.db", SETTINGS, time.time())
        self.writer = Writer(self.ledger, lambda _: None, time.time, logger)
        self.around = Surroundings(
            writer=self.writer,
            observer=Instruments(),
            clock=WallClock(time.time, time.monotonic),
            monotonic=lambda: time.monotonic() + self.ahead,
            random=random.Random(1),
            logger=logger,
            stop=asyncio.Event(),
        )
        config = Config.model_validate(
            {
                "user_pools": [{"id": "eu-west-1_Ab", "users": {"files": [str(self.file)]}}],
                "polling": {"min_interval": "1s", "requests_per_second": 50.0, "discovery_interval": "1h"},
                "state": {"path": ":memory:"},
            }
        )
        self.engine = Engine(config, lambda *_: self.source, {}, self.around)

    @property
    def poller(self) -> PoolPoller:
        """The pool's poller."""
        return self.engine.pollers[0]

    def select(self, *usernames: str) -> None:
        """Write who is to be polled."""
        self.file.write_text("\n".join(usernames))

    async def until(self, look: Callable[[], bool]) -> None:
        """Wait until something is so."""
        async with asyncio.timeout(30):
            while not look():  # noqa: ASYNC110 - what is waited for tells nobody
                await asyncio.sleep(0.02)

    async def play(self, scene: Callable[["Stage"], Awaitable[None]]) -> None:
        """Run a scene from a start to a clean end."""
        writing = asyncio.create_task(self.writer.run())
        await self.engine.start()
        try:
            await scene(self)
        finally:
            self.source.may_answer.set()
            await self.engine.stop()
            self.writer.close()
            await writing
            await self.writer.finish()


def test_users_come_and_go_while_they_are_polled(tmp_path: Path) -> None:
    """Removed and selected again, twice, while a poll is under way: one slot, one poll at a time, and it goes on after that."""

    async def scene(stage: Stage) -> None:
        await stage.until(lambda: stage.source.asked["ada"] == 1)
        for usernames in (("grace",), ("ada", "grace"), ("grace",), ("ada", "grace")):
            stage.select(*usernames)
            await stage.poller.discoverer.discover()
            assert len(stage.poller.census) == len(stage.poller.queue) == len(usernames)
        stage.source.may_answer.set()
        await stage.until(lambda: min(stage.source.asked[name] for name in ("ada", "grace")) >= 3)
        assert stage.source.at_once["ada"] == 1
        assert len(stage.poller.census) == len(stage.poller.queue) == 2
        assert stage.engine.stuck is None

    asyncio.run(Stage(tmp_path).play(scene))


def test_users_removed_while_polled_are_polled_no_more(tmp_path: Path) -> None:
    """Whoever left during a poll is not asked again, and the slot serves the next one."""

    async def scene(stage: Stage) -> None:
        await stage.until(lambda: stage.source.asked["ada"] == 1)
        stage.select("grace")
        await stage.poller.discoverer.discover()
        stage.source.may_answer.set()
        await stage.until(lambda: stage.source.asked["grace"] >= 2)
        stage.select("grace", "joan")
        await stage.poller.discoverer.discover()
        await stage.until(lambda: stage.source.asked["joan"] >= 2)
        assert (stage.source.asked["ada"], len(stage.poller.queue)) == (1, 2)

    asyncio.run(Stage(tmp_path).play(scene))


def test_a_disk_that_fails_at_the_end_of_a_discovery_keeps_nobody(tmp_path: Path) -> None:
    """Who is deselected in the state is not polled on, though a later part of the same deselection failed."""
    stage = Stage(tmp_path)
    stage.select("ada", *(f"user{number}" for number in range(6_000)))

    async def scene(stage: Stage) -> None:
        stage.source.may_answer.set()  # polls that hang would hold the threads that read the file
        await stage.until(lambda: stage.poller.discoverer.has_looked)
        stage.select("ada")
        stage.ledger.is_to_fail = True
        failures = [await _failure(stage.poller.discoverer.discover()) for _ in range(2)]
        assert failures == [None, None]
        assert len(stage.poller.census) == len(stage.poller.queue) == 1

    asyncio.run(stage.play(scene))


async def _failure(work: Awaitable[object]) -> Exception | None:
    try:
        await work
    except CommitError as error:
        return error
    return None


def test_who_gets_no_answer_is_asked_again_soon(tmp_path: Path) -> None:
    """A first poll that fails is made again after its back-off, and `min_interval` is the least of that."""

    async def scene(stage: Stage) -> None:
        stage.source.failing = True
        stage.source.may_answer.set()
        await stage.until(lambda: stage.source.asked["ada"] >= 2)
        assert time.monotonic() - began >= 1.0
        stage.source.failing = False
        await stage.until(lambda: stage.poller.census.by_state["ok"] == 1)

    began = time.monotonic()
    asyncio.run(Stage(tmp_path).play(scene))


def test_a_start_is_given_up_when_stopped(tmp_path: Path) -> None:
    """An engine that is stopped while it takes up the users of the state asks nobody."""

    async def scene(stage: Stage) -> Sequence[str]:
        stage.engine.interrupt()
        await stage.engine.start()
        await asyncio.sleep(0.1)
        await stage.engine.stop()
        return [*stage.source.asked]

    assert asyncio.run(scene(Stage(tmp_path))) == []


def test_a_request_that_does_not_end_is_told_and_a_wait_for_credentials_is_not(tmp_path: Path) -> None:
    """However long calls wait to be sent the polling is not stuck; a request that was sent and does not end is that."""

    async def scene(stage: Stage) -> None:
        await stage.until(lambda: stage.source.asked["ada"] == 1)
        stage.ahead = 1000.0
        await asyncio.sleep(1.2)  # the dispatcher looks at the clock once a second
        assert stage.engine.stuck is None
        stage.source.sent = time.monotonic()
        assert stage.engine.stuck == "a request to eu-west-1_Ab does not end"

    asyncio.run(Stage(tmp_path).play(scene))
