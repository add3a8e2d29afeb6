"""Whom to ask next: by worth, within the longest wait, fair to every pool."""

import random
from collections import Counter
from collections.abc import Callable, Sequence

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from exporter.schedule.activity import Sighting
from exporter.schedule.policy import Policy, PoolQueue

MIN_INTERVAL = 15.0


def joined(policy: Policy) -> PoolQueue:
    """Return the line of one more pool of an account."""
    queue = PoolQueue(MIN_INTERVAL)
    policy.join(queue)
    return queue


class Town:
    """Users of some pools with true rates, asked by the policy at a rate of requests in simulated time."""

    def __init__(self, requests: float, max_staleness: float, *pools: Sequence[float]) -> None:
        self.policy = Policy(0.0, max_staleness)
        self.policy.capacity = requests
        self.queues = [joined(self.policy) for _ in pools]
        self.rates = dict(zip(self.queues, pools, strict=True))
        self.now = 0.0
        self.failing = 0.0
        """The share of polls that get no answer."""
        self.is_open: Callable[[PoolQueue], bool] = lambda _: True
        self.asked: list[tuple[float, int, int]] = []
        """(time, pool, user)"""
        self._rng = random.Random(1)
        self._last = {(queue, slot): 0.0 for queue in self.queues for slot in range(len(self.rates[queue]))}
        for queue, slot in self._last:
            queue.add(slot, 0.0)

    def run(self, seconds: float) -> None:
        """Let time pass."""
        end = self.now + seconds
        while self.now < end:
            self.now += 1 / self.policy.capacity
            ready = [queue for queue in self.queues if self.is_open(queue) and self._is_due(queue)]
            chosen = self.policy.choose(self.now, ready)
            if chosen is not None:
                (self._fail if self._rng.random() < self.failing else self._poll)(*chosen)

    def _is_due(self, queue: PoolQueue) -> bool:
        due = queue.next_due(self.now)
        return due is not None and due <= self.now

    def _poll(self, queue: PoolQueue, slot: int) -> None:
        at, rate = self._last[queue, slot], self.rates[queue][slot]
        events = [] if at or not rate else [Sighting(-number / rate, alarming=False) for number in range(30, 0, -1)]
        while rate and (at := at + self._rng.expovariate(rate)) < self.now:
            events.append(Sighting(at, alarming=False))
        self._last[queue, slot] = self.now
        self.asked.append((self.now, self.queues.index(queue), slot))
        queue.activity.observe(slot, self.now, self.now, events)
        queue.returned(slot, self.now, MIN_INTERVAL, answered=True)

    def _fail(self, queue: PoolQueue, slot: int) -> None:
        queue.returned(slot, self.now, MIN_INTERVAL, answered=False)

    def polls(self, since: float = 0.0) -> Counter[tuple[int, int]]:
        """Return the number of polls by pool and user."""
        return Counter((pool, slot) for at, pool, slot in self.asked if at > since)

    def waits(self, pool: int, since: float = 0.0) -> list[float]:
        """Return how long users of a pool waited for a poll, the time until now included."""
        last = dict.fromkeys(range(len(self.rates[self.queues[pool]])), 0.0)
        waits = []
        for at, number, slot in self.asked:
            if number == pool:
                waits += [at - last[slot]] if at > since else []
                last[slot] = at
        return waits + [self.now - at for at in last.values()]


def test_everybody_is_asked_once_first() -> None:
    """With nothing known, users are asked in the order of their selection, and nobody twice before the others once."""
    town = Town(5.0, 900.0, [0.0] * 60)
    town.run(12.0)
    assert [slot for _, _, slot in town.asked] == list(range(60))


def test_polls_follow_the_root_of_the_rate() -> None:
    """Users with sixteen times the events are polled four times as often, to a quarter, on a tight budget."""
    town = Town(2.0, 86_400.0, [1 / 600] * 50 + [1 / 9600] * 50)
    town.run(36_000.0)
    polls = town.polls(since=7200.0)
    busy, calm = (sum(polls[0, slot] for slot in group) for group in (range(50), range(50, 100)))
    assert busy / calm == pytest.approx(4.0, rel=0.25)


@pytest.mark.parametrize(
    ("requests", "max_staleness", "rates"),
    [
        (5.0, 900.0, [0.0] * 100),
        (5.0, 900.0, [0.0] * 4_000),
        (5.0, 900.0, [1.0] * 20 + [0.0] * 6_000),
        (5.0, 300.0, [1 / 60] * 100 + [1 / 86_400] * 1_000),
        (1.0, 900.0, [1 / 30] * 2_000),
        (20.0, 900.0, [float(slot % 7 == 0) / 100 for slot in range(3_000)]),
    ],
)
def test_longest_wait_is_held(requests: float, max_staleness: float, rates: list[float]) -> None:
    """Nobody waits longer than max_staleness, or than 1.25 rounds where the budget is short, from the selection on."""
    town = Town(requests, max_staleness, rates)
    longest = max(max_staleness, 1.25 * len(rates) / requests)
    town.run(4 * longest)
    assert town.policy.longest_wait == pytest.approx(longest)
    assert max(town.waits(0)) <= longest


@pytest.mark.parametrize(("users", "requests", "failing"), [(3_000, 5.0, 0.01), (3_000, 5.0, 0.1), (500, 5.0, 0.03)])
def test_failures_do_not_make_anybody_wait_again(users: int, requests: float, failing: float) -> None:
    """Where some polls get no answer, nobody is without one for longer than the longest wait and a few back-offs."""
    town = Town(requests, 900.0, [0.0] * users)
    town.failing = failing
    town.run(5_000.0)
    assert max(town.waits(0)) <= town.policy.longest_wait + 4 * MIN_INTERVAL


def test_choice_is_never_starved() -> None:
    """However many users wait for their first poll, who is known to be busy gets a fifth of the requests."""
    town = Town(5.0, 900.0, [1 / 20] * 5 + [0.0] * 20_000)
    town.run(600.0)
    polls = town.polls()
    assert sum(polls[0, slot] for slot in range(5)) == pytest.approx(5 * 600 / MIN_INTERVAL, rel=0.1)


def test_enough_requests_poll_everybody_each_interval() -> None:
    """With a budget for all, everybody is polled every `min_interval`, and never more often."""
    town = Town(10.0, 900.0, [0.0] * 100)
    town.run(1_500.0)
    assert set(town.polls().values()) <= {99, 100, 101}
    assert min(town.waits(0)[100:-100]) > MIN_INTERVAL - 1e-6


def test_a_pool_back_from_an_outage_does_not_crowd_out_another() -> None:
    """While a large pool catches up, the users of a small one are polled within their longest wait, busy ones far sooner."""
    town = Town(5.0, 900.0, [1 / 120] * 5 + [0.0] * 300, [0.0] * 3_000)
    town.run(3_600.0)
    town.is_open = lambda queue: queue is town.queues[0]
    town.run(7_200.0)
    town.is_open = lambda _: True
    back = town.now
    town.run(900.0)
    assert max(town.waits(0, since=back)) <= town.policy.longest_wait
    assert sum(town.polls(since=back)[0, slot] for slot in range(5)) > 5 * 900 / 120
    assert sum(number for (pool, _), number in town.polls(since=back).items() if pool == 1) > 900 * 5 / 2


def test_a_restart_goes_on_where_it_was() -> None:
    """Recalled users are polled by what was known of them: the busy one first, the others not before they are due."""
    town = Town(2.0, 86_400.0, [1 / 60] + [0.0] * 200)
    town.run(7_200.0)
    before, policy = town.queues[0], Policy(0.0, 86_400.0)
    after = joined(policy)
    policy.capacity = 2.0
    for slot in range(201):
        after.recall(slot, 0.0, before.activity.age(slot, town.now) + 30.0, before.activity.knowledge(slot))
    policy.begin()
    for slot in sorted(range(201), key=lambda slot: -before.activity.age(slot, town.now)):
        after.line_up(slot, 0.0)
    assert after.next_due(0.0) == 0.0
    assert policy.choose(0.0, [after]) == (after, 0)
    assert policy.time.speed == pytest.approx(town.policy.time.speed, rel=0.7)


def test_long_outage_begins_with_the_longest_waiting() -> None:
    """After a pause longer than the longest wait, who was asked longest ago is asked first, four times of five."""
    policy = Policy(1e6, 900.0)
    queue = joined(policy)
    for slot in range(10):
        queue.recall(slot, 1e6, 5_000.0 - slot, b"")
    policy.begin()
    for slot in range(10):
        queue.line_up(slot, 1e6)
    chosen = [policy.choose(1e6, [queue]) for _ in range(4)]
    assert chosen == [(queue, slot) for slot in range(4)]


def test_a_failed_poll_counts_for_nothing() -> None:
    """Whoever got no answer is asked again after the back-off, not a whole longest wait later; so is who was never answered."""
    policy = Policy(0.0, 900.0)
    queue = joined(policy)
    policy.capacity = 10.0
    queue.add(0, 0.0)
    queue.add(1, 0.0)
    assert policy.choose(0.0, [queue]) == (queue, 0)
    queue.returned(0, 1.0, MIN_INTERVAL, answered=False)
    assert policy.choose(1.0, [queue]) == (queue, 1)
    queue.activity.observe(1, 1.0, 1e9, ())
    queue.returned(1, 1.0, MIN_INTERVAL, answered=True)
    assert queue.next_due(16.0) == 16.0
    assert queue.duty(16.0, 900.0) == (16.0, 0)
    for now in (880.0, 900.0):
        queue.next_due(now)
        assert queue.duty(now, 900.0) == (now, 0) if now < 890 else True
        queue.take(1, now)
        queue.returned(1, now, MIN_INTERVAL, answered=False)
    queue.remove(0)
    queue.next_due(930.0)
    assert queue.duty(930.0, 900.0) == (929.0, 1)


def test_a_long_poll_is_no_fresh_one() -> None:
    """The longest wait counts from when a user was asked, however long the poll took, and hides nobody behind it."""
    policy = Policy(0.0, 900.0)
    queue = joined(policy)
    for slot in range(2):
        queue.recall(slot, 0.0, 100.0, b"")
        queue.line_up(slot, 0.0)
        queue.take(slot, float(slot))
    queue.returned(1, 2.0, 0.0, answered=True)
    queue.returned(0, 400.0, 600.0, answered=True)
    queue.next_due(880.0)
    assert queue.duty(880.0, 900.0) == (879.0, 1)
    queue.next_due(1000.0)
    assert queue.duty(1000.0, 900.0) == (1000.0, 0)


def test_who_is_wanted_again_during_a_poll_keeps_the_slot() -> None:
    """A user removed and selected again while being polled is in line once, when the poll has ended."""
    policy = Policy(0.0, 900.0)
    queue = joined(policy)
    queue.add(0, 0.0)
    policy.choose(0.0, [queue])
    assert queue.remove(0) is False
    queue.keep(0)
    assert (len(queue), queue.next_due(1.0)) == (1, None)
    assert queue.returned(0, 1.0, 0.0, answered=True) is True
    assert policy.choose(1.0, [queue]) == (queue, 0)


class Line(RuleBasedStateMachine):
    """Users come, are asked, return and go in any order."""

    def __init__(self) -> None:
        super().__init__()
        self.policy = Policy(0.0, 60.0)
        self.queue = joined(self.policy)
        self.now = 0.0
        self.free = list(range(6))
        self.not_before: dict[int, float] = {}
        self.away: set[int] = set()
        self.gone: set[int] = set()

    @precondition(lambda self: self.free)
    @rule()
    def add(self) -> None:
        """Somebody is selected."""
        slot = self.free.pop()
        self.queue.add(slot, self.now)
        self.not_before[slot] = self.now

    @precondition(lambda self: self.not_before)
    @rule(data=st.data())
    def remove(self, data: st.DataObject) -> None:
        """Somebody is no longer selected, being asked or not."""
        slot = data.draw(st.sampled_from(sorted(self.not_before)))
        del self.not_before[slot]
        is_free = self.queue.remove(slot)
        assert is_free is (slot not in self.away)
        if is_free:
            self.free.append(slot)
        else:
            self.gone.add(slot)

    @rule(seconds=st.sampled_from([0.0, 1.0, 14.0, 16.0, 70.0]))
    def pass_time(self, seconds: float) -> None:
        """Time passes."""
        self.now += seconds

    @rule()
    def choose(self) -> None:
        """There is a request: somebody is asked exactly if somebody may be."""
        may_be = {slot for slot, at in self.not_before.items() if at <= self.now and slot not in self.away}
        due = self.queue.next_due(self.now)
        assert (due is not None and due <= self.now) is bool(may_be)
        chosen = self.policy.choose(self.now, [self.queue])
        assert (chosen is not None) is bool(may_be)
        if chosen is not None:
            assert chosen[1] in may_be
            self.away.add(chosen[1])

    @precondition(lambda self: self.away)
    @rule(data=st.data(), wait=st.sampled_from([0.0, 15.0, 50.0]))
    def come_back(self, data: st.DataObject, wait: float) -> None:
        """End a poll."""
        slot = data.draw(st.sampled_from(sorted(self.away)))
        self.away.remove(slot)
        is_wanted = self.queue.returned(slot, self.now, wait, answered=True)
        assert is_wanted is (slot not in self.gone)
        if is_wanted:
            self.not_before[slot] = self.now + wait
        else:
            self.gone.remove(slot)
            self.free.append(slot)

    @invariant()
    def counts(self) -> None:
        """Everybody selected is in the queue once."""
        assert len(self.queue) == len(self.not_before)
        waiting = [at for slot, at in self.not_before.items() if slot not in self.away]
        due = self.queue.next_due(self.now)
        assert due == (max(self.now, min(waiting)) if waiting else None)


TestLine = Line.TestCase
TestLine.settings = settings(max_examples=100, stateful_step_count=40, deadline=None)
