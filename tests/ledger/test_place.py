"""The place of the state file: what is taken away is written anew, what is replaced is left alone, what fails is opened anew."""

import resource
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from exporter.ledger import database
from exporter.ledger.database import Database, open_database
from exporter.ledger.ledger import CommitError
from exporter.ledger.place import Place
from tests.ledger.test_database import note, rows


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Return where the state is, two folders deep."""
    return tmp_path / "data" / "deep" / "state.db"


@pytest.fixture
def held(path: Path) -> Iterator[Database]:
    """Return a state that is open, and has one row."""
    made = open_database(path)
    note(made, "a")
    yield made
    made.close()


def log_of(path: Path) -> Path:
    """Return the path of a state's log."""
    return path.with_name(path.name + "-wal")


def take_both(path: Path) -> None:
    """Remove the file and its log."""
    path.unlink()
    log_of(path).unlink()


TAKEN: dict[str, Callable[[Path], None]] = {
    "file": Path.unlink,
    "log": lambda path: log_of(path).unlink(),
    "both": take_both,
    "folders": lambda path: shutil.rmtree(path.parent.parent),
}


@pytest.mark.parametrize("what", TAKEN)
def test_what_is_taken_away_is_written_anew(what: str, path: Path, held: Database) -> None:
    """Whatever is removed is back, whole, before the next row is written, and is said once; nothing is left beside it."""
    TAKEN[what](path)
    with capture_logs() as said:
        note(held, "b")
        note(held, "c")
    held.close()
    assert rows(path) == [("a", 1), ("b", 1), ("c", 1)]
    assert [each.name for each in path.parent.iterdir()] == ["state.db"]
    text = "the state file was taken away while in use; it was written anew, nothing is lost"
    assert said == [{"log_level": "warning", "event": text}]


REPLACED: dict[str, Callable[[Path], Path]] = {"file": lambda path: path, "log": log_of}


@pytest.mark.parametrize("what", REPLACED)
def test_what_is_replaced_is_left_alone(what: str, path: Path, held: Database) -> None:
    """Nothing is written while another file is in the place of the state or its log; once that is gone the state is put back."""
    place = REPLACED[what](path)
    place.unlink()
    place.write_text("somebody else's")
    for _ in range(2):
        with pytest.raises(CommitError, match=r"^another file is in the place of the state file"):
            note(held, "b")
    assert place.read_text() == "somebody else's"
    place.unlink()
    note(held, "b")
    held.close()
    assert rows(path) == [("a", 1), ("b", 1)]


def test_what_comes_meanwhile_is_not_replaced(path: Path, held: Database) -> None:
    """What is in the place only as the state is put back, such as a link to nowhere, stays there and is told."""
    path.unlink()
    path.symlink_to("nowhere")
    with pytest.raises(CommitError, match=r"^another file is in the place of the state file"):
        note(held, "b")
    assert path.is_symlink()


def test_a_place_that_cannot_be_looked_at_is_told(path: Path, held: Database) -> None:
    """Where the system does not say what is in the place, nothing is written, and its word is told."""
    path.unlink()
    path.symlink_to(path)
    with pytest.raises(CommitError) as caught:
        note(held, "b")
    assert str(caught.value) == "the place of the state file cannot be looked at: Too many levels of symbolic links"


def test_what_was_written_anew_is_ours_though_it_cannot_be_opened_at_once(
    path: Path, held: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A state that was put back, and could not be opened then, is not taken for another file, and goes on once it can be."""

    def full(_: Path) -> sqlite3.Connection:
        raise sqlite3.OperationalError("database or disk is full")

    path.unlink()
    with monkeypatch.context() as patch:
        patch.setattr(database, "_opened", full)
        with pytest.raises(CommitError, match="cannot be opened anew: database or disk is full"):
            note(held, "b")
    assert held.reopen()
    note(held, "b")
    held.close()
    assert rows(path) == [("a", 1), ("b", 1)]


class Returning:
    """A real connection, whose file is back in its place by the time a copy is made."""

    def __init__(self, connection: sqlite3.Connection, away: Path, path: Path) -> None:
        self._connection, self._away, self._path = connection, away, path

    def backup(self, target: sqlite3.Connection) -> None:
        """Make the copy."""
        self._connection.backup(target)
        self._away.rename(self._path)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._connection, name)


def test_what_is_back_by_itself_is_used_on(path: Path, held: Database) -> None:
    """A file that returns while its copy is made is the one that is written on, and nothing is said."""
    away, before = path.with_name("away.db"), path.stat().st_ino
    path.rename(away)
    held._connection = Returning(held._open_connection, away, path)  # type: ignore[assignment]
    with capture_logs() as said:
        note(held, "b")
    held.close()
    assert (rows(path), path.stat().st_ino, said) == ([("a", 1), ("b", 1)], before, [])


def test_what_cannot_be_written_anew_says_why(path: Path, held: Database) -> None:
    """A file where the folder was is told with the system's word; the state is there again once it is gone."""
    shutil.rmtree(path.parent)
    path.parent.touch()
    with pytest.raises(CommitError) as caught:
        note(held, "b")
    assert str(caught.value) == "the state file was taken away, and cannot be written anew: File exists"
    path.parent.unlink()
    note(held, "b")
    held.close()
    assert rows(path) == [("a", 1), ("b", 1)]


# -- a connection that fails -------------------------------------------------------------------------------------------------


@contextmanager
def full_disk() -> Iterator[None]:
    """Let no file of this process grow."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_state_is_opened_anew_only_where_that_can_help(path: Path, held: Database) -> None:
    """As long as the disk takes nothing, or the file is not in its place, the connection stays; so does one in memory."""
    connection = held._connection
    with full_disk():
        assert not held.reopen()
    away = path.with_name("away.db")
    path.rename(away)
    assert not held.reopen()
    away.rename(path)
    assert held._connection is connection
    assert held.reopen()
    memory = open_database(":memory:")
    assert not memory.reopen()
    memory.close()


def test_whether_a_place_can_be_written_is_tried_there(path: Path, held: Database) -> None:
    """It is the state's own folder that has to take a file, not any other."""
    place = Place(path)
    assert place.can_be_written()
    held.close()
    shutil.rmtree(path.parent)
    assert not place.can_be_written()


class Stuck:
    """A real connection that fails as it is closed."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def close(self) -> None:
        """Close the connection and say that it failed."""
        self._connection.close()
        raise sqlite3.OperationalError("disk I/O error")


def test_a_connection_that_cannot_be_closed_is_replaced(held: Database) -> None:
    """A connection of which nothing works any more is let go of, and another is opened."""
    held._connection = Stuck(held._open_connection)  # type: ignore[assignment]
    assert held.reopen()
    note(held, "b")
    assert held.execute("SELECT count(*) FROM meta WHERE value = 1").fetchone() == (2,)


def test_a_file_in_the_place_of_one_that_is_not_open_is_not_taken(path: Path, held: Database) -> None:
    """While the state is not open, a file that comes in its place is left alone, and told from one that is gone."""
    held.close()
    path.rename(path.with_name("away.db"))
    shutil.copy(path.with_name("away.db"), path)
    with pytest.raises(CommitError, match=r"^another file is in the place of the state file"):
        held.reopen()
    path.unlink()
    with pytest.raises(CommitError, match=r"^the state file is gone, and was not open"):
        held.reopen()
    path.with_name("away.db").rename(path)
    assert held.reopen()
