"""The one writer: polls wait here to be committed together, and what is committed is told on."""

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar

from structlog.typing import FilteringBoundLogger

from exporter.event.line import EventLine
from exporter.fetch.source import ListedUser
from exporter.ledger.health import LedgerHealth, LedgerObserver, Unobserved
from exporter.ledger.ledger import (
    NEVER,
    CommitError,
    Deselection,
    DiscoveryEnd,
    KnownUser,
    Ledger,
    Lookout,
    Outbox,
    Poll,
    PoolState,
    StartRule,
)
from exporter.ledger.lookouts import Lookouts, Walks
from exporter.ledger.rules import Settings

_BATCH = 256  # polls in one transaction
_BATCH_EVENTS = 10_000  # events of theirs, beyond which no poll is added: some tenths of a second, for which walks wait
_DESELECTED = 5_000  # users looked at in one transaction: some tens of milliseconds, as polls wait for it
_PRUNED = 1_000  # users forgotten in one transaction, with their events
_TICK = 0.5  # seconds between looks for series whose hold is over
_HEARTBEAT = 15.0  # seconds without a commit, after which there is one that tells whether the state takes any
_FIRST_WAIT = 1.0  # seconds between attempts while the disk fails, twice as long each time
_LONGEST_WAIT = 10.0
_REOPEN_AFTER = 3  # attempts in vain, after which the connection may be what fails
_MOST_EVENTS_WAITING = 50_000  # some tens of megabytes: no walk begins while so many wait for the disk
_WRITING = "writing"  # the kind of work in `LedgerHealth` that polls wait for

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class _Waiting:
    poll: Poll
    done: "asyncio.Future[None]"

    @property
    def events(self) -> int:
        """The number of events that the poll has brought."""
        return 0 if self.poll.walk is None else len(self.poll.walk.events)


class Writer:
    """Calls the ledger, in one thread of its own, and publishes each commit in the event loop's.

    While commits fail, polls wait, the last committed numbers stay, and the same polls are tried again. Until one succeeds no
    walk begins: what walks bring waits in memory. The times here are `monotonic`'s, but for those that the ledger is told.
    """

    def __init__(
        self,
        ledger: Ledger,
        publish: Callable[[Mapping[str, PoolState]], None],
        clock: Callable[[], float],
        logger: FilteringBoundLogger,
        observer: LedgerObserver | None = None,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._ledger = ledger
        self._publish = publish
        self._clock = clock
        self._logger = logger
        self._monotonic = monotonic
        self.health = LedgerHealth(observer or Unobserved(), logger)
        self.health.committed(clock())  # it has just been opened: if it takes nothing from then on, its age tells
        self._committed_at = NEVER
        self._thread = ThreadPoolExecutor(1, "ledger")
        self._queue: asyncio.Queue[_Waiting | None] = asyncio.Queue()
        self._events_waiting = 0
        self._fails = False
        self._has_room = asyncio.Event()
        self._has_room.set()
        self._walks = Walks()
        self._lookouts = Lookouts(ledger, self._thread, self._walks)
        self._closing = asyncio.Event()
        self._closed = False
        self._counting_by: tuple[Settings, EventLine | None] | None = None
        self.reopened: Callable[[], None] = lambda: None
        """Called once the state was opened anew: it may hold users whose selection had failed, and not those deselected."""
        self.busy_since: float | None = None
        """Since when a transaction has been going on or tried again in vain, None between transactions."""

    # -- what pollers ask --------------------------------------------------------------------------------------------------------

    async def look_out(self, user: int, now: float, clock_set_at: float = NEVER) -> Lookout:
        """Return what a walk has to know that begins now, once there is room for what it brings; end it with `abandon`."""
        await self._has_room.wait()
        return await self._insist("reading", lambda: self._lookouts.ask(user, now, clock_set_at))

    def abandon(self, lookout: Lookout) -> None:
        """End a walk, whatever it brought."""
        self._walks.end(lookout.began)

    async def record(self, poll: Poll) -> None:
        """Return once the poll is on disk and published."""
        done = asyncio.get_running_loop().create_future()
        self._walks.begin(poll.began)  # until it is written, whatever becomes of who waits for it
        waiting = _Waiting(poll, done)
        self._queue.put_nowait(waiting)
        self._wait_for(waiting.events)
        await done

    async def load(
        self, pool_ids: Sequence[str], settings: Settings, line: EventLine | None = None
    ) -> Mapping[str, PoolState]:
        """Count by these settings from now on, and make such a line of each event counted; return what is there by pool id.

        It is what `Ledger.load` tells, all as of one commit; later ones are published after the return. Where the state cannot be
        read, the settings before stay.
        """
        with self.health.watching("reading"):
            return await self._call(self._load, pool_ids, settings, line, self._clock())

    def _load(
        self, pool_ids: Sequence[str], settings: Settings, line: EventLine | None, now: float
    ) -> Mapping[str, PoolState]:
        self._ledger.configure(settings, line)
        try:
            states = {pool_id: self._ledger.load(pool_id, now) for pool_id in pool_ids}
        except Exception:
            if self._counting_by is not None:
                self._ledger.configure(*self._counting_by)
            raise
        self._counting_by = settings, line
        return states

    async def users(self, pool_id: str, after: int, limit: int) -> Sequence[KnownUser]:
        """Return the pool's selected users in the order of their rows: those beyond `after`, at most `limit`."""
        return await self._insist("reading", lambda: self._call(self._ledger.users, pool_id, after, limit))

    async def select(
        self, pool_id: str, users: Sequence[ListedUser], *, began: float, start: StartRule
    ) -> Sequence[KnownUser]:
        """Select a batch of users, as `Ledger.select` does: polls wait for it, so a thousand are enough."""
        work = partial(self._ledger.select, pool_id, users, began=began, start=start)
        return await self._insist("selecting", lambda: self._call(work))

    async def deselect(self, pool_id: str, end: DiscoveryEnd, *, after: int) -> Deselection:
        """End a discovery, a part of the users after another, as `Ledger.deselect` does."""
        work = partial(self._ledger.deselect, pool_id, end, after=after, limit=_DESELECTED)
        part = await self._insist("selecting", lambda: self._call(work))
        if part.removed:
            self._publish({pool_id: PoolState(failing=dict.fromkeys(part.removed))})
        return part

    async def prune(self, pool_id: str) -> None:
        """Forget some of those who left long ago: polls wait for it, and the next discovery forgets more."""
        now = self._clock()
        change = await self._insist("selecting", lambda: self._call(self._ledger.prune, pool_id, now, _PRUNED))
        if change.forgotten:
            self._publish({pool_id: change})

    async def settle_lingering(self, pool_id: str) -> None:
        """Count what users no longer selected have left in progress, once it has had its time."""
        now = self._clock()
        for user in await self._insist("reading", lambda: self._call(self._ledger.lingering, pool_id, now)):
            lookout = await self.look_out(user, now)
            try:
                await self.record(Poll(pool_id, user, now, lookout.began, walk=None))
            finally:
                self.abandon(lookout)

    async def outbox(self, act: Callable[[Outbox], _T]) -> _T:
        """Return what `act` does to the lines for the event log, in the ledger's thread. Raises `CommitError`."""
        with self.health.watching("reading"):
            return await self._call(act, self._ledger.outbox)

    @property
    def pending_lines(self) -> int:
        """How many lines of the event log are committed and not known to be written."""
        return self._ledger.outbox.pending

    async def _call(self, function: Callable[..., _T], *arguments: Any) -> _T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, function, *arguments)

    async def _insist(self, kind: str, work: Callable[[], Awaitable[_T]]) -> _T:
        """Do something until the disk lets it. Raises `CommitError` where the exporter stops meanwhile."""
        wait = _FIRST_WAIT
        while True:
            try:
                with self.health.watching(kind):
                    return await work()
            except CommitError:
                if self._closing.is_set():
                    raise
            wait = await self._pause(wait)

    async def _pause(self, seconds: float) -> float:
        """Wait so long, but no longer than until the exporter stops; return how long to wait the next time."""
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._closing.wait(), seconds)
        return min(2 * seconds, _LONGEST_WAIT)

    # -- the writing -------------------------------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Write until `close`."""
        while True:
            batch = await self._next_batch()
            if batch is None:
                return
            await self._commit(batch)

    def hasten(self) -> None:
        """Give up at once, from now on, what cannot be written: the exporter stops."""
        self._closing.set()
        self._look_for_room()

    def close(self) -> None:
        """End `run` once what waits is written; whatever cannot be written now will be polled again."""
        self.hasten()
        self._closed = True
        self._queue.put_nowait(None)

    async def finish(self) -> None:
        """Close the ledger, after `run` has ended."""
        await self._call(self._ledger.close)
        self._thread.shutdown()

    async def _next_batch(self) -> list[_Waiting] | None:
        """Return what waits, an empty batch each tick, and None once closed and empty."""
        try:
            first = await asyncio.wait_for(self._queue.get(), _TICK)
        except TimeoutError:
            return None if self._closed else []
        batch = [] if first is None else [first]
        events = sum(each.events for each in batch)
        while len(batch) < _BATCH and events < _BATCH_EVENTS and not self._queue.empty():
            item = self._queue.get_nowait()
            if item is not None:
                batch.append(item)
                events += item.events
        return batch or None  # with nothing but the word of `close` in it

    async def _commit(self, batch: Sequence[_Waiting]) -> None:
        """Commit a batch, trying until it succeeds or the exporter stops."""
        wait, attempts = _FIRST_WAIT, 1
        while not await self._attempt(batch):
            if self._closing.is_set():
                self._fail(batch, CommitError("stopped while the state could not be written"))
                return
            wait, attempts = await self._pause(wait), attempts + 1
            if attempts > _REOPEN_AFTER:
                await self._reopen()

    async def _attempt(self, batch: Sequence[_Waiting]) -> bool:
        if self.busy_since is None:
            self.busy_since = self._monotonic()
        try:
            with self.health.watching(_WRITING):
                await self._write(batch)
        except CommitError:
            self._note_writing(fails=True)
            return False
        except Exception as error:  # noqa: BLE001 - a poll that cannot be judged must not stop the others
            if not batch:
                self.health.failed(_WRITING, repr(error))
                return False
            await self._isolate(batch, error)
        self.busy_since = None
        self._note_writing(fails=False)
        return True

    async def _reopen(self) -> None:
        """Open the state anew where the connection is what fails, and tell all that is there then."""
        try:
            states = await self._call(self._ledger.reopen, self._clock())
            self._publish(states)
            if states:
                self.reopened()
        except CommitError as error:
            self.health.failed(_WRITING, str(error))

    def _note_writing(self, *, fails: bool) -> None:
        self._fails = fails
        self._look_for_room()

    def _wait_for(self, events: int) -> None:
        """Note that so many events more wait for the disk."""
        self._events_waiting += events
        self._look_for_room()

    def _look_for_room(self) -> None:
        """Let walks begin, or not; at the end they do: who waits would wait for ever."""
        if self._closing.is_set() or not (self._fails or self._events_waiting > _MOST_EVENTS_WAITING):
            self._has_room.set()
        else:
            self._has_room.clear()

    async def _isolate(self, batch: Sequence[_Waiting], error: Exception) -> None:
        """Commit each poll by itself after one of them could not be judged; that one is given back to its poller."""
        if len(batch) > 1:
            for waiting in batch:
                await self._commit([waiting])
            return
        self._logger.error("a poll could not be judged; nothing of it is counted", error=repr(error))
        self._fail(batch, error)

    async def _write(self, batch: Sequence[_Waiting]) -> None:
        now = self._clock()
        beats = not batch and (self._fails or self._monotonic() >= self._committed_at + _HEARTBEAT)
        released = await self._call(self._release, now, beats)
        self._publish(released)
        if batch:
            await self._record(batch, now)
        if batch or released or beats:
            self._committed_at = self._monotonic()
            self.health.committed(self._clock())

    def _release(self, now: float, beats: bool) -> Mapping[str, PoolState]:
        """Release what was held; where that is nothing, commit the least there is if it is time."""
        released = self._ledger.release(now)
        if beats and not released:
            self._ledger.beat()
        return released

    async def _record(self, batch: Sequence[_Waiting], now: float) -> None:
        oldest = self._walks.oldest
        polls = [waiting.poll for waiting in batch]
        self._publish(await self._call(lambda: self._ledger.record(polls, oldest_walk=oldest, now=now)))
        for waiting in batch:
            if self._has_ended(waiting):
                waiting.done.set_result(None)

    def _fail(self, batch: Sequence[_Waiting], error: Exception) -> None:
        for waiting in batch:
            if self._has_ended(waiting):
                waiting.done.set_exception(error)

    def _has_ended(self, waiting: _Waiting) -> bool:
        """Let go of a poll; tell whether anybody waits for what became of it."""
        self._walks.end(waiting.poll.began)
        self._wait_for(-waiting.events)
        return not waiting.done.done()
