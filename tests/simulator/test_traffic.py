"""The generated world."""

import json
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator

import pytest

from exporter.event.event import AuthEvent
from exporter.simulator import people
from exporter.simulator.places import COUNTRIES
from exporter.simulator.traffic import GROUPS, POOL_ID, TrafficWorld, demo_activity

START = 1_750_000_000.0
HOUR = 3600.0


def world(seed: int = 1, users: int = 25, speed: float = 1.0, history: float = 2 * HOUR) -> TrafficWorld:
    """Return a world as busy as the demo's."""
    return TrafficWorld(seed, users, START, speed, history, activity=demo_activity(25))


def events_of(one: TrafficWorld, now: float = START) -> Iterator[AuthEvent]:
    """Yield all events of a world."""
    for user in one.users(POOL_ID, now):
        yield from one.history(POOL_ID, user.username, now)


def test_the_same_seed_gives_the_same_events() -> None:
    """Two worlds of the same arguments hold the same users and events, in whatever order they are asked."""
    one, other = world(), world()
    names = [user.username for user in one.users(POOL_ID, START)]
    backwards = {name: list(other.history(POOL_ID, name, START)) for name in reversed(names)}
    assert {name: list(one.history(POOL_ID, name, START)) for name in names} == backwards
    assert list(one.users(POOL_ID, START)) == list(other.users(POOL_ID, START))


def test_another_process_gives_the_same_events() -> None:
    """The events do not depend on the process, such as its hash seed."""
    program = (
        "import json; from tests.simulator.test_traffic import events_of, world\n"
        "print(json.dumps([repr(event) for event in events_of(world())]))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True, timeout=60)
    assert json.loads(done.stdout) == [repr(event) for event in events_of(world())]


def test_another_seed_or_pool_gives_other_events() -> None:
    """Seeds and pools do not share events."""
    both = TrafficWorld(1, 25, START, activity=280.0, pool_ids=("eu-west-1_A", "eu-west-1_B"))
    ids = [
        {event.event_id for name in ("ulrich", "sven") for event in one.history(pool_id, name, START)}
        for one, pool_id in ((both, "eu-west-1_A"), (both, "eu-west-1_B"), (world(2), POOL_ID))
    ]
    assert all(ids)
    assert set.intersection(*ids) == set()


@pytest.mark.parametrize("speed", [1.0, 60.0, 0.5])
def test_histories_are_newest_first_and_bounded(speed: float) -> None:
    """A history is newest first, has each id once, lies within its bounds, and begins no earlier than its user."""
    one = world(speed=speed, history=HOUR / speed)
    now = START + HOUR / speed
    for user in one.users(POOL_ID, now):
        history = list(one.history(POOL_ID, user.username, now))
        created = [event.created.timestamp() for event in history]
        assert created == sorted(created, reverse=True)
        assert len({event.event_id for event in history}) == len(history)
        assert all(max(START - HOUR / speed, user.created) <= moment <= now for moment in created)


def test_time_only_adds_events_and_changes_those_in_progress() -> None:
    """What was shown stays; only events in progress change, and feedback comes once."""
    one = world(users=25)
    before = {event.event_id: event for event in events_of(one, START)}
    after = {event.event_id: event for event in events_of(one, START + 2 * HOUR)}
    assert before.keys() < after.keys()
    for event_id, event in before.items():
        later = after[event_id]
        assert later.created == event.created
        assert event.response in {"InProgress", later.response}
        assert event.feedback in {None, later.feedback}


def test_mfa_turns_in_progress_into_pass() -> None:
    """A sign-in that waits for its second factor passes later, with both challenges; some wait for ever."""
    one = world(users=12)
    shown = [{event.event_id: event for event in events_of(one, START + second)} for second in range(0, 1200, 10)]
    final = {event.event_id: event for event in events_of(one, START + 24 * HOUR)}
    waiting = {key for state in shown for key, event in state.items() if event.response == "InProgress"}
    ends = Counter(final[key].response for key in waiting if final[key].event_type == "SignIn")
    assert ends["Pass"] > ends["InProgress"] > 0
    for key in waiting:
        names = [(challenge.name, challenge.response) for challenge in final[key].challenges]
        if final[key].response == "Pass":
            assert names == [("Password", "Success"), ("Mfa", "Success")]


def test_sign_ups_stay_in_progress() -> None:
    """Cognito logs sign-ups as InProgress, and so they stay; the user exists from that moment."""
    one = world(users=100)
    newcomers = [user for user in one.users(POOL_ID, START) if user.created >= START - 2 * HOUR]
    assert newcomers
    for user in newcomers:
        *_, first = one.history(POOL_ID, user.username, START + 24 * HOUR)
        assert (first.event_type, first.response, first.created.timestamp()) == ("SignUp", "InProgress", user.created)


def test_the_traffic_is_plausible() -> None:
    """All types, responses, risks and gaps occur, and most events are passed sign-ins without risk."""
    events = list(events_of(world(users=120), START + HOUR))
    types = Counter(event.event_type for event in events)
    assert set(types) == {"SignIn", "SignUp", "ForgotPassword", "PasswordChange", "ResendCode"}
    risks = Counter((event.risk.decision, event.risk.level) for event in events if event.risk)
    assert set(risks) == {
        *(("NoRisk", None), ("Block", "High"), ("Block", None)),
        *(("AccountTakeover", level) for level in ("Low", "Medium", "High")),
    }
    passed = Counter(event.response for event in events if event.event_type == "SignIn")
    assert 0.5 < passed["Pass"] / len(events) < 0.95
    assert risks["NoRisk", None] > 0.6 * len(events)
    assert any(event.risk and event.risk.compromised_credentials for event in events)
    assert {event.feedback.value for event in events if event.feedback} == {"Valid", "Invalid"}


def test_contexts_have_gaps_and_no_real_address() -> None:
    """Addresses are of the documentation's ranges, countries of the table or missing, and any member may be missing."""
    contexts = [event.context for event in events_of(world(users=150), START)]
    known = [context for context in contexts if context]
    assert len(known) < len(contexts)
    assert all((one.ip_address or "").startswith(("192.0.2.", "198.51.100.", "203.0.113.")) for one in known)
    assert {one.country for one in known} == {country.name for country in COUNTRIES} | {None, "null"}
    assert {None, "null"} <= {one.city for one in known}
    assert None in {one.device_name for one in known}


def test_some_users_are_busy_and_some_sleep() -> None:
    """The busiest tenth make most of the traffic, and some users make none."""
    one = TrafficWorld(1, 200, START, history_seconds=5 * 24 * HOUR)
    counts = sorted(len(list(one.history(POOL_ID, user.username, START))) for user in one.users(POOL_ID, START))
    assert sum(counts[-20:]) > 0.25 * sum(counts)
    assert counts[0] < 0.05 * counts[100]


def test_a_person_sleeps_at_night() -> None:
    """A user is least active at night in the user's own time zone."""
    person = people.draw_person(TrafficWorld(1, 1, START)._rng("person"))
    midnight = -person.origins[0].country.offset * 3600
    assert person.wakefulness(midnight + 3 * HOUR) < 0.1
    assert person.wakefulness(midnight + 14.5 * HOUR) > 0.9


def test_the_demo_shows_something_soon() -> None:
    """25 users at the demo's activity make an event every few seconds, at any hour of the day."""
    one = world(history=24 * HOUR)
    by_hour = Counter(int(START - event.created.timestamp()) // 3600 for event in events_of(one, START))
    assert all(3600 / 15 < by_hour[hour] < 3600 for hour in range(24))


def test_speed_compresses_time() -> None:
    """At speed 60, a real minute holds about an hour's events."""
    slow = sum(1 for _ in events_of(world(users=50, history=4 * HOUR)))
    fast = sum(1 for _ in events_of(world(users=50, history=4 * HOUR / 60, speed=60)))
    assert fast == pytest.approx(slow, rel=0.05)


def test_a_frozen_world_agrees_with_its_truth() -> None:
    """After a freeze nothing is created, shown or changed, and the truth is what the history shows."""
    one = world()
    one.freeze(START)
    names = [user.username for user in one.users(POOL_ID, START)]
    frozen = {name: list(one.history(POOL_ID, name, START)) for name in names}
    assert any(event.response == "InProgress" for history in frozen.values() for event in history)
    assert {name: list(one.history(POOL_ID, name, START + HOUR)) for name in names} == frozen
    assert {name: one.truth(POOL_ID, name, START + HOUR) for name in names} == frozen


def test_the_truth_is_what_comes_in_the_end() -> None:
    """The truth of now is the history of much later, as far as it was visible now."""
    one = world()
    for name in ("ulrich", "sven", "kavya"):
        visible = {event.event_id for event in one.history(POOL_ID, name, START)}
        later = [event for event in one.history(POOL_ID, name, START + 24 * HOUR) if event.event_id in visible]
        assert one.truth(POOL_ID, name, START) == later


def test_users_resolve_by_every_name() -> None:
    """User name, e-mail address and sub lead to the same user; near misses lead to nobody."""
    one = world(users=1000)
    for user in one.users(POOL_ID, START):
        for name in (user.username, user.sub, user.attributes["email"]):
            assert one.user(POOL_ID, name, START) == user
    for name in ("alice-1", "alice-0", "alice-x", "alice@example.org", "nobody", "", "alice-99", "bob" + user.sub[3:]):
        assert one.user(POOL_ID, name, START) is None


def test_groups_have_members() -> None:
    """Each group has members in any world of the demo's size, and no other group is there."""
    users = list(world().users(POOL_ID, START))
    assert set().union(*(user.groups for user in users)) == set(GROUPS)
    assert not world().has_group(POOL_ID, "nobody")


def test_listing_goes_on_after_a_name() -> None:
    """A listing in pieces is the listing as a whole."""
    one = world(users=70)
    names = [user.username for user in one.users(POOL_ID, START)]
    assert [user.username for user in one.users(POOL_ID, START, after=names[41])] == names[42:]


def test_a_hundred_thousand_users_cost_little() -> None:
    """A large world starts at once, and a question about one user draws nobody else's events."""
    begun = time.process_time()
    one = TrafficWorld(1, 100_000, START, history_seconds=24 * HOUR)
    for index in range(0, 100_000, 1000):
        assert one.user(POOL_ID, people.username(index), START)
        list(one.history(POOL_ID, people.username(index), START))
    assert time.process_time() - begun < 2.0


def test_a_calm_world_has_nothing_of_note() -> None:
    """In a calm world nobody attacks or travels: what an alert on threats looks for does not occur, the rest of life does."""
    one = TrafficWorld(1, 120, START, history_seconds=24 * HOUR, activity=4.0, calm=True)
    events = list(events_of(one, START + HOUR))
    assert {event.event_type for event in events} >= {"SignIn", "SignUp", "ForgotPassword", "ResendCode"}
    assert {event.response for event in events} == {"Pass", "Fail", "InProgress"}
    for event in events:
        assert event.risk is not None
        assert event.risk.level in {None, "Low", "Medium"}
        assert event.risk.decision != "Block"
        assert not event.risk.compromised_credentials
        assert event.feedback is None or event.feedback.value == "Valid"
    for user in one.users(POOL_ID, START):
        history = one.history(POOL_ID, user.username, START + HOUR)
        named = {event.context.country for event in history if event.context} - {None, "null"}
        assert len(named) <= 1
