"""Selection as a stream: batches as a discovery goes on, and at its end those whom it has not found."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from exporter.fetch.source import ListedUser
from exporter.fetch.walk import Walk
from exporter.ledger.counters import USER_EVENTS
from exporter.ledger.ledger import DiscoveryEnd, KnownUser, Poll
from exporter.ledger.rules import Purpose, Settings
from exporter.ledger.sqlite import SqliteLedger
from exporter.simulator.world import auth_event
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

    def find(
        self, *names: str, began: float, pool: str = POOL, created: float | None = None, by_name: bool = False
    ) -> list[str]:
        """Hand over a batch of a discovery; return the names of those who were not selected before."""
        at = None if created is None else datetime.fromtimestamp(BEGIN + created, UTC)
        users = [ListedUser(name, at, by_name=by_name) for name in names]
        added = self.ledger.select(pool, users, began=BEGIN + began, start=start_rule("now"))
        return [self.name(user.user) for user in added]

    def end(self, began: float, pool: str = POOL, selectors: str | None = None, **more: Any) -> list[str]:
        """End a discovery, by default a complete one of selectors never followed before; return who was deselected."""
        usual: dict[str, Any] = {
            "ended": BEGIN + began,
            "complete": True,
            "selectors": str(began) if selectors is None else selectors,
        }
        end = DiscoveryEnd(BEGIN + began, **(usual | more))
        removed: list[int] = []
        after: int | None = 0
        while after is not None:
            part = self.ledger.deselect(pool, end, after=after, limit=2)
            removed += part.removed
            after = part.after
        return [self.name(row) for row in removed]

    def poll(self, name: str, at: float, *, found: bool = True) -> None:
        """Poll a user, whose history has one sign-in, or who does not exist."""
        row, asked_at = row_of(self.ledger, POOL, name), BEGIN + at
        event = auth_event(datetime.fromtimestamp(BEGIN + 1, UTC), event_id=f"of {name}")
        walk = Walk(asked_at, asked_at, BEGIN, (event,), frozenset({event.event_id}), None)
        lookout = self.ledger.look_out(row, asked_at)
        poll = Poll(POOL, row, asked_at, lookout.began, walk if found else None)
        self.ledger.record([poll], oldest_walk=lookout.began, now=asked_at)

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


def test_a_discovery_may_find_thousands(hall: Hall) -> None:
    """However many users there are, each is found or not by the row it has."""
    names = [f"user{number}" for number in range(2100)]
    assert hall.find(*names, began=0) == names
    hall.find("user0", began=10)
    ended = hall.ledger.deselect(
        POOL, DiscoveryEnd(BEGIN + 10, BEGIN + 10, complete=True, selectors="x"), after=0, limit=5000
    )
    assert ([hall.name(row) for row in ended.removed], ended.after) == (names[1:], None)


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


def test_who_leaves_the_pool_is_polled_once_more(hall: Hall) -> None:
    """Whoever the same selectors no longer find stays until a poll was asked for after that, and goes with the next discovery."""
    hall.find("a", "b", "c", began=0)
    hall.end(0, selectors="same")
    hall.poll("a", 5)
    hall.find("c", began=10)
    assert hall.end(10, ended=BEGIN + 20, selectors="same") == []
    hall.poll("a", 19)
    hall.poll("b", 20)
    hall.find("c", began=30)
    assert hall.end(30, selectors="same") == ["b"]
    hall.poll("a", 31)
    hall.find("c", began=40)
    assert hall.end(40, selectors="same") == ["a"]


def test_who_comes_back_in_time_has_not_left(hall: Hall) -> None:
    """A user who was missing once and is found again is no longer waited for: the next absence begins anew."""
    hall.find("a", "b", began=0)
    hall.end(0, selectors="same")
    hall.end(10, selectors="same")
    hall.find("a", "b", began=20)
    assert hall.end(20, selectors="same") == []
    hall.poll("a", 25)
    assert hall.end(30, selectors="same") == []
    hall.poll("a", 35)
    assert hall.end(40, selectors="same") == ["a"]


def test_who_does_not_exist_leaves_at_once(hall: Hall) -> None:
    """Whom AWS does not know any more has no history to be looked at a last time."""
    hall.find("a", began=0)
    hall.end(0, selectors="same")
    hall.poll("a", 5, found=False)
    assert hall.end(10, selectors="same") == ["a"]


def test_other_selectors_let_go_at_once(hall: Hall) -> None:
    """Whoever is no longer named by the configuration or its files goes at the next discovery; so does who is excluded."""
    hall.find("a", "b", began=0)
    hall.end(0, selectors="same")
    assert hall.end(10, selectors="same", excluded=frozenset({"b"})) == ["b"]
    assert hall.end(20, selectors="others") == ["a"]


def test_a_discovery_that_was_not_complete_is_not_the_one_before(hall: Hall) -> None:
    """Selectors that were followed in part only are still new ones: whoever they do not find goes at once."""
    hall.find("a", began=0)
    hall.end(0, selectors="old")
    assert hall.end(10, selectors="new", complete=False) == []
    assert hall.end(20, selectors="new") == ["a"]


def test_a_discovery_that_was_not_complete_keeps_the_one_before(hall: Hall) -> None:
    """Who leaves the pool stays for a poll though a discovery broke off since the last complete one."""
    hall.find("a", began=0)
    hall.end(0, selectors="same")
    assert hall.end(10, selectors="same", complete=False) == []
    assert hall.end(20, selectors="same") == []
    hall.poll("a", 21)
    assert hall.end(30, selectors="same") == ["a"]


def test_who_was_only_named_goes_at_once(hall: Hall) -> None:
    """Who was named, by a file say, and is no more, goes at once; who left a group in the same discovery stays for a poll."""
    hall.find("a", "b", began=0)
    hall.find("b", "c", "d", began=0, by_name=True)
    hall.end(0, selectors="same")
    hall.find("d", began=10, by_name=True)
    assert hall.end(10, selectors="same") == ["c"]
    hall.poll("a", 11)
    hall.poll("b", 12)
    hall.find("d", began=20, by_name=True)
    assert hall.end(20, selectors="same") == ["a", "b"]
    assert hall.end(30, selectors="") == ["d"]


def test_after_a_restart_whoever_is_missing_may_have_left(hall: Hall) -> None:
    """By what somebody was found is not known after a restart, so they stay for a poll; unless nothing lists at all."""
    hall.find("a", began=0, by_name=True)
    hall.find("b", began=0)
    hall.end(0, selectors="same")
    hall.restart()
    assert hall.end(10, selectors="same") == []
    hall.poll("a", 11)
    assert hall.end(20, selectors="same") == ["a"]
    hall.restart()
    assert hall.end(30, selectors="") == ["b"]


def test_where_nothing_lists_nobody_has_left(hall: Hall) -> None:
    """Where users come by name alone, whoever is named no more goes at once, after a restart too."""
    hall.find("a", "b", began=0, by_name=True)
    hall.end(0, selectors="")
    hall.restart()
    hall.find("b", began=10, by_name=True)
    assert hall.end(10, selectors="") == ["a"]


def test_a_discovery_ends_in_parts(hall: Hall) -> None:
    """Each part of an end looks at so many users, and tells the last of them as where to go on."""
    hall.find(*"abcde", began=0)
    rows = [row_of(hall.ledger, POOL, name) for name in "abcde"]
    end = DiscoveryEnd(BEGIN, BEGIN, complete=True, selectors="")
    parts = [hall.ledger.deselect(POOL, end, after=after, limit=3) for after in (0, rows[2])]
    assert [part.after for part in parts] == [rows[2], None]


def test_a_clock_set_back_keeps_nobody_waiting(hall: Hall) -> None:
    """Who was missed by a clock that was ahead is let go of once polled by the right one."""
    hall.find("a", began=0)
    hall.end(0, selectors="same")
    assert hall.end(10, ended=BEGIN + 100_000, selectors="same") == []
    assert hall.end(20, selectors="same") == []
    hall.poll("a", 21)
    assert hall.end(30, selectors="same") == ["a"]


def test_users_who_left_are_forgotten_after_two_years(hall: Hall) -> None:
    """Who left is kept as long as Cognito keeps events that were counted, then forgotten with all that hangs on row and name."""
    hall.ledger.configure(replace(SETTINGS, per_user=True))
    hall.find("a", "b", "c", began=0)
    hall.poll("a", 50)
    hall.poll("c", 50)
    hall.find("c", began=100)
    hall.end(100)
    years = 2 * 366 * 86_400

    def prune(at: float) -> int:
        return len(hall.ledger.prune(POOL, BEGIN + at, 10).forgotten)

    def left() -> set[str]:
        return {name for (name,) in hall.ledger._db.execute("SELECT name FROM user")}

    assert (prune(years), left()) == (0, {"a", "b", "c"})
    assert (prune(years + 1), left()) == (0, {"a", "c"})
    assert (prune(years + 50), left()) == (0, {"a", "c"})
    assert (prune(years + 51), left()) == (1, {"c"})
    assert (prune(10 * years), left()) == (0, {"c"})
    for table in ("event", "country", "unreadable"):
        assert hall.ledger._db.execute(f"SELECT count(*) FROM {table} WHERE user != 3").fetchone() == (0,)
    for look in (lambda: None, hall.restart):
        look()
        series = hall.ledger.load(POOL, BEGIN).counters
        assert {state.labels[0] for state in series if state.family == USER_EVENTS} == {"c"}


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
    hall.end(0, complete=False)
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
