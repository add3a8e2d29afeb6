"""The counting promises, over generated histories: the real walk and the real ledger against an independent count."""

import asyncio
import tempfile
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from exporter.event.event import AuthEvent, Challenge, Context, Feedback, Risk
from exporter.fetch.source import EventPage, ListedUser
from exporter.fetch.walk import walk
from exporter.ledger.counters import CHALLENGES, EVENTS, FEEDBACK
from exporter.ledger.ledger import Lookout, Poll
from exporter.ledger.rules import Settings
from exporter.ledger.sqlite import SqliteLedger
from exporter.users.discovery import start_rule

POOL = "eu-west-1_Test"
OVERLAP, SETTLE, WINDOW = 60.0, 90.0, 120.0
RULES = Settings(settle=SETTLE, overlap=OVERLAP, recent_window=WINDOW, series_hold=0.0, max_series=5000, per_user=False)
BEGIN = 1_700_000_000
COUNTRIES = ("United Kingdom", "France")


@dataclass(frozen=True)
class Happening:
    """One event of the made-up world; times in seconds after BEGIN. `final_at` None: in progress for ever."""

    number: int
    created: int
    visible: int
    final_at: int | None
    passed: bool
    country: str
    feedback_at: int | None

    def as_of(self, now: float) -> AuthEvent:
        """Return the event as the API shows it at `now`."""
        is_final = self.final_at is not None and now >= self.final_at
        response = ("Pass" if self.passed else "Fail") if is_final else "InProgress"
        challenges = (Challenge("Password", "Success"),) + ((Challenge("Mfa", "Success"),) if is_final else ())
        shown = self.feedback_at is not None and now >= self.feedback_at
        return AuthEvent(
            event_id=f"event-{self.number}",
            created=datetime.fromtimestamp(BEGIN + self.created, UTC),
            event_type="SignIn",
            response=response,
            risk=Risk("NoRisk", None, False),
            challenges=challenges,
            context=Context("192.0.2.1", None, None, None, self.country),
            feedback=Feedback("Valid", "Admin", None) if shown else None,
        )


@dataclass
class World:
    """The history of one person, known by two names, and the ledger that polls it."""

    happenings: list[Happening]
    path: Path
    page_size: int = 3
    ledger: SqliteLedger = field(init=False)
    highest: Counter[tuple[str, ...]] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        self.ledger = SqliteLedger(self.path, RULES, BEGIN)

    def restart(self) -> None:
        """Close the ledger and open it again."""
        self.ledger.close()
        self.ledger = SqliteLedger(self.path, RULES, BEGIN)

    def select(self, names: list[str], now: int, start: str = "beginning") -> None:
        """Make these the selected names."""
        users = {name: ListedUser(name, None) for name in names}
        self.ledger.select(POOL, users, complete=True, now=BEGIN + now, start=start_rule(start))

    def visible(self, now: int) -> list[AuthEvent]:
        """Return the history as shown at `now`, newest first."""
        shown = [each for each in self.happenings if each.visible <= now]
        return [each.as_of(now) for each in sorted(shown, key=lambda each: (-each.created, each.number))]

    def look_out(self, name: str, now: int) -> Lookout:
        """Begin a walk."""
        return self.ledger.look_out(POOL, name, BEGIN + now)

    def walk(self, name: str, now: int, lookout: Lookout, length: int = 0) -> Poll:
        """Walk the history; each page takes `length` seconds, in which more may turn up and pages shift."""
        clock = [now]

        async def ask(token: str | None) -> EventPage:
            history = self.visible(clock[0])
            at = 0 if token is None else int(token)
            clock[0] += length
            following = str(at + self.page_size) if at + self.page_size < len(history) else None
            return EventPage(tuple(history[at : at + self.page_size]), following)

        found = asyncio.run(walk(ask, asked_at=BEGIN + now, depth=lookout.depth, max_pages=500, tolerance=OVERLAP))
        return Poll(POOL, name, BEGIN + now, lookout.began, found)

    def record(self, *polls: Poll, now: int) -> None:
        """Commit polls, and see that no series falls."""
        self.ledger.record(polls, oldest_walk=min(poll.began for poll in polls), now=BEGIN + now)
        counted = self.counted(EVENTS)
        assert all(counted[labels] >= value for labels, value in self.highest.items())
        self.highest = counted

    def poll(self, name: str, now: int, length: int = 0) -> None:
        """Poll a name at once."""
        self.record(self.walk(name, now, self.look_out(name, now), length), now=now)

    def counted(self, family: str) -> Counter[tuple[str, ...]]:
        """Return the committed totals of a family by labels."""
        states = self.ledger.load(POOL, BEGIN).counters
        return Counter({state.labels: state.value for state in states if state.family == family and state.value})

    def truth(self) -> Counter[tuple[str, ...]]:
        """Return what there is to count of the events family."""
        return Counter(("SignIn", self.response(each), "None", each.country) for each in self.happenings)

    def response(self, happening: Happening) -> str:
        """Return the response with which an event is to be counted."""
        if happening.final_at is None:
            return "InProgress"
        return "Pass" if happening.passed else "Fail"


@st.composite
def happenings(draw: st.DrawFn) -> list[Happening]:
    """Return events of some minutes, shown late within the overlap, some finishing late or never."""
    drawn = []
    for number in range(draw(st.integers(0, 14))):
        created = draw(st.integers(0, 600))
        finishing = draw(st.sampled_from(["at once", "later", "never"]))
        visible = created + draw(st.sampled_from([0, 0, 1, 7, 30, 60]))
        drawn.append(
            Happening(
                number=number,
                created=created,
                visible=visible,
                final_at={"at once": created, "later": created + draw(st.integers(1, 80)), "never": None}[finishing],
                passed=draw(st.booleans()),
                country=draw(st.sampled_from(COUNTRIES)),
                feedback_at=draw(st.one_of(st.none(), st.integers(created, 700))),
            )
        )
    return [each for each in drawn if each.final_at is None or each.final_at >= each.created]


@contextmanager
def world_of(events: list[Happening], page_size: int = 3) -> Iterator[World]:
    """Yield a world with a state file of its own."""
    with tempfile.TemporaryDirectory() as folder:
        world = World(events, Path(folder) / "state.db", page_size)
        try:
            yield world
        finally:
            world.ledger.close()


END = 3_000
quick = settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])


@quick
@given(
    happenings(),
    st.lists(st.tuples(st.integers(0, 900), st.sampled_from(["poll", "restart"])), max_size=25),
    st.integers(1, 5),
    st.sampled_from([0, 0, 3]),
)
def test_every_event_counts_exactly_once(
    events: list[Happening], steps: list[tuple[int, str]], page_size: int, length: int
) -> None:
    """Polls and restarts at any time, pages of any size that shift while read: totals equal the truth once all is quiet."""
    with world_of(events, page_size) as world:
        world.select(["alice"], 0)
        for now, step in sorted(steps):
            if step == "restart":
                world.restart()
            else:
                world.poll("alice", now, length)
            assert sum(world.counted(EVENTS).values()) <= len(events)
        for now in (END, END + 100, END + 200):
            world.poll("alice", now)
        assert world.counted(EVENTS) == world.truth()
        assert world.counted(FEEDBACK).total() <= sum(each.feedback_at is not None for each in events)
        mfa = sum(each.final_at is not None for each in events)
        assert world.counted(CHALLENGES)[("Mfa", "Success")] == mfa


@quick
@given(happenings(), st.lists(st.integers(0, 900), max_size=25))
def test_feedback_in_the_first_page_counts_once(events: list[Happening], steps: list[int]) -> None:
    """Feedback on an event of the first page is counted whenever it comes, once."""
    with world_of(events, page_size=60) as world:
        world.select(["alice"], 0)
        for now in [*sorted(steps), END, END + 100, END + 200]:
            world.poll("alice", now)
        assert world.counted(FEEDBACK).total() == sum(each.feedback_at is not None for each in events)


@quick
@given(
    happenings(),
    st.lists(st.tuples(st.integers(0, 900), st.sampled_from(["alice", "a@example.com", "both"])), max_size=25),
    st.integers(0, 500),
    st.integers(1, 5),
)
def test_two_names_of_one_user_count_once(
    events: list[Happening], steps: list[tuple[int, str]], selected_at: int, page_size: int
) -> None:
    """Two names polled apart, overlapping each other, one selected later with the whole history: each event counts once."""
    with world_of(events, page_size) as world:
        world.select(["alice"], 0)
        for now, name in sorted(steps):
            if now >= selected_at:
                world.select(["alice", "a@example.com"], now)
            if name == "both" and now >= selected_at:
                begun = [(each, world.look_out(each, now)) for each in ("alice", "a@example.com")]
                for each, lookout in reversed(begun):
                    world.record(world.walk(each, now, lookout), now=now)
            else:
                world.poll(name if now >= selected_at and name != "both" else "alice", now)
        world.select(["alice", "a@example.com"], END)
        for now in (END, END + 100, END + 200):
            world.poll("alice", now)
            world.poll("a@example.com", now)
        assert world.counted(EVENTS) == world.truth()


@quick
@given(happenings(), st.integers(0, 600), st.lists(st.integers(0, 900), max_size=10))
def test_nothing_before_the_start_is_counted(events: list[Happening], selected_at: int, steps: list[int]) -> None:
    """With `start: now` only what was created since the selection counts, whatever a walk shows."""
    with world_of(events) as world:
        world.select(["alice"], selected_at, start="now")
        for now in sorted(step for step in steps if step >= selected_at):
            world.poll("alice", now)
        for now in (END, END + 100):
            world.poll("alice", now)
        since = Counter(
            ("SignIn", world.response(each), "None", each.country) for each in events if each.created >= selected_at
        )
        assert world.counted(EVENTS) == since


@quick
@given(st.lists(st.integers(0, 900), min_size=2, max_size=30), st.integers(1, 60))
def test_late_events_are_counted(steps: list[int], delay: int) -> None:
    """An event that turns up `overlap` after a younger one, with the same creation or an older one, is counted."""
    older = Happening(1, 100, 101 + delay, 100, True, "France", None)
    equal = Happening(2, 101, 101 + delay, 101, True, "France", None)
    younger = Happening(3, 101, 101, 101, True, "France", None)
    busy = [Happening(10 + n, 102 + n, 102 + n, 102 + n, True, "France", None) for n in range(20)]
    assume(delay <= OVERLAP)
    with world_of([older, equal, younger, *busy]) as world:
        world.select(["alice"], 0)
        for now in [*sorted(steps), END, END + 100]:
            world.poll("alice", now)
        assert world.counted(EVENTS).total() == 23
