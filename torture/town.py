"""A scripted pool under load: people who sign in, are half through it, travel, move in, and are given feedback on."""

import random
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from math import inf
from typing import Any

from exporter.event.event import AuthEvent, Challenge, Context, Feedback, Risk
from exporter.simulator.server import Simulator
from exporter.simulator.world import ScriptedWorld, auth_event
from torture.truth import Key, expected

POOL = "eu-west-1_Torture"

OVERLAP, SETTLE = 2.0, 4.0  # seconds, for the configuration
_LATE = 0.8  # seconds after which an event turns up at most: within the overlap
_FINISHING = SETTLE - 1.5  # seconds after which nobody ends what is in progress: long before it is counted as it stands
_SHOWN_AT_ONCE = (
    55  # events of a user who then retires: whenever the first page is read, it shows feedback on any of them
)
_JUDGED = (
    3  # latest events of a user, on which feedback is given: even a small page shows them, a full one may take an hour
)
_PAUSE = 0.03  # seconds between two things that happen
_PAST = 1800.0  # seconds before the start in which histories lie
_DEEP = 150  # events: pages enough for a kill to come in between
_BURST = 70

_RIGHT, _WRONG = Challenge("Password", "Success"), Challenge("Password", "Failure")
_CODE, _WRONG_CODE = Challenge("Mfa", "Success"), Challenge("Mfa", "Failure")
_HOME, _ABROAD, _NOWHERE = "United Kingdom", ("Germany", "Brazil", "Türkiye", "Atlantis"), ("null", "", None)

_SHAPES: Sequence[Mapping[str, Any]] = (
    {},
    {"response": "Fail", "challenges": (_WRONG,)},
    {
        "response": "Fail",
        "challenges": (_RIGHT, _WRONG_CODE),
        "risk": Risk("Block", None, compromised_credentials=True),
    },
    {"challenges": (_WRONG, _RIGHT, _CODE), "risk": Risk("AccountTakeover", "High", compromised_credentials=False)},
    {"response": "Fail", "risk": Risk("AccountTakeover", "Medium", compromised_credentials=True)},
    {"event_type": "SignUp", "response": "InProgress", "challenges": ()},
    {"event_type": "ForgotPassword", "challenges": (), "risk": None},
    {"event_type": "PasswordChange", "response": "Fail", "challenges": (), "context": None},
    {"event_type": "ResendCode", "response": None, "challenges": ()},
    {"event_type": "PasskeyAdded", "challenges": (Challenge("WebAuthn", "Success"),)},
    {"event_type": "not a word", "risk": Risk("Unheard", "Low", compromised_credentials=False)},
)
"""What events differ in from a passed sign-in: known and new words, and what may be absent."""

_ENDINGS: Sequence[Mapping[str, Any]] = (
    {"response": "Pass", "challenges": (_RIGHT, _CODE)},
    {"response": "Fail", "challenges": (_RIGHT, _WRONG_CODE)},
)


@dataclass(frozen=True, slots=True)
class People:
    """User names by what they are there for."""

    quiet: list[str] = field(default_factory=lambda: [f"quiet-{number}" for number in range(15)])
    busy: list[str] = field(default_factory=lambda: [f"busy-{number}" for number in range(8)])
    twins: list[str] = field(default_factory=lambda: [f"twin-{number}" for number in range(3)])
    """Selected by their addresses besides; they do not travel, as two names of one user each know countries of their own."""
    guests: list[str] = field(default_factory=lambda: [f"guest-{number}" for number in range(4)])
    """Selected at times; they leave nothing in progress, which would be counted as it stands while they are not."""
    leavers: list[str] = field(default_factory=list)
    """Who do nothing."""
    retired: list[str] = field(default_factory=list)
    """Who do nothing any more: all their events stay in the first page of the history, and feedback comes still."""


@dataclass(slots=True)
class _Resident:
    """How many events a user has, and the id of the latest, None once it has feedback.

    Feedback is given on that one alone: even a small page shows it, while the full page that shows any other may take an hour.
    """

    events: int = 0
    latest: str | None = None


class Town:
    """The pool's world, the simulator that shows it, and what is true of it."""

    def __init__(self, rng: random.Random, leavers: int = 0) -> None:
        self.world = ScriptedWorld()
        self.people = People(leavers=[f"leaver-{number}" for number in range(leavers)])
        self.events = 0
        self._rng = rng
        self._open: list[tuple[float, str, str]] = []
        self._residents: dict[str, _Resident] = {}
        self._ending = threading.Event()
        self.world.add_pool(POOL)
        begun = time.time()
        for name in (*self.people.quiet, *self.people.twins, *self.people.guests, *self.people.leavers):
            self.move_in(name, begun, 2)
        for name in self.people.busy:
            self.move_in(name, begun, _DEEP)
        self.simulator = Simulator(self.world)
        self.simulator.faults.inject("slow", probability=0.3, seconds=0.05)

    @property
    def second_names(self) -> Sequence[str]:
        """Names by which users are selected a second time."""
        return [f"{name}@example.com" for name in self.people.twins]

    def truth(self) -> Mapping[Key, int]:
        """Return the counters as they have to be in the end."""
        return expected(list(self.world.history(POOL, name, inf)) for name in self._residents)

    def move_in(self, name: str, begun: float, events: int) -> None:
        """Add a user who has a past, and a home."""
        self.world.add_user(POOL, name)
        self._residents[name] = _Resident()
        self._add(name, begun - _PAST)
        for _ in range(events):
            shape = self._rng.choice(_SHAPES)
            self._add(name, begun - self._rng.uniform(1.0, _PAST - 1.0), **shape, feedback=self._feedback())
        self._residents[name].latest = None

    # -- life --------------------------------------------------------------------------------------------------------------------

    @contextmanager
    def lively(self) -> Iterator[None]:
        """Let things happen for as long as the context lasts."""
        thread = threading.Thread(target=self._live, name="town")
        self._ending.clear()
        thread.start()
        try:
            yield
        finally:
            self._ending.set()
            thread.join()

    def _live(self) -> None:
        happenings: dict[Callable[[], None], float] = {
            self._sign_in: 8.0,
            self._guest_signs_in: 3.0,
            self._begin: 6.0,
            self._end: 5.0,
            self._travel: 2.0,
            self._judge: 4.0,
            self._be_late: 3.0,
            self._crowd: 0.3,
            self._newcomer: 0.6,
        }
        while not self._ending.wait(_PAUSE):
            self._rng.choices([*happenings], [*happenings.values()])[0]()

    def _sign_in(self) -> None:
        self._add(self._anybody(), time.time(), **self._shape())

    def _guest_signs_in(self) -> None:
        self._add(self._rng.choice(self.people.guests), time.time())

    def _begin(self) -> None:
        name, now = self._anybody(), time.time()
        event = self._add(name, now, response="InProgress")
        self._open.append((now, name, event.event_id))

    def _end(self) -> None:
        """End what was begun of late; what was begun earlier is abandoned."""
        self._open = [one for one in self._open if time.time() < one[0] + _FINISHING]
        if self._open:
            _, _, event_id = self._open.pop(self._rng.randrange(len(self._open)))
            self.world.change_event(POOL, event_id, **self._rng.choice(_ENDINGS))

    def _travel(self) -> None:
        name = self._rng.choice([*self.people.quiet, *self.people.busy])
        self._add(name, time.time(), context=_context(self._rng.choice(_ABROAD)))

    def _judge(self) -> None:
        """Give feedback on somebody's latest event."""
        name = self._rng.choice([*self.people.quiet, *self.people.twins, *self.people.retired])
        resident = self._residents[name]
        if resident.latest is not None:
            self.world.give_feedback(POOL, resident.latest, self._rng.choice(("Valid", "Invalid")), time.time())
            resident.latest = None

    def _be_late(self) -> None:
        """Let an event turn up after younger ones, and two of one moment."""
        name, now = self._anybody(), time.time()
        self._add(name, now, visible_at=now + self._rng.uniform(0.1, _LATE), **self._shape())
        self._add(name, now, **self._shape())
        self._add(name, now + 0.001, **self._shape())

    def _crowd(self) -> None:
        name = self._rng.choice(self.people.busy)
        for _ in range(self._rng.randint(1, _BURST)):
            self._add(name, time.time(), **self._shape())

    def _newcomer(self) -> None:
        name = f"quiet-{len(self._residents)}"
        self.people.quiet.append(name)
        self.move_in(name, time.time(), 0)

    def _retire(self, name: str) -> None:
        for group in (self.people.quiet, self.people.twins):
            if name in group:
                group.remove(name)
                self.people.retired.append(name)
                self._newcomer()

    def _anybody(self) -> str:
        return self._rng.choice([*self.people.quiet, *self.people.busy, *self.people.twins])

    def _shape(self) -> Mapping[str, Any]:
        shape = self._rng.choice(_SHAPES)
        if "context" in shape or self._rng.random() > 0.1:
            return shape
        return {**shape, "context": _context(self._rng.choice(_NOWHERE))}

    def _feedback(self) -> Feedback | None:
        draw = self._rng.random()
        return Feedback("Valid", self._rng.choice(("Admin", None)), None) if draw < 0.05 else None

    def _add(self, name: str, created: float, *, visible_at: float = -inf, **fields: Any) -> AuthEvent:
        event = auth_event(created, **{"context": _context(_HOME), **fields})
        resident = self._residents[name]
        resident.events += 1
        resident.latest = event.event_id
        self.events += 1  # before it can be seen
        if resident.events >= _SHOWN_AT_ONCE:
            self._retire(name)
        return self.world.add_event(POOL, name, event, visible_at=visible_at)


def _context(country: str | None) -> Context:
    return Context("192.0.2.99", "Chrome 126, Windows 10", "+00:00", "Loughborough", country)
