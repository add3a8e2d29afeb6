"""The counting promises, over generated histories: the real walk and the real ledger against an independent count."""

import asyncio
import tempfile
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path

from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from exporter.event.event import AuthEvent, Challenge, Context, Feedback, Risk
from exporter.fetch.source import FULL_PAGE, EventPage, ListedUser
from exporter.fetch.walk import walk
from exporter.ledger.counters import CHALLENGES, EVENTS, FEEDBACK
from exporter.ledger.ledger import Lookout, Poll
from exporter.ledger.rules import Settings
from exporter.ledger.sqlite import SqliteLedger
from exporter.users.discovery import start_rule
from tests.ledger.selecting import row_of, select_all

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
    limit: int = FULL_PAGE
    """How many events a walk asks for first."""
    ledger: SqliteLedger = field(init=False)
    highest: Counter[tuple[str, ...]] = field(default_factory=Counter)
    under_way: dict[str, Poll] = field(default_factory=dict)
    """Walks that have been made and not recorded yet, by name."""

    def __post_init__(self) -> None:
        self.ledger = SqliteLedger(self.path, RULES, BEGIN)

    def restart(self) -> None:
        """Close the ledger and open it again."""
        self.ledger.close()
        self.ledger = SqliteLedger(self.path, RULES, BEGIN)

    def select(self, names: list[str], now: int, start: str = "beginning") -> None:
        """Make these the selected names, by a discovery that finds them one by one."""
        began = BEGIN + now
        for name in names[1:]:
            self.ledger.select(POOL, [ListedUser(name, None)], began=began, start=start_rule(start))
        select_all(self.ledger, POOL, [ListedUser(names[0], None)], began=began, start=start_rule(start))

    def visible(self, now: int) -> list[AuthEvent]:
        """Return the history as shown at `now`, newest first."""
        shown = [each for each in self.happenings if each.visible <= now]
        return [each.as_of(now) for each in sorted(shown, key=lambda each: (-each.created, each.number))]

    def look_out(self, name: str, now: int) -> Lookout:
        """Begin a walk."""
        return self.ledger.look_out(row_of(self.ledger, POOL, name), BEGIN + now)

    def walk(self, name: str, now: int, lookout: Lookout, length: int = 0) -> Poll:
        """Walk the history; each page takes `length` seconds, in which more may turn up and pages shift."""
        clock = [now]

        async def ask(token: str | None, limit: int) -> EventPage:
            history = self.visible(clock[0])
            at = 0 if token is None else int(token)
            end = at + min(limit, self.page_size)
            clock[0] += length
            return EventPage(tuple(history[at:end]), str(end) if end < len(history) else None)

        found = asyncio.run(
            walk(
                ask,
                clock=lambda: BEGIN + clock[0],
                asked_at=BEGIN + now,
                depth=lookout.depth,
                max_pages=500,
                tolerance=OVERLAP,
                limit=self.limit,
            )
        )
        return Poll(POOL, row_of(self.ledger, POOL, name), BEGIN + now, lookout.began, found)

    def record(self, *polls: Poll, now: int) -> None:
        """Commit polls, and see that no series falls."""
        oldest = min(poll.began for poll in [*polls, *self.under_way.values()])
        self.ledger.record(polls, oldest_walk=oldest, now=BEGIN + now)
        counted = self.counted(EVENTS)
        assert all(counted[labels] >= value for labels, value in self.highest.items())
        self.highest = counted

    def set_out(self, name: str, now: int) -> None:
        """Make a walk that is recorded only by `come_back`."""
        self.under_way[name] = self.walk(name, now, self.look_out(name, now))

    def come_back(self, name: str, now: int) -> None:
        """Record the walk that is under way, if any."""
        if name in self.under_way:
            self.record(self.under_way.pop(name), now=now)

    def poll(self, name: str, now: int, length: int = 0) -> None:
        """Poll a name at once."""
        self.record(self.walk(name, now, self.look_out(name, now), length), now=now)

    def counted(self, family: str) -> Counter[tuple[str, ...]]:
        """Return the committed totals of a family by labels."""
        states = self.ledger.load(POOL, BEGIN).counters
        return Counter({state.labels: state.value for state in states if state.family == family and state.value})

    def newest(self) -> dict[tuple[str, ...], float]:
        """Return when the newest event of each label set was created, as the gauge shows it."""
        states = self.ledger.load(POOL, BEGIN).counters
        return {
            state.labels: state.last - BEGIN for state in states if state.family == EVENTS and state.last is not None
        }

    def true_newest(self) -> dict[tuple[str, ...], float]:
        """Return what `newest` is to be once all events have ended that will."""
        newest: dict[tuple[str, ...], float] = {}
        for each in sorted(self.happenings, key=lambda each: each.created):
            newest["SignIn", self.response(each), "None", each.country] = each.created
        return newest

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
def world_of(events: list[Happening], page_size: int = 3, limit: int = FULL_PAGE) -> Iterator[World]:
    """Yield a world with a state file of its own."""
    with tempfile.TemporaryDirectory() as folder:
        world = World(events, Path(folder) / "state.db", page_size, limit)
        try:
            yield world
        finally:
            world.ledger.close()


END = 3_000
limits = st.sampled_from([1, 2, 3, FULL_PAGE])
quick = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])


@quick
@given(
    happenings(),
    st.lists(st.tuples(st.integers(0, 900), st.sampled_from(["poll", "restart"])), max_size=25),
    st.integers(1, 5),
    st.sampled_from([0, 0, 3]),
    limits,
)
def test_every_event_counts_exactly_once(
    events: list[Happening], steps: list[tuple[int, str]], page_size: int, length: int, limit: int
) -> None:
    """Polls and restarts at any time, pages of any size that shift while read: totals equal the truth once all is quiet."""
    with world_of(events, page_size, limit) as world:
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
        assert world.newest() == world.true_newest()
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
    st.lists(
        st.tuples(st.integers(0, 900), st.sampled_from(["alice", "a@example.com", "alice slow", "a@example.com slow"])),
        max_size=40,
    ),
    st.integers(0, 500),
    st.integers(1, 5),
    limits,
)
def test_two_names_of_one_user_count_once(
    events: list[Happening], steps: list[tuple[int, str]], selected_at: int, page_size: int, limit: int
) -> None:
    """Two names polled apart, overlapping each other, one selected later with the whole history: each event counts once."""
    with world_of(events, page_size, limit) as world:
        world.select(["alice"], 0)
        for now, name in sorted(steps):
            if now >= selected_at:
                world.select(["alice", "a@example.com"], now)
            who, _, is_slow = (name if now >= selected_at else "alice").partition(" ")
            world.come_back(who, now)
            (world.set_out if is_slow else world.poll)(who, now)
        world.select(["alice", "a@example.com"], END)
        for who in tuple(world.under_way):
            world.come_back(who, END)
        for now in (END, END + 100, END + 200):
            world.poll("alice", now)
            world.poll("a@example.com", now)
        assert world.counted(EVENTS) == world.truth()
        assert world.newest() == world.true_newest()


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
@given(st.lists(st.integers(0, 900), min_size=2, max_size=30), st.integers(1, 60), limits)
def test_late_events_are_counted(steps: list[int], delay: int, limit: int) -> None:
    """An event that turns up `overlap` after a younger one, with the same creation or an older one, is counted."""
    older = Happening(1, 100, 101 + delay, 100, True, "France", None)
    equal = Happening(2, 101, 101 + delay, 101, True, "France", None)
    younger = Happening(3, 101, 101, 101, True, "France", None)
    busy = [Happening(10 + n, 102 + n, 102 + n, 102 + n, True, "France", None) for n in range(20)]
    assume(delay <= OVERLAP)
    with world_of([older, equal, younger, *busy], limit=limit) as world:
        world.select(["alice"], 0)
        for now in [*sorted(steps), END, END + 100]:
            world.poll("alice", now)
        assert world.counted(EVENTS).total() == 23


def passed(number: int, created: int) -> Happening:
    """Return a passed sign-in that is shown at once."""
    return Happening(number, created, created, created, passed=True, country="France", feedback_at=None)


def test_other_name_sees_a_newer_event_during_a_walk() -> None:
    """A long first walk under a second name, during which the first name is shown a newer event, counts nothing twice."""
    events = [*(passed(number, 30 * number) for number in range(100)), passed(999, 5000)]
    with world_of(events, page_size=10) as world:
        world.select(["alice"], 0)
        for now in (2980, 3100, 3200, 3300, 4900):
            world.poll("alice", now)
        world.select(["alice", "a@example.com"], 4990)
        world.set_out("a@example.com", 4995)
        world.poll("alice", 5001)
        world.come_back("a@example.com", 5003)
        assert world.counted(EVENTS).total() == 101
        world.poll("a@example.com", 5100)
        assert world.counted(EVENTS).total() == 101


def test_late_counts_from_the_answer_on() -> None:
    """An event `overlap` late after one that turned up while the first page was asked for is counted."""
    younger, older = (
        Happening(1, 999, 1008, 999, True, "France", None),
        Happening(2, 990, 1066, 990, True, "France", None),
    )
    with world_of([younger, older], page_size=60) as world:
        world.select(["alice"], 0)
        found = world.walk("alice", 1000, world.look_out("alice", 1000))
        assert found.walk is not None
        answered = replace(found.walk, answered_at=BEGIN + 1009.0, events=(younger.as_of(1009),))
        world.record(replace(found, walk=answered), now=1009)
        for now in (1062, 1130, 1300, 1500):
            world.poll("alice", now)
        assert world.counted(EVENTS).total() == 2


def test_a_clock_set_forward_makes_nothing_late() -> None:
    """A clock set forward by an hour between two walks does not move known ground: an event seconds late is counted."""
    step = 3600
    younger, older = passed(1, 100), Happening(2, 95, 110 + step, 95, True, "France", None)
    with world_of([younger, older], page_size=60) as world:
        world.select(["alice"], 0)
        world.poll("alice", 101)
        for now in (105 + step, 120 + step, 190 + step, 300 + step):
            lookout = world.ledger.look_out(row_of(world.ledger, POOL, "alice"), BEGIN + now, BEGIN + 104 + step)
            world.record(replace(world.walk("alice", now, lookout), clock_set_at=BEGIN + 104.0 + step), now=now)
        assert world.counted(EVENTS).total() == 2
