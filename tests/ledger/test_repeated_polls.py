"""What a poll writes and tells that shows nothing new: nothing. And what it does where something little has changed."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from exporter.event.labels import FIELDS
from exporter.event.line import EventLine
from exporter.ledger.counters import EVENTS, USER_EVENTS
from exporter.ledger.ledger import CommitError, EventState, PoolState
from tests.ledger.scene import POOL, SETTINGS, Scene, Staged, auth_event


@pytest.fixture
def staged(staged: Staged) -> Staged:
    """Return a function that makes a scene by settings that differ from the usual ones, with alice selected."""

    def stage(**changes: Any) -> Scene:
        made = staged(**changes)
        made.select("alice")
        return made

    return stage


def written(scene: Scene) -> list[tuple[object, ...]]:
    """Return the rows of events and of series as they stand, with the commit that wrote an event."""
    rows = scene.ledger._db.execute("SELECT * FROM event ORDER BY event_id").fetchall()
    return rows + scene.ledger._db.execute("SELECT * FROM series ORDER BY id").fetchall()


SHOWN = {
    "ended": [auth_event("e", -10)],
    "in progress": [auth_event("e", -10, "InProgress")],
    "both": [auth_event("e", -10, "InProgress"), auth_event("f", -20, "Fail"), auth_event("g", -30)],
}


@pytest.mark.parametrize("per_user", [False, True])
@pytest.mark.parametrize("case", SHOWN)
def test_what_is_known_is_not_written_again(staged: Staged, case: str, per_user: bool) -> None:
    """A poll that shows what the one before it has shown tells nothing and leaves every row as it was."""
    scene = staged(per_user=per_user)
    scene.poll(*SHOWN[case], now=0)
    before = written(scene)
    told = scene.poll(*SHOWN[case], now=10)
    assert (told.counters, told.events, told.lags) == ([], [], [])
    assert written(scene) == before


def events_told(told: PoolState) -> list[tuple[str, str]]:
    """Return the ids of the events that are told of, each with the response that its series has."""
    responses = {state.series: state.labels[1] for state in told.counters if state.family == EVENTS}
    return [(event.event_id, responses[event.series]) for event in told.events]


def test_an_event_that_was_given_up_may_still_end(staged: Staged) -> None:
    """An event counted as in progress stays counted so, and the gauges show what has become of it since."""
    scene = staged()
    scene.poll(auth_event("e", -10, "InProgress"), now=1000)
    told = scene.poll(auth_event("e", -10, "Pass"), now=1010)
    assert events_told(told) == [("e", "Pass")]
    assert [state.value for state in told.counters if state.labels[1:2] == ("InProgress",)] == [1]
    assert {labels[1]: count for labels, count in scene.counts().items()} == {"InProgress": 1}


def test_twins_are_two(staged: Staged) -> None:
    """Two events in progress that began at the same moment count once each when their user is gone."""
    scene = staged()
    scene.poll(auth_event("e", -10, "InProgress"), auth_event("f", -10, "InProgress"), now=0)
    scene.poll(now=1000, gone=True)
    assert sum(scene.counts().values()) == 2


def test_users_are_told_from_when_they_are_asked_for(staged: Staged) -> None:
    """An event in progress that was seen before `per_user` was turned on counts for its user once it ends."""
    scene = staged()
    scene.poll(auth_event("e", -10, "InProgress"), now=0)
    scene.restart(settings=replace(SETTINGS, per_user=True))
    scene.poll(auth_event("e", -10, "InProgress"), now=10)
    assert list(scene.states(USER_EVENTS)) == [("alice", "SignIn", "InProgress", "None")]
    scene.poll(auth_event("e", -10, "Pass"), now=20)
    assert scene.counts(USER_EVENTS) == {("alice", "SignIn", "Pass", "None"): 1}


def test_a_user_s_series_is_told_as_an_event_leaves_it(staged: Staged) -> None:
    """The series by user that an event in progress stood in is told anew once the event has ended."""
    scene = staged(per_user=True)
    scene.poll(auth_event("e", -10, "InProgress"), now=0)
    told = scene.poll(auth_event("e", -10, "Fail"), now=10)
    assert {state.labels[2] for state in told.counters if state.family == USER_EVENTS} == {"InProgress", "Fail"}


@pytest.mark.parametrize("family", [EVENTS, USER_EVENTS])
def test_an_event_in_progress_is_the_newest_while_it_is(staged: Staged, family: str) -> None:
    """What a series tells of its newest event takes in one in progress, for as long as it is that."""
    scene = staged(per_user=True)

    def newest(told: PoolState) -> dict[str, float | None]:
        states = [state for state in told.counters if state.family == family]
        return {response: state.last for state in states for response in state.labels if response in FIELDS["response"]}

    created = auth_event("e", -10).created.timestamp()
    assert newest(scene.poll(auth_event("e", -10, "InProgress"), now=0)) == {"InProgress": created}
    assert newest(scene.poll(auth_event("e", -10, "Fail"), now=10)) == {"InProgress": None, "Fail": created}


EDGES = {"in": (-3599.0, True), "at": (-3600.0, False), "out": (-3601.0, False)}


@pytest.mark.parametrize("case", EDGES)
def test_the_recent_window_has_an_edge(staged: Staged, case: str) -> None:
    """An event is told of for the gauges while it is younger than the recent window."""
    created, is_recent = EDGES[case]
    told = staged().poll(auth_event("e", created), now=0)
    expected = EventState("e", auth_event("e", created).created.timestamp(), 1, 1, "SignIn", is_open=False)
    assert told.events == ([expected] if is_recent else [])
    assert told.lags == [-created]


def test_an_old_event_in_progress_is_told_to_its_end(staged: Staged) -> None:
    """An event in progress is told of however old it is, and once more as it ends: the gauges are to let go of it."""
    scene = staged(settle=9000)
    begun = scene.poll(auth_event("e", -4000, "InProgress"), now=0)
    ended = scene.poll(auth_event("e", -4000, "Fail"), now=10)
    assert [[event.is_open for event in told.events] for told in (begun, ended)] == [[True], [False]]


def test_a_clock_behind_makes_no_negative_lag(staged: Staged) -> None:
    """An event that our clock has ahead of it was counted at once."""
    assert staged().poll(auth_event("e", 30), now=0).lags == [0.0]


LINES = {"shown": False, "gone": True}


@pytest.mark.parametrize("case", LINES)
def test_lines_name_their_pool(staged: Staged, case: str) -> None:
    """A line of the event log has its pool by id and by name, also where all that is left of the event is its labels."""
    scene = staged()
    scene.ledger.configure(SETTINGS, EventLine({POOL: "customers"}, "plain", b"key"))
    scene.poll(auth_event("e", -10, "InProgress"), now=0)
    scene.poll(auth_event("e", -10, "Pass"), now=1000, gone=LINES[case])
    (line,) = (json.loads(text) for _, text in scene.ledger.outbox.read(10))
    known = {key: line[key] for key in ("user_pool", "user_pool_id", "username", "event_id", "complete")}
    assert known == {
        "user_pool": "customers",
        "user_pool_id": POOL,
        "username": "alice",
        "event_id": "e",
        "complete": not LINES[case],
    }


def test_a_restart_knows_what_is_pending(staged: Staged) -> None:
    """As many lines wait after a restart as before it."""
    scene = staged()
    scene.ledger.configure(SETTINGS, EventLine({}, "plain", b"key"))
    scene.poll(auth_event("e", -10), auth_event("f", -20), now=0)
    assert scene.ledger.outbox.pending == 2
    scene.restart()
    assert scene.ledger.outbox.pending == 2


def test_a_state_that_cannot_be_read_says_why(tmp_path: Path) -> None:
    """Where lines cannot be read, the error has SQLite's own words."""
    scene = Scene(tmp_path / "state.db")
    scene.close()
    with pytest.raises(CommitError, match=r"^the state is not open$"):
        scene.ledger.outbox.read(1)
