"""The writer: polls that wait together are committed together, a failing disk loses nothing, and nobody waits for ever."""

import asyncio
import json
import threading
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path

import pytest
import structlog

from exporter.event.event import AuthEvent
from exporter.event.line import EventLine
from exporter.fetch.source import ListedUser
from exporter.fetch.walk import Walk
from exporter.ledger import writer as writer_module
from exporter.ledger.counters import EVENTS, USER_EVENTS
from exporter.ledger.ledger import CommitError, DiscoveryEnd, Lookout, Outbox, Poll, PoolState
from exporter.ledger.rules import HISTORY_KEPT, Settings
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
        self.now = NOW
        self.writer = Writer(self.ledger, self.published.append, lambda: self.now, structlog.get_logger())

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
        assert stage.writer._events_waiting == 0

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
        with pytest.raises(CommitError, match=r"^stopped while the state could not be written$"):
            await asyncio.wait_for(lost, 30)

    asyncio.run(Stage(tmp_path / "state.db").play(scene))


@pytest.mark.parametrize("users", [(A, STRANGER), (A, STRANGER, B)])
def test_a_poll_that_cannot_be_judged_stops_no_other(users: tuple[int, ...], tmp_path: Path) -> None:
    """A fault in one poll of a batch is that poll's alone, and told once: the others are committed, and what comes after."""

    async def scene(stage: Stage) -> None:
        polls = [poll_of(user, 0, f"{user}1") for user in users]
        results = await asyncio.gather(*(stage.writer.record(poll) for poll in polls), return_exceptions=True)
        assert [user for user, result in zip(users, results, strict=True) if result is not None] == [STRANGER]
        await stage.writer.record(poll_of(C, 0, "c1"))
        assert stage.shown() == len(users)
        assert not stage.writer._walks._number

    with structlog.testing.capture_logs() as lines:
        asyncio.run(Stage(tmp_path / "state.db").play(scene))
    text = "a poll could not be judged; nothing of it is counted"
    assert lines == [{"log_level": "error", "event": text, "error": "LookupError('no user has row 99')"}]


def test_abandoned_walks_are_forgotten(tmp_path: Path) -> None:
    """A walk that brought nothing no longer keeps old rows."""

    async def scene(stage: Stage) -> None:
        lookout = await stage.writer.look_out(A, NOW)
        stage.writer.abandon(lookout)
        assert not stage.writer._walks._number

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
        assert {POOL: PoolState(failing={A: None})} in stage.published

    asyncio.run(Stage(tmp_path / "state.db").play(scene))


def test_what_is_loaded_is_counted_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A load tells what is there, and events count by its settings from then on; those of a load that fails are not taken."""

    async def scene(stage: Stage) -> None:
        await stage.writer.record(poll_of(A, 0, "a1"))
        states = await stage.writer.load([POOL], replace(SETTINGS, per_user=True), EventLine({}, "plain", b"key"))
        assert list(states) == [POOL]
        assert [event.event_id for event in states[POOL].events] == ["a1"]
        await stage.writer.record(poll_of(B, 0, "b1"))
        with monkeypatch.context() as patch:
            patch.setattr(SqliteLedger, "load", unreadable)
            with pytest.raises(CommitError):
                await stage.writer.load([POOL], SETTINGS)
        await stage.writer.record(poll_of(C, 0, "c1"))
        states = await stage.writer.load([POOL], replace(SETTINGS, per_user=True))
        assert sorted(state.labels[0] for state in states[POOL].counters if state.family == USER_EVENTS) == ["b", "c"]
        assert stage.writer.pending_lines == 2
        lines = await stage.writer.outbox(lambda outbox: outbox.read(10))
        assert [json.loads(line)["event_id"] for _, line in lines] == ["b1", "c1"]

    def unreadable(*_: object) -> None:
        raise CommitError("disk I/O error")

    asyncio.run(Stage(tmp_path / "state.db").play(scene))


def test_the_ledger_has_one_thread(tmp_path: Path) -> None:
    """Whatever is asked of the ledger at once is done by one thread, one after the other."""

    async def scene(stage: Stage) -> None:
        def act(_: Outbox) -> str:
            time.sleep(0.05)
            return threading.current_thread().name

        assert set(await asyncio.gather(*(stage.writer.outbox(act) for _ in range(4)))) == {"ledger_0"}

    asyncio.run(Stage(tmp_path / "state.db").play(scene))


def test_what_the_event_log_could_not_read_is_over_as_anything_is_read(tmp_path: Path) -> None:
    """A look at the lines that failed is a trouble until anything else can be read."""

    async def scene(stage: Stage) -> None:
        def unreadable(_: Outbox) -> None:
            raise CommitError("disk I/O error")

        with pytest.raises(CommitError):
            await stage.writer.outbox(unreadable)
        assert stage.writer.health.error == "disk I/O error"
        await stage.writer.users(POOL, 0, 10)
        assert stage.writer.health.error is None

    asyncio.run(Stage(tmp_path / "state.db").play(scene))


def test_who_left_long_ago_is_forgotten_and_told(tmp_path: Path) -> None:
    """The series of users who are forgotten are published as forgotten; where nobody is, nothing is."""

    async def scene(stage: Stage) -> None:
        await stage.writer.load([POOL], replace(SETTINGS, per_user=True))
        await stage.writer.record(poll_of(A, 0, "a1"))
        await deselected(stage.writer, NOW + 1)
        await stage.writer.prune(POOL)
        assert not any(state.forgotten for change in stage.published for state in change.values())
        stage.now += HISTORY_KEPT + 1
        await stage.writer.prune(POOL)
        states = [state for change in stage.published if change for state in change[POOL].counters]
        series = next(state.series for state in states if state.family == USER_EVENTS)
        assert {POOL: PoolState(forgotten=[series])} in stage.published

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
        assert stage.writer._walks._number == {0: 2}
        for lookout in (first, last, await stage.writer.look_out(A, NOW)):
            stage.writer.abandon(lookout)
        assert not stage.writer._walks._number

    asyncio.run(Stage(tmp_path / "state.db").play(scene))


def test_who_is_gone_as_the_answer_comes_leaves_no_walk(tmp_path: Path) -> None:
    """A look-out whose asker is cancelled, before it is answered or just as it is, keeps no walk under way."""

    async def scene(stage: Stage) -> None:
        before = asyncio.create_task(stage.writer.look_out(A, NOW))
        await asyncio.sleep(0)
        before.cancel()
        just_then = asyncio.create_task(stage.writer.look_out(B, NOW))
        while not stage.writer._walks._number:  # noqa: ASYNC110 - at once, before who asked goes on
            await asyncio.sleep(0)
        just_then.cancel()
        await asyncio.wait([before, just_then])
        assert (before.cancelled(), just_then.cancelled(), dict(stage.writer._walks._number)) == (True, True, {})

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


class Heard:
    """What an observer of the ledger hears."""

    def __init__(self) -> None:
        self.commits: list[float] = []
        self.failures = 0

    def ledger_committed(self, at: float) -> None:
        """Keep it."""
        self.commits.append(at)

    def ledger_failed(self) -> None:
        """Count it."""
        self.failures += 1


async def until(look: Callable[[], object]) -> None:
    """Wait until something is so."""
    async with asyncio.timeout(30):
        while not look():  # noqa: ASYNC110 - what is waited for tells nobody
            await asyncio.sleep(0.01)


def test_a_state_that_nobody_writes_is_known_to_work(tmp_path: Path) -> None:
    """Without polls there is a commit at the start and one each 15 seconds, so that its age tells of the disk, and no other."""
    now, heard, stage = [0.0], Heard(), Stage(tmp_path / "state.db")
    stage.writer = Writer(
        stage.ledger, stage.published.append, lambda: NOW + now[0], structlog.get_logger(), heard, lambda: now[0]
    )
    changes = []

    async def scene() -> None:
        for second in (0, 1, 14.9, 15, 16, 29.9, 30):
            now[0] = second
            await stage.writer._write([])
            changes.append(stage.ledger._db.execute("SELECT total_changes()").fetchone()[0])
        await stage.writer.finish()

    asyncio.run(scene())
    assert heard.commits == [NOW, NOW, NOW + 15, NOW + 30]
    assert [later != before for before, later in pairwise(changes)] == [False, False, True, False, False, True]


def test_a_poll_that_is_written_is_a_commit(tmp_path: Path) -> None:
    """When the state took a transaction is told of each that has polls in it; the sign of life then waits from there."""
    heard = Heard()

    async def scene(stage: Stage) -> None:
        await until(lambda: len(heard.commits) == 2)
        await stage.writer.record(poll_of(A, 0, "a1"))
        await until(lambda: len(heard.commits) == 3)

    stage = Stage(tmp_path / "state.db")
    stage.writer = Writer(stage.ledger, stage.published.append, lambda: NOW, structlog.get_logger(), heard, lambda: 0.0)
    asyncio.run(stage.play(scene))
    assert heard.commits == [NOW] * 3


def test_what_was_held_is_shown_once_its_time_has_come(tmp_path: Path) -> None:
    """Without any poll a new series takes its value when `series_hold` is over."""

    async def scene(stage: Stage) -> None:
        await stage.writer.load([POOL], replace(SETTINGS, series_hold=60))
        await stage.writer.record(poll_of(A, 0, "a1"))
        assert stage.shown() == 0
        stage.now += 61
        await until(lambda: stage.shown() == 1)

    asyncio.run(Stage(tmp_path / "state.db").play(scene))


def test_a_fault_while_nothing_is_to_be_written_is_told_and_tried_again(tmp_path: Path) -> None:
    """Whatever goes wrong between polls is said, and what comes next is written."""
    heard = Heard()
    stage = Stage(tmp_path / "state.db")
    stage.writer = Writer(stage.ledger, stage.published.append, lambda: NOW, structlog.get_logger(), heard)

    async def scene(stage: Stage) -> None:
        release = stage.ledger.release
        stage.ledger.release = broken  # type: ignore[method-assign,assignment]
        await until(lambda: heard.failures)
        assert stage.writer.health.error == "LookupError('no such series')"
        stage.ledger.release = release  # type: ignore[method-assign]
        await stage.writer.record(poll_of(A, 0, "a1"))
        assert stage.shown() == 1
        await until(lambda: stage.writer.health.error is None)

    def broken(_: float) -> dict[str, PoolState]:
        raise LookupError("no such series")

    asyncio.run(stage.play(scene))


def test_look_outs_wait_until_the_state_can_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever asks while it cannot be read is answered once it can, by what was asked, in the ledger's thread."""
    monkeypatch.setattr(writer_module, "_FIRST_WAIT", 0.1)
    asked: list[tuple[object, ...]] = []

    async def scene(stage: Stage) -> None:
        look_out = stage.ledger.look_out

        def failing_at_first(user: int, now: float, clock_set_at: float) -> Lookout:
            asked.append((user, now, clock_set_at, threading.current_thread().name))
            if len(asked) <= 4:
                raise CommitError("disk I/O error")
            return look_out(user, now, clock_set_at)

        stage.ledger.look_out = failing_at_first  # type: ignore[method-assign,assignment]
        both, began = [stage.writer.look_out(user, NOW + 1, NOW - 1) for user in (A, B)], time.monotonic()
        for lookout in await asyncio.wait_for(asyncio.gather(*both), 30):
            stage.writer.abandon(lookout)
        assert time.monotonic() - began >= 0.1 + 0.2, "between three attempts there are pauses"
        assert not stage.writer._walks._number

    asyncio.run(Stage(tmp_path / "state.db").play(scene))
    assert {each[1:] for each in asked} == {(NOW + 1, NOW - 1, "ledger_0")}
    assert {each[0] for each in asked[4:]} == {A, B}


def test_attempts_come_ever_more_rarely(tmp_path: Path) -> None:
    """Between attempts there is twice the time of the last pause, ten seconds at most."""

    async def scene(stage: Stage) -> None:
        stage.writer.hasten()  # which ends each pause at once
        assert [await stage.writer._pause(seconds) for seconds in (1.0, 2.0, 4.0, 8.0, 10.0)] == [2, 4, 8, 10, 10]

    asyncio.run(Stage(tmp_path / "state.db").play(scene))


def test_a_trouble_is_said_once(tmp_path: Path) -> None:
    """Each failure is counted, the log has one error at the beginning and one line at the end, and no walk begins between."""
    heard = Heard()

    async def scene(stage: Stage) -> None:
        pages = stage.ledger._db.execute("PRAGMA page_count").fetchone()[0]
        stage.ledger._db.execute(f"PRAGMA max_page_count = {pages}")
        many = asyncio.create_task(stage.writer.record(poll_of(B, 0, *(f"b{n}" * 50 for n in range(500)))))
        await until(lambda: heard.failures >= 2)
        assert stage.writer.busy_since is not None
        assert stage.writer.health.error == "database or disk is full; make room on the file system of state.path"
        walk = asyncio.create_task(stage.writer.look_out(A, NOW))
        await asyncio.wait([walk], timeout=0.2)
        assert not walk.done()
        stage.ledger._db.execute("PRAGMA max_page_count = 1000000")
        await asyncio.wait_for(many, 30)
        stage.writer.abandon(await asyncio.wait_for(walk, 30))
        assert stage.writer.health.error is None
        assert stage.writer.busy_since is None

    with structlog.testing.capture_logs() as lines:
        stage = Stage(tmp_path / "state.db")
        stage.writer = Writer(stage.ledger, stage.published.append, lambda: NOW, structlog.get_logger(), heard)
        asyncio.run(stage.play(scene))
    levels = [line["log_level"] for line in lines if line["event"].startswith("the state can")]
    assert levels == ["error", *["debug"] * (heard.failures - 1), "info"]


def test_walks_wait_while_much_waits_for_the_disk(tmp_path: Path) -> None:
    """What waits in memory is bounded on a disk that is slow and does not fail: until it is less, no walk begins."""

    async def scene(stage: Stage) -> None:
        ids = [f"b{n}" for n in range(60_000)]
        deep = asyncio.create_task(stage.writer.record(poll_of(B, 0, *ids)))
        await asyncio.sleep(0)
        assert not stage.writer._has_room.is_set()
        walk = asyncio.create_task(stage.writer.look_out(A, NOW))
        await asyncio.wait([deep, walk], return_when=asyncio.FIRST_COMPLETED)
        assert (deep.done(), walk.done()) == (True, False)
        stage.writer.abandon(await walk)

    asyncio.run(Stage(tmp_path / "state.db").play(scene))


def test_a_commit_that_is_there_although_it_failed_is_shown_and_counted_once(tmp_path: Path) -> None:
    """What a connection took back may be on disk all the same: the state opened anew tells it, and its poll adds nothing."""
    path = tmp_path / "state.db"
    stage = Stage(path)

    async def scene(stage: Stage) -> None:
        await stage.writer.record(poll_of(A, 0, "a1"))

    asyncio.run(stage.play(scene))
    before = SqliteLedger(path, SETTINGS, NOW)
    before._db.close()
    kept = SqliteLedger(path, SETTINGS, NOW)
    kept.record([poll_of(B, 0, "b1")], oldest_walk=0, now=NOW)
    kept.close()
    told = before.reopen(NOW)[POOL]
    assert [state.value for state in told.counters if state.family == EVENTS] == [2]
    assert before.record([poll_of(B, 0, "b1")], oldest_walk=0, now=NOW)[POOL].counters == []
    before.close()
