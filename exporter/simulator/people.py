"""Who lives in the generated world: names, habits, homes, journeys."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from random import Random

from exporter.simulator.places import Country, Origin, country_other_than, home_country, origin_in

DAY = 86_400.0

_FIRST_NAMES = (
    *("alice", "bob", "carol", "dmitri", "elena", "farid", "grace", "hiroshi", "ines", "jonas"),
    *("kavya", "liam", "marta", "nikos", "olga", "pedro", "quynh", "rosa", "sven", "tomoko"),
    *("ulrich", "vera", "wei", "ximena", "yusuf", "zoe", "amina", "boris", "chiara", "deepak"),
)
_EPISODES_PER_DAY = 3.0  # of the user in the middle, before the rhythm of the day
_MOST_EPISODES_PER_DAY = 40.0
_SLEEPERS, _BUSY = 0.12, 0.05  # shares of users


@dataclass(frozen=True, slots=True)
class Person:
    """A user's habits; `rate` is episodes (a sign-in with all that belongs to it) a second at the height of the day.

    `age` is in days before the world's history began, None for one who signed up within it; `newness` then says when,
    from 0 (as it began) to 1 (at the world's start).
    """

    rate: float
    origins: Sequence[Origin]
    uses_mfa: bool
    mistypes: float
    enabled: bool
    age: float | None
    newness: float

    def origin(self, rng: Random) -> Origin:
        """Draw the device in use: mostly the first."""
        return rng.choices(self.origins, (3, 1))[0]

    def wakefulness(self, moment: float) -> float:
        """Return how active the person is at a moment of the world (epoch seconds), from nearly 0 at night to 1."""
        hour = (moment / 3600 + self.origins[0].country.offset) % 24
        return max(0.08, math.sin(math.pi * (hour - 6) / 17)) if 6 <= hour < 23 else 0.08


def draw_person(rng: Random) -> Person:
    """Draw a person: rates are log-normal, with some sleepers and some very busy ones."""
    home = home_country(rng)
    episodes = rng.lognormvariate(math.log(_EPISODES_PER_DAY), 0.8) * _temper(rng.random())
    return Person(
        rate=min(episodes, _MOST_EPISODES_PER_DAY) / DAY,
        origins=(origin_in(rng, home), origin_in(rng, home)),
        uses_mfa=rng.random() < 0.4,
        mistypes=rng.betavariate(1.2, 12),
        enabled=rng.random() > 0.02,
        age=rng.uniform(0.0, 700.0) if rng.random() > 0.06 else None,
        newness=rng.random(),
    )


def _temper(draw: float) -> float:
    if draw < _SLEEPERS:
        return 0.02
    return 6.0 if draw > 1 - _BUSY else 1.0


@dataclass(frozen=True, slots=True)
class Journey:
    """A stay abroad; `begin` and `end` are shares of the period in which it falls."""

    begin: float
    end: float
    origin: Origin


def draw_journey(rng: Random, home: Country) -> Journey | None:
    """Draw whether a person leaves home in a period, when, and where to."""
    if rng.random() > 0.25:
        return None
    begin = rng.uniform(0.0, 0.5)
    return Journey(begin, begin + rng.uniform(0.2, 0.5), origin_in(rng, country_other_than(rng, home)))


def username(index: int) -> str:
    """Return the user name of the user with this number: alice, bob, ..., alice-2, ..."""
    turn, place = divmod(index, len(_FIRST_NAMES))
    return _FIRST_NAMES[place] if turn == 0 else f"{_FIRST_NAMES[place]}-{turn + 1}"


def index_of(name: str) -> int | None:
    """Return the number of the user with this user name, None where it is nobody's."""
    first, _, turn = name.partition("-")
    if first not in _FIRST_NAMES or not (turn == "" or (turn.isascii() and turn.isdigit())):
        return None
    index = _FIRST_NAMES.index(first) + (int(turn or 1) - 1) * len(_FIRST_NAMES)
    return index if index >= 0 and username(index) == name else None


def sub(key: str, index: int) -> str:
    """Return a user's `sub`: a UUID that ends in the user's number, so that the user is found without a table."""
    digest = sha256(f"{key}/{index}".encode()).hexdigest()
    return f"{digest[:8]}-{digest[8:12]}-4{digest[12:15]}-a{digest[15:18]}-{index:012x}"
