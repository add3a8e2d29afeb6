"""The requests to one user pool: each within the account's budget, in a worker thread, and heard of by budget and gate."""

import asyncio
import random
from collections.abc import Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TypeVar

from structlog.typing import FilteringBoundLogger

from exporter.fetch.outcome import FetchError, Outcome
from exporter.ledger.writer import Writer
from exporter.schedule.budget import Budget
from exporter.schedule.census import ANSWERS
from exporter.schedule.clock import WallClock
from exporter.schedule.gate import Gate
from exporter.schedule.observer import Observer, RequestPurpose

_T = TypeVar("_T")

_ATTEMPTS = 6
_RETRYABLE = frozenset(
    {Outcome.THROTTLED, Outcome.SERVER_ERROR, Outcome.TIMEOUT, Outcome.CONNECTION, Outcome.MALFORMED}
)
_FIRST_RETRY = 0.25  # seconds, doubled at each attempt
_LONGEST_RETRY = 5.0
_LAPSE = 0.5  # seconds: a token not used by then is spent; requests held up meanwhile would come in a burst
_PERMITS_A_WORKER = 3  # one is used, the others wait, so that a worker who is free need not


class Stopped(Exception):  # noqa: N818 - no error: the end that was asked for
    """The exporter stops: no new request is made."""


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What the pools of one exporter share; `monotonic` never goes back."""

    writer: Writer
    observer: Observer
    clock: WallClock
    monotonic: Callable[[], float]
    random: random.Random
    logger: FilteringBoundLogger
    stop: asyncio.Event

    def unless_stopping(self) -> None:
        """Raise `Stopped` where the exporter stops."""
        if self.stop.is_set():
            raise Stopped


class Permit:
    """Leave to make one request, for a token of the budget that was taken at `since`."""

    def __init__(self, since: float, ended: Callable[[], None]) -> None:
        self.since = since
        self._ended: Callable[[], None] | None = ended

    def end(self) -> None:
        """Tell, once, that the request has ended, or will not be made."""
        if self._ended is not None:
            self._ended()
        self._ended = None


class PoolRequests:
    """Makes the requests to one pool.

    There are no more of them under way than there are workers. One that has waited long for a worker takes another token:
    with the old ones, requests that slow answers have held up would come in a burst.
    """

    def __init__(self, user_pool: str, budget: Budget, workers: int, around: Surroundings) -> None:
        self.budget = budget
        self.workers = workers
        self.gate = Gate()
        self.has_answered = False
        """Whether the pool has answered a request made here."""
        self._user_pool = user_pool
        self._around = around
        self._threads = ThreadPoolExecutor(workers + 1, f"pool-{user_pool}")  # one more for what is read from files
        self.freed: Callable[[], None] = lambda: None
        """Is called whenever a request has ended."""
        self._free = asyncio.Semaphore(workers)
        self._permits = 0

    async def run(self, work: Callable[[], _T]) -> _T:
        """Do something that may take a while in a worker thread."""
        return await asyncio.get_running_loop().run_in_executor(self._threads, work)

    @property
    def has_room(self) -> bool:
        """Tell whether one more poll may begin, though it may have to wait for a worker."""
        return self._permits < self.workers * _PERMITS_A_WORKER

    def permit(self) -> Permit:
        """Return leave for a request, for which a token has just been taken."""
        self._permits += 1
        return Permit(self._around.monotonic(), self._ended)

    def _ended(self) -> None:
        self._permits -= 1
        self.freed()

    async def send(self, call: Callable[[], _T], purpose: RequestPurpose, permit: Permit) -> _T:
        """Make one request. Raises `FetchError`, and `Stopped` where the exporter stops before it is sent."""
        try:
            async with self._free:
                self._around.unless_stopping()
                if self._around.monotonic() > permit.since + _LAPSE:
                    await self.unless_stopped(self.budget.acquire())
                return await self._sent(call, purpose)
        finally:
            permit.end()

    async def _sent(self, call: Callable[[], _T], purpose: RequestPurpose) -> _T:
        sent = self._around.monotonic()
        self._around.observer.spent(self._user_pool, purpose)
        outcome = Outcome.OK
        try:
            return await self.run(call)
        except FetchError as error:
            outcome = error.outcome
            raise
        finally:
            self.has_answered |= outcome in ANSWERS
            if outcome is Outcome.THROTTLED:
                self.budget.throttled(sent)
            if not _speaks_of_a_group(outcome, purpose):
                self.gate.answered(outcome, sent, self._around.monotonic())

    async def budgeted(self, call: Callable[[], _T], purpose: RequestPurpose) -> _T:
        """Wait for a token and make one request. Raises `FetchError`, and `Stopped` where the exporter stops meanwhile."""
        # mostly there is a token: to wait for one takes two tasks, for each page of a history
        if self._around.stop.is_set() or not self.budget.try_acquire():
            await self.unless_stopped(self.budget.acquire())
        return await self.send(call, purpose, self.permit())

    async def insist(
        self, call: Callable[[], _T], purpose: RequestPurpose, failed: Callable[[FetchError], None] = lambda _: None
    ) -> _T:
        """Make a request, some times over where the fault may pass; `failed` hears of each failure but the last."""
        for attempt in range(_ATTEMPTS - 1):
            try:
                return await self.budgeted(call, purpose if attempt == 0 else RequestPurpose.RETRY)
            except FetchError as error:
                failed(error)
                if error.outcome not in _RETRYABLE:
                    raise
            await self.pause(self.backoff(attempt, _FIRST_RETRY, _LONGEST_RETRY))
        return await self.budgeted(call, RequestPurpose.RETRY)

    async def listed(self, call: Callable[[], _T], failed: Callable[[FetchError], None]) -> _T:
        """Ask for a page of a listing, as `insist` does, in the turn of the account's listings."""
        await self.unless_stopped(self.budget.listing_turn())
        return await self.insist(call, RequestPurpose.DISCOVERY, failed)

    async def pause(self, seconds: float) -> None:
        """Wait so long, where that is more than nothing. Raises `Stopped` where the exporter stops meanwhile."""
        if seconds > 0:
            await self.unless_stopped(asyncio.sleep(seconds))

    def backoff(self, attempt: int, first: float, longest: float) -> float:
        """Return a wait (seconds) that doubles with each attempt, with some chance in it so that waits do not meet."""
        return min(first * 2.0 ** min(attempt, 32), longest) * self._around.random.uniform(0.9, 1.0)

    async def read(self, work: Callable[[], _T]) -> _T:
        """Do something in a worker thread that may be left half done. Raises `Stopped` where the exporter stops meanwhile."""
        return await self.unless_stopped(self.run(work))

    async def unless_stopped(self, waiting: Coroutine[object, object, _T]) -> _T:
        """Wait for something that is not a request under way, but no longer than until the exporter stops."""
        task, stop = asyncio.ensure_future(waiting), asyncio.ensure_future(self._around.stop.wait())
        try:
            await asyncio.wait({task, stop}, return_when=asyncio.FIRST_COMPLETED)
            if stop.done():
                raise Stopped
            return task.result()
        finally:
            for each in (task, stop):
                each.cancel()

    def close(self) -> None:
        """Let go of the threads; a request under way ends by itself."""
        self._threads.shutdown(wait=False, cancel_futures=True)


def _speaks_of_a_group(outcome: Outcome, purpose: RequestPurpose) -> bool:
    """Tell whether what was not found may be a group that is listed; whether the pool is there, polls tell."""
    return outcome is Outcome.POOL_NOT_FOUND and purpose is RequestPurpose.DISCOVERY
