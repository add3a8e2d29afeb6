"""What becomes of single events: settling, gauges, countries, folding, holding, forgetting. Times in seconds after BEGIN."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from exporter.event.event import Challenge, Feedback, Risk
from exporter.fetch.source import DamagedEntry, ListedUser
from exporter.fetch.walk import Walk
from exporter.ledger.counters import CHALLENGES, COMPROMISED_CREDENTIALS, FEEDBACK, NEW_COUNTRY_SIGN_INS, USER_EVENTS
from exporter.ledger.ledger import Poll
from exporter.ledger.rules import NEWEST_KEPT
from exporter.ledger.schema import MIGRATIONS
from exporter.users.discovery import start_rule
from tests.ledger.scene import BEGIN, POOL, SETTINGS, Scene, Staged, auth_event
from tests.ledger.selecting import select_all


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[Scene]:
    """Return a scene with alice selected from the beginning."""
    made = Scene(tmp_path / "state.db")
    made.select("alice")
    yield made
    made.close()


SIGN_IN = ("SignIn", "Pass", "None", "France")
OPEN = ("SignIn", "InProgress", "None", "France")


def test_look_out_tells_why_and_how_much(scene: Scene) -> None:
    """The first walk, those down to the newest event, and once each `overlap` one down to known ground: with what is known."""
    events = [auth_event(f"e{n}", n) for n in range(5)]
    told = []
    for now in (10, 20, 609, 610, 611):
        lookout = scene.ledger.look_out(scene.row(), BEGIN + now)
        told.append((lookout.purpose, lookout.known))
        scene.poll(*events, now=now)
    assert told == [("first_walk", 0), ("new", 1), ("new", 1), ("look_back", 5), ("new", 1)]


def test_the_first_walk_is_deep(scene: Scene) -> None:
    """The first walk of a user reaches back to the start, and over the recent window where that is longer."""
    scene.select("alice", "bob", now=1000, start="now")
    depths = [scene.ledger.look_out(scene.row(name), BEGIN + 1010).depth for name in ("alice", "bob")]
    assert depths == [0.0, BEGIN + 1010 - 3600]


def test_every_walk_reaches_the_oldest_event_in_progress(scene: Scene) -> None:
    """Between looks back a walk goes down to the newest event, or to the oldest that is still open."""
    scene.poll(auth_event("a", 10), auth_event("b", 20), now=30)
    assert scene.ledger.look_out(scene.row(), BEGIN + 40).depth == BEGIN + 20
    scene.poll(auth_event("c", 15, "InProgress"), auth_event("d", 18, "InProgress"), now=40)
    assert scene.ledger.look_out(scene.row(), BEGIN + 50).depth == BEGIN + 15


def test_who_has_no_events_is_polled_on(scene: Scene) -> None:
    """Nothing to see for hours is no trouble: the first event counts whenever it comes."""
    for now in (10, 700, 1400, 2100):
        scene.poll(now=now)
    scene.poll(auth_event("a", 2100), now=2800)
    assert scene.counts() == {SIGN_IN: 1}


def test_what_comes_with_its_feedback_counts_with_it(scene: Scene) -> None:
    """An event first shown with feedback on it counts in all families at once."""
    rated = auth_event("rated", 20, country="Peru", feedback=Feedback("Invalid", "Admin", None))
    scene.poll(auth_event("home", 10), rated, now=30)
    assert scene.counts(FEEDBACK) == {("Invalid", "Admin"): 1}
    assert scene.counts(NEW_COUNTRY_SIGN_INS) == {("Peru",): 1}


def test_in_progress_waits_for_its_end(scene: Scene) -> None:
    """An event in progress is not counted; when it ends it counts as it ended, with the challenges it gained."""
    mfa = (Challenge("Password", "Success"), Challenge("Mfa", "Success"))
    scene.poll(auth_event("a", 0, "InProgress", challenges=mfa[:1]), now=5)
    assert scene.counts() == {}
    scene.poll(auth_event("a", 0, "Pass", challenges=mfa), now=20)
    assert scene.counts() == {SIGN_IN: 1}
    assert scene.counts(CHALLENGES) == {("Password", "Success"): 1, ("Mfa", "Success"): 1}


def test_in_progress_settles(scene: Scene) -> None:
    """An event still in progress `settle` after its creation counts as in progress, and never again."""
    event = auth_event("a", 0, "InProgress")
    for now, expected in ((5, {}), (899, {}), (900, {OPEN: 1}), (2000, {OPEN: 1})):
        scene.poll(event, now=now)
        assert scene.counts() == expected
    scene.poll(auth_event("a", 0, "Pass"), now=2100)
    assert scene.counts() == {OPEN: 1}


def test_in_progress_settles_when_gone(scene: Scene) -> None:
    """An open event that is no longer shown counts as it stood last, but not before `settle` is over."""
    scene.poll(auth_event("a", 0, "InProgress"), now=5)
    scene.poll(now=500)
    assert scene.counts() == {}
    scene.poll(now=901)
    assert scene.counts() == {OPEN: 1}


def test_in_progress_settles_when_its_user_is_gone(scene: Scene) -> None:
    """An open event of a deleted user counts once `settle` is over, over a restart."""
    scene.poll(auth_event("a", 0, "InProgress"), now=5)
    scene.poll(now=500, gone=True)
    scene.restart()
    scene.poll(now=901, gone=True)
    assert scene.counts() == {OPEN: 1}


def test_who_is_gone_has_been_polled(scene: Scene) -> None:
    """That AWS does not know a user is an answer: when it came is kept, and the next walk is not taken for the first."""
    scene.poll(now=500, gone=True)
    scene.restart()
    assert scene.selected()["alice"].polled_at == BEGIN + 500
    assert scene.ledger.look_out(scene.row(), BEGIN + 600).purpose == "look_back"


def test_users_no_longer_selected_linger_until_settled(scene: Scene) -> None:
    """Whoever leaves the selection with an event in progress is told once it can be counted."""
    scene.poll(auth_event("a", 0, "InProgress"), now=5)
    scene.select("bob", now=10)
    assert scene.ledger.lingering(POOL, BEGIN + 899) == []
    assert scene.ledger.lingering(POOL, BEGIN + 900) == [scene.row()]
    scene.poll(now=901, gone=True)
    assert scene.ledger.lingering(POOL, BEGIN + 902) == []


def test_damaged_walk_counts_but_makes_nothing_known(scene: Scene) -> None:
    """Good events beside unreadable ones count; what could not be read is counted once it can be."""
    good, bad = auth_event("good", 50), auth_event("bad", 40)
    for now in (100, 800, 1500, 2200):
        scene.poll(good, now=now, damaged=[DamagedEntry("no id", None), DamagedEntry("no type", bad)])
        assert scene.selected()["alice"].polled_at == BEGIN + now
    assert scene.counts() == {SIGN_IN: 1}
    scene.poll(good, bad, now=3000)
    assert scene.counts() == {SIGN_IN: 2}


def test_what_stays_unreadable_is_given_up(scene: Scene) -> None:
    """After six hours an entry counts with what can be read of it, is told once, and holds known ground up no longer."""
    half, late = auth_event("half", 40, country="unknown"), auth_event("late", 41)
    damaged = [DamagedEntry("no id", None), DamagedEntry("no country", half)]
    told = [scene.poll(now=now, damaged=damaged).unreadable for now in (100, 11_000, 21_699, 21_700, 22_500, 23_200)]
    assert told == [0, 0, 0, 2, 0, 0]
    assert scene.counts() == {("SignIn", "Pass", "None", "unknown"): 1}
    scene.poll(half, now=24_000, damaged=[damaged[0], DamagedEntry("another", late)])
    assert scene.counts() == {("SignIn", "Pass", "None", "unknown"): 1}
    scene.poll(half, late, now=25_000, damaged=damaged[:1])
    assert scene.counts() == {("SignIn", "Pass", "None", "unknown"): 1, SIGN_IN: 1}


def test_unreadable_entries_do_not_fill_the_state(scene: Scene) -> None:
    """Of one user 12,000 entries are waited for, those given up aside, whatever an answer damages anew each time."""

    def remembered() -> int:
        return int(scene.ledger._db.execute("SELECT count(*) FROM unreadable").fetchone()[0])

    given_up = [DamagedEntry(f"old {n}", None) for n in range(3)]
    for now in (100, 30_000):
        scene.poll(now=now, damaged=given_up)
    for now in (31_000, 32_000):
        scene.poll(now=now, damaged=[*given_up, *(DamagedEntry(f"new {n}", None) for n in range(12_005))])
        assert remembered() == 12_003


def test_what_was_whole_in_between_is_waited_for_anew(scene: Scene) -> None:
    """An entry that a walk to known ground has not shown damaged has six hours from its next damage on."""
    half = auth_event("half", 40, country="unknown")
    damaged = [DamagedEntry("no country", half)]
    for now, shown in ((100, damaged), (7000, ()), (30_000, damaged)):
        assert scene.poll(now=now, damaged=shown).unreadable == 0
    assert scene.counts() == {}


def test_a_walk_that_did_not_reach_an_entry_says_nothing_of_it(scene: Scene) -> None:
    """Six hours go on over walks that were less deep, or cut short, and so have not shown the entry at all."""
    scene.poll(now=100, damaged=[DamagedEntry("no id", None)])
    scene.record(auth_event("young", 6900), now=7000, depth=6000)
    scene.record(auth_event("young", 6900), now=8000, depth=-BEGIN, truncated=True)
    assert scene.poll(now=21_700, damaged=[DamagedEntry("no id", None)]).unreadable == 1


def test_entries_given_up_together_are_all_told(scene: Scene) -> None:
    """Polls of a pool that are committed together tell of the unreadable entries of all of them."""
    scene.select("alice", "bob")
    damaged = (DamagedEntry("no id", None),)
    for now, told in ((100, 0), (30_000, 2)):
        walk = Walk(BEGIN + now, BEGIN + now, 0.0, (), frozenset(), None, damaged=damaged)
        polls = [Poll(POOL, scene.row(name), BEGIN + now, 0, walk) for name in ("alice", "bob")]
        assert scene.ledger.record(polls, oldest_walk=0, now=BEGIN + now)[POOL].unreadable == told


def test_any_number_of_unreadable_events_is_counted(scene: Scene) -> None:
    """A type that the API has changed for good delays every event by six hours, and none for ever."""
    events = [auth_event(f"e{number}", 100 * number) for number in range(700)]
    damaged = [DamagedEntry(event.event_id, event) for event in events]
    for now in range(70_000, 110_000, 7000):
        scene.poll(now=now, damaged=damaged)
    assert scene.counts() == {SIGN_IN: 700}
    assert scene.ledger.look_out(scene.row(), BEGIN + 110_000).depth == BEGIN + 69_900


def test_a_foreign_event_takes_nothing_away(scene: Scene) -> None:
    """An event that comes under a wrong user counts once, and what that user did counts too."""
    alice, bob = ([auth_event(f"{name}{n}", 10 * n) for n in range(8)] for name in ("alice", "bob"))
    scene.select("alice", "bob")
    for now in (100, 800, 1500, 5000, 9000):
        scene.poll(*alice, now=now)
    assert scene.rows() == NEWEST_KEPT
    scene.poll(*bob, alice[-1], now=9100, user="bob")
    assert scene.counts() == {SIGN_IN: 16}


def test_a_foreign_event_teaches_nothing(scene: Scene) -> None:
    """One of two events of another user, shown under a wrong one, makes them no single person who knows both homes."""
    alice = [auth_event(f"a{n}", n, country="Peru") for n in range(2)]
    scene.select("alice", "bob")
    scene.poll(*alice, now=10)
    home, away = auth_event("home", 0), auth_event("away", 30, country="Peru")
    scene.poll(home, now=20, user="bob")
    scene.poll(home, alice[1], away, now=40, user="bob")
    assert scene.counts(NEW_COUNTRY_SIGN_INS) == {("Peru",): 1}


def test_damaged_entries_alone_make_no_person(scene: Scene) -> None:
    """An event of a user of whom nothing is counted, and an unreadable one beside it, do not say that both are one person."""
    scene.poll(auth_event("home", 10), now=20)
    scene.select("alice", "bob", now=1000, start="now")
    failed = auth_event("failed", 100, "Fail")
    scene.poll(auth_event("early", 50, country="Peru"), failed, now=1010, user="bob")
    away = auth_event("away", 1100, country="Peru")
    scene.poll(auth_event("home", 10), failed, away, now=1200, damaged=[DamagedEntry("no id", None)])
    assert scene.counts(NEW_COUNTRY_SIGN_INS) == {("Peru",): 1}


def test_who_has_nothing_forgotten_takes_nothing_away(scene: Scene) -> None:
    """The only event of a user, shown under a wrong one, is counted once, and so is all that the other has done before it."""
    only = auth_event("only", 1000)
    scene.select("alice", "bob")
    for now in (1100, 1800, 2500):
        scene.poll(only, now=now)
    scene.poll(*(auth_event(f"b{n}", 10 * n) for n in range(8)), only, now=2600, user="bob")
    assert scene.counts() == {SIGN_IN: 9}


def test_known_ground_begins_at_the_start_and_ends_below_the_mark(scene: Scene) -> None:
    """What another name has counted and forgotten begins at its very start; an event as old as its mark may be late."""
    events = [auth_event(f"b{n}", 10 * n) for n in range(8)]
    scene.select("bob", now=0, start="now")
    for now in (100, 800, 1500, 5000, 9000):
        scene.poll(*events, now=now, user="bob")
    assert scene.rows() == NEWEST_KEPT
    scene.select("bob", "b@x", now=9050)
    scene.poll(*events, auth_event("as old", 70), auth_event("too late", 65), now=9100, user="b@x")
    assert scene.counts() == {SIGN_IN: 9}


def test_another_name_is_known_though_events_are_missing(scene: Scene) -> None:
    """A second name of a person counts nothing again, though one of the newest events is not shown, or is damaged."""
    events = [auth_event(f"a{n}", 10 * n) for n in range(8)]
    for now in (100, 800, 1500, 5000, 9000):
        scene.poll(*events, now=now)
    scene.select("alice", "a@x", "sub")
    scene.poll(*events[:-1], now=9100, user="a@x")
    scene.poll(*events[:-2], now=9100, user="sub", damaged=[DamagedEntry("no id", None)])
    assert scene.counts() == {SIGN_IN: 8}


def test_another_name_is_known_by_the_one_event_that_an_older_version_kept(scene: Scene) -> None:
    """A second name counts nothing again of a person of whom a state of version 3 has the newest event alone."""
    events = [auth_event(f"a{n}", 10 * n) for n in range(8)]
    for now in (100, 800, 1500, 5000, 9000):
        scene.poll(*events, now=now)
    scene.ledger._db.execute("DELETE FROM event WHERE event_id != 'a7'")
    scene.ledger._db.execute(MIGRATIONS[3][-1])
    scene.restart()
    scene.select("alice", "a@x")
    scene.poll(*events, now=9100, user="a@x")
    assert scene.counts() == {SIGN_IN: 8}


def test_too_late_is_shown_and_not_counted(scene: Scene) -> None:
    """An event that turns up later than `overlap` after younger ones fills the gauges only."""
    young = auth_event("young", 100)
    for now in (110, 800, 1500):
        scene.poll(young, now=now)
    change = scene.poll(young, auth_event("late", 50), now=1510)
    assert "late" in {event.event_id for event in change.events}
    scene.poll(young, auth_event("late", 50), now=1520)
    assert scene.counts() == {SIGN_IN: 1}


def test_an_event_in_progress_counts_though_known_ground_has_passed_it(staged: Staged) -> None:
    """What has begun is not too late, however long it takes to its end."""
    scene = staged(settle=9000)
    scene.select("alice")
    for now in (20, 700, 1400, 2100):
        scene.poll(auth_event("a", 0, "InProgress"), auth_event("b", 10, "Fail"), now=now)
    scene.poll(auth_event("a", 0), auth_event("b", 10, "Fail"), now=2200)
    assert scene.counts()[SIGN_IN] == 1


def test_what_one_name_does_not_count_another_may(scene: Scene) -> None:
    """An event from before the start of one name of a person counts for the name that was there already."""
    scene.select("alice", "a@x", now=1000, start="now")
    early = auth_event("early", 100)
    scene.poll(early, now=1010, user="a@x")
    assert scene.counts() == {}
    scene.poll(early, now=1020)
    scene.poll(early, now=1030, user="a@x")
    assert scene.counts() == {SIGN_IN: 1}


def test_what_is_not_counted_is_forgotten_as_it_leaves_the_recent_window(scene: Scene) -> None:
    """An event from before the start is remembered for the gauges only as long as they show it."""
    scene.select("alice", "bob", now=1000, start="now")
    rows = []
    for now in (1010, 2000, 3701, 4400, 5100):
        scene.poll(auth_event("early", 100), now=now, user="bob")
        rows.append(scene.rows())
    assert rows == [1, 1, 0, 0, 0]


def test_selected_later_starts_at_the_selection(scene: Scene) -> None:
    """With `start: now` a user selected later starts at that moment, one created since the first discovery at the creation."""
    scene.select("alice", "bob", now=1000, start="now")
    scene.select("alice", "bob", "carol", now=1001, start="now", created=400)
    scene.poll(auth_event("b1", 900), auth_event("b2", 1100), now=1200, user="bob")
    scene.poll(auth_event("c1", 399), auth_event("c2", 401), now=1200, user="carol")
    assert scene.counts() == {SIGN_IN: 2}


def test_selected_again_goes_on(scene: Scene) -> None:
    """A user who leaves the selection and comes back is counted on from where it was left."""
    scene.poll(auth_event("a", 10), now=20)
    scene.select("bob", now=30)
    scene.select("alice", now=5000, start="now")
    scene.poll(auth_event("a", 10), auth_event("b", 3000), now=5001)
    assert scene.counts() == {SIGN_IN: 2}


def test_incomplete_listing_drops_nobody(scene: Scene) -> None:
    """Where a selector could not be followed, users it may have named stay selected."""
    users = [ListedUser("bob", None)]
    added, removed = select_all(scene.ledger, POOL, users, complete=False, began=BEGIN + 1, start=start_rule("now"))
    assert (removed, [user.user for user in added]) == ([], [scene.row("bob")])
    assert set(scene.selected()) == {"alice", "bob"}


def test_new_country(scene: Scene) -> None:
    """A passed sign-in from a country new for the user is told; the first ever, failures and the unknown are not."""
    countries = ["France", "France", "Brazil", "unknown", "Germany"]
    events = [auth_event(f"e{n}", n, country=country) for n, country in enumerate(countries)]
    events[4] = auth_event("e4", 4, "Fail", country="Germany")
    scene.poll(*events, now=10)
    scene.poll(*events, auth_event("e5", 5, country="Germany"), auth_event("e6", 6, country="Brazil"), now=20)
    assert scene.counts(NEW_COUNTRY_SIGN_INS) == {("Brazil",): 1, ("Germany",): 1}


def test_spellings_of_a_country_are_one(scene: Scene) -> None:
    """A country that is spelled otherwise is not new; names that no code is known of are countries of their own."""
    names = ["France", "United Kingdom", "GB", "Atlantis", "Lemuria", "Atlantis"]
    scene.poll(*(auth_event(f"e{n}", n, country=name) for n, name in enumerate(names)), now=10)
    assert scene.counts(NEW_COUNTRY_SIGN_INS) == {("United Kingdom",): 1, ("Atlantis",): 1, ("Lemuria",): 1}


def test_what_is_known_of_a_person_is_known_from_the_first_walk_on(scene: Scene) -> None:
    """A second name knows the countries of the first once its first walk has shown who it is, though nothing in it counts."""
    trips = [auth_event(f"trip{n}", 100 + n, country="Peru") for n in range(3)]
    scene.poll(auth_event("home", 0), *trips, now=130)
    scene.select("alice", "a@x", now=200, start="now")
    scene.poll(*trips, now=210, user="a@x")
    scene.poll(auth_event("away", 300, country="Germany"), now=310, user="a@x")
    assert scene.counts(NEW_COUNTRY_SIGN_INS) == {("Peru",): 1, ("Germany",): 1}


def test_a_late_twin_may_come_from_a_new_country(scene: Scene) -> None:
    """An event exactly as old as known ground reaches is compared with the countries known before it."""
    home = auth_event("home", 100)
    for now in (110, 800, 1500):
        scene.poll(home, now=now)
    scene.poll(home, auth_event("twin", 100, country="Peru"), now=1510)
    assert scene.counts(NEW_COUNTRY_SIGN_INS) == {("Peru",): 1}


def test_a_sign_in_that_ends_may_come_from_a_new_country(scene: Scene) -> None:
    """A sign-in seen in progress is compared with the countries known before it once it has passed."""
    scene.poll(auth_event("home", 0), auth_event("trip", 10, "InProgress", country="Peru"), now=20)
    scene.poll(auth_event("trip", 10, country="Peru"), now=30)
    assert scene.counts(NEW_COUNTRY_SIGN_INS) == {("Peru",): 1}


def test_feedback_counts_by_whatever_name_it_comes(scene: Scene) -> None:
    """Feedback on what one name has counted and forgotten counts when another name of the person shows it."""
    events = [auth_event(f"e{n}", n) for n in range(NEWEST_KEPT + 1)]
    for now in (10, 1000, 9000, 10_000):
        scene.poll(*events, now=now)
    scene.select("alice", "a@x", now=10_010, start="now")
    scene.poll(*events, now=10_020, user="a@x")
    events[0] = events[0]._replace(feedback=Feedback("Valid", "Admin", None))
    scene.poll(*events, now=10_030, user="a@x")
    assert scene.counts(FEEDBACK) == {("Valid", "Admin"): 1}


def test_names_of_one_user_share_countries(scene: Scene) -> None:
    """A country is new once for a person, whichever of two names is polled first, and whichever has seen the home."""
    scene.select("alice", "alice@example.com")
    home, away, again = (
        auth_event("home", 1),
        auth_event("away", 20, country="Brazil"),
        auth_event("again", 40, country="Brazil"),
    )
    scene.poll(home, now=10)
    scene.poll(home, now=11, user="alice@example.com")
    scene.poll(home, away, now=30, user="alice@example.com")
    assert scene.counts(NEW_COUNTRY_SIGN_INS) == {("Brazil",): 1}
    scene.poll(home, away, now=31)
    scene.poll(home, away, again, now=50)
    assert scene.counts(NEW_COUNTRY_SIGN_INS) == {("Brazil",): 1}


def test_history_teaches_countries(scene: Scene) -> None:
    """Sign-ins from before the start are not counted, but their countries are known ones."""
    scene.select("alice", "bob", now=1000, start="now")
    scene.poll(
        auth_event("old", 100),
        auth_event("new", 1100),
        auth_event("strange", 1200, country="Peru"),
        now=1300,
        user="bob",
    )
    assert scene.counts(NEW_COUNTRY_SIGN_INS) == {("Peru",): 1}


def test_before_the_start_fills_the_gauges(scene: Scene) -> None:
    """What is not counted is shown: recent events, and the newest of each label set."""
    scene.select("alice", "bob", now=1000, start="now")
    change = scene.poll(auth_event("ancient", -900_000, "Fail"), auth_event("old", 100), now=1300, user="bob")
    assert [event.event_id for event in change.events] == ["old"]
    assert scene.counts() == {}
    last = {labels: state.last for labels, state in scene.states().items()}
    assert last == {("SignIn", "Fail", "None", "France"): BEGIN - 900_000, SIGN_IN: BEGIN + 100}


def test_newest_event_follows_what_changes(scene: Scene) -> None:
    """An event that ends moves: the newest event of its former label set is an older one again."""
    scene.poll(auth_event("a", 0, "InProgress"), auth_event("b", 5, "InProgress"), now=6)
    scene.poll(auth_event("a", 0, "InProgress"), auth_event("b", 5, "Pass"), now=20)
    assert scene.states()[OPEN].last == BEGIN
    assert scene.states()[SIGN_IN].last == BEGIN + 5


def test_newest_event_outlives_its_row(staged: Staged) -> None:
    """The newest creation of a label set stays when the event is forgotten, ended or not, over restarts, for users too."""
    scene = staged(per_user=True)
    scene.select("alice")
    events = [auth_event("a", 5, "InProgress"), auth_event("b", 9)]
    for now in (1000, 20_000, 21_000, 22_000):
        scene.poll(*events, *(auth_event(f"c{n}", 12_000 - n, "Fail") for n in range(NEWEST_KEPT)), now=now)
        scene.restart()
    assert scene.rows() == NEWEST_KEPT
    assert (scene.states()[OPEN].last, scene.states()[SIGN_IN].last) == (BEGIN + 5, BEGIN + 9)
    by_user = {labels[2]: state.last for labels, state in scene.states(USER_EVENTS).items()}
    assert by_user == {"InProgress": BEGIN + 5, "Pass": BEGIN + 9, "Fail": BEGIN + 12_000}


def test_a_poll_that_brings_nothing_writes_the_user_only(scene: Scene) -> None:
    """A page that was read before costs one row of its user and the number of the commit, whatever is shown and counted."""
    events = [auth_event(f"e{n}", n) for n in range(50)]
    scene.poll(*events, now=100)
    before = scene.ledger._db.execute("SELECT total_changes()").fetchone()[0]
    change = scene.poll(*events, now=115)
    assert scene.ledger._db.execute("SELECT total_changes()").fetchone()[0] - before == 2
    assert (change.counters, change.events, change.lags) == ([], [], [])


def test_compromised_credentials(scene: Scene) -> None:
    """Leaked passwords are counted by type and response."""
    scene.poll(auth_event("a", 0, "Fail", risk=Risk("Block", None, True)), now=5)
    assert scene.counts(COMPROMISED_CREDENTIALS) == {("SignIn", "Fail"): 1}


def test_beyond_max_series_country_is_other(staged: Staged) -> None:
    """Label sets beyond max_series are folded for good: raising the limit later moves nothing."""
    scene = staged(max_series=2)
    scene.select("alice")
    names = ["France", "Peru", "Chad", "Fiji", "Peru"]
    change = scene.poll(*(auth_event(f"e{n}", n, country=name) for n, name in enumerate(names)), now=10)
    expected = {SIGN_IN: 1, (*SIGN_IN[:3], "Peru"): 2, (*SIGN_IN[:3], "other"): 2}
    assert (scene.counts(), change.folded) == (expected, 2)
    scene.restart(settings=SETTINGS)
    scene.poll(*(auth_event(f"e{n}", n, country=name) for n, name in enumerate(names)), now=20)
    assert scene.counts() == expected


def test_new_series_is_held_at_zero_once(staged: Staged) -> None:
    """A new series stands at 0 for series_hold, then takes its value for good, whatever restarts and clocks do."""
    scene = staged(series_hold=60)
    scene.select("alice")
    scene.poll(auth_event("a", 0), now=10)
    scene.ledger.release(BEGIN + 69)
    assert scene.counts()[SIGN_IN] == 0
    assert scene.states()[SIGN_IN].exemplar is None
    changed = scene.ledger.release(BEGIN + 70)
    assert {state.value for state in changed[POOL].counters} == {1}
    scene.restart(now=0)
    assert scene.counts()[SIGN_IN] == 1
    assert scene.states()[SIGN_IN].exemplar == "a"
    scene.poll(auth_event("a", 0), auth_event("b", 20), now=30)
    assert scene.counts()[SIGN_IN] == 2


def test_a_restart_makes_a_hold_begin_anew(staged: Staged) -> None:
    """A series that was not shown yet stands at 0 for the whole series_hold after a restart."""
    scene = staged(series_hold=60)
    scene.select("alice")
    scene.poll(auth_event("a", 0), now=10)
    scene.restart(now=50)
    for now, shown in ((109, 0), (110, 1)):
        scene.ledger.release(BEGIN + now)
        assert scene.counts()[SIGN_IN] == shown


def test_known_values_are_not_held(staged: Staged) -> None:
    """Families that stand at zero from the start show a first count at once."""
    scene = staged(series_hold=60)
    scene.select("alice")
    scene.poll(auth_event("a", 0, challenges=(Challenge("Password", "Failure"),)), now=10)
    assert scene.counts(CHALLENGES) == {("Password", "Failure"): 1}


def test_per_user_counts(staged: Staged) -> None:
    """With per_user each user's events are counted apart; users beyond max_series are other."""
    scene = staged(per_user=True, max_series=1)
    scene.select("alice", "bob")
    scene.poll(auth_event("a", 0), now=10)
    scene.poll(auth_event("b", 0), now=10, user="bob")
    assert scene.counts(USER_EVENTS) == {("alice", "SignIn", "Pass", "None"): 1, ("other", "SignIn", "Pass", "None"): 1}


def test_new_values_are_kept_in_the_state(scene: Scene) -> None:
    """Values newer than this program are passed on, ten a field, and still known after a restart."""
    events = [auth_event(f"e{n}", n, f"Response{n}") for n in range(12)]
    change = scene.poll(*events[:10], now=20)
    assert change.unknown_values["response"] >= 10
    scene.restart()
    scene.poll(*events, auth_event("e99", 12, "Response3"), now=30)
    responses = {labels[1]: value for labels, value in scene.counts().items()}
    assert (responses["Response3"], responses["Other"]) == (2, 2)


def test_remembers_no_more_than_needed(scene: Scene) -> None:
    """Rows of events below known ground and outside the recent window go; the file does not grow with history."""
    for hour in range(48):
        events = [auth_event(f"e{hour}-{n}", hour * 3600 + n) for n in range(20)]
        scene.poll(*events, now=hour * 3600 + 700)
        scene.poll(*events, now=hour * 3600 + 1400)
    assert scene.rows() <= 80
    assert scene.counts() == {SIGN_IN: 48 * 20}


def test_rows_of_who_is_gone_go(scene: Scene) -> None:
    """What a user did whom AWS no longer knows is forgotten as it is for others."""
    events = [auth_event(f"e{n}", n) for n in range(5)]
    for now in (10, 700, 1400):
        scene.poll(*events, now=now)
    assert scene.rows() == 5
    scene.poll(now=9000, gone=True)
    assert scene.rows() == NEWEST_KEPT


def test_rows_of_walks_under_way_stay(scene: Scene) -> None:
    """What was recorded since the oldest walk under way began is not forgotten, so that this walk cannot count it again."""
    scene.select("alice", "alias")
    begun = scene.ledger.look_out(scene.row("alias"), BEGIN + 5)
    old = auth_event("old", 0)
    for now in (10, 5000, 9000, 13_000):
        newer = [auth_event(f"n{now}", now - 5)]
        lookout = scene.ledger.look_out(scene.row(), BEGIN + now)
        walk = Walk(BEGIN + now, BEGIN + now, lookout.depth, (old, *newer), frozenset({"old", newer[0].event_id}), None)
        scene.ledger.record(
            [Poll(POOL, scene.row(), BEGIN + now, lookout.began, walk)], oldest_walk=begun.began, now=BEGIN + now
        )
    late = Walk(BEGIN + 5, BEGIN + 5, begun.depth, (old,), frozenset({"old"}), None)
    scene.ledger.record(
        [Poll(POOL, scene.row("alias"), BEGIN + 5, begun.began, late)], oldest_walk=begun.began, now=BEGIN + 13_001
    )
    assert scene.counts() == {SIGN_IN: 5}


def test_created_while_a_listing_failed_starts_at_the_creation(staged: Staged) -> None:
    """The first discovery counts as such though a selector failed: who is created after it began is no old user."""
    scene = staged()
    old = [ListedUser("alice", None)]
    select_all(scene.ledger, POOL, old, complete=False, began=BEGIN + 100, start=start_rule("now"))
    scene.select("alice", "carol", now=1300, start="now", created=800)
    scene.poll(auth_event("c1", 801), auth_event("c2", 900), now=1400, user="carol")
    assert scene.counts() == {SIGN_IN: 2}


def test_excluded_are_dropped_though_a_listing_failed(scene: Scene) -> None:
    """Whoever is excluded goes, whatever other selectors could not be followed."""
    scene.select("alice", "svc")
    _, removed = select_all(
        scene.ledger, POOL, [], began=BEGIN + 5, start=start_rule("now"), complete=False, excluded=frozenset({"svc"})
    )
    assert removed == [scene.row("svc")]
    assert set(scene.selected()) == {"alice"}


def test_new_values_are_ten_over_all_transactions(scene: Scene) -> None:
    """The eleventh new value of a field is other, though each has come with a poll of its own."""
    for n in range(12):
        scene.poll(auth_event(f"e{n}", n, f"Response{n}"), now=20 + n)
    assert {labels[1] for labels in scene.counts()} == {*(f"Response{n}" for n in range(10)), "Other"}


def test_commits_are_numbered_on_after_a_restart(scene: Scene) -> None:
    """A walk that begins after a restart begins after all commits there were: by their numbers rows of walks are kept."""
    for now in (10, 20, 30):
        scene.poll(auth_event("a", 0), now=now)
    before = scene.ledger.look_out(scene.row(), BEGIN + 40).began
    scene.restart()
    assert scene.ledger.look_out(scene.row(), BEGIN + 40).began == before == 3


def test_new_values_are_ten_in_one_transaction(scene: Scene) -> None:
    """Polls that are committed together accept ten new values of a field, not ten each."""
    names = [f"user{number}" for number in range(4)]
    scene.select(*names)
    polls = []
    for place, name in enumerate(names):
        events = tuple(auth_event(f"{name}-{n}", n, f"Response{place}x{n}") for n in range(8))
        walk = Walk(BEGIN + 20, BEGIN + 20, 0.0, events, frozenset(), None)
        polls.append(Poll(POOL, scene.row(name), BEGIN + 20, 0, walk))
    told = scene.ledger.record(polls, oldest_walk=0, now=BEGIN + 20)
    assert told[POOL].unknown_values == {"response": 32}
    responses = {labels[1]: value for labels, value in scene.counts().items()}
    assert len(responses) == 11
    assert responses["Other"] == 22


def test_new_values_are_noticed_once_an_event(scene: Scene) -> None:
    """A value that is not the API's is noticed of each event once, however often polls show it."""
    event = auth_event("a", 1, "Strange")
    assert [scene.poll(event, now=now).unknown_values for now in (10, 20, 30)] == [{"response": 1}, {}, {}]
    begun = auth_event("b", 40, "InProgress", event_type="no identifier")
    ended = begun._replace(response="Pass")
    told = [scene.poll(shown, now=now).unknown_values for shown, now in ((begun, 50), (begun, 60), (ended, 70))]
    assert told == [{"event_type": 1}, {}, {}]


REACHED = {"a younger event": (500,), "one of the same moment": (0, 500), "no event": ()}


@pytest.mark.parametrize("case", REACHED)
def test_truncated_walk_does_not_settle_what_it_did_not_reach(case: str, scene: Scene) -> None:
    """An open event that may be below a walk that was cut short is not gone; it counts as it stood only after twice `settle`."""
    scene.poll(auth_event("a", 0, "InProgress"), now=5)
    shown = [auth_event(f"b{created}", created, "Fail") for created in REACHED[case]]
    for now, expected in ((1000, {}), (1799, {}), (1800, {OPEN: 1})):
        scene.record(*shown, now=now, depth=0, truncated=True)
        assert {labels: n for labels, n in scene.counts().items() if labels[1] != "Fail"} == expected


def test_truncated_walk_settles_what_it_passed(scene: Scene) -> None:
    """An open event that a walk should have shown is gone, though the walk was cut short further down."""
    scene.poll(auth_event("a", 0, "InProgress"), now=5)
    scene.record(auth_event("b", -1, "Fail"), now=900, depth=-10, truncated=True)
    assert scene.counts()[OPEN] == 1


def test_a_walk_that_did_not_go_deep_moves_nothing(scene: Scene) -> None:
    """Known ground moves by walks that have reached it alone, whenever they were asked for."""
    young = auth_event("young", 100)
    scene.poll(young, now=110)
    scene.record(young, now=800, depth=100)
    scene.poll(young, auth_event("late", 50), now=810)
    assert scene.counts() == {SIGN_IN: 2}


def test_a_clock_that_was_set_makes_the_wait_begin_anew(scene: Scene) -> None:
    """How long ago known ground was reached is not known by a clock that was set since: it counts as reached at that moment."""
    scene.poll(auth_event("a", 100), now=110)
    told = {
        (now, set_at): scene.ledger.look_out(scene.row(), BEGIN + now, BEGIN + set_at).purpose
        for now, set_at in (
            (709, -1),
            (710, -1),
            (710, 110),
            (800, 800),
            (800, 300),
            (899, 300),
            (900, 300),
            (900, 901),
        )
    }
    assert [case for case, purpose in told.items() if purpose == "look_back"] == [
        (710, -1),
        (710, 110),
        (900, 300),
        (900, 901),
    ]


def test_feedback_that_comes_later_counts_once(scene: Scene) -> None:
    """An event that was counted before anybody rated it has its feedback counted when it comes, whatever is said after that."""
    for now, value in ((20, None), (30, "Valid"), (40, "Valid"), (50, "Invalid"), (60, None), (70, "Valid")):
        feedback = value and Feedback(value, "Admin", None)
        scene.poll(auth_event("a", 10, feedback=feedback), now=now)
    assert (scene.counts(FEEDBACK), scene.counts()) == ({("Valid", "Admin"): 1}, {SIGN_IN: 1})


@pytest.mark.parametrize(("since", "counted"), [(100, {("Valid", "Admin"): 1}), (101, {})])
def test_the_first_page_ends_with_its_oldest_event(
    since: float, counted: dict[tuple[str, ...], int], scene: Scene
) -> None:
    """Feedback on a forgotten event is awaited down to the creation at which the first page has ended, that included."""
    scene.record(auth_event("rated", 100), now=110, depth=-BEGIN)
    newer = [auth_event(f"n{n}", 5000 + n) for n in range(NEWEST_KEPT)]
    for now in (5100, 5800, 9900):
        scene.record(*newer, now=now, depth=-BEGIN, first_page_since=BEGIN + since)
    assert scene.rows() == NEWEST_KEPT
    rated = auth_event("rated", 100, feedback=Feedback("Valid", "Admin", None))
    scene.record(rated, *newer, now=10_000, depth=-BEGIN, first_page=frozenset({"rated"}))
    assert scene.counts(FEEDBACK) == counted


def test_feedback_on_what_is_forgotten_counts_while_it_is_in_the_first_page(scene: Scene) -> None:
    """Feedback that comes long after its event counts once, as long as the first page of the history shows it."""
    events = [auth_event(f"e{n}", n) for n in range(5)]
    for now in (10, 1000, 9000, 10_000):
        scene.poll(*events, now=now)
    assert scene.rows() == NEWEST_KEPT
    events[0] = events[0]._replace(feedback=Feedback("Valid", "Admin", None))
    for now in (11_000, 11_010, 20_000):
        scene.poll(*events, now=now)
    assert (scene.counts(FEEDBACK), scene.counts()) == ({("Valid", "Admin"): 1}, {SIGN_IN: 5})


def test_feedback_on_what_has_left_the_first_page_is_not_taken_again(scene: Scene) -> None:
    """Feedback counts once, though its event comes into the first page again after the ledger has let go of it."""
    rated = auth_event("rated", 100, feedback=Feedback("Valid", "Admin", None))
    page = frozenset({"rated"})
    scene.record(rated, now=110, depth=-BEGIN, first_page=page)
    newer = [auth_event(f"n{n}", 5000 + n) for n in range(NEWEST_KEPT)]
    for now in (5100, 5800, 9900):
        scene.record(*newer, now=now, depth=-BEGIN, first_page_since=BEGIN + 5000)
    assert scene.rows() == NEWEST_KEPT
    scene.record(rated, *newer, now=10_000, depth=-BEGIN, first_page=page)
    assert scene.counts(FEEDBACK) == {("Valid", "Admin"): 1}


def test_per_user_follows_who_was_first(staged: Staged) -> None:
    """An event that two names show belongs to the name that showed it first, whoever was polled last."""
    scene = staged(per_user=True)
    scene.select("alice", "a@x")
    for name in ("alice", "a@x", "alice"):
        scene.poll(auth_event("a", 5), now=10, user=name)
        last = {labels[0]: state.last for labels, state in scene.states(USER_EVENTS).items()}
        assert last == {"alice": BEGIN + 5}


def test_lingering_says_nothing_of_whether_a_user_exists(scene: Scene) -> None:
    """Who is settled after the deselection, and selected again, is not taken for missing."""
    scene.poll(auth_event("a", 0, "InProgress"), now=5)
    scene.select("bob", now=10)
    scene.poll(now=901, gone=True)
    scene.select("alice", "bob", now=902)
    assert {name: user.found for name, user in scene.selected().items()} == {"alice": True, "bob": True}


def test_hold_survives_a_clock_that_is_set_back(staged: Staged) -> None:
    """A clock set back by a day makes a hold begin anew, and no longer than that."""
    scene = staged(series_hold=60)
    scene.select("alice")
    scene.poll(auth_event("a", 0), now=10)
    for now in (-86_400, -86_350):
        scene.ledger.release(BEGIN + now)
        assert scene.counts()[SIGN_IN] == 0
    scene.ledger.release(BEGIN - 86_340)
    assert scene.counts()[SIGN_IN] == 1
