"""The outbox: a line for each event counted, in the transaction that counts, until it is told to be written."""

import json
import sqlite3
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter.event.labels import UNKNOWN_COUNTRY
from exporter.event.line import EventLine
from exporter.ledger.counters import EVENTS
from exporter.ledger.ledger import Poll
from exporter.ledger.sqlite import SqliteLedger
from tests.ledger.scene import POOL, SETTINGS, Scene, auth_event
from tests.ledger.selecting import row_of
from tests.ledger.test_promises import BEGIN as PROMISED
from tests.ledger.test_promises import END, RULES, Happening, World, happenings, limits, quick, world_of

LINE = EventLine({POOL: "customers"}, "plain", b"k" * 32)


def lines(ledger: SqliteLedger) -> list[dict[str, Any]]:
    """Return the lines not known to be written."""
    return [json.loads(line) for _, line in ledger.outbox.read(10_000)]


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[Scene]:
    """Return a scene with alice and her other name selected, and an event log."""
    made = Scene(tmp_path / "state.db")
    made.ledger.configure(SETTINGS, LINE)
    made.select("alice", "a@example.com")
    yield made
    made.close()


def told(scene: Scene) -> list[tuple[str, str, bool, str]]:
    """Return (id, user name, whether complete, response) of the lines."""
    names = ("event_id", "username", "complete", "response")
    return [tuple(line[name] for name in names) for line in lines(scene.ledger)]


def test_each_way_of_counting_makes_a_line(scene: Scene) -> None:
    """At once, ended later, settled while shown, settled once gone, and with its user: each is one line as it was counted."""
    scene.poll(auth_event("at once", 1), auth_event("ends", 2, "InProgress"), now=10)
    assert told(scene) == [("at once", "alice", True, "Pass")]
    ended = auth_event("ends", 2, "Fail")
    shown = auth_event("settles", 20, "InProgress")
    scene.poll(ended, shown, auth_event("leaves", 21, "InProgress"), now=30)
    assert told(scene)[1:] == [("ends", "alice", True, "Fail")]
    scene.poll(ended, shown, auth_event("last", 960, "InProgress"), now=970)
    assert told(scene)[2:] == [("settles", "alice", True, "InProgress"), ("leaves", "alice", False, "InProgress")]
    scene.poll(now=2000, gone=True)
    assert told(scene)[4:] == [("last", "alice", False, "InProgress")]


def test_an_alias_makes_no_second_line(scene: Scene) -> None:
    """An event shown under two names is one line, under the name it is counted by."""
    scene.poll(auth_event("a", 1), auth_event("b", 2, "InProgress"), now=10)
    scene.poll(auth_event("a", 1), auth_event("b", 2), auth_event("c", 3), now=20, user="a@example.com")
    assert told(scene) == [
        ("a", "alice", True, "Pass"),
        ("b", "alice", True, "Pass"),
        ("c", "a@example.com", True, "Pass"),
    ]


def test_what_is_not_counted_makes_no_line(scene: Scene) -> None:
    """Events from before the start and feedback on counted events are in no line, nor is anything without an event log."""
    scene.select("alice", "bob", now=100, start="now")
    scene.poll(auth_event("old", 50), now=110, user="bob")
    scene.ledger.configure(SETTINGS, None)
    scene.poll(auth_event("unlogged", 120), now=130, user="bob")
    assert lines(scene.ledger) == []


def test_a_transaction_taken_back_leaves_no_line(scene: Scene) -> None:
    """A poll whose transaction fails leaves neither counts nor lines, and numbers go on without a hole."""
    scene.poll(auth_event("a", 1), now=10)
    scene.ledger._db.execute("CREATE TRIGGER full BEFORE UPDATE ON user BEGIN SELECT raise(ABORT, 'full'); END")
    with pytest.raises(sqlite3.IntegrityError):
        scene.poll(auth_event("a", 1), auth_event("b", 2), now=20)
    assert (scene.ledger.outbox.pending, len(told(scene))) == (1, 1)
    scene.ledger._db.execute("DROP TRIGGER full")
    scene.poll(auth_event("a", 1), auth_event("b", 2), now=30)
    assert [number for number, _ in scene.ledger.outbox.read(9)] == [1, 2]


def kept(scene: Scene) -> list[int]:
    """Return the numbers of the lines that the state holds."""
    return [number for (number,) in scene.ledger._db.execute("SELECT id FROM event_line ORDER BY id")]


def test_written_lines_go_with_the_next_transaction(scene: Scene) -> None:
    """Lines told to be written are not read again, and the next poll's transaction, or `forget`, deletes them."""
    outbox = scene.ledger.outbox
    scene.poll(*(auth_event(f"e{n}", n) for n in range(4)), now=10)
    outbox.wrote(2)
    assert (outbox.pending, [number for number, _ in outbox.read(1)], kept(scene)) == (2, [3], [1, 2, 3, 4])
    scene.poll(now=20, user="a@example.com")
    assert kept(scene) == [3, 4]
    outbox.wrote(4)
    outbox.forget()
    assert (outbox.pending, kept(scene)) == (0, [])


def test_a_restart_repeats_what_was_not_deleted(scene: Scene) -> None:
    """After a restart lines still in the state are pending, written or not, and new ones come after them, never numbered anew."""
    scene.poll(*(auth_event(f"e{n}", n) for n in range(3)), now=10)
    scene.ledger.outbox.wrote(2)
    scene.restart(now=20)
    assert [number for number, _ in scene.ledger.outbox.read(9)] == [1, 2, 3]
    scene.ledger.outbox.wrote(3)
    scene.ledger.outbox.forget()
    scene.restart(now=30)
    assert scene.ledger.outbox.pending == 0
    scene.ledger.configure(SETTINGS, LINE)
    scene.poll(*(auth_event(f"e{n}", n) for n in range(4)), now=40)
    assert [number for number, _ in scene.ledger.outbox.read(9)] == [4]


def test_dropped_lines_are_told_and_gone(scene: Scene) -> None:
    """What is dropped is no longer pending, and its number is told."""
    scene.poll(*(auth_event(f"e{n}", n) for n in range(3)), now=10)
    scene.ledger.outbox.wrote(1)
    assert (scene.ledger.outbox.drop(), scene.ledger.outbox.drop()) == (2, 0)
    scene.ledger.outbox.forget()
    assert kept(scene) == []


def logged(world: World) -> Counter[tuple[str, ...]]:
    """Return the series that the lines of a world say its events stand in."""
    found = lines(world.ledger)
    assert len({line["event_id"] for line in found}) == len(found)
    return Counter(
        (line["event_type"], line["response"], "None", line["context"]["country"] or UNKNOWN_COUNTRY) for line in found
    )


@quick
@given(
    happenings(),
    st.lists(
        st.tuples(st.integers(0, 900), st.sampled_from(["alice", "a@example.com", "gone", "restart"])), max_size=25
    ),
    limits,
)
def test_lines_agree_with_the_counts(events: list[Happening], steps: list[tuple[int, str]], limit: int) -> None:
    """However polls of two names, answers that the user is gone and restarts mix, the lines add up to the committed counts."""
    line = replace(LINE, names={})
    with world_of(events, limit=limit) as world:
        world.select(["alice", "a@example.com"], 0)
        world.ledger.configure(RULES, line)
        for now, step in [*sorted(steps), (END, "alice"), (END + 100, "a@example.com")]:
            if step == "restart":
                world.restart()
                world.ledger.configure(RULES, line)
            elif step == "gone":
                lookout = world.look_out("alice", now)
                gone = Poll(POOL, row_of(world.ledger, POOL, "alice"), PROMISED + now, lookout.began, None)
                world.record(gone, now=now)
            else:
                world.poll(step, now)
            assert logged(world) == world.counted(EVENTS)
        assert logged(world).total() == len(events)
