"""Selection as a stream: batches as a discovery goes on, and at its end those whom it has not found."""

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from exporter.fetch.source import ListedUser
from exporter.ledger.ledger import KnownUser, Poll
from exporter.ledger.rules import Purpose, Settings
from exporter.ledger.sqlite import SqliteLedger
from exporter.users.discovery import start_rule
from tests.ledger.selecting import row_of, selected

POOL, OTHER_POOL = "eu-west-1_Test", "eu-west-1_Other"
BEGIN = 1_700_000_000.0
SETTINGS = Settings(settle=900, overlap=600, recent_window=3600, series_hold=0, max_series=5000, per_user=False)


class Hall:
    """A ledger in which discoveries go on and end; times in seconds after BEGIN."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.ledger = SqliteLedger(path, SETTINGS, BEGIN)

    def restart(self) -> None:
        """Open the state again, as after a kill: nothing is closed in order, nothing in memory stays."""
        self.ledger._db.close()
        self.ledger = SqliteLedger(self.path, SETTINGS, BEGIN)

    def find(self, *names: str, began: float, pool: str = POOL, created: float | None = None) -> list[str]:
        """Hand over a batch of a discovery; return the names of those who were not selected before."""
        at = None if created is None else datetime.fromtimestamp(BEGIN + created, UTC)
        users = [ListedUser(name, at) for name in names]
        added = self.ledger.select(pool, users, began=BEGIN + began, start=start_rule("now"))
        return [self.name(user.user) for user in added]

    def end(self, began: float, pool: str = POOL, only: frozenset[str] | None = None, limit: int = 2) -> list[str]:
        """End a discovery; return who was deselected of all, or of `only` these."""
        removed: list[int] = []
        after: int | None = 0
        while after is not None:
            part = self.ledger.deselect(
                pool, began=BEGIN + began, dropped=lambda name: only is None or name in only, after=after, limit=limit
            )
            removed += part.removed
            after = part.after
        return [self.name(row) for row in removed]

    def name(self, row: int) -> str:
        """Return the name of a row."""
        return str(self.ledger._db.execute("SELECT name FROM user WHERE id = ?", (row,)).fetchone()[0])

    def start(self, name: str) -> float:
        """Return when counting starts for a user."""
        query = "SELECT start, floor FROM user WHERE name = ?"
        start, floor = self.ledger._db.execute(query, (name,)).fetchone()
        assert start == floor
        return float(start - BEGIN)

    def selected(self) -> set[str]:
        """Return the names of the selected users of the pool."""
        return set(selected(self.ledger, POOL))


@pytest.fixture
def hall(tmp_path: Path) -> Iterator[Hall]:
    """Return a hall with nobody in it."""
    made = Hall(tmp_path / "state.db")
    yield made
    made.ledger.close()


def test_batches_add_up_to_a_discovery(hall: Hall) -> None:
    """Each batch tells who is new, once, and the end takes out whom no batch has brought."""
    assert hall.find("a", "b", began=0) == ["a", "b"]
    assert hall.find("b", "c", "c", began=0) == ["c"]
    assert hall.end(0) == []
    assert hall.find("c", began=600) == []
    assert hall.find("d", "a", began=600) == ["d"]
    assert hall.selected() == {"a", "b", "c", "d"}
    assert hall.end(600) == ["b"]
    assert hall.find("b", began=1200) == ["b"]
    assert hall.end(1200) == ["a", "c", "d"]
    assert hall.selected() == {"b"}


def test_pools_are_apart(hall: Hall) -> None:
    """The end of one pool's discovery takes nobody out of another's, whatever names they share."""
    hall.find("a", "b", began=0)
    hall.find("a", "c", began=0, pool=OTHER_POOL)
    assert hall.end(0, OTHER_POOL) == []
    hall.find("c", began=5, pool=OTHER_POOL)
    assert hall.end(5, OTHER_POOL) == ["a"]
    assert hall.end(0) == []
    assert hall.selected() == {"a", "b"}


def test_an_end_told_twice_takes_nobody_out(hall: Hall) -> None:
    """Whom a discovery has found stays found after its end."""
    hall.find("a", began=0)
    assert (hall.end(0), hall.end(0), hall.selected()) == ([], [], {"a"})


def test_users_come_in_pages(hall: Hall) -> None:
    """Selected users are read in the order of their rows, so many at a time, each once."""
    names = [f"user{number}" for number in range(25)]
    hall.find(*names, began=0)
    hall.find("user3", "other", began=0, pool=OTHER_POOL)
    hall.find(*(name for name in names if name != "user7"), began=5)
    hall.end(5)
    read: list[KnownUser] = []
    while page := hall.ledger.users(POOL, read[-1].user if read else 0, 10):
        assert len(page) <= 10
        read += page
    assert [hall.name(user.user) for user in read] == [name for name in names if name != "user7"]


def test_a_kill_between_batches_goes_on(hall: Hall) -> None:
    """Who was selected before a kill stays so, since then; the next discovery goes on, and its end sees whom it found itself."""
    hall.find("a", "b", began=0)
    hall.restart()
    assert hall.selected() == {"a", "b"}
    assert hall.find("b", "c", began=100) == ["c"]
    assert hall.end(100) == ["a"]
    assert (hall.start("b"), hall.start("c")) == (0, 100)


def test_created_since_a_discovery_that_was_killed_starts_at_the_creation(hall: Hall) -> None:
    """The first discovery is the first though a kill has ended it: who is created after it began starts at the creation."""
    hall.find("a", began=0)
    hall.restart()
    hall.find("old", began=100, created=-5)
    hall.find("new", began=100, created=40)
    assert (hall.start("old"), hall.start("new")) == (100, 40)


def test_created_during_the_first_discovery_starts_with_it(hall: Hall) -> None:
    """A user created while the pool's first discovery goes on has no history that could be lost: the start is its beginning."""
    hall.find("a", began=0)
    hall.find("b", began=0, created=3)
    hall.find("c", began=0, created=-3)
    assert {name: hall.start(name) for name in "abc"} == {"a": 0, "b": 0, "c": 0}


def test_the_first_word_of_a_user_sets_the_start(hall: Hall) -> None:
    """Who is found with the creation and then without it starts at the creation, whatever was polled meanwhile."""
    hall.find("a", began=0)
    hall.end(0)
    hall.find("b", began=600, created=500)
    hall.find("b", began=600)
    assert hall.start("b") == 500


def test_an_empty_discovery_counts_as_the_first(hall: Hall) -> None:
    """A first discovery that found nobody is one all the same: who is created after it is new."""
    hall.end(0, only=frozenset())
    hall.find("b", began=600, created=500)
    assert hall.start("b") == 500


def test_activity_is_kept_with_the_poll(hall: Hall) -> None:
    """What the polling has learned is written with a poll, left where the poll brings nothing, and told after a restart."""
    hall.find("a", "b", began=0)
    row = row_of(hall.ledger, POOL, "a")
    told = []
    for at, activity in enumerate((None, b"\x00\xff", None, b"")):
        lookout = hall.ledger.look_out(row, BEGIN + at)
        hall.ledger.record(
            [Poll(POOL, row, BEGIN + at, lookout.began, None, activity=activity)], oldest_walk=0, now=BEGIN + at
        )
        hall.restart()
        told.append(selected(hall.ledger, POOL)["a"].activity)
    assert told == [b"", b"\x00\xff", b"\x00\xff", b""]
    assert selected(hall.ledger, POOL)["b"].activity == b""


def test_look_out_tells_whom_to_ask(hall: Hall) -> None:
    """A walk learns the user's name, and that there was none before it; a row that there is not is an error."""
    hall.find("a", began=0)
    lookout = hall.ledger.look_out(row_of(hall.ledger, POOL, "a"), BEGIN + 5)
    assert (lookout.username, lookout.purpose, lookout.known) == ("a", Purpose.FIRST_WALK, 0)
    with pytest.raises(LookupError):
        hall.ledger.look_out(99, BEGIN)
