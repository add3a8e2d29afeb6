"""What it brings and costs to poll users sooner after a failure or at high risk, by how much more their events weigh."""

import random
from collections import defaultdict
from collections.abc import Iterable, Sequence

from bench.policy import Simulation, Tally
from bench.table import Row, row
from bench.worlds import HOUR, Bursty, uneven

_PART = "weight"
_REQUESTS, _MAX_STALENESS = 5.0, 900.0
_FAILING = 0.06  # of all sign-ins
_ATTACKS_AN_HOUR = 20.0
_GUESSES, _GUESS_EACH = 12, 60.0  # seconds
_TAKEN_OVER = 1 / 3  # of the attacked
_CALM = (1_200.0, 3_600.0)  # seconds between the guesses and the take-over
_MISUSES, _MISUSE_EACH = 3, 300.0
_WEIGHTS = (1, 2, 4, 9, 16)
_KINDS = {"takeover": "sign-ins at high risk after an attack", "failure": "failures", "usual": "all other events"}


class Attacked(Bursty):
    """A bursty world in which some sign-ins fail, passwords are guessed, and some of the guessed accounts are misused later."""

    def __init__(self, rates: Sequence[float], rng: random.Random, hours: float) -> None:
        super().__init__(rates, rng)
        self.delays: dict[str, Tally] = defaultdict(Tally)
        self._alarming: set[float] = set()
        self._attacks: dict[int, list[tuple[float, str]]] = defaultdict(list)
        at = 0.0
        while (at := at + rng.expovariate(_ATTACKS_AN_HOUR / HOUR)) < hours * HOUR:
            self._attacks[rng.randrange(len(rates))] += self._attack(at)

    def _attack(self, at: float) -> Iterable[tuple[float, str]]:
        for _ in range(_GUESSES):
            yield at, "failure"
            at += self._rng.expovariate(1 / _GUESS_EACH)
        at += self._rng.uniform(*_CALM)
        for _ in range(_MISUSES if self._rng.random() < _TAKEN_OVER else 0):
            yield at, "takeover"
            at += self._rng.expovariate(1 / _MISUSE_EACH)

    def events(self, user: int, now: float) -> Sequence[float]:
        """Return the events since the call before, and note how late they are told."""
        told = [(at, "failure" if self._rng.random() < _FAILING else "usual") for at in super().events(user, now)]
        attacks = self._attacks.pop(user, [])
        told += [event for event in attacks if event[0] <= now]
        if later := [event for event in attacks if event[0] > now]:
            self._attacks[user] = later
        for at, kind in told:
            self.delays[kind].add([at], now)
        self._alarming |= {at for at, kind in told if kind != "usual"}
        return sorted(at for at, _ in told)

    def is_alarming(self, at: float) -> bool:
        """Tell whether the event of that moment is a failure or at high risk."""
        return at in self._alarming


def rows(quick: bool) -> Iterable[Row]:
    """Return the mean delays by kind of event and weight, each to that without weight."""
    users, hours = (300, 1) if quick else (4_000, 24)
    plain: dict[str, float] = {}
    for weight in (1, 4) if quick else _WEIGHTS:
        delays = _delays(users, hours, weight)
        for kind, text in _KINDS.items():
            mean = delays[kind].mean
            yield row(_PART, f"weight {weight}", f"mean delay of {text}", mean, "s")
            if weight > 1:
                yield row(_PART, f"weight {weight}", f"that, to weight 1: {text}", mean / plain[kind])
            plain.setdefault(kind, mean)


def _delays(users: int, hours: int, weight: int) -> dict[str, Tally]:
    rng = random.Random(1)  # noqa: S311 - the same world each time
    world = Attacked(uneven(users, rng), rng, hours)
    Simulation(world, _REQUESTS, _MAX_STALENESS, weight - 1.0).run((hours,))
    return world.delays
