"""A world that lives by itself: plausible traffic, drawn from a seed, for one user and stretch of time at a time."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from random import Random

from exporter.event.event import AuthEvent
from exporter.simulator import people
from exporter.simulator.episodes import Act, Scene, Suspicion, draw_episode, sign_up, stuffing
from exporter.simulator.people import DAY, Journey, Person
from exporter.simulator.places import COUNTRIES, Origin, origin_in
from exporter.simulator.recording import record
from exporter.simulator.world import EventRecord, Pool, User, epoch

POOL_ID = "eu-west-1_Simulated"
GROUPS = {"administrators": 12, "support": 7, "beta": 5}
"""Each group's name, and every how many users one is a member."""

_BLOCK = 7200.0  # world seconds that are drawn together
_JOURNEY_PERIOD = 10 * DAY
_SHORTEST_JOURNEY_PERIOD = 600.0
_CAMPAIGNS_PER_BLOCK = 0.02
_CACHED_BLOCKS = 256
_CACHED_PEOPLE = 4096


def demo_activity(users: int) -> float:
    """Return the `activity` at which so many users together do something every few seconds at speed 1."""
    return max(1.0, 12_000.0 / max(users, 1))


@dataclass(frozen=True, slots=True)
class _Campaign:
    """Stuffing of leaked passwords over many users; in world epoch seconds."""

    begin: float
    seconds: float
    share: float
    origin: Origin


class TrafficWorld:
    """Users who sign in, mistype, travel and are attacked; the same arguments give the same events, ids included.

    A world second lasts 1/`speed` real seconds, the world's time being real time at `start`; all dates shown are real.
    The history reaches `history_seconds` (real) back from `start`. `activity` is how many times life's traffic happens. In a
    `calm` world nobody attacks, nobody travels, and threat protection finds nothing of note.
    """

    def __init__(
        self,
        seed: int,
        users: int,
        start: datetime | float,
        speed: float = 1.0,
        history_seconds: float = 3600.0,
        *,
        activity: float = 1.0,
        calm: bool = False,
        pool_ids: Sequence[str] = (POOL_ID,),
    ) -> None:
        self._calm = calm
        self._seed = seed
        self._users = users
        self._start = epoch(start)
        self._speed = speed
        self._activity = activity
        self._beginning = self._start - history_seconds
        self._pools = {pool_id: Pool(pool_id) for pool_id in pool_ids}
        self._frozen_at = float("inf")
        self._person = lru_cache(_CACHED_PEOPLE)(self._draw_person)
        self._block = lru_cache(_CACHED_BLOCKS)(self._draw_block)
        self._campaign = lru_cache(_CACHED_BLOCKS)(self._draw_campaign)
        self._journey = lru_cache(_CACHED_PEOPLE)(self._draw_journey)

    def freeze(self, at: datetime | float) -> None:
        """Let nothing be created, shown or changed after `at`."""
        self._frozen_at = epoch(at)

    def truth(self, pool_id: str, username: str, now: float) -> list[AuthEvent]:
        """Return the events visible by `now`, newest first, each as it stands in the end (at the freeze, if any)."""
        instant = min(now, self._frozen_at)
        records = self._records(pool_id, username, instant)
        return [record.final(self._frozen_at) for record in records if record.visible_at <= instant]

    def pool(self, pool_id: str) -> Pool | None:
        """Return the pool, None where there is none."""
        return self._pools.get(pool_id)

    def has_group(self, pool_id: str, group: str) -> bool:
        """Tell whether the pool has this group."""
        return pool_id in self._pools and group in GROUPS

    def user(self, pool_id: str, name: str, now: float) -> User | None:
        """Return the user with this user name, sub or e-mail address."""
        index = self._index(name)
        if index is None or index >= self._users:
            return None
        user = self._user(pool_id, index)
        return user if user.created <= now and user.answers_to(name) else None

    def users(self, pool_id: str, now: float, after: str | None = None) -> Iterator[User]:
        """Iterate over the pool's users by their numbers."""
        last = -1 if after is None else people.index_of(after)
        first = self._users if last is None else last + 1
        every = (self._user(pool_id, index) for index in range(first, self._users))
        return (user for user in every if user.created <= now)

    def user_count(self, pool_id: str) -> int:  # noqa: ARG002 - every pool has as many
        """Return how many users the pool has, those not yet created among them."""
        return self._users

    def history(self, pool_id: str, username: str, now: float) -> Iterator[AuthEvent]:
        """Iterate over the user's visible events, newest first; older ones are drawn only if they are asked for."""
        instant = min(now, self._frozen_at)
        for one in self._records(pool_id, username, instant):
            event = one.at(instant)
            if event is not None:
                yield event

    def _index(self, name: str) -> int | None:
        if "@" in name:
            return people.index_of(name.partition("@")[0])
        index = people.index_of(name)
        return int(name[24:], 16) if index is None and _is_hexadecimal(name[24:]) else index

    def _user(self, pool_id: str, index: int) -> User:
        name = people.username(index)
        person = self._person(pool_id, index)
        return User(
            username=name,
            sub=people.sub(f"{self._seed}/{pool_id}", index),
            created=self._created(person),
            enabled=person.enabled,
            groups=frozenset(group for group, every in GROUPS.items() if index % every == 0),
            attributes={"email": f"{name}@example.com"},
        )

    def _created(self, person: Person) -> float:
        if person.age is not None:
            return round(self._beginning - person.age * DAY, 3)
        return round(self._beginning + person.newness * (self._start - self._beginning), 3)

    def _records(self, pool_id: str, username: str, now: float) -> Iterator[EventRecord]:
        index = people.index_of(username)
        if index is None or index >= self._users:
            return
        since = max(self._beginning, self._created(self._person(pool_id, index)))
        for number in range(self._number(now), self._number(since) - 1, -1):
            for one in self._block(pool_id, index, number):
                if since <= one.created <= now:
                    yield one

    def _number(self, real: float) -> int:
        return int((real - self._start) * self._speed // _BLOCK)

    def _real(self, moment: float) -> float:
        return self._start + (moment - self._start) / self._speed

    def _rng(self, *key: object) -> Random:
        return Random("/".join(map(str, (self._seed, *key))))  # a string is hashed alike in every process

    def _draw_person(self, pool_id: str, index: int) -> Person:
        return people.draw_person(self._rng(pool_id, index, "person"))

    def _draw_block(self, pool_id: str, index: int, number: int) -> tuple[EventRecord, ...]:
        rng = self._rng(pool_id, index, number)
        person = self._person(pool_id, index)
        begin = self._start + number * _BLOCK
        episodes = [
            *self._own_episodes(rng, pool_id, index, begin),
            *self._sign_up(rng, person, begin),
            *self._stuffing(rng, person, pool_id, number),
        ]
        records = [record(rng, act, moment, self._real) for moment, acts in episodes for act in acts]
        newest_first = sorted(records, key=lambda one: (one.created, one.states[0][1].event_id), reverse=True)
        return tuple(newest_first)

    def _own_episodes(self, rng: Random, pool_id: str, index: int, begin: float) -> Iterator[tuple[float, list[Act]]]:
        person = self._person(pool_id, index)
        moment = begin + rng.expovariate(person.rate * self._activity)
        while moment < begin + _BLOCK:
            if rng.random() < person.wakefulness(moment):
                acts = draw_episode(rng, self._scene(rng, pool_id, index, moment))
                # Blocks are read one by one, newest first, so an episode must end in the block in which it begins.
                yield min(moment, begin + _BLOCK - 1.0 - max(act.at for act in acts)), acts
            moment += rng.expovariate(person.rate * self._activity)

    def _scene(self, rng: Random, pool_id: str, index: int, moment: float) -> Scene:
        person = self._person(pool_id, index)
        if self._calm:
            return Scene(person, person.origin(rng), Suspicion.NONE)
        period = max(_SHORTEST_JOURNEY_PERIOD, _JOURNEY_PERIOD / self._activity)
        number, into = divmod(moment, period)
        journey = self._journey(pool_id, index, int(number))
        if journey is not None and journey.begin <= into / period < journey.end:
            return Scene(person, journey.origin, Suspicion.ABROAD)
        return Scene(person, person.origin(rng), Suspicion.USUAL)

    def _draw_journey(self, pool_id: str, index: int, number: int) -> Journey | None:
        rng = self._rng(pool_id, "journey", index, number)
        return people.draw_journey(rng, self._person(pool_id, index).origins[0].country)

    def _sign_up(self, rng: Random, person: Person, begin: float) -> Iterator[tuple[float, list[Act]]]:
        moment = self._start + (self._created(person) - self._start) * self._speed
        if person.age is None and begin <= moment < begin + _BLOCK:
            acts = sign_up(rng, Scene(person, person.origin(rng), Suspicion.NONE if self._calm else Suspicion.USUAL))
            yield moment, acts[:1]  # the account exists from this very moment, so it cannot give way to the block's end

    def _stuffing(self, rng: Random, person: Person, pool_id: str, number: int) -> Iterator[tuple[float, list[Act]]]:
        campaign = self._campaign(pool_id, number)
        if campaign is not None and rng.random() < campaign.share:
            moment = campaign.begin + rng.random() * campaign.seconds
            yield moment, stuffing(rng, Scene(person, campaign.origin, Suspicion.HOSTILE))

    def _draw_campaign(self, pool_id: str, number: int) -> _Campaign | None:
        rng = self._rng(pool_id, "campaign", number)
        if self._calm or rng.random() > min(0.5, _CAMPAIGNS_PER_BLOCK * self._activity):
            return None
        seconds = rng.uniform(120.0, 900.0)
        begin = self._start + number * _BLOCK + rng.uniform(0.0, _BLOCK - seconds)
        return _Campaign(begin, seconds, rng.uniform(0.2, 0.7), origin_in(rng, rng.choice(COUNTRIES), hostile=True))


def _is_hexadecimal(text: str) -> bool:
    return len(text) == 12 and set(text) <= set("0123456789abcdef")
