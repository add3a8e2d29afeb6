"""Made-up worlds of users and their events, for the bench of the polling policy. Times are seconds since a world's start."""

import math
import random
from array import array
from collections.abc import Iterator, Sequence
from itertools import accumulate
from typing import Protocol

DAY, HOUR = 86_400.0, 3_600.0
_PAGE = 60
_HISTORY = 730 * DAY
_SESSION, _PAUSE = 6.0, 180.0  # events of a session, and seconds between them, in the mean
_EVENTS_A_DAY, _SLEEPERS, _SIGMA = 4.0, 0.3, 2.0


class World(Protocol):
    """Users and their events. `rates` are the true mean rates in events a second."""

    rates: Sequence[float]

    def history(self, user: int) -> Sequence[float]:
        """Return when the newest events from before the start were created, a page at most, oldest first."""
        ...

    def events(self, user: int, now: float) -> Sequence[float]:
        """Return when the events since the call before were created, oldest first."""
        ...

    def is_alarming(self, at: float) -> bool:
        """Tell whether the event of that moment is a failure or at high risk."""
        ...


class _Calm:
    """A world without failures."""

    def is_alarming(self, _at: float) -> bool:
        """Tell that an event is not alarming."""
        return False


class Steady(_Calm):
    """Events at constant rates, independent of each other (Poisson)."""

    def __init__(self, rates: Sequence[float], rng: random.Random) -> None:
        self.rates = rates
        self._rng = rng
        self._told = array("d", [0.0]) * len(rates)

    def history(self, user: int) -> Sequence[float]:
        """Return the newest events from before the start."""
        return _backwards(self.rates[user], self._rng)

    def events(self, user: int, now: float) -> Sequence[float]:
        """Return the events since the call before."""
        rate, at, found = self.rates[user], self._told[user], []
        while rate and (at := at + self._rng.expovariate(rate)) <= now:
            found.append(at)
        self._told[user] = now
        return found


class Bursty(_Calm):
    """Sessions of some events at short intervals, twice as many at the height of the day and none in the depth of the night."""

    def __init__(self, rates: Sequence[float], rng: random.Random) -> None:
        self.rates = rates
        self._rng = rng
        self._next = array("d", (self._session_after(user, 0.0) for user in range(len(rates))))
        self._to_come: dict[int, list[float]] = {}

    def _session_after(self, user: int, at: float) -> float:
        rate = 2 * self.rates[user] / _SESSION
        while rate:
            at += self._rng.expovariate(rate)
            if self._rng.random() <= 0.5 * (1 + math.sin(2 * math.pi * at / DAY)):
                return at
        return math.inf

    def _session(self, at: float) -> Iterator[float]:
        yield at
        while self._rng.random() > 1 / _SESSION:
            at += self._rng.expovariate(1 / _PAUSE)
            yield at

    def history(self, user: int) -> Sequence[float]:
        """Return the newest events from before the start."""
        starts = _backwards(self.rates[user] / _SESSION, self._rng)
        return sorted(at for start in starts for at in self._session(start) if at <= 0)[-_PAGE:]

    def events(self, user: int, now: float) -> Sequence[float]:
        """Return the events since the call before."""
        pending = self._to_come.pop(user, [])
        while self._next[user] <= now:
            pending += self._session(self._next[user])
            self._next[user] = self._session_after(user, self._next[user])
        later = [at for at in pending if at > now]
        if later:
            self._to_come[user] = later
        return sorted(at for at in pending if at <= now)


class WakeUp(Steady):
    """Sleepers all without a history, who all begin after an hour, at the same moment."""

    def history(self, user: int) -> Sequence[float]:
        """Return nothing."""
        self._told[user] = HOUR
        return ()

    def events(self, user: int, now: float) -> Sequence[float]:
        """Return the events since the call before."""
        return super().events(user, now) if now > HOUR else ()


def _backwards(rate: float, rng: random.Random) -> Sequence[float]:
    """Return the times of a page of events that came at a rate before 0."""
    if not rate:
        return ()
    times = accumulate(rng.expovariate(rate) for _ in range(_PAGE))
    return [-age for age in times if age < _HISTORY][::-1]


def uneven(users: int, rng: random.Random) -> list[float]:
    """Return rates that are log-normal with sigma 2, 30 % of them zero, in the mean four events a day and user."""
    raw = [0.0 if rng.random() < _SLEEPERS else math.exp(rng.gauss(0, _SIGMA)) for _ in range(users)]
    scale = _EVENTS_A_DAY / DAY * users / sum(raw)
    return [rate * scale for rate in raw]


def flooded(users: int, rng: random.Random) -> list[float]:
    """Return the same with one user more who brings two events a second."""
    return [2.0, *uneven(users - 1, rng)]


def dead(users: int, _: random.Random) -> list[float]:
    """Return the rates of users who never do anything."""
    return [0.0] * users


def equal(users: int, _: random.Random) -> list[float]:
    """Return the rates of users who are all alike, with an event every ten minutes."""
    return [1 / 600] * users
