"""What is learned of users' activity, and how long a poll is waited for."""

import math
import random
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter.event.event import AuthEvent, Risk
from exporter.schedule.activity import ALARM_WEIGHT, Activity, Sighting, is_alarming
from exporter.simulator.world import auth_event

NOW = 1e6
WALL = 1.7e9  # epoch seconds at NOW
DAY = 86_400.0


def of(*ages: float, alarming: bool = False, weight: float = ALARM_WEIGHT) -> Activity:
    """Return the activity of one user in slot 0 whose history held events of these ages, oldest first."""
    activity = Activity(weight)
    activity.add(0, NOW)
    activity.observe(0, NOW, WALL, [Sighting(WALL - age, alarming) for age in ages])
    return activity


def every(seconds: float, number: int) -> list[float]:
    """Return the ages of a steady stream, oldest first."""
    return [seconds * (number - n) for n in range(number)]


def test_busy_users_are_worth_a_poll_sooner() -> None:
    """The more often a user has signed in, the sooner the next poll; four times the price waits twice as long for a sleeper."""
    waits = [of(*every(seconds, 60)).wait(0, 1e4) for seconds in (60, 600, 6000, 60_000)]
    waits.append(of().wait(0, 1e4))
    assert waits == sorted(waits)
    sleeper = of()
    assert sleeper.wait(0, 4e4) == pytest.approx(2 * sleeper.wait(0, 1e4))


@given(st.lists(st.floats(0, 30 * DAY), max_size=40), st.floats(1, 1e9))
def test_wait_pays_its_price(ages: list[float], price: float) -> None:
    """After the wait, what events have waited by then, s · rate(s) summed up, is the price of a poll, to 5 %."""
    activity = of(*sorted(ages, reverse=True))
    wait, paid, steps = activity.wait(0, price), 0.0, 4000
    for step in range(steps):
        s = (step + 0.5) * wait / steps
        rate = (activity.expects(0, NOW + s + 1e-3 * wait) - activity.expects(0, NOW + s)) / (1e-3 * wait)
        paid += s * rate * wait / steps
    assert paid == pytest.approx(price, rel=0.05)


def test_a_session_raises_the_rate_and_fades() -> None:
    """Just after a burst a poll is worth much sooner than for a user with as many events spread over weeks; later it fades."""
    session, steady = of(*every(60, 6)), of(*every(5 * DAY, 6))
    assert session.wait(0, 1e4) < steady.wait(0, 1e4) / 3
    session.observe(0, NOW + 20 * DAY, WALL + 20 * DAY, ())
    steady.observe(0, NOW + 20 * DAY, WALL + 20 * DAY, ())
    assert session.wait(0, 1e4) > steady.wait(0, 1e4) / 2


def test_one_flood_is_forgotten() -> None:
    """A minute's flood does not make a user busy for weeks: a day later, the rate is that of its events over that day."""
    activity = of(*every(1, 60))
    activity.observe(0, NOW + DAY, WALL + DAY, ())
    assert activity.expects(0, NOW + 2 * DAY) < 2 * 60


def test_alarm_brings_the_next_poll_forward() -> None:
    """After a failure or a high risk a poll is worth as much as four; within the hour that fades."""
    calm, alarmed = of(1.0, weight=3.0), of(1.0, alarming=True, weight=3.0)
    assert alarmed.wait(0, 4e4) == pytest.approx(calm.wait(0, 1e4), rel=0.03)
    for activity in (calm, alarmed):
        activity.observe(0, NOW + 3600, WALL + 3600, ())
    assert alarmed.wait(0, 1e4) == pytest.approx(calm.wait(0, 1e4), rel=0.05)


@pytest.mark.parametrize(
    ("event", "expected"),
    [
        (auth_event(WALL), False),
        (auth_event(WALL, response="Fail"), True),
        (auth_event(WALL, risk=Risk("AccountTakeover", "Low", compromised_credentials=False)), True),
        (auth_event(WALL, risk=Risk("NoRisk", "High", compromised_credentials=False)), True),
        (auth_event(WALL, risk=Risk("NoRisk", None, compromised_credentials=True)), True),
        (auth_event(WALL, risk=None), False),
    ],
)
def test_what_alarms(event: AuthEvent, expected: bool) -> None:
    """Failures, high risk, decisions against the user and leaked passwords make a user urgent."""
    assert is_alarming(event) is expected


@pytest.mark.parametrize("per_day", [1.0, 20.0, 400.0])
def test_expectation_is_true(per_day: float) -> None:
    """Of steady users, as many events are expected in a gap as come, to a quarter, once their pool is known."""
    rng, activity, rate = random.Random(1), Activity(ALARM_WEIGHT), per_day / DAY
    gap, expected, came = 2 / rate, 0.0, 0
    for slot in range(50):
        activity.add(slot, NOW)
        activity.observe(slot, NOW, WALL, [Sighting(WALL - age, alarming=False) for age in every(1 / rate, 30)])
    for turn in range(1, 40):
        for slot in range(50):
            now, events = NOW + turn * gap, sorted(rng.uniform(0, gap) for _ in range(rng.choice((0, 1, 2, 3, 4))))
            expected += activity.expects(slot, now) if turn > 10 else 0
            came += len(events) if turn > 10 else 0
            fresh = [Sighting(WALL + (turn - 1) * gap + at, alarming=False) for at in events]
            activity.observe(slot, now, WALL + turn * gap, fresh)
    assert expected == pytest.approx(came, rel=0.25)


def test_knowledge_survives_a_restart() -> None:
    """What is kept of a user gives the same waits after a restart, and fades over the time in between."""
    before, after = of(*every(600, 20), alarming=True), Activity(ALARM_WEIGHT)
    after.add(3, 50.0, 10.0, before.knowledge(0))
    assert after.age(3, 50.0) == 10.0
    assert after.newest(3) == before.newest(0)
    after.population = before.population
    assert after.wait(3, 1e4) == pytest.approx(before.wait(0, 1e4), rel=1e-3)
    assert len(after.knowledge(3)) == 32


@given(st.binary(max_size=64) | st.lists(st.floats(), min_size=6, max_size=6).map(lambda v: struct.pack("<dd4d", *v)))
def test_any_knowledge_is_survived(knowledge: bytes) -> None:
    """Whatever a state file holds for knowledge, waits are finite and positive."""
    activity = Activity(ALARM_WEIGHT)
    activity.add(0, NOW, 5.0, knowledge)
    assert 0 < activity.wait(0, 1e4) < math.inf
    activity.observe(0, NOW + 10, WALL, [Sighting(WALL - 1, alarming=False)])
    assert 0 < activity.wait(0, 1e4) < math.inf


def test_unknown_users_keep_nothing() -> None:
    """A user never observed has no knowledge to keep, and counts as an average one."""
    activity = Activity(ALARM_WEIGHT)
    activity.add(0, NOW)
    assert activity.knowledge(0) == b""
    assert activity.wait(0, 1e4) == pytest.approx(math.sqrt(2e4 / (0.6 / DAY)), rel=0.01)
