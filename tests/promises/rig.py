"""One exporter without its web side and its schedule, over a scripted Cognito, with clocks that a test sets.

What is real: the ledger and its file, the walk, the reading of answers, the gauges. The answers are the simulator's bytes.
"""

import asyncio
import heapq
import json
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import count
from pathlib import Path

from exporter.event.event import AuthEvent, Challenge, Context
from exporter.event.line import EventLine
from exporter.fetch.answer import event_page
from exporter.fetch.outcome import FetchError, Outcome
from exporter.fetch.source import FULL_PAGE, EventPage, ListedUser
from exporter.fetch.walk import Walk, walk
from exporter.ledger.ledger import Lookout, Poll
from exporter.ledger.rules import Settings
from exporter.ledger.sqlite import SqliteLedger
from exporter.metrics.families import COUNTED
from exporter.metrics.series import Series
from exporter.metrics.view import PoolView, Presentation
from exporter.schedule.clock import WallClock
from exporter.simulator.faults import Fault, Kind
from exporter.simulator.operations import Api, Call, ServiceError, TokenMode
from exporter.simulator.reply import good, spoilt
from exporter.simulator.strange import Draft
from exporter.simulator.world import ScriptedWorld, auth_event
from exporter.users.discovery import start_rule
from tests.ledger.selecting import row_of, select_all

POOL = "eu-west-1_Test"
BEGIN = 1_700_000_000.0
OVERLAP, SETTLE, WINDOW = 60.0, 90.0, 300.0
_OUTCOMES = {"UserNotFoundException": Outcome.USER_NOT_FOUND}
_LARGEST_SKEW = 300.0  # seconds by which AWS lets the time of a signature be off
_COUNTERS = frozenset(family.name for family in COUNTED)

Key = tuple[str, ...]
"""The name of a family, and the values of its labels but `user_pool`."""


class DisorderlyWorld(ScriptedWorld):
    """A world that shows events out of order by up to so many seconds, always in the same way."""

    def __init__(self, disorder: float) -> None:
        super().__init__()
        self._disorder = disorder

    def history(self, pool_id: str, username: str, now: float) -> Iterator[AuthEvent]:
        """Iterate over the user's visible events, newest first but for the disorder."""
        return iter(sorted(super().history(pool_id, username, now), key=self._place, reverse=True))

    def _place(self, event: AuthEvent) -> float:
        return event.created.timestamp() + self._disorder * (hash_of(event.event_id) % 8) / 8


def hash_of(event_id: str) -> int:
    """Return a number that looks like chance and is none."""
    return int(event_id.removeprefix("e")) * 2654435761 >> 7


@dataclass(slots=True)
class Shown:
    """An event as recorded polls have shown it: how it stood last, and by its response.

    `names` are those under which it was shown, `unfinished` the times (exporter's clock) of polls of its user that showed it in
    progress, or no more.
    """

    event: AuthEvent
    states: dict[str | None, AuthEvent] = field(default_factory=dict)
    names: set[str] = field(default_factory=set)
    unfinished: list[float] = field(default_factory=list)

    def take(self, event: AuthEvent, name: str) -> None:
        """Learn how the event stands; what has ended is not in progress again."""
        self.names.add(name)
        self.states[event.response] = event
        if event.response != "InProgress" or self.event.response == "InProgress":
            self.event = event


class Rig:
    """`now` is the true time, `skew` by how much the exporter's clock is ahead of it, both in seconds."""

    def __init__(self, folder: Path, *, page_size: int, tokens: TokenMode, disorder: float, hold: float) -> None:
        self.now = BEGIN
        self.skew = 0.0
        self.world = DisorderlyWorld(disorder)
        self.world.add_pool(POOL)
        self._api = Api(self.world, tokens=tokens, page_size=page_size)
        self._pending: list[tuple[float, int, Callable[[], object]]] = []
        self._numbers = count(1)
        self._folders = (folder / f"life{number}" for number in count())
        self._settings = Settings(
            settle=SETTLE, overlap=OVERLAP, recent_window=WINDOW, series_hold=hold, max_series=5000, per_user=True
        )
        self.walks: dict[str, Poll] = {}
        """Walks that have been made and are not recorded yet, by name."""
        self.shown: dict[str, Shown] = {}
        self.owners: dict[str, str] = {}
        """Whose each event is, by id."""
        self.ends: dict[str, float | None] = {}
        """After how many seconds each event has ended, None for never."""
        self.highest: dict[Key, float] = {}
        self._folder = next(self._folders)
        self._folder.mkdir()
        self._open()

    # -- the exporter's life ---------------------------------------------------------------------------------------------------

    def _open(self) -> None:
        """Start: open the state, and show what is in it."""
        self._ticks = self.now
        self.clock = WallClock(lambda: self.now + self.skew, lambda: self.now)
        self.ledger = SqliteLedger(self._folder / "state.db", self._settings, self.clock())
        line = EventLine({POOL: "test"}, "plain", self.ledger.hash_key)
        self.ledger.configure(self._settings, line)
        self.view = PoolView("test", Presentation("code", "plain", self.ledger.hash_key, WINDOW))
        self.view.update(self.ledger.load(POOL, self.clock()), self.clock())

    def close(self) -> None:
        """Close the state."""
        self.ledger.close()

    def restart(self) -> None:
        """End and start again; walks under way are lost."""
        self.close()
        self.walks.clear()
        self._open()

    def kill_in_commit(self, polls: Sequence[Poll], statement: int, torn: float | None) -> None:
        """Kill the exporter at a statement of the transaction that records polls, and start it again.

        With `torn` that share of what the transaction appends to the write-ahead log has been written. A kill leaves the files
        as they are at that moment: they are copied, and the copy is the state of the next life.
        """
        commits, before, copied = self._commits(), self._files(), list[Mapping[str, bytes]]()
        statements = count()

        def at_statement(_: str) -> None:
            if next(statements) == statement:
                copied.append(self._files())

        connection = self.ledger._db._open_connection
        connection.set_trace_callback(at_statement)
        self.ledger.record(polls, oldest_walk=self._oldest(polls), now=self.clock())
        connection.set_trace_callback(None)
        after = self._files()
        left = _torn(before, after, torn) if torn is not None else (*copied, after)[0]
        self.close()
        self.walks.clear()
        shutil.rmtree(self._folder)
        self._folder = next(self._folders)
        self._folder.mkdir()
        for name, content in left.items():
            (self._folder / name).write_bytes(content)
        self._open()
        if self._commits() > commits:
            self._learn(polls)

    def _files(self) -> Mapping[str, bytes]:
        return {path.name: path.read_bytes() for path in sorted(self._folder.iterdir())}

    def _commits(self) -> int:
        row = self.ledger._db.execute("SELECT value FROM meta WHERE key = 'commits'").fetchone()
        return 0 if row is None else int(row[0])

    # -- the world -------------------------------------------------------------------------------------------------------------

    def advance(self, seconds: float) -> None:
        """Let time go by, in steps so short that a clock which is set meanwhile is noticed, and happen what is to happen."""
        end = self.now + seconds
        while self._pending and self._pending[0][0] <= end:
            self.now, _, change = heapq.heappop(self._pending)
            change()
        self.now = end
        self.clock()

    def set_clock(self, skew: float) -> None:
        """Set the exporter's clock; it is looked at soon after."""
        self.clock()
        self.skew = skew
        self.clock()

    def happen(
        self,
        username: str,
        *,
        before: float,
        late: float,
        finishes: float | None,
        passed: bool,
        country: str,
        feedback: float | None,
    ) -> None:
        """Let a user's event be created `before` seconds ago, and be shown, end and be judged so many seconds after that."""
        created = self.now - before
        event_id = f"e{next(self._numbers)}"
        final = {
            "response": "Pass" if passed else "Fail",
            "challenges": (Challenge("Password", "Success"), Challenge("Mfa", "Success" if passed else "Failure")),
        }
        started = {"response": "InProgress", "challenges": (Challenge("Password", "Success"),)}
        context = Context("192.0.2.9", None, None, None, country)
        fields = started if finishes is None or finishes > 0 else final
        event = auth_event(created, event_id=event_id, context=context, **fields)
        self.owners[event_id], self.ends[event_id] = username, finishes
        self.world.add_event(POOL, username, event, visible_at=created + late)
        if finishes is not None and finishes > 0:
            self._later(created + finishes, event_id, **final)
        if feedback is not None:
            at = created + feedback
            self._schedule(at, lambda: self._if_there(lambda: self.world.give_feedback(POOL, event_id, "Invalid", at)))

    def _later(self, at: float, event_id: str, **fields: object) -> None:
        self._schedule(at, lambda: self._if_there(lambda: self.world.change_event(POOL, event_id, **fields)))

    def _schedule(self, at: float, change: Callable[[], object]) -> None:
        heapq.heappush(self._pending, (max(at, self.now), next(self._numbers), change))

    def _if_there(self, change: Callable[[], object]) -> None:
        try:
            change()
        except KeyError:  # the user was deleted, and the event with the user
            return

    # -- polls -----------------------------------------------------------------------------------------------------------------

    def select(self, names: Sequence[str], start: str) -> None:
        """Make these the selected names."""
        users = [ListedUser(name, None, by_name=True) for name in names]
        select_all(self.ledger, POOL, users, began=self.clock(), start=start_rule(start))

    def walk(
        self, name: str, *, seconds: float = 0.0, limit: int = FULL_PAGE, faults: Sequence[Kind | None] = ()
    ) -> Poll | None:
        """Walk a name's history; each page takes so many seconds. None where AWS gives no usable answers."""
        asked_at, set_at = self.clock(), self.clock.set_at
        row = row_of(self.ledger, POOL, name)
        lookout = self.ledger.look_out(row, asked_at, set_at)
        try:
            found: Walk | None = asyncio.run(self._walked(lookout, asked_at, seconds, limit, iter(faults)))
        except FetchError as error:
            if error.outcome is not Outcome.USER_NOT_FOUND:
                return None
            found = None
        return Poll(POOL, row, asked_at, lookout.began, found, set_at)

    async def _walked(
        self, lookout: Lookout, asked_at: float, seconds: float, limit: int, faults: Iterator[Kind | None]
    ) -> Walk:
        async def ask(token: str | None, most: int) -> EventPage:
            self.advance(seconds)
            return self._page(lookout.username, token, most, next(faults, None))

        return await walk(
            ask,
            clock=self.clock,
            asked_at=asked_at,
            depth=lookout.depth,
            max_pages=500,
            tolerance=OVERLAP,
            limit=limit,
        )

    def _page(self, name: str, token: str | None, most: int, fault: Kind | None) -> EventPage:
        if abs(self.skew) > _LARGEST_SKEW:
            raise FetchError(Outcome.CREDENTIALS, "InvalidSignatureException")
        given = {"UserPoolId": POOL, "Username": name, "MaxResults": most, "NextToken": token}
        call = Call("AdminListUserAuthEvents", {key: value for key, value in given.items() if value is not None})
        strikes = fault is not None and Fault(fault).concerns(call)
        if strikes and fault in {Kind.THROTTLE, Kind.EXPIRED_TOKEN}:
            raise FetchError(Outcome.THROTTLED, "the simulator's")
        try:
            answer = self._api.answer(call, self.now)
        except ServiceError as error:
            raise FetchError(_OUTCOMES.get(error.code, Outcome.OTHER), error.code) from None
        draft = Draft(call, answer, lambda: self._api.foreign_event(call, self.now))
        reply = spoilt(fault, draft) if strikes and fault is not None else good(answer)
        return event_page(json.loads(reply.body), datetime.fromtimestamp(self.clock(), UTC))

    def record(self, *polls: Poll) -> None:
        """Commit polls together, and show what the commit has changed."""
        changes = self.ledger.record(polls, oldest_walk=self._oldest(polls), now=self.clock())
        self.view.update(changes[POOL], self.clock())
        self._learn(polls)

    def release(self) -> None:
        """Show what has been held at zero for long enough."""
        for change in self.ledger.release(self.clock()).values():
            self.view.update(change, self.clock())

    def _oldest(self, polls: Sequence[Poll]) -> int:
        return min(poll.began for poll in [*polls, *self.walks.values()])

    def _learn(self, polls: Sequence[Poll]) -> None:
        """Note, apart from the ledger, what committed polls have shown."""
        names = dict(self.ledger._db.execute("SELECT id, name FROM user"))
        for poll in polls:
            events = {} if poll.walk is None else {event.event_id: event for event in poll.walk.events}
            for event_id, event in events.items():
                self.shown.setdefault(event_id, Shown(event)).take(event, names[poll.user])
            for event_id, known in self.shown.items():
                is_users_own = self.owners[event_id] == user_of(names[poll.user])
                if is_users_own and (event_id not in events or events[event_id].response == "InProgress"):
                    known.unfinished.append(poll.asked_at)

    # -- what is shown ---------------------------------------------------------------------------------------------------------

    def exposed(self) -> Mapping[Key, float]:
        """Return every value that a scrape would show of the pool now; how they become lines is tested with the lines."""
        blocks = self.view.blocks(self.clock())
        return {
            (name, *labels): value
            for name, block in blocks.items()
            if isinstance(block, Series)
            for labels, value in block._values.items()
        }

    def counters(self) -> Mapping[Key, float]:
        """Return those of them that count."""
        return {key: value for key, value in self.exposed().items() if key[0] in _COUNTERS}

    def counted(self) -> list[tuple[str, str]]:
        """Return (event id, response) of each event that was counted, as the event log is told."""
        lines = (json.loads(line) for (line,) in self.ledger._db.execute("SELECT line FROM event_line ORDER BY id"))
        return [(line["event_id"], line["response"]) for line in lines]


def user_of(name: str) -> str:
    """Return the user name behind a name."""
    return name.removesuffix("@example.com")


def _torn(before: Mapping[str, bytes], after: Mapping[str, bytes], share: float) -> Mapping[str, bytes]:
    """Return the files as they are when that share of the write-ahead log's new bytes is written: they are written in order."""
    name = "state.db-wal"
    old, new = before.get(name, b""), after.get(name, b"")
    same = next(
        (at for at, (one, other) in enumerate(zip(old, new, strict=False)) if one != other), min(len(old), len(new))
    )
    written = same + round(share * (len(new) - same))
    return {**before, name: new[:written] + old[written:]}
