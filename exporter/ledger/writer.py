"""The one writer: polls wait here to be committed together, and what is committed is told on."""

import asyncio
import contextlib
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar

from structlog.typing import FilteringBoundLogger

from exporter.event.line import EventLine
from exporter.fetch.source import ListedUser
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
from exporter.ledger.rules import Settings

_BATCH = 256  # polls in one transaction
_BATCH_EVENTS = 10_000  # events of theirs, beyond which no poll is added: some tenths of a second, for which walks wait
_DESELECTED = 5_000  # users looked at in one transaction: some tens of milliseconds, as polls wait for it
_PRUNED = 1_000  # users forgotten in one transaction, with their events
_TICK = 0.5  # seconds between looks for series whose hold is over
_LONGEST_WAIT = 30.0  # seconds between attempts while the disk fails

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class _Waiting:
    poll: Poll
    done: "asyncio.Future[None]"

    @property
    def events(self) -> int:
        """The number of events that the poll has brought."""
        return 0 if self.poll.walk is None else len(self.poll.walk.events)


@dataclass(frozen=True, slots=True)
class _Asking:
    user: int
    now: float
    clock_set_at: float
    lookout: "asyncio.Future[Lookout]"


class Writer:
    """Calls the ledger, in one thread of its own, and publishes each commit in the event loop's.

    While commits fail, polls wait, the last committed numbers stay, and the same polls are tried again.
    """

    def __init__(
        self,
        ledger: Ledger,
        publish: Callable[[Mapping[str, PoolState]], None],
        clock: Callable[[], float],
        logger: FilteringBoundLogger,
    ) -> None:
        self._ledger = ledger
        self._publish = publish
        self._clock = clock
        self._logger = logger
        self._thread = ThreadPoolExecutor(1, "ledger")
        self._queue: asyncio.Queue[_Waiting | None] = asyncio.Queue()
        self._asking: list[_Asking] = []
        self._looking_out: asyncio.Task[None] | None = None
        self._walks: Counter[int] = Counter()
        self._closing = asyncio.Event()
        self._closed = False
        self._counting_by: tuple[Settings, EventLine | None] | None = None
        self.busy_since: float | None = None
        """Since when (clock) a transaction has been going on or tried again in vain, None between transactions."""

    # -- what pollers ask --------------------------------------------------------------------------------------------------------

    async def look_out(self, user: int, now: float, clock_set_at: float = NEVER) -> Lookout:
        """Return what a walk has to know that begins now; end it with `abandon`."""
        asking = _Asking(user, now, clock_set_at, asyncio.get_running_loop().create_future())
        self._asking.append(asking)
        if self._looking_out is None:
            self._looking_out = asyncio.ensure_future(self._look_out_for_all())
        try:
            return await asking.lookout
        except asyncio.CancelledError:
            if asking.lookout.done() and not asking.lookout.cancelled():  # answered, and nobody there to `abandon` it
                self._end_walk(asking.lookout.result().began)
            raise

    async def _look_out_for_all(self) -> None:
        """Answer everybody who asks, all at once who ask meanwhile: a turn of the ledger's thread costs more than an answer."""
        try:
            while self._asking:
                batch, self._asking = self._asking, []
                for asking, answer in zip(batch, await self._answers(batch), strict=True):
                    self._tell(asking, answer)
        finally:
            self._looking_out = None

    async def _answers(self, batch: Sequence[_Asking]) -> Sequence[Lookout | Exception]:
        try:
            return await self._call(self._lookouts, batch)
        except Exception as error:  # noqa: BLE001 - nobody is to wait for ever
            return [error] * len(batch)

    def _lookouts(self, batch: Sequence[_Asking]) -> list[Lookout | Exception]:
        return [self._lookout(asking) for asking in batch]

    def _lookout(self, asking: _Asking) -> Lookout | Exception:
        try:
            return self._ledger.look_out(asking.user, asking.now, asking.clock_set_at)
        except Exception as error:  # noqa: BLE001 - it is raised where the answer is waited for
            return error

    def _tell(self, asking: _Asking, answer: Lookout | Exception) -> None:
        if asking.lookout.cancelled():
            return
        if isinstance(answer, Exception):
            asking.lookout.set_exception(answer)
        else:
            self._walks[answer.began] += 1
            asking.lookout.set_result(answer)

    def abandon(self, lookout: Lookout) -> None:
        """End a walk, whatever it brought."""
        self._end_walk(lookout.began)

    def _end_walk(self, began: int) -> None:
        self._walks[began] -= 1
        if not self._walks[began]:
            del self._walks[began]

    async def record(self, poll: Poll) -> None:
        """Return once the poll is on disk and published."""
        done = asyncio.get_running_loop().create_future()
        self._walks[poll.began] += 1  # until it is written, whatever becomes of who waits for it
        self._queue.put_nowait(_Waiting(poll, done))
        await done

    async def load(
        self, pool_ids: Sequence[str], settings: Settings, line: EventLine | None = None
    ) -> Mapping[str, PoolState]:
        """Count by these settings from now on, and make such a line of each event counted; return what is there by pool id.

        It is what `Ledger.load` tells, all as of one commit; later ones are published after the return. Where the state cannot be
        read, the settings before stay.
        """
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
        return await self._call(self._ledger.users, pool_id, after, limit)

    async def select(
        self, pool_id: str, users: Sequence[ListedUser], *, began: float, start: StartRule
    ) -> Sequence[KnownUser]:
        """Select a batch of users, as `Ledger.select` does: polls wait for it, so a thousand are enough."""
        return await self._call(lambda: self._ledger.select(pool_id, users, began=began, start=start))

    async def deselect(self, pool_id: str, end: DiscoveryEnd, *, after: int) -> Deselection:
        """End a discovery, a part of the users after another, as `Ledger.deselect` does."""
        part = await self._call(partial(self._ledger.deselect, pool_id, end, after=after, limit=_DESELECTED))
        if part.removed:
            self._publish({pool_id: PoolState(failing=dict.fromkeys(part.removed))})
        return part

    async def prune(self, pool_id: str) -> None:
        """Forget some of those who left long ago: polls wait for it, and the next discovery forgets more."""
        change = await self._call(self._ledger.prune, pool_id, self._clock(), _PRUNED)
        if change.forgotten:
            self._publish({pool_id: change})

    async def settle_lingering(self, pool_id: str) -> None:
        """Count what users no longer selected have left in progress, once it has had its time."""
        now = self._clock()
        for user in await self._call(self._ledger.lingering, pool_id, now):
            lookout = await self.look_out(user, now)
            try:
                await self.record(Poll(pool_id, user, now, lookout.began, walk=None))
            finally:
                self.abandon(lookout)

    async def outbox(self, act: Callable[[Outbox], _T]) -> _T:
        """Return what `act` does to the lines for the event log, in the ledger's thread."""
        return await self._call(act, self._ledger.outbox)

    @property
    def pending_lines(self) -> int:
        """How many lines of the event log are committed and not known to be written."""
        return self._ledger.outbox.pending

    async def _call(self, function: Callable[..., _T], *arguments: Any) -> _T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, function, *arguments)

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
        return batch if batch or not self._closed else None

    async def _commit(self, batch: Sequence[_Waiting]) -> None:
        """Commit a batch, trying until it succeeds or the exporter stops."""
        wait = 1.0
        while not await self._attempt(batch):
            if self._closing.is_set():
                self._fail(batch, CommitError("stopped while the state could not be written"))
                return
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._closing.wait(), wait)
            wait = min(2 * wait, _LONGEST_WAIT)

    async def _attempt(self, batch: Sequence[_Waiting]) -> bool:
        self.busy_since = self.busy_since or self._clock()
        try:
            await self._write(batch)
        except CommitError as error:
            self._logger.error(
                "the state cannot be written; the last committed numbers are served, and it is tried again",
                error=str(error),
            )
            return False
        except Exception as error:  # noqa: BLE001 - a poll that cannot be judged must not stop the others
            await self._isolate(batch, error)
        self.busy_since = None
        return True

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
        self._publish(await self._call(self._ledger.release, now))
        if not batch:
            return
        oldest = min(self._walks, default=0)
        polls = [waiting.poll for waiting in batch]
        self._publish(await self._call(lambda: self._ledger.record(polls, oldest_walk=oldest, now=now)))
        for waiting in batch:
            self._end_walk(waiting.poll.began)
            if not waiting.done.done():
                waiting.done.set_result(None)

    def _fail(self, batch: Sequence[_Waiting], error: Exception) -> None:
        for waiting in batch:
            self._end_walk(waiting.poll.began)
            if not waiting.done.done():
                waiting.done.set_exception(error)
