"""The seam where counts are kept: what a ledger takes, what it tells after a commit. Today SQLite is behind it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

from exporter.event.line import EventLine
from exporter.fetch.source import ListedUser
from exporter.fetch.walk import Walk
from exporter.ledger.rules import Purpose, Settings

StartRule = Callable[[float, float | None, float | None], float]
"""(moment of selection, creation of the user, first discovery of the pool) -> counting start, all in epoch seconds."""


NEVER = float("-inf")
"""Epoch seconds of what has not happened."""


class LedgerError(Exception):
    """The state cannot be opened; the text names the file, what is wrong and how to mend it."""


class CommitError(Exception):
    """A transaction failed and was taken back: nothing of it is kept, and it may be tried again."""


@dataclass(frozen=True, slots=True)
class Lookout:
    """What a walk that begins now has to know.

    `depth` is how far back to go (epoch seconds), `began` the commit after which the walk begins, `purpose` why it goes so deep,
    `known` the number of events created at or after `depth` that are remembered of this user: so many a page shows at least.
    """

    username: str
    depth: float
    began: int
    purpose: Purpose
    known: int


@dataclass(frozen=True, slots=True)
class Poll:
    """What one poll of one user brought: a walk, or None where AWS does not know the user (any more).

    `began` is the `Lookout`'s; `asked_at` (epoch seconds) is when the first page was asked for, `clock_set_at` when the clock was
    last found set. `activity` replaces what the polling has learned of the user; None leaves it.
    """

    pool_id: str
    user: int
    asked_at: float
    began: int
    walk: Walk | None
    clock_set_at: float = NEVER
    activity: bytes | None = None


@dataclass(frozen=True, slots=True)
class KnownUser:
    """A selected user; times in epoch seconds, `polled_at` None for a user never polled.

    `user` is the ledger's row, the same as long as the state lives. `activity` is what the polling has learned of the user, of no
    meaning to the ledger; empty where nothing.
    """

    user: int
    selected_at: float
    polled_at: float | None
    found: bool
    activity: bytes = b""


@dataclass(frozen=True, slots=True)
class CounterState:
    """One series as it stands after a commit.

    `value` is None where nothing was counted in it, and 0 while it is held. `last` is the creation (epoch seconds) of its newest
    event. `exemplar` is the id of the newest event counted in it.
    """

    series: int
    family: str
    labels: tuple[str, ...]
    value: int | None
    last: float | None
    exemplar: str | None


class EventState(NamedTuple):
    """One event as it stands after a commit, for the gauges; `series` is that of its labels in the `events` family."""

    event_id: str
    created: float
    user: int
    series: int
    event_type: str
    is_open: bool


class FailedSignIns(NamedTuple):
    """The sign-ins of a user that failed in a row, up to the latest: how many, and when (epoch seconds) the last of them was."""

    failures: int
    failed_at: float


@dataclass(slots=True)
class PoolState:
    """What changed in one pool by a commit, or, when loaded, all there is; series come before the events in them.

    `failing` is by row of the user, None for whose latest sign-in did not fail. `forgotten` are rows of series that are no more.
    `unreadable` counts entries of answers that are waited for no longer: they are counted with what can be read of them, if
    anything.
    """

    counters: list[CounterState] = field(default_factory=list)
    events: list[EventState] = field(default_factory=list)
    lags: list[float] = field(default_factory=list)
    unknown_values: dict[str, int] = field(default_factory=dict)
    folded: int = 0
    unreadable: int = 0
    failing: dict[int, FailedSignIns | None] = field(default_factory=dict)
    forgotten: list[int] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class DiscoveryEnd:
    """How a discovery ended that began at `began`, and when; times in epoch seconds.

    `complete`: every selector was followed to its end, so that whoever was not found is no longer selected. `selectors` stands
    for those selectors that list, empty where there are none, `excluded` are user names that are out whatever was found.
    """

    began: float
    ended: float
    complete: bool
    selectors: str
    excluded: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Deselection:
    """The rows of users deselected, and the row after which to go on, None at the end."""

    removed: Sequence[int]
    after: int | None


class Outbox(Protocol):
    """Lines for the event log: kept by the transaction that counts their events, until they are known to be written.

    All calls come from the ledger's thread, but for `pending`.
    """

    @property
    def pending(self) -> int:
        """How many committed lines are not known to be written."""
        ...

    def read(self, limit: int) -> Sequence[tuple[int, str]]:
        """Return the oldest lines not known to be written, with their numbers. Raises `CommitError`."""
        ...

    def wrote(self, number: int) -> None:
        """Note that lines up to this number are written; the next transaction deletes them."""
        ...

    def drop(self) -> int:
        """Give up all that is not written; return how many lines that is."""
        ...

    def forget(self) -> None:
        """Delete what is written now, in a transaction of its own. Raises `CommitError`."""
        ...


class Ledger(Protocol):
    """Counts, and what must be known to count exactly. All calls come from one thread."""

    @property
    def hash_key(self) -> bytes:
        """The key of the HMAC that stands for user names, made once and kept in the state."""
        ...

    @property
    def outbox(self) -> Outbox:
        """Lines of events that are counted, for the event log."""
        ...

    def configure(self, settings: Settings, line: EventLine | None = None) -> None:
        """Count by these settings from now on, and make such a line of each event counted; None for no lines."""
        ...

    def load(self, pool_id: str, now: float) -> PoolState:
        """Return all committed series of a pool, and its events of the recent window and in progress."""
        ...

    def users(self, pool_id: str, after: int, limit: int) -> Sequence[KnownUser]:
        """Return the pool's selected users in the order of their rows: those beyond `after`, at most `limit`."""
        ...

    def select(
        self, pool_id: str, users: Sequence[ListedUser], *, began: float, start: StartRule
    ) -> Sequence[KnownUser]:
        """Select these users, a part of those whom one discovery finds; return who was not selected before.

        `began` (epoch seconds) is when the discovery began: the moment of their selection, and its name in `deselect`. Whoever is
        found both with the creation and without has to come with it first: the start is set by the first word of a user. Raises
        `CommitError`.
        """
        ...

    def deselect(self, pool_id: str, end: DiscoveryEnd, *, after: int, limit: int) -> Deselection:
        """End a discovery: deselect whom it has not found, if it is complete, and who is excluded.

        Whoever was listed, by selectors that are those of the last complete discovery, has left the pool: they are deselected by
        a later discovery, once a poll was asked for after this end, so that nothing is lost of what they did.
        Begin with `after` 0 and go on with what is returned, each time over `limit` users. Raises `CommitError`.
        """
        ...

    def prune(self, pool_id: str, now: float, limit: int) -> PoolState:
        """Forget users, at most `limit`, who are selected no more and of whom AWS has no event any more that was counted.

        Return which series are forgotten with them. Raises `CommitError`.
        """
        ...

    def lingering(self, pool_id: str, now: float) -> Sequence[int]:
        """Return the rows of users no longer selected whose events in progress have had their time to settle."""
        ...

    def look_out(self, user: int, now: float, clock_set_at: float = NEVER) -> Lookout:
        """Return what a walk has to know that begins now; `clock_set_at` is when the clock was last found set.

        Raises `LookupError` for a row that there is not.
        """
        ...

    def record(self, polls: Sequence[Poll], *, oldest_walk: int, now: float) -> dict[str, PoolState]:
        """Judge and commit polls in one transaction; return what changed by pool id.

        `oldest_walk` is the least `began` of all walks under way: what they may show is not forgotten. Raises `CommitError`.
        """
        ...

    def release(self, now: float) -> dict[str, PoolState]:
        """Commit that series held at zero for `series_hold` show their value. Raises `CommitError`."""
        ...

    def beat(self) -> None:
        """Commit the smallest of transactions, which tells whether the state takes any. Raises `CommitError`."""
        ...

    def reopen(self, now: float) -> dict[str, PoolState]:
        """Open the state anew, where that can help one that keeps failing; return all there is then, by pool id.

        It may be more than was told: a transaction that failed may be there all the same, as after a kill. Empty where there is
        nothing new. Raises `CommitError`.
        """
        ...

    def close(self) -> None:
        """Close the state; what is committed is safe."""
        ...
