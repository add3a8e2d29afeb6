"""Beside an application that spends the same quota, the application hardly notices: a simulation, request by request."""

import heapq
import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import count

import pytest

from exporter.schedule.budget import TokenBucket

QUOTA = 20.0
BUDGET = 50.0
IN_FLIGHT = 32
LATE = 0.003  # seconds by which a task that waits for a token wakes up late, at most
SETTLED = 60.0
END = 3000.0

Admits = Callable[[float], bool]
Rate = Callable[[float], float]


def saves_up(seconds: float) -> Admits:
    """Return a service that saves up so many seconds' quota, but at least a request: whether it takes a request in at a time."""
    most = max(1.0, QUOTA * seconds)
    left, at = most, 0.0

    def admits(now: float) -> bool:
        nonlocal left, at
        left, at = min(most, left + (now - at) * QUOTA), now
        admitted = left >= 1.0
        left -= admitted
        return admitted

    return admits


def counts_each_second() -> Admits:
    """Return a service that takes the quota in within each second of the clock, and saves nothing up for the next."""
    second, taken = -1, 0

    def admits(now: float) -> bool:
        nonlocal second, taken
        taken = taken + 1 if int(now) == second else 1
        second = int(now)
        return taken <= QUOTA

    return admits


SERVICES: dict[str, Callable[[], Admits]] = {
    "one second": lambda: saves_up(1.0),
    "five seconds": lambda: saves_up(5.0),
    "each second": counts_each_second,
    "even": lambda: saves_up(0.0),
}


@dataclass(frozen=True, slots=True)
class Request:
    """A request: when it was sent, and whether it was admitted."""

    sent: float
    admitted: bool


class Scene:
    """An exporter that always has somebody to ask, and an application, before one service, from 0 to `END`."""

    def __init__(
        self, admits: Admits, application: Rate, latency: tuple[float, float], bucket: TokenBucket | None
    ) -> None:
        self.theirs: list[Request] = []
        self.ours: list[Request] = []
        self._admits = admits
        self._latency = latency
        self._rng = random.Random(1)
        self._order = count()
        self._agenda: list[tuple[float, int, Callable[[float], None]]] = []
        self._in_flight = 0
        for moment in calls(application, random.Random(2)):
            self._at(moment, self._call)
        if bucket is not None:
            self._bucket = bucket
            self._at(0.0, self._send)
        self._run()

    def _at(self, moment: float, act: Callable[[float], None]) -> None:
        heapq.heappush(self._agenda, (moment, next(self._order), act))

    def _run(self) -> None:
        while self._agenda and self._agenda[0][0] < END:
            now, _, act = heapq.heappop(self._agenda)
            act(now)

    def _call(self, now: float) -> None:
        self.theirs.append(Request(now, self._admits(now)))

    def _send(self, now: float) -> None:
        if self._in_flight == IN_FLIGHT:
            return
        if (wait := self._bucket.take(now)) > 0:
            self._at(now + wait + self._rng.uniform(0.0, LATE), self._send)
            return
        request = Request(now, self._admits(now))
        self.ours.append(request)
        self._in_flight += 1
        self._at(now + self._rng.uniform(*self._latency), lambda then: self._answer(request, then))
        self._at(now, self._send)

    def _answer(self, request: Request, now: float) -> None:
        if not request.admitted:
            self._bucket.throttled(now, request.sent)
        self._in_flight -= 1
        if self._in_flight == IN_FLIGHT - 1:  # nothing could be sent before this answer
            self._at(now, self._send)


def calls(rate: Rate, rng: random.Random) -> Iterator[float]:
    """Yield the moments of independent calls, at most ten a second."""
    now = rng.expovariate(10.0)
    while now < END:
        if rng.random() * 10.0 < rate(now):
            yield now
        now += rng.expovariate(10.0)


def always(_: float) -> float:
    """Ten calls a second."""
    return 10.0


def coming_and_going(seconds: float) -> Rate:
    """Return the rate of an application that calls ten times a second for so many seconds, then rests as long."""
    return lambda now: 10.0 * (now // seconds % 2 == 0)


def throttled(requests: Sequence[Request]) -> float:
    """Return the share of the requests after settling that were throttled."""
    settled = [request for request in requests if request.sent >= SETTLED]
    return sum(not request.admitted for request in settled) / len(settled)


def answered(requests: Sequence[Request], since: float) -> float:
    """Return how many requests a second were answered from a time on."""
    return sum(request.admitted for request in requests if request.sent >= since) / (END - since)


LATENCIES = {"near": (0.01, 0.04), "usual": (0.05, 0.5), "slow": (0.5, 2.0)}


@pytest.mark.parametrize("latency", LATENCIES)
@pytest.mark.parametrize(("service", "used"), [("one second", 0.85), ("five seconds", 0.95), ("each second", 0.5)])
def test_an_application_hardly_notices(service: str, used: float, latency: str) -> None:
    """Under 2 % of an application's calls are throttled, and most of the quota it leaves is used."""
    scene = Scene(SERVICES[service](), always, LATENCIES[latency], TokenBucket(BUDGET, 0.0))
    assert throttled(scene.theirs) < 0.02
    assert answered(scene.ours, SETTLED) > used * (QUOTA - 10.0)


@pytest.mark.parametrize("seconds", [5.0, 60.0])
@pytest.mark.parametrize("service", ["one second", "five seconds", "each second"])
def test_an_application_that_comes_and_goes(service: str, seconds: float) -> None:
    """An application that never lets the rate settle loses little more than one that is always there."""
    scene = Scene(SERVICES[service](), coming_and_going(seconds), LATENCIES["usual"], TokenBucket(BUDGET, 0.0))
    assert throttled(scene.theirs) < 0.03


@pytest.mark.parametrize("service", ["one second", "five seconds", "each second"])
def test_what_an_application_leaves_is_used(service: str) -> None:
    """When the application has gone, most of the whole quota is used from a minute on."""
    gone = END / 2
    scene = Scene(SERVICES[service](), lambda now: 10.0 * (now < gone), LATENCIES["usual"], TokenBucket(BUDGET, 0.0))
    assert answered(scene.ours, gone + 60.0) > 0.7 * QUOTA


def test_gives_way_to_the_last() -> None:
    """A service that saves nothing up throttles a third of the application's calls by itself: the least rate adds little."""
    alone = Scene(SERVICES["even"](), always, LATENCIES["usual"], None)
    scene = Scene(SERVICES["even"](), always, LATENCIES["usual"], TokenBucket(BUDGET, 0.0))
    assert throttled(alone.theirs) > 0.3
    assert throttled(scene.theirs) - throttled(alone.theirs) < 0.06
    assert len(scene.ours) / END < BUDGET / 20 * 1.1
