"""How fresh the polling policy is: the policy the exporter runs, in simulated time over made-up worlds, without HTTP.

The delay is from an event to the poll that shows it. It is set against the least mean delay that polling at constant rates can
have, for which each user's true rate would have to be known: fᵢ ∝ √λᵢ ("optimum"); against the same with nobody waiting longer
than the policy's longest wait ("optimum within the wait"); and against asking everybody in turn ("round robin").
"""

import math
import random
import time
from array import array
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import fmean

from bench.table import Goal, Row, row
from bench.worlds import HOUR, Bursty, Steady, WakeUp, World, dead, equal, flooded, uneven
from exporter.schedule.activity import ALARM_WEIGHT, Sighting
from exporter.schedule.policy import Policy, PoolQueue

_MIN_INTERVAL = 15.0
_PART = "policy"


def optimum(rates: Sequence[float], requests: float, longest_wait: float = math.inf) -> float:
    """Return the least mean delay, in seconds, at so many polls a second: fᵢ ∝ √λᵢ, within what min_interval and waits allow."""
    roots = [math.sqrt(rate) for rate in rates]
    least, most = 1 / longest_wait, 1 / _MIN_INTERVAL
    low, high = 0.0, requests / min(root for root in roots if root)
    for _ in range(60):
        scale = math.sqrt(max(low, high * 1e-12) * high)
        spent = sum(min(most, max(least, scale * root)) for root in roots)
        low, high = (low, scale) if spent > requests else (scale, high)
    polls = [min(most, max(least, low * root)) for root in roots]
    return sum(rate / (2 * often) for rate, often in zip(rates, polls, strict=True) if rate) / sum(rates)


# -- the simulation --------------------------------------------------------------------------------------------------


@dataclass(slots=True)
class Tally:
    """Events and the sum of their delays, over a stretch of the simulation."""

    events: float = 0.0
    delay: float = 0.0

    def add(self, events: Sequence[float], now: float) -> None:
        """Take in events that a poll has shown."""
        self.events += len(events)
        self.delay += sum(now - at for at in events)

    @property
    def mean(self) -> float:
        """The mean delay in seconds."""
        return self.delay / self.events if self.events else math.nan


@dataclass(slots=True)
class Run:
    """What a simulation showed: delays by the hour at which each stretch ends, waits in seconds, cost in seconds of CPU."""

    delays: dict[int, Tally] = field(default_factory=dict)
    longest_wait: float = 0.0
    floor: float = 0.0
    polls: int = 0
    cpu: float = 0.0


class Simulation:
    """The policy over a world, at a constant rate of requests, one poll each."""

    def __init__(self, world: World, requests: float, max_staleness: float, alarm_weight: float = ALARM_WEIGHT) -> None:
        users = len(world.rates)
        self._world = world
        self._step = 1 / requests
        self._policy = Policy(0.0, max_staleness)
        self._policy.capacity = requests
        self._queue = PoolQueue(_MIN_INTERVAL, alarm_weight)
        self._policy.join(self._queue)
        self._asked = array("d", [0.0]) * users
        self._is_known = bytearray(users)
        self._now = 0.0
        for user in range(users):
            self._queue.add(user, 0.0)
        self._policy.begin()

    def run(self, hours: Sequence[int]) -> Run:
        """Poll until the last of these hours."""
        run = Run(floor=self._policy.longest_wait)
        for hour in hours:
            tally = run.delays[hour] = Tally()
            while self._now < hour * HOUR:
                self._now += self._step
                self._poll(run, tally)
        run.longest_wait = max(run.longest_wait, self._now - min(self._asked))
        return run

    def _poll(self, run: Run, tally: Tally) -> None:
        now, began = self._now, time.process_time()
        self._queue.next_due(now)
        chosen = self._policy.choose(now, [self._queue])
        run.cpu += time.process_time() - began
        if chosen is None:
            return
        user = chosen[1]
        run.longest_wait = max(run.longest_wait, now - self._asked[user])
        events = self._world.events(user, now)
        self._asked[user] = now
        tally.add(events, now)
        self._return(user, [*self._history(user), *events], run)

    def _history(self, user: int) -> Sequence[float]:
        if self._is_known[user]:
            return ()
        self._is_known[user] = True
        return self._world.history(user)

    def _return(self, user: int, events: Sequence[float], run: Run) -> None:
        began = time.process_time()
        self._queue.activity.observe(
            user, self._now, self._now, [Sighting(at, self._world.is_alarming(at)) for at in events]
        )
        self._queue.returned(user, self._now, _MIN_INTERVAL, answered=True)
        run.cpu += time.process_time() - began
        run.polls += 1


# -- the table -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Case:
    """A world, its users, the requests a second and `max_staleness` (seconds) that the policy has for it."""

    name: str
    world: Callable[[Sequence[float], random.Random], World]
    rates: Callable[[int, random.Random], Sequence[float]]
    users: int
    requests: float
    max_staleness: float
    hours: tuple[int, ...] = (1, 6, 24)
    goal: Goal | None = None
    worlds: int = 1

    def __str__(self) -> str:
        return f"{self.name}, {self.users:,} users, {self.requests:g}/s, max_staleness {self.max_staleness / HOUR:g}h"


_STEADY, _BURSTY = Goal("<=", 1.1), Goal("<=", 0.85)
_CASES = (
    Case("steady", Steady, uneven, 1_000, 5, 0.25 * HOUR),
    Case("steady", Steady, uneven, 12_000, 5, 0.25 * HOUR),
    Case("steady", Steady, uneven, 12_000, 5, 12 * HOUR, goal=_STEADY, worlds=3),
    Case("steady", Steady, uneven, 100_000, 50, 12 * HOUR, goal=_STEADY),
    Case("bursty", Bursty, uneven, 1_000, 5, 0.25 * HOUR, goal=_BURSTY),
    Case("bursty", Bursty, uneven, 12_000, 5, 0.25 * HOUR),
    Case("bursty", Bursty, uneven, 12_000, 5, 12 * HOUR, goal=_BURSTY, worlds=3),
    Case("bursty", Bursty, uneven, 100_000, 50, 12 * HOUR, goal=_BURSTY),
    Case("steady", Steady, uneven, 1_000_000, 50, 12 * HOUR),
    Case("all wake up at once", WakeUp, equal, 12_000, 5, 0.25 * HOUR, hours=(2, 6, 24)),
    Case("one user floods", Steady, flooded, 12_000, 5, 0.25 * HOUR),
    Case("all are dead", Steady, dead, 12_000, 5, 0.25 * HOUR),
)
_QUICK = (
    Case("steady", Steady, uneven, 500, 5, 2 * HOUR, hours=(1,)),
    Case("all are dead", Steady, dead, 500, 5, 0.05 * HOUR, hours=(1,)),
)


def rows(quick: bool) -> Iterable[Row]:
    """Return how each case went."""
    costs: dict[int, float] = {}
    for case in _QUICK if quick else _CASES:
        runs = [_simulated(case, seed) for seed in range(1, case.worlds + 1)]
        costs.setdefault(case.users, runs[0][1].cpu / runs[0][1].polls)
        yield from _delays(case, runs)
        longest = max(run.longest_wait / run.floor for _, run in runs)
        yield row(_PART, str(case), "longest wait, to the longest allowed", longest, goal=Goal("<=", 1.0))
    yield from _growth(costs)


def _simulated(case: Case, seed: int) -> tuple[Sequence[float], Run]:
    """Return the true rates of a world of this seed, and how the policy went over it."""
    rng = random.Random(seed)  # noqa: S311 - the same worlds each time
    world = case.world(case.rates(case.users, rng), rng)
    return world.rates, Simulation(world, case.requests, case.max_staleness).run(case.hours)


def _delays(case: Case, runs: Sequence[tuple[Sequence[float], Run]]) -> Iterable[Row]:
    """Return the mean over the worlds of the mean delays, each to what its world allows."""
    if not any(runs[0][0]):
        return
    bests = {
        "the optimum": [optimum(rates, case.requests) for rates, _ in runs],
        "the optimum within the wait": [optimum(rates, case.requests, run.floor) for rates, run in runs],
        "round robin": [case.users / (2 * case.requests)] * len(runs),
    }
    for hour in case.hours:
        for name, best in bests.items():
            ratios = [run.delays[hour].mean / least for least, (_, run) in zip(best, runs, strict=True)]
            goal = case.goal if hour == case.hours[-1] and name == "the optimum" else None
            yield row(_PART, str(case), f"mean delay until hour {hour}, to {name}", fmean(ratios), goal=goal)


def _growth(costs: Mapping[int, float]) -> Iterable[Row]:
    """Return what a choice costs, and how that grows with the users: as their logarithm is what a sorted line allows."""
    least = min(costs)
    for users, cost in costs.items():
        yield row(_PART, f"{users:,} users", "CPU of the policy a poll", cost * 1e6, "µs")
        if users > least:
            growth = (cost / costs[least]) / (math.log(users) / math.log(least))
            yield row(_PART, f"{users:,} users", f"that, to {least:,} users and log N", growth, goal=Goal("<=", 1.5))
