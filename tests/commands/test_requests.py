"""Requests one after the other: within the budget, throttled ones made again; the time is made up."""

import pytest

from exporter.commands.requests import Requests, Time
from exporter.fetch.outcome import FetchError, Outcome


class FakeTime:
    """A clock that is moved by whoever waits."""

    def __init__(self) -> None:
        self.now = 0.0

    def sleep(self, seconds: float) -> None:
        """Let the time pass; nobody wakes up exactly in time."""
        self.now += seconds + 1e-6

    @property
    def time(self) -> Time:
        """What is given to the code under test."""
        return Time(lambda: self.now, self.sleep)


class Failing:
    """A call that fails so many times."""

    def __init__(self, outcome: Outcome, times: int) -> None:
        self.calls = 0
        self._outcome = outcome
        self._times = times

    def __call__(self) -> int:
        """Fail, or return how many calls it took."""
        self.calls += 1
        if self.calls <= self._times:
            raise FetchError(self._outcome, "no")
        return self.calls


def test_budget_is_held() -> None:
    """In t seconds there are no more than budget times (t + 1) requests."""
    clock, sent = FakeTime(), list[float]()
    requests = Requests(5.0, clock.time)
    for _ in range(50):
        requests.make(lambda: sent.append(clock.now))
    for first, at in enumerate(sent):
        for last in range(first, len(sent)):
            assert last - first + 1 <= 5 * (sent[last] - at + 1)
    assert 9 < clock.now < 11


@pytest.mark.parametrize(
    ("outcome", "attempts"),
    [
        (Outcome.THROTTLED, 5),
        (Outcome.SERVER_ERROR, 3),
        (Outcome.CONNECTION, 2),
        (Outcome.TIMEOUT, 1),
        (Outcome.NOT_AUTHORIZED, 1),
    ],
)
def test_attempts(outcome: Outcome, attempts: int) -> None:
    """What may pass is waited out and tried again a few times, then it is an error; the rest is one at once."""
    clock = FakeTime()
    assert Requests(100.0, clock.time).make(Failing(outcome, attempts - 1)) == attempts
    call = Failing(outcome, attempts)
    with pytest.raises(FetchError) as error:
        Requests(100.0, clock.time).make(call)
    assert (error.value.outcome, call.calls) == (outcome, attempts)


def test_throttling_slows_down() -> None:
    """After a throttled answer requests go out more slowly."""
    clock = FakeTime()
    requests = Requests(10.0, clock.time)
    requests.make(Failing(Outcome.THROTTLED, 2))
    began = clock.now
    for _ in range(10):
        requests.make(lambda: None)
    assert clock.now - began > 2
