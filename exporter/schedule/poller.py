"""One user pool: finds its users, polls them, and learns from what comes of it."""

import asyncio
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

from exporter.configuration.models import Counting, Polling, UserPool
from exporter.fetch.outcome import FetchError, Outcome
from exporter.fetch.source import FULL_PAGE, EventPage, EventSource, ListedUser, UserPage
from exporter.fetch.walk import Walk, walk
from exporter.ledger.ledger import CommitError, Lookout, Poll
from exporter.ledger.rules import Purpose
from exporter.schedule.activity import Sighting, is_alarming
from exporter.schedule.census import ANSWERS, Census
from exporter.schedule.gate import POOL_FAULTS
from exporter.schedule.health import PoolHealth
from exporter.schedule.observer import RequestPurpose
from exporter.schedule.page import is_full_page_due, page_size
from exporter.schedule.policy import PoolQueue
from exporter.schedule.pool_users import PoolUsers
from exporter.schedule.requests import Permit, PoolRequests, Stopped, Surroundings
from exporter.schedule.status import ErrorStatus, PoolStatus
from exporter.users.discovery import BATCH, Discovery, discover, start_rule

EVENTS_OPERATION = "AdminListUserAuthEvents"
_POOL_FAULT_WAIT = 60.0  # seconds, the most a user waits after a fault that is not the user's own
_LONGEST_BACKOFF = 0.9  # of max_staleness, by which nobody waits longer
_POLLS_A_WORKER = 8  # under way: most of them wait to be committed together, which is cheaper the more they are
_PAGES_SMOOTHING = 1 / 50  # the weight of the latest poll in the mean number of requests a poll


@dataclass(slots=True)
class Usage:
    """How many requests a poll takes of late, in the mean, and how many the latest discovery took."""

    a_poll: float = 1.0
    discovery: int = 0


class PoolPoller:
    """Polls the users of one pool. The engine says when; `poll` and `discover` do the rest. Users are named by their slots."""

    def __init__(
        self,
        pool: UserPool,
        polling: Polling,
        counting: Counting,
        *,
        source: EventSource,
        requests: PoolRequests,
        queue: PoolQueue,
        around: Surroundings,
    ) -> None:
        self.pool = pool
        self.requests = requests
        self.queue = queue
        self.census = Census()
        self.polls = 0
        self.discovered = asyncio.Event()
        self.health = PoolHealth()
        self._users = PoolUsers(queue, self.census)
        self._polling = polling
        self._overlap = counting.overlap
        self._start = start_rule(counting.start)
        self._source = source
        self._most_polls = requests.workers * _POLLS_A_WORKER
        self._around = around
        self._logger = around.logger.bind(user_pool=pool.name)
        self.usage = Usage()
        self._listed = 0
        self._asks_mode = True
        self._unmatched: frozenset[str] = frozenset()
        self._excluded = frozenset(pool.users.exclude)

    # -- what the engine asks ----------------------------------------------------------------------------------------------------

    async def recall(self) -> None:
        """Take up the users known from the state; `line_up` then lets them be polled, before the first discovery ends.

        Both raise `Stopped` where the exporter stops meanwhile.
        """
        after: int | None = 0
        while after is not None:
            self._unless_stopping()
            users = await self._around.writer.users(self.pool.id, after, BATCH)
            self._users.recall(users, self._around.monotonic(), self._around.clock())
            after = users[-1].user if users else None

    async def line_up(self) -> None:
        """Put the recalled users in line."""
        for number, slot in enumerate(self._users.recalled(), 1):
            self._users.line_up(slot, self._around.monotonic())
            if not number % BATCH:
                self._unless_stopping()
                await asyncio.sleep(0)  # others have something to do too

    def follow(self, former: "PoolPoller") -> None:
        """Go on from what the same pool's poller has learned before a reload."""
        self.health = former.health
        self.queue.activity.population = former.queue.activity.population
        self.usage = former.usage

    def next_due(self, now: float) -> float | None:
        """Return when (monotonic) the next user may be polled, None where nobody waits or all workers are busy."""
        due = self.queue.next_due(now)
        most = 1 if self.requests.gate.is_probing else self._most_polls
        if due is None or self.polls >= most or not self.requests.has_room:
            return None
        return max(due, self.requests.gate.opens_at)

    @property
    def polls_needed(self) -> float:
        """Polls a second that it takes to ask for everybody within `max_staleness`."""
        return len(self.census) / self._polling.max_staleness

    @property
    def requests_needed(self) -> float:
        """Requests a second that this takes, by how many a poll and a discovery have taken of late."""
        discovery = self.usage.discovery / self._polling.discovery_interval
        return self.polls_needed * self.usage.a_poll + discovery

    def status(self) -> PoolStatus:
        """Return how the pool is doing."""
        return PoolStatus(
            name=self.pool.name,
            pool_id=self.pool.id,
            region=self.pool.region,
            account=self.requests.budget.account,
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
        self.requests.close()
        self._source.close()

    # -- polling -----------------------------------------------------------------------------------------------------------------

    async def poll(self, slot: int, permit: Permit) -> None:
        """Poll one user, with leave for a request; count what is new, and put the user back in line."""
        around = self._around
        moment = _Moment(self._users.row(slot), around.monotonic(), around.clock(), around.clock.set_at)
        lookout = await around.writer.look_out(moment.user, moment.wall, moment.clock_set_at)
        try:
            outcome = await self._poll_from(slot, moment, _Pages(self._source, self.requests, lookout, permit))
            self.health.answered(Outcome.OK, self._logger)
        except FetchError as error:
            outcome = error.outcome
            self._note_error(EVENTS_OPERATION, error)
            self.health.answered(outcome, self._logger)
        except (Stopped, CommitError):
            self.put_back(slot, 0.0, answered=False)
            return
        finally:
            self._around.writer.abandon(lookout)
        self._around.observer.poll(self.pool.name, outcome)
        faults = self.census.polled(slot, outcome, moment.wall)
        self.put_back(slot, self._wait(outcome, faults), answered=outcome in ANSWERS)

    async def _poll_from(self, slot: int, moment: "_Moment", pages: "_Pages") -> Outcome:
        try:
            found = await self._walk(slot, moment, pages)
        except FetchError as error:
            if error.outcome is not Outcome.USER_NOT_FOUND:
                raise
            found = None
        self.queue.activity.observe(slot, moment.monotonic, moment.wall, self._fresh(slot, found))
        await self._around.writer.record(
            Poll(
                self.pool.id,
                moment.user,
                moment.wall,
                pages.lookout.began,
                found,
                moment.clock_set_at,
                self.queue.activity.knowledge(slot),
            )
        )
        return Outcome.USER_NOT_FOUND if found is None else self._outcome_of(found)

    async def _walk(self, slot: int, moment: "_Moment", pages: "_Pages") -> Walk:
        lookout, limit = pages.lookout, self._page_size(slot, moment, pages.lookout)
        found = await walk(
            pages.ask,
            clock=self._around.clock,
            asked_at=moment.wall,
            depth=lookout.depth,
            max_pages=self._polling.max_pages,
            tolerance=self._overlap,
            limit=limit,
        )
        if lookout.purpose is not Purpose.FIRST_WALK:
            self.usage.a_poll += (pages.asked - self.usage.a_poll) * _PAGES_SMOOTHING
        if limit == FULL_PAGE:
            self.health.showed(len(found.events), found.disorder)
        return found

    def _page_size(self, slot: int, moment: "_Moment", lookout: Lookout) -> int:
        activity, now = self.queue.activity, moment.monotonic
        if is_full_page_due(slot, moment.wall, activity.age(slot, now)):
            return FULL_PAGE
        return page_size(lookout, activity.expects(slot, now), in_order=self.health.is_in_order)

    def _fresh(self, slot: int, found: Walk | None) -> Sequence[Sighting]:
        """Return the events that are newer than any the schedule has seen, oldest first."""
        newest, fresh = self.queue.activity.newest(slot), []
        for event in reversed(found.events if found is not None else ()):
            if (created := event.created.timestamp()) <= newest:
                break
            fresh.append(Sighting(created, is_alarming(event)))
        return fresh[::-1]

    def _outcome_of(self, found: Walk) -> Outcome:
        if found.truncated:
            self._around.observer.truncated_poll(self.pool.name)
            self._logger.warning("a history goes deeper than polling.max_pages; events may be missing")
        if found.damaged:
            self._note_error(
                EVENTS_OPERATION, FetchError(Outcome.MALFORMED, f"{found.damaged} events without a usable id or date")
            )
        return Outcome.MALFORMED if found.damaged else Outcome.OK

    def _wait(self, outcome: Outcome, faults: int) -> float:
        """Return how many seconds a user is left alone after a poll."""
        least, longest = self._polling.min_interval, self._polling.max_staleness * _LONGEST_BACKOFF
        if outcome in POOL_FAULTS:
            longest = min(longest, _POOL_FAULT_WAIT)
        return least if not faults else max(least, self.requests.backoff(faults - 1, least, max(least, longest)))

    def put_back(self, slot: int, wait: float, *, answered: bool) -> None:
        """Put a user back in line whose poll has ended, to be left alone for `wait` seconds."""
        self._users.put_back(slot, self._around.monotonic(), wait, answered=answered)

    # -- discovery ---------------------------------------------------------------------------------------------------------------

    async def discover(self) -> None:
        """Follow the selectors once; users found are polled from now on, users gone are not."""
        began, self._listed = self._around.clock(), 0

        async def take(users: Sequence[ListedUser]) -> None:
            self._unless_stopping()
            gained = await self._around.writer.select(self.pool.id, users, began=began, start=self._start)
            self._users.take_up(gained, self._around.monotonic(), self._around.clock())

        found = await discover(self.pool.users, self._source, self._listing, self.requests.read, take)
        self.usage.discovery = self._listed
        self._tell(found)
        # who is missing from a listing that broke off may still be selected
        dropped: Callable[[str], bool] = (lambda _: True) if found.complete else self._excluded.__contains__
        await self._end_discovery(began, dropped)
        if found.complete:
            self.discovered.set()
        await self._ask_mode()

    async def _end_discovery(self, began: float, dropped: Callable[[str], bool]) -> None:
        """Let go of whom a discovery has not found, some at a time: each part is let go of once it is committed."""
        after: int | None = 0
        while after is not None:
            self._unless_stopping()
            part = await self._around.writer.deselect(self.pool.id, began=began, dropped=dropped, after=after)
            self._users.let_go(part.removed)
            after = part.after
        await self._around.writer.settle_lingering(self.pool.id)

    def _unless_stopping(self) -> None:
        if self._around.stop.is_set():
            raise Stopped

    async def _listing(self, operation: str, call: Callable[[], UserPage]) -> UserPage:
        """Ask for one page of a listing, trying again where the fault may pass."""
        self._listed += 1
        return await self.requests.insist(
            call, RequestPurpose.DISCOVERY, lambda error: self._note_error(operation, error)
        )

    async def _ask_mode(self) -> None:
        """Ask for the pool's mode of threat protection; who may not know it is not asked again."""
        if not self._asks_mode:
            return
        try:
            self.health.threat_protection = await self.requests.budgeted(
                self._source.threat_protection, RequestPurpose.DISCOVERY
            )
        except FetchError as error:
            self._asks_mode = error.outcome is not Outcome.NOT_AUTHORIZED

    def _tell(self, found: Discovery) -> None:
        for failure in found.failures:
            self._logger.warning(
                "a selector could not be followed; nobody is dropped, and it is tried again",
                path=f"users.{failure.selector}", outcome=failure.outcome.value, error=failure.message,
            )  # fmt: skip
            if not len(self.census):
                self.health.answered(failure.outcome, self._logger)
        for place in frozenset(found.unmatched) - self._unmatched:
            self._logger.warning("a selector matches nobody", path=f"users.{place}")
        self._unmatched = frozenset(found.unmatched)

    def _note_error(self, operation: str, error: FetchError) -> None:
        self.health.failed(ErrorStatus(self._around.clock(), operation, error.outcome.value, str(error)))
        self._logger.debug("a request failed", operation=operation, outcome=error.outcome.value, error=str(error))


@dataclass(frozen=True, slots=True)
class _Moment:
    """Of whom (the ledger's row) and when a poll began: by the clock that never goes back, and in epoch seconds.

    `clock_set_at` is when the latter was last found set.
    """

    user: int
    monotonic: float
    wall: float
    clock_set_at: float


class _Pages:
    """Asks for the pages of one walk. The first has its permit; a walk that has come further is not given up for one fault."""

    def __init__(self, source: EventSource, requests: PoolRequests, lookout: Lookout, permit: Permit) -> None:
        self.asked = 0
        self.lookout = lookout
        self._source = source
        self._requests = requests
        self._permit = permit
        self._further = RequestPurpose(lookout.purpose)

    async def ask(self, token: str | None, limit: int) -> EventPage:
        """Return one page; raises `FetchError`."""
        self.asked += 1
        call = partial(self._source.auth_events, self.lookout.username, token, limit)
        if self.asked > 1:
            return await self._requests.insist(call, self._further)
        is_first_walk = self._further is RequestPurpose.FIRST_WALK
        purpose = RequestPurpose.FIRST_WALK if is_first_walk else RequestPurpose.NEW
        return await self._requests.send(call, purpose, self._permit)


def concurrency_for(requests_per_second: float) -> int:
    """Return how many requests of one pool may be under way: enough for answers that take two seconds."""
    return max(4, min(32, math.ceil(2 * requests_per_second)))
