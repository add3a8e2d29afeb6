"""A state whose connection fails: what has landed all the same, and what is read half, when it is opened anew."""

import asyncio
import sqlite3
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from exporter.fetch.source import ListedUser
from exporter.ledger import database, writer
from exporter.ledger.counters import EVENTS
from exporter.ledger.ledger import CommitError
from exporter.ledger.sqlite import SqliteLedger
from exporter.users.discovery import start_rule
from tests.ledger.test_writer import NOW, POOL, SETTINGS, A, B, Stage, poll_of, until


class Landing:
    """A real connection, each COMMIT of which lands and is reported as failed, as where only the sync has failed."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def execute(self, statement: str, *values: Any) -> sqlite3.Cursor:
        """Execute a statement."""
        cursor = self._connection.execute(statement, *values)
        if statement == "COMMIT":
            raise sqlite3.OperationalError("disk I/O error")
        return cursor

    def __getattr__(self, name: str) -> Any:
        return getattr(self._connection, name)


def failing(path: Path) -> SqliteLedger:
    """Return a ledger that has counted an event, and whose commits are reported as failed from now on."""
    ledger = SqliteLedger(path, SETTINGS, NOW)
    ledger.select(POOL, [ListedUser(name, None) for name in "abc"], began=NOW, start=start_rule("beginning"))
    ledger.record([poll_of(A, 0, "a1")], oldest_walk=0, now=NOW)
    ledger._db._connection = Landing(ledger._db._open_connection)  # type: ignore[assignment]
    return ledger


def totals(ledger: SqliteLedger) -> int:
    """Return how many events are counted."""
    return sum(state.value or 0 for state in ledger.load(POOL, NOW).counters if state.family == EVENTS)


def test_what_has_landed_is_not_counted_again(tmp_path: Path) -> None:
    """A poll whose commit failed and is in the file is shown by the reopening, and adds nothing when it is tried again."""
    ledger, poll = failing(tmp_path / "state.db"), poll_of(A, 0, "a1", "a2", "a3")
    with pytest.raises(CommitError):
        ledger.record([poll], oldest_walk=0, now=NOW)
    assert totals(ledger) == 1
    ledger.reopen(NOW)
    assert totals(ledger) == 3
    ledger.record([poll], oldest_walk=0, now=NOW)
    assert totals(ledger) == 3
    ledger.close()


def test_a_reopening_that_breaks_off_is_done_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is written by a state that was read half: it fails until it was opened and read as a whole."""
    ledger, poll = failing(tmp_path / "state.db"), poll_of(A, 0, "a1", "a2", "a3")
    with pytest.raises(CommitError):
        ledger.record([poll], oldest_walk=0, now=NOW)
    with monkeypatch.context() as patch:

        def unreadable() -> None:
            raise sqlite3.OperationalError("disk I/O error")

        patch.setattr(ledger.outbox, "read_numbers", unreadable)
        with pytest.raises(CommitError):
            ledger.reopen(NOW)
    with pytest.raises(CommitError):
        ledger.record([poll], oldest_walk=0, now=NOW)
    ledger.reopen(NOW)
    ledger.record([poll], oldest_walk=0, now=NOW)
    ledger.record([poll_of(B, 0, "b1")], oldest_walk=0, now=NOW)
    assert totals(ledger) == 4
    ledger.close()


class Sticking(Landing):
    """A real connection that begins no transaction any more."""

    def execute(self, statement: str, *values: Any) -> sqlite3.Cursor:
        """Execute a statement."""
        if statement == "BEGIN IMMEDIATE":
            raise sqlite3.OperationalError("disk I/O error")
        return self._connection.execute(statement, *values)


def test_a_connection_that_sticks_is_opened_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A connection that fails at every transaction though the disk is well is replaced after three; what waits counts once."""
    monkeypatch.setattr(writer, "_FIRST_WAIT", 0.01)

    async def scene(stage: Stage) -> None:
        await stage.writer.record(poll_of(A, 0, "a1"))
        stage.ledger._db._connection = Sticking(stage.ledger._db._open_connection)  # type: ignore[assignment]
        await asyncio.wait_for(stage.writer.record(poll_of(B, 0, "b1")), 30)
        assert stage.shown() == 2

    with capture_logs() as lines:
        asyncio.run(Stage(tmp_path / "state.db").play(scene))
    assert [line["failures"] for line in lines if line["log_level"] == "info"] == [3]


def test_a_reopening_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever follows the users hears of it: the file may hold users whose selection had failed."""
    told: list[bool] = []
    monkeypatch.setattr(writer, "_FIRST_WAIT", 0.01)

    async def scene(stage: Stage) -> None:
        stage.writer.reopened = lambda: told.append(True)
        stage.ledger._db._connection = Landing(stage.ledger._db._open_connection)  # type: ignore[assignment]
        await stage.writer.record(poll_of(A, 0, "a1"))

    asyncio.run(Stage(tmp_path / "state.db").play(scene))
    assert told == [True]


def test_a_trouble_is_over_whatever_works_next(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A reading that failed once, and is not done again, does not stand in the status for ever."""

    async def scene(stage: Stage) -> None:
        with monkeypatch.context() as patch:

            def unreadable(*_: object) -> None:
                raise CommitError("disk I/O error")

            patch.setattr(stage.ledger, "load", unreadable)
            with pytest.raises(CommitError):
                await stage.writer.load([POOL], SETTINGS)
        assert stage.writer.health.error == "disk I/O error"
        await stage.writer.users(POOL, 0, 10)
        assert stage.writer.health.error is None

    asyncio.run(Stage(tmp_path / "state.db").play(scene))


def test_a_reopening_that_fails_is_a_trouble(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Why a state cannot be opened anew is what is said of it, until it can; what waits is counted then, once, and shown."""
    monkeypatch.setattr(writer, "_FIRST_WAIT", 0.01)

    def full(_: Path) -> sqlite3.Connection:
        raise sqlite3.OperationalError("database or disk is full")

    async def scene(stage: Stage) -> None:
        stage.ledger._db._connection = Landing(stage.ledger._db._open_connection)  # type: ignore[assignment]
        with monkeypatch.context() as patch:
            patch.setattr(database, "_opened", full)
            waiting = asyncio.create_task(stage.writer.record(poll_of(A, 0, "a1")))
            says = "the state file cannot be opened anew: database or disk is full; make room on the file system of state.path"
            await until(lambda: stage.writer.health.error == says)
        await asyncio.wait_for(waiting, 30)
        assert (stage.writer.health.error, stage.shown()) == (None, 1)

    asyncio.run(Stage(tmp_path / "state.db").play(scene))


def test_a_state_that_stays_closed_says_why(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As long as the file cannot be opened anew, whatever is asked of the state fails with the reason."""
    ledger = failing(tmp_path / "state.db")

    def full(_: Path) -> sqlite3.Connection:
        raise sqlite3.OperationalError("database or disk is full")

    with monkeypatch.context() as patch:
        patch.setattr(database, "_opened", full)
        with pytest.raises(CommitError, match="make room"):
            ledger.reopen(NOW)
        with pytest.raises(CommitError, match="make room"):
            ledger.users(POOL, 0, 10)
    ledger.reopen(NOW)
    assert totals(ledger) == 1
    ledger.close()
