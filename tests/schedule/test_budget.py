"""The budget is never overdrawn, gives way to throttling and comes back slowly."""

import asyncio

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from exporter.schedule.budget import Budget, SpendingMeter, TokenBucket


def spend(bucket: TokenBucket, seconds: float, step: float = 0.01, start: float = 0.0) -> int:
    """Take every token there is, looking each `step`; return how many."""
    taken, now = 0, start
    while now <= start + seconds:
        while bucket.take(now) == 0.0:
            taken += 1
        now += step
    return taken


@given(
    st.floats(1.0, 500.0),
    st.lists(st.floats(0.0, 3.0), min_size=1, max_size=40),
)
def test_never_more_than_the_budget(budget: float, pauses: list[float]) -> None:
    """In any t seconds no more than budget x (t + 1) requests, however they bunch."""
    bucket, now = TokenBucket(budget, 0.0), 0.0
    taken: list[float] = []
    for pause in pauses:
        now += pause
        while bucket.take(now) == 0.0 and len(taken) < 5000:
            taken.append(now)
    for first, since in enumerate(taken):
        assert len(taken) - first <= budget * (taken[-1] - since + 1) + 1e-6


def test_gives_the_budget_when_asked() -> None:
    """The whole budget can be spent."""
    assert spend(TokenBucket(50.0, 0.0), 10.0) == pytest.approx(500, abs=11)


def test_a_token_is_taken_at_once_only_if_nobody_waits() -> None:
    """Who may take a token without waiting does not overtake who waits for one."""

    async def scenario() -> list[bool]:
        now = [0.0]
        budget = Budget("a", 1.0, lambda: now[0])
        at_once = [budget.try_acquire(), budget.try_acquire()]
        waiting = asyncio.ensure_future(budget.acquire())
        await asyncio.sleep(0)
        now[0] = 1.0
        at_once.append(budget.try_acquire())
        await asyncio.wait_for(waiting, 5)
        now[0] = 2.0
        return [*at_once, budget.try_acquire()]

    assert asyncio.run(scenario()) == [True, False, False, True]


def test_start_is_no_burst() -> None:
    """A start spends one request, not a second's worth."""
    bucket = TokenBucket(50.0, 0.0)
    assert [bucket.take(0.0) == 0.0 for _ in range(3)] == [True, False, False]


def test_throttling_cuts_at_once_and_once() -> None:
    """Throttled answers halve the rate; those within half a second are one sign; a twentieth is the least."""
    bucket = TokenBucket(40.0, 0.0)
    bucket.throttled(10.0, 9.9)
    bucket.throttled(10.1, 10.05)
    assert bucket.allowed(10.1) == 20.0
    for second in range(11, 60):
        bucket.throttled(float(second), second - 0.1)
    assert bucket.allowed(59.0) == 2.0


def test_an_answer_from_before_the_cut_says_nothing() -> None:
    """A throttled answer to a request sent before the last cut, however late it comes, does not cut again."""
    bucket = TokenBucket(40.0, 0.0)
    bucket.throttled(10.0, 9.9)
    bucket.throttled(11.5, 9.99)
    assert bucket.allowed(11.5) == 20.0
    bucket.throttled(11.6, 10.01)
    assert bucket.allowed(11.6) == 10.0


def test_recovers_by_half_a_per_cent_a_second() -> None:
    """Two seconds after a cut the rate comes back by half a per cent of the budget a second, no further than the budget."""
    bucket = TokenBucket(40.0, 0.0)
    bucket.throttled(0.0, 0.0)
    assert bucket.allowed(2.0) == 20.0
    assert bucket.allowed(52.0) == pytest.approx(20.0 + 50 * 0.2)
    assert bucket.allowed(500.0) == 40.0


def test_clock_going_back_gives_nothing() -> None:
    """A clock that steps back neither gives nor takes tokens."""
    bucket = TokenBucket(1.0, 100.0)
    assert bucket.take(100.0) == 0.0
    assert bucket.take(50.0) > 0.0
    assert bucket.take(100.5) > 0.0
    assert bucket.take(101.0) == 0.0


def test_waiting_tasks_share_one_budget() -> None:
    """Tasks that wait at once are served in turn, within the budget."""

    async def scene() -> float:
        loop = asyncio.get_running_loop()
        budget = Budget("default/eu-west-1", 100.0, loop.time)
        since = loop.time()
        await asyncio.gather(*(budget.acquire() for _ in range(11)))
        return loop.time() - since

    assert asyncio.run(scene()) >= 0.095


def test_resizing_gives_nothing_away() -> None:
    """A budget that a reload changes keeps what was spent and its cut; one that stays the same is as before."""
    bucket = TokenBucket(40.0, 0.0)
    spend(bucket, 1.0)
    bucket.throttled(1.0, 0.9)
    bucket.resize(40.0, 1.0)
    assert bucket.take(1.0) > 0.0
    assert bucket.allowed(1.0) == pytest.approx(20.0)
    bucket.resize(10.0, 1.0)
    assert bucket.allowed(1.0) == pytest.approx(5.0)
    assert spend(bucket, 0.0, start=1.0) == 0


@pytest.mark.parametrize(
    ("spent", "now", "expected"),
    [
        ([], 4.9, None),
        ([], 5.0, 0.0),
        ([(1.0, 10)], 4.9, None),
        ([(1.0, 10)], 10.0, 1.0),
        ([(1.0, 10), (2.0, -4)], 10.0, 0.6),
        ([(second, 3) for second in range(60)], 60.0, 3.0),
        ([(second, 3) for second in range(600)], 600.0, 3.0),
        ([(second, 3) for second in range(600)], 602.5, 3.0 * 60 / 62.5),
        ([(second, 3) for second in range(60)], 130.0, 0.0),
        ([(second, 3) for second in range(60)], 1e9, 0.0),
        ([(10.0, 5), (3.0, 5)], 20.0, 0.5),
    ],
)
def test_what_was_spent(spent: list[tuple[float, int]], now: float, expected: float | None) -> None:
    """The rate is that of the last minute, or of the time since the start; it is not known in the first seconds."""
    meter = SpendingMeter(0.0)
    for at, requests in spent:
        meter.spend(at, requests)
    assert meter.rate(now) == (None if expected is None else pytest.approx(expected))


@given(st.lists(st.tuples(st.floats(0.0, 30.0), st.integers(1, 50)), max_size=100))
def test_the_meter_is_never_far_off(pauses: list[tuple[float, int]]) -> None:
    """However requests bunch, what is told lies between what fell into a minute and into five seconds more."""
    meter, now = SpendingMeter(0.0), 0.0
    spent: list[tuple[float, int]] = []
    for pause, requests in pauses:
        now += pause
        meter.spend(now, requests)
        spent.append((now, requests))
    seconds = min(now, 60.0 + now % 5)
    rate = meter.rate(now)
    if rate is not None:
        told = rate * seconds
        assert sum(number for at, number in spent if at > now - 60) <= told + 1e-6
        assert told <= sum(number for at, number in spent if at >= now - 65.0) + 1e-6


def test_the_meter_stays_small() -> None:
    """However much is spent, what is kept does not grow."""
    meter = SpendingMeter(0.0)
    for second in range(10_000):
        meter.spend(float(second), 1)
    assert len(meter._spent) == 13


def test_a_budget_tells_what_was_spent() -> None:
    """Tokens taken are spent, those returned are not, and who only asked has spent nothing."""
    now = [0.0]
    budget = Budget("a", 1.0, lambda: now[0])
    taken = [budget.try_acquire(), budget.try_acquire()]
    now[0] = 2.0
    taken.append(budget.try_acquire())
    budget.give_back()
    told = [budget.spent]
    now[0] = 10.0
    told.append(budget.spent)
    assert taken == [True, False, True]
    assert told == [None, pytest.approx(0.1)]


class AnyLife(RuleBasedStateMachine):
    """A bucket under takes, returns, throttled answers and new budgets at any times, held against the promises at each step."""

    @initialize(budget=st.floats(1.0, 500.0))
    def begin(self, budget: float) -> None:
        """Start with some budget."""
        self.bucket = TokenBucket(budget, 0.0)
        self.now, self.cut_at, self.held = 0.0, float("-inf"), 0
        self.spent: list[tuple[float, int, float]] = []  # when, tokens, the greatest budget then
        self.rate, self.seen_at = budget, 0.0

    @rule(pause=st.floats(0.0, 5.0) | st.just(0.0), wanted=st.integers(1, 300))
    def take(self, pause: float, wanted: int) -> None:
        """Take as many tokens as there are, up to a number."""
        self.now += pause
        taken = 0
        while taken < wanted and self.bucket.take(self.now) == 0.0:
            taken += 1
        self.held += taken
        self.spent.append((self.now, taken, self.bucket.budget))

    @precondition(lambda self: self.held > 0)
    @rule(pause=st.floats(0.0, 2.0) | st.just(0.0))
    def give_back(self, pause: float) -> None:
        """Return a token that was taken."""
        self.now += pause
        self.bucket.allowed(self.now)
        self.bucket.give_back()
        self.held -= 1
        self.spent.append((self.now, -1, self.bucket.budget))

    @rule(pause=st.floats(0.0, 60.0) | st.floats(0.0, 1.0), age=st.floats(0.0, 3.0))
    def throttled(self, pause: float, age: float) -> None:
        """Hear that a request sent some time ago was throttled; one from before the last cut changes nothing."""
        self.now += pause
        before = self.bucket.allowed(self.now)
        self.rate_is_sound()
        self.bucket.throttled(self.now, self.now - age)
        after = self.bucket.allowed(self.now)
        if self.now - age < self.cut_at:
            assert after == before
        if after < before:
            self.cut_at = self.now
        self.rate, self.seen_at = after, self.now

    @rule(pause=st.floats(0.0, 2.0), budget=st.floats(1.0, 500.0))
    def resize(self, pause: float, budget: float) -> None:
        """Change the budget; the cut stays as a share."""
        self.now += pause
        share = self.bucket.allowed(self.now) / self.bucket.budget
        self.spent.append((self.now, 0, max(self.bucket.budget, budget)))
        self.bucket.resize(budget, self.now)
        assert self.bucket.allowed(self.now) == pytest.approx(share * budget)
        self.rate, self.seen_at = self.bucket.allowed(self.now), self.now

    @invariant()
    def rate_is_sound(self) -> None:
        """See the rate between a twentieth of the budget and the budget, and rise by half a per cent of it a second at most."""
        rate, budget = self.bucket.allowed(self.now), self.bucket.budget
        assert budget / 20 * (1 - 1e-9) <= rate <= budget * (1 + 1e-9)
        assert rate <= self.rate + (self.now - self.seen_at) * budget * 0.005 + 1e-9 * budget
        self.rate, self.seen_at = rate, self.now

    @invariant()
    def never_overdrawn(self) -> None:
        """See that in any t seconds up to now no more than budget x (t + 1) tokens were taken and kept."""
        net, budget = 0, self.bucket.budget
        for since, tokens, then in reversed(self.spent):
            net, budget = net + tokens, max(budget, then)
            assert net <= budget * (self.now - since + 1) + 1e-6


AnyLife.TestCase.settings = settings(max_examples=150, stateful_step_count=40, deadline=None)
TestAnyLife = AnyLife.TestCase
