"""One user pool: finds its users, polls them in turn, and learns from what comes of it."""

import asyncio
import math
import random
from collections import deque
from collections.abc import Callable, Coroutine, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TypeVar

from structlog.typing import FilteringBoundLogger

from exporter.configuration.models import Counting, Polling, UserPool
from exporter.configuration.users_file import read_users_file
from exporter.fetch.outcome import FetchError, Outcome
from exporter.fetch.source import EventPage, EventSource, UserPage
from exporter.fetch.walk import walk
from exporter.ledger.ledger import CommitError, KnownUser, Lookout, Poll
from exporter.ledger.writer import Writer
from exporter.schedule.budget import Budget
from exporter.schedule.census import Census
from exporter.schedule.clock import WallClock
from exporter.schedule.gate import POOL_FAULTS, Gate
from exporter.schedule.observer import Observer
from exporter.schedule.policy import Policy
from exporter.schedule.status import ErrorStatus, PoolStatus
from exporter.users.discovery import Discovery, discover, start_rule

_T = TypeVar("_T")

EVENTS_OPERATION = "AdminListUserAuthEvents"
_ATTEMPTS = 6  # at one page of a walk that has begun
_RETRYABLE = frozenset(
    {Outcome.THROTTLED, Outcome.SERVER_ERROR, Outcome.TIMEOUT, Outcome.CONNECTION, Outcome.MALFORMED}
)
_FIRST_RETRY = 0.25  # seconds, doubled at each attempt
_LONGEST_RETRY = 5.0
_POOL_FAULT_WAIT = 60.0  # seconds, the most a user waits after a fault that is not the user's own
_UP = {Outcome.OK: True, Outcome.USER_NOT_FOUND: True}
_UP_STAYS = frozenset({Outcome.THROTTLED, Outcome.INVALID_PARAMETER})
_ERRORS_KEPT = 8


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


@dataclass(slots=True)
class PoolHealth:
    """What the pool's answers have told so far; it outlives a reload."""

    up: bool = False
    said_down: bool = False
    threat_protection: str | None = None
    errors: deque[ErrorStatus] = field(default_factory=lambda: deque(maxlen=_ERRORS_KEPT))


class PoolPoller:
    """Polls the users of one pool. The engine says when; `poll` and `discover` do the rest."""

    def __init__(
        self,
        pool: UserPool,
        polling: Polling,
        counting: Counting,
        *,
        source: EventSource,
        budget: Budget,
        policy: Policy,
        concurrency: int,
        around: Surroundings,
    ) -> None:
        self.pool = pool
        self.budget = budget
        self.policy = policy
        self.census = Census()
        self.gate = Gate()
        self.in_flight: dict[int, float] = {}
        """The requests under way: when each was sent, by the clock that never goes back."""
        self.polls = 0
        self.discovered = asyncio.Event()
        self._polling = polling
        self._overlap = counting.overlap
        self._start = start_rule(counting.start)
        self._source = source
        self._concurrency = concurrency
        self._around = around
        self._logger = around.logger.bind(user_pool=pool.name)
        self._threads = ThreadPoolExecutor(concurrency, f"pool-{pool.name}")
        self._numbers = iter(range(1, 2**63))
        self.health = PoolHealth()
        self._asks_mode = True
        self._unmatched: frozenset[str] = frozenset()
        self._excluded = frozenset(pool.users.exclude)

    # -- what the engine asks ----------------------------------------------------------------------------------------------------

    async def recall(self) -> None:
        """Take up the users known from the state, so that they are polled before the first discovery ends."""
        self._take_up(await self._around.writer.users(self.pool.id))

    def next_due(self) -> float | None:
        """Return when (monotonic) the next user may be polled, None where nobody waits or all workers are busy."""
        due = self.policy.next_due()
        most = 1 if self.gate.is_probing else self._concurrency
        if due is None or self.polls >= most:
            return None
        return max(due, self.gate.opens_at)

    @property
    def requests_needed(self) -> float:
        """Requests a second that it takes to poll everybody within `max_staleness`."""
        return len(self.census) / self._polling.max_staleness

    def status(self) -> PoolStatus:
        """Return how the pool is doing."""
        return PoolStatus(
            name=self.pool.name,
            pool_id=self.pool.id,
            region=self.pool.region,
            account=self.budget.account,
            up=self.health.up,
            users=self.census.by_state,
            oldest_poll=self.census.oldest_poll,
            newest_poll=self.census.newest_poll,
            threat_protection=self.health.threat_protection,
            lag_seconds=None,
            in_progress=0,
            errors=tuple(self.health.errors),
        )

    def close(self) -> None:
        """Let go of threads and connections; a request under way ends by itself."""
        self._threads.shutdown(wait=False, cancel_futures=True)
        self._source.close()

    # -- polling -----------------------------------------------------------------------------------------------------------------

    async def poll(self, username: str) -> None:
        """Poll one user, for whom a token has been taken; count what is new, and put the user back in line."""
        asked_at = self._around.clock()
        set_at = self._around.clock.set_at
        lookout = await self._around.writer.look_out(self.pool.id, username, asked_at, set_at)
        try:
            outcome = await self._poll_from(username, asked_at, set_at, lookout)
            self._note_up(Outcome.OK)
        except FetchError as error:
            outcome = error.outcome
            self._note_error(EVENTS_OPERATION, outcome, str(error))
            self._note_up(outcome)
        except (Stopped, CommitError):
            self._put_back(username, 0.0)
            return
        finally:
            self._around.writer.abandon(lookout)
        self._learn(username, outcome, asked_at)

    async def _poll_from(self, username: str, asked_at: float, set_at: float, lookout: Lookout) -> Outcome:
        try:
            found = await walk(
                partial(self._page, username),
                clock=self._around.clock,
                asked_at=asked_at,
                depth=lookout.depth,
                max_pages=self._polling.max_pages,
                tolerance=self._overlap,
            )
        except FetchError as error:
            if error.outcome is not Outcome.USER_NOT_FOUND:
                raise
            found = None
        await self._around.writer.record(Poll(self.pool.id, username, asked_at, lookout.began, found, set_at))
        if found is None:
            return Outcome.USER_NOT_FOUND
        if found.truncated:
            self._around.observer.truncated_poll(self.pool.name)
            self._logger.warning("a history goes deeper than polling.max_pages; events may be missing")
        if found.damaged:
            self._note_error(EVENTS_OPERATION, Outcome.MALFORMED, f"{found.damaged} events without a usable id or date")
        return Outcome.MALFORMED if found.damaged else Outcome.OK

    async def _page(self, username: str, token: str | None) -> EventPage:
        """Ask for one page. The first is asked for once; a walk that has come further is not given up for a passing fault."""
        call = partial(self._source.auth_events, username, token)
        if token is None:
            return await self._request(call)
        for attempt in range(_ATTEMPTS - 1):
            try:
                return await self._budgeted(call)
            except FetchError as error:
                if error.outcome not in _RETRYABLE:
                    raise
            await self._unless_stopped(asyncio.sleep(self._backoff(attempt, _FIRST_RETRY, _LONGEST_RETRY)))
        return await self._budgeted(call)

    async def _budgeted(self, call: Callable[[], _T]) -> _T:
        await self._unless_stopped(self.budget.acquire())
        return await self._request(call)

    async def _request(self, call: Callable[[], _T]) -> _T:
        """Make one request, for which a token has been taken, in a worker thread."""
        sent, number = self._around.monotonic(), next(self._numbers)
        self.in_flight[number] = sent
        outcome = Outcome.OK
        try:
            return await asyncio.get_running_loop().run_in_executor(self._threads, call)
        except FetchError as error:
            outcome = error.outcome
            raise
        finally:
            del self.in_flight[number]
            if outcome is Outcome.THROTTLED:
                self.budget.throttled()
            self.gate.answered(outcome, sent, self._around.monotonic())

    async def _unless_stopped(self, waiting: Coroutine[object, object, _T]) -> _T:
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

    def _learn(self, username: str, outcome: Outcome, asked_at: float) -> None:
        self._around.observer.poll(self.pool.name, outcome)
        faults = self.census.polled(username, outcome, asked_at)
        self._put_back(username, self._wait(outcome, faults))

    def _wait(self, outcome: Outcome, faults: int) -> float:
        """Return how many seconds a user is left alone after a poll."""
        least, longest = self._polling.min_interval, self._polling.max_staleness
        if outcome in POOL_FAULTS:
            longest = min(longest, _POOL_FAULT_WAIT)
        return least if not faults else self._backoff(faults - 1, least, max(least, longest))

    def _backoff(self, attempt: int, first: float, longest: float) -> float:
        """Return a wait that doubles with each attempt, with some chance in it so that waits do not meet."""
        return min(first * 2.0 ** min(attempt, 32), longest) * self._around.random.uniform(0.9, 1.0)

    def _put_back(self, username: str, wait: float) -> None:
        self.policy.returned(username, self._around.monotonic() + wait)

    # -- discovery ---------------------------------------------------------------------------------------------------------------

    async def discover(self) -> None:
        """Follow the selectors once; users found are polled from now on, users gone are not."""
        began = self._around.clock()
        found = await discover(self.pool.users, self._source, self._listing, self._read)
        self._tell(found)
        # who is missing from a listing that broke off may still be selected
        dropped: Callable[[str], bool] = (lambda _: True) if found.complete else self._excluded.__contains__
        selection = await self._around.writer.select(self.pool.id, found.users, dropped, began=began, start=self._start)
        self._take_up(selection.added)
        for username in selection.removed:
            self.policy.remove(username)
            self.census.remove(username)
        if found.complete:
            self.discovered.set()
        await self._ask_mode()

    async def _read(self, path: Path) -> Sequence[str]:
        return await asyncio.get_running_loop().run_in_executor(self._threads, read_users_file, path)

    async def _listing(self, operation: str, call: Callable[[], UserPage]) -> UserPage:
        """Ask for one page of a listing, trying again where the fault may pass."""
        for attempt in range(_ATTEMPTS - 1):
            try:
                return await self._budgeted(call)
            except FetchError as error:
                self._note_error(operation, error.outcome, str(error))
                if error.outcome not in _RETRYABLE:
                    raise
            await self._unless_stopped(asyncio.sleep(self._backoff(attempt, _FIRST_RETRY, _LONGEST_RETRY)))
        return await self._budgeted(call)

    async def _ask_mode(self) -> None:
        """Ask for the pool's mode of threat protection; who may not know it is not asked again."""
        if not self._asks_mode:
            return
        try:
            self.health.threat_protection = await self._budgeted(self._source.threat_protection)
        except FetchError as error:
            self._asks_mode = error.outcome is not Outcome.NOT_AUTHORIZED

    def _take_up(self, users: Sequence[KnownUser]) -> None:
        """Put users in line: whoever was polled before waits for the rest of the interval."""
        now, monotonic = self._around.clock(), self._around.monotonic()
        self.census.add(users)
        for user in users:
            due = 0.0 if user.polled_at is None else max(0.0, user.polled_at + self._polling.min_interval - now)
            self.policy.add(user.username, monotonic + min(due, self._polling.min_interval))

    def _tell(self, found: Discovery) -> None:
        for failure in found.failures:
            self._logger.warning(
                "a selector could not be followed; nobody is dropped, and it is tried again",
                path=f"users.{failure.selector}", outcome=failure.outcome.value, error=failure.message,
            )  # fmt: skip
            if not len(self.census):
                self._note_up(failure.outcome)
        for place in frozenset(found.unmatched) - self._unmatched:
            self._logger.warning("a selector matches nobody", path=f"users.{place}")
        self._unmatched = frozenset(found.unmatched)

    # -- what is told ------------------------------------------------------------------------------------------------------------

    def _note_up(self, outcome: Outcome) -> None:
        if outcome in _UP_STAYS:
            return
        self.health.up = _UP.get(outcome, False)
        if outcome is Outcome.THREAT_PROTECTION_OFF:
            self.health.threat_protection = "OFF"
        if self.health.up and self.health.said_down:
            self._logger.info("the pool answers again")
        if not self.health.up and not self.health.said_down:
            self._logger.warning("the pool does not answer", outcome=outcome.value, error=self._last_error())
        self.health.said_down = not self.health.up

    def _last_error(self) -> str:
        return self.health.errors[-1].message if self.health.errors else ""

    def _note_error(self, operation: str, outcome: Outcome, message: str) -> None:
        self.health.errors.append(ErrorStatus(self._around.clock(), operation, outcome.value, message))
        self._logger.debug("a request failed", operation=operation, outcome=outcome.value, error=message)


def concurrency_for(requests_per_second: float) -> int:
    """Return how many requests of one pool may be under way: enough for answers that take two seconds."""
    return max(4, min(32, math.ceil(2 * requests_per_second)))
