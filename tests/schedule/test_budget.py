"""The budget is never overdrawn, gives way to throttling and comes back slowly."""

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter.schedule.budget import Budget, TokenBucket


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


def test_start_is_no_burst() -> None:
    """A start spends one request, not a second's worth."""
    bucket = TokenBucket(50.0, 0.0)
    assert [bucket.take(0.0) == 0.0 for _ in range(3)] == [True, False, False]


def test_throttling_cuts_at_once_and_once() -> None:
    """Throttled answers halve the rate; those within half a second are one sign; a twentieth is the least."""
    bucket = TokenBucket(40.0, 0.0)
    bucket.throttled(10.0)
    bucket.throttled(10.1)
    assert bucket.allowed(10.1) == pytest.approx(20.0, rel=0.01)
    for second in range(11, 60):
        bucket.throttled(float(second))
    assert bucket.allowed(59.0) == pytest.approx(2.0, rel=0.11)


def test_recovers_by_half_a_per_cent_a_second() -> None:
    """After throttling the rate comes back by half a per cent of the budget a second, and no further than the budget."""
    bucket = TokenBucket(40.0, 0.0)
    bucket.throttled(0.0)
    assert bucket.allowed(50.0) == pytest.approx(20.0 + 50 * 0.2)
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
    bucket.throttled(1.0)
    bucket.resize(40.0, 1.0)
    assert bucket.take(1.0) > 0.0
    assert bucket.allowed(1.0) == pytest.approx(20.0)
    bucket.resize(10.0, 1.0)
    assert bucket.allowed(1.0) == pytest.approx(5.0)
    assert spend(bucket, 0.0, start=1.0) == 0
