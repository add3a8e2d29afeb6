"""The one writer: polls wait here to be committed together, and what is committed is told on."""

import asyncio
import contextlib
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, TypeVar

from structlog.typing import FilteringBoundLogger

from exporter.fetch.source import ListedUser
from exporter.ledger.ledger import NEVER, CommitError, KnownUser, Ledger, Lookout, Poll, PoolState, Selection, StartRule
from exporter.ledger.rules import Settings

_BATCH = 256  # polls in one transaction
_TICK = 0.5  # seconds between looks for series whose hold is over
_LONGEST_WAIT = 30.0  # seconds between attempts while the disk fails

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class _Waiting:
    poll: Poll
    done: "asyncio.Future[None]"


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
        self._walks: Counter[int] = Counter()
        self._closing = asyncio.Event()
        self._closed = False
        self.busy_since: float | None = None
        """Since when (clock) a transaction has been going on or tried again in vain, None between transactions."""

    # -- what pollers ask --------------------------------------------------------------------------------------------------------

    async def look_out(self, pool_id: str, username: str, now: float, clock_set_at: float = NEVER) -> Lookout:
        """Return how far back a walk has to go that begins now; end it with `abandon`."""
        lookout = await self._call(self._ledger.look_out, pool_id, username, now, clock_set_at)
        self._walks[lookout.began] += 1
        return lookout

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

    async def load(self, pool_ids: Sequence[str]) -> Mapping[str, PoolState]:
        """Return what `Ledger.load` does of each pool, all as of one commit; later ones are published after the return."""
        now = self._clock()
        return await self._call(lambda: {pool_id: self._ledger.load(pool_id, now) for pool_id in pool_ids})

    async def users(self, pool_id: str) -> Sequence[KnownUser]:
        """Return the pool's selected users."""
        return await self._call(self._ledger.users, pool_id)

    async def select(
        self,
        pool_id: str,
        users: Mapping[str, ListedUser],
        dropped: Callable[[str], bool],
        *,
        began: float,
        start: StartRule,
    ) -> Selection:
        """Make these the pool's users, as `Ledger.select` does, and count what users no longer selected left in progress."""
        selection = await self._call(lambda: self._ledger.select(pool_id, users, dropped, began=began, start=start))
        now = self._clock()
        for username in await self._call(self._ledger.lingering, pool_id, now):
            lookout = await self.look_out(pool_id, username, now)
            try:
                await self.record(Poll(pool_id, username, now, lookout.began, walk=None))
            finally:
                self.abandon(lookout)
        return selection

    async def configure(self, settings: Settings) -> None:
        """Count by these settings from now on."""
        await self._call(self._ledger.configure, settings)

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
        while len(batch) < _BATCH and not self._queue.empty():
            item = self._queue.get_nowait()
            batch += [] if item is None else [item]
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
