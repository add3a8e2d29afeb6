"""How active each user is: what the events so far say about when the next one comes, and how long to wait for it.

Of each user there are counts of past events, each event weighing exp(-age / horizon): over a short, a middle and a long horizon.
The rate (events a second) at which events are expected s seconds after a poll is

    rate(s) = a_short · g_short/h_short · exp(-s/h_short)  +  a_middle · g_middle/h_middle · exp(-s/h_middle)  +  a_long · r_long

A session that goes on raises the first term, a busy day the second. r_long is the rate over the long horizon, the mean of a gamma
distribution whose prior is the pool's own mean rate: a user of whom nothing is known counts as an average one, and one without
events for long as a sleeper. How much each term is to be believed, `a`, is learned for the whole pool from how many events the
gaps between polls bring.
"""

import math
import struct
from array import array
from collections.abc import Sequence
from typing import NamedTuple

from exporter.event.event import AuthEvent

SHORT, MIDDLE, LONG = 900.0, 21_600.0, 28 * 86_400.0  # horizons, in seconds
_DECAYING = (SHORT, MIDDLE)

_FORGOTTEN = 20.0  # horizons, after which an event weighs nothing (2e-9): a long history is mostly of such
_SHAPE = 0.3  # of the gamma prior: few users have most of the events
_START = (0.2, 0.3, 0.6)  # how much each term is believed at first
_PSEUDO_EVENTS = 50.0  # that the start counts for
_EVENTS_REMEMBERED = 20_000.0  # by the pool; of more, the older count ever less
_FIRST_MEAN = 1 / 86_400.0  # events a second of a user, until the pool has told its own
_OUTLIER = 20.0  # times what is expected, plus some: more events at once do not move the pool's mean
_OUTLIER_EVENTS = 5.0

ALARM_WEIGHT = 3.0  # docs/performance.md, "Weight": what it brings and costs
_ALARMING_DECISIONS = frozenset({"AccountTakeover", "Block"})
_SAMPLE = 1000
_PRECISION = 1.02  # of a wait: the next poll is no sharper than that

_KNOWLEDGE = struct.Struct("<dd4f")


class Sighting(NamedTuple):
    """One event as the schedule sees it: its creation (epoch seconds), and whether it makes its user urgent."""

    created: float
    alarming: bool


def is_alarming(event: AuthEvent) -> bool:
    """Tell whether an event makes its user urgent: a failure or a high risk is what an attack looks like."""
    risk = event.risk
    return event.response == "Fail" or (
        risk is not None
        and (risk.level == "High" or risk.decision in _ALARMING_DECISIONS or risk.compromised_credentials)
    )


class Population:
    """What the users of one pool have in common: their mean rate, and how much each term of the rate is to be believed."""

    def __init__(self) -> None:
        self.belief = _START
        self._events = 1.0
        self._seconds = 1.0 / _FIRST_MEAN
        self._brought = [0.0, 0.0, 0.0]
        self._expected = [0.0, 0.0, 0.0]

    @property
    def mean(self) -> float:
        """Events a second of the average user."""
        return self._events / self._seconds

    def note_history(self, events: float, seconds: float) -> None:
        """Learn the mean from a stretch of one user's history; what is far beyond it counts only in part."""
        self._events += min(events, _OUTLIER * self.mean * seconds + _OUTLIER_EVENTS)
        self._seconds += seconds
        if self._events > _EVENTS_REMEMBERED:
            self._events, self._seconds = self._events / 2, self._seconds / 2

    def note_gap(self, events: int, seconds: float, expected: tuple[float, float, float]) -> None:
        """Learn from a gap between polls: the events it brought, against those that each term alone expected.

        One step of expectation and maximisation: the events are shared out by what each term said, and a term's belief is its
        share over what it has expected so far.
        """
        self.note_history(events, seconds)
        said = sum(belief * number for belief, number in zip(self.belief, expected, strict=True))
        for term, number in enumerate(expected):
            self._expected[term] += number
            if events and said > 0:
                self._brought[term] += events * self.belief[term] * number / said
        if events:
            self._forget_old()
            short, middle, long = (
                (self._brought[term] + _PSEUDO_EVENTS * start) / (self._expected[term] + _PSEUDO_EVENTS)
                for term, start in enumerate(_START)
            )
            self.belief = (short, middle, long)

    def _forget_old(self) -> None:
        if sum(self._brought) > _EVENTS_REMEMBERED:
            self._brought = [number / 2 for number in self._brought]
            self._expected = [number / 2 for number in self._expected]


class Activity:
    """What is known of each user of a pool, in columns by slot: 40 bytes a user. `now` is of a clock that never goes back."""

    def __init__(self, alarm_weight: float) -> None:
        self.population = Population()
        self._alarm_weight = alarm_weight
        self._at = array("d")  # when last observed
        self._since = array("d")  # since when the counts tell everything; infinitely long ago where they always did
        self._newest = array("d")  # creation of the newest event seen, in epoch seconds
        self._counts = (array("f"), array("f"))  # over the short and the middle horizon, as of `at`
        self._slow = array("f")  # over the long horizon
        self._alarm = array("f")

    def add(self, slot: int, now: float, age: float = 0.0, knowledge: bytes = b"") -> None:
        """Take in a user last observed `age` seconds ago, with what `knowledge` kept of that, if anything."""
        self._make_room(slot)
        known = _unpacked(knowledge)
        since, newest, short, middle, slow, alarm = known or (math.nan, -math.inf, 0.0, 0.0, 0.0, 0.0)
        at = now - age
        self._at[slot], self._since[slot], self._newest[slot] = at, at - since, newest
        self._counts[0][slot], self._counts[1][slot], self._slow[slot], self._alarm[slot] = short, middle, slow, alarm
        if known is not None:
            self.population.note_history(slow, _seen(LONG, since))

    def _make_room(self, slot: int) -> None:
        for column in (self._at, self._since, self._newest, *self._counts, self._slow, self._alarm):
            column.extend([0.0] * (slot + 1 - len(column)))

    def knowledge(self, slot: int) -> bytes:
        """Return what is to be kept of a user, for `add` after a restart; empty for one never observed."""
        if math.isnan(self._since[slot]):
            return b""
        covered = self._at[slot] - self._since[slot]
        short, middle = (column[slot] for column in self._counts)
        return _KNOWLEDGE.pack(covered, self._newest[slot], short, middle, self._slow[slot], self._alarm[slot])

    # -- learning ----------------------------------------------------------------------------------------------------------

    def observe(self, slot: int, now: float, asked_at: float, fresh: Sequence[Sighting]) -> None:
        """Learn from a poll at `now`, which is `asked_at` in epoch seconds, and the events newer than `newest`, oldest first."""
        is_first = math.isnan(self._since[slot])
        if is_first:
            # a history is taken to begin with its oldest event: an account has at least that age
            covered = max(1.0, asked_at - fresh[0].created) if fresh else math.inf
            self._since[slot] = now - covered
            self.population.note_history(len(fresh), min(covered, LONG))
        else:
            gap = max(0.0, now - self._at[slot])
            self.population.note_gap(len(fresh), gap, self._expected(slot, gap))
            self._fade(slot, gap)
        self._at[slot] = now
        if fresh:
            self._count(slot, asked_at, fresh)
            self._newest[slot] = fresh[-1].created

    def _expected(self, slot: int, gap: float) -> tuple[float, float, float]:
        short, middle, long = self._rates(slot)
        return (
            -short * SHORT * math.expm1(-gap / SHORT),
            -middle * MIDDLE * math.expm1(-gap / MIDDLE),
            long * gap,
        )

    def _fade(self, slot: int, gap: float) -> None:
        for horizon, column in zip(_DECAYING, self._counts, strict=True):
            column[slot] *= math.exp(-gap / horizon)
        self._slow[slot] *= math.exp(-gap / LONG)
        self._alarm[slot] *= math.exp(-gap / SHORT)

    def _count(self, slot: int, asked_at: float, fresh: Sequence[Sighting]) -> None:
        ages = [max(0.0, asked_at - event.created) for event in fresh]
        for horizon, column in zip(_DECAYING, self._counts, strict=True):
            column[slot] += _weight(horizon, ages)
        self._slow[slot] += _weight(LONG, ages)
        alarming = [age for age, event in zip(ages, fresh, strict=True) if event.alarming]
        self._alarm[slot] += _weight(SHORT, alarming)

    def _rates(self, slot: int) -> tuple[float, float, float]:
        """Return what each term alone says right after the last observation, in events a second."""
        covered = self._at[slot] - self._since[slot]
        if math.isnan(covered):
            return 0.0, 0.0, self.population.mean
        short, middle = (
            column[slot] / (horizon * _share(horizon, covered)) if column[slot] else 0.0
            for horizon, column in zip(_DECAYING, self._counts, strict=True)
        )
        return short, middle, (_SHAPE + self._slow[slot]) / (_SHAPE / self.population.mean + _seen(LONG, covered))

    def newest(self, slot: int) -> float:
        """Return the creation of the newest event seen of a user, in epoch seconds."""
        return self._newest[slot]

    def age(self, slot: int, now: float) -> float:
        """Return how many seconds ago a user was last observed."""
        return max(0.0, now - self._at[slot])

    # -- what follows ------------------------------------------------------------------------------------------------------

    def expects(self, slot: int, now: float) -> float:
        """Return how many events are expected since the last observation."""
        gap = max(0.0, now - self._at[slot])
        return sum(a * number for a, number in zip(self.population.belief, self._expected(slot, gap), strict=True))

    @property
    def mean_stride(self) -> float:
        """The harmonic mean of √(2 / rate) over a sample of the users, and that of the average one where there are none."""
        sample = range(0, len(self._at), len(self._at) // _SAMPLE + 1)
        rates = [sum(a * r for a, r in zip(self.population.belief, self._rates(slot), strict=True)) for slot in sample]
        roots = [math.sqrt(rate / 2) for rate in rates or (self.population.mean,)]
        return len(roots) / sum(roots)

    def wait(self, slot: int, price: float) -> float:
        """Return how many seconds after the last observation a poll is worth its price.

        `price` is in event-seconds: by how much a poll has to shorten the waiting of events, summed over them. Polling after t
        costs the price once a gap, and events wait for the integral of (t - s) · rate(s); their sum over t is least where the
        integral of s · rate(s) up to t is the price. For a constant rate that is t = √(2 · price / rate).
        """
        price /= 1.0 + self._alarm_weight * min(1.0, self._alarm[slot])
        terms = [a * rate for a, rate in zip(self.population.belief, self._rates(slot), strict=True)]
        low, high = math.sqrt(2 * price / sum(terms)), math.sqrt(2 * price / terms[2])
        while high > _PRECISION * low:
            middle = math.sqrt(low * high)
            low, high = (middle, high) if _paid(middle, terms) < price else (low, middle)
        return high


def _paid(wait: float, terms: Sequence[float]) -> float:
    """Return the integral of s · rate(s) from 0 to `wait`, in event-seconds."""
    total = terms[2] * wait * wait / 2
    for horizon, rate in zip(_DECAYING, terms, strict=False):
        if rate:
            x = wait / horizon
            total += rate * horizon * horizon * (1.0 - math.exp(-x) * (1.0 + x))
    return total


def _weight(horizon: float, ages: Sequence[float]) -> float:
    """Return what events of these ages count for over a horizon."""
    forgotten = _FORGOTTEN * horizon
    return sum([math.exp(-age / horizon) for age in ages if age < forgotten])


def _share(horizon: float, covered: float) -> float:
    """Return how much of a steady stream's decayed count lies within the time covered."""
    return -math.expm1(-max(1.0, covered) / horizon)


def _seen(horizon: float, covered: float) -> float:
    """Return how many seconds of history, decayed, the time covered holds."""
    return horizon * _share(horizon, covered)


def _unpacked(knowledge: bytes) -> tuple[float, ...] | None:
    if len(knowledge) != _KNOWLEDGE.size:
        return None
    covered, newest, *counts = _KNOWLEDGE.unpack(knowledge)
    is_usable = covered > 0 and newest < math.inf and all(0 <= count < math.inf for count in counts)
    return (covered, newest, *counts) if is_usable else None
