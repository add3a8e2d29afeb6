"""One user pool: finds its users, polls them, and learns from what comes of it."""

import asyncio
import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

from exporter.configuration.models import Counting, Polling, UserPool
from exporter.fetch.outcome import FetchError, Outcome
from exporter.fetch.source import FULL_PAGE, Caller, EventPage, EventSource
from exporter.fetch.walk import Walk, walk
from exporter.ledger.ledger import CommitError, KnownUser, Lookout, Poll
from exporter.ledger.rules import Purpose
from exporter.schedule.activity import Sighting, is_alarming
from exporter.schedule.census import ANSWERS, Census
from exporter.schedule.discoverer import Discoverer
from exporter.schedule.gate import POOL_FAULTS
from exporter.schedule.health import PoolHealth
from exporter.schedule.observer import RequestPurpose
from exporter.schedule.page import is_full_page_due, page_size
from exporter.schedule.policy import PoolQueue
from exporter.schedule.pool_users import PoolUsers
from exporter.schedule.requests import Permit, PoolRequests, Stopped, Surroundings
from exporter.schedule.status import ErrorStatus, PoolStatus
from exporter.users.discovery import BATCH

EVENTS_OPERATION = "AdminListUserAuthEvents"
_READ_AGAIN = 1.0  # seconds
_POOL_FAULT_WAIT = 60.0  # seconds, the most a user waits after a fault that is not the user's own
_LONGEST_BACKOFF = 0.9  # of max_staleness, by which nobody waits longer
_LONGEST_ABSENCE = 24  # times max_staleness, for who does not exist
_POLLS_A_WORKER = 8  # under way: most of them wait to be committed together, which is cheaper the more they are
_PAGES_SMOOTHING = 1 / 50  # the weight of the latest poll in the mean number of requests a poll


class PoolPoller:
    """Polls the users of one pool. The engine says when; `poll` and `discover` do the rest. Users are named by their slots."""

    def __init__(
        self,
        pool: UserPool,
        polling: Polling,
        counting: Counting,
        *,
        path: str,
        source: EventSource,
        requests: PoolRequests,
        queue: PoolQueue,
        around: Surroundings,
    ) -> None:
        """Take the pool and its place in the configuration (`user_pools[2]`), and what it is asked by."""
        self.pool = pool
        self._path = path
        self.requests = requests
        self.queue = queue
        self.census = Census()
        self.polls = 0
        self.health = PoolHealth()
        self._users = PoolUsers(queue, self.census)
        self._polling = polling
        self._overlap = counting.overlap
        self._source = source
        self._most_polls = requests.workers * _POLLS_A_WORKER
        self._around = around
        self._logger = around.logger.bind(user_pool=pool.name)
        self.requests_a_poll = 1.0
        """How many requests a poll takes of late, in the mean."""
        self._named = {name: index for index, name in enumerate(pool.users.usernames)}
        self.discoverer = Discoverer(
            pool, polling, counting,
            path=path, source=source, requests=requests, users=self._users, health=lambda: self.health, around=around,
        )  # fmt: skip

    # -- what the engine asks ----------------------------------------------------------------------------------------------------

    async def recall(self) -> None:
        """Take up the users known from the state; `line_up` then lets them be polled, before the first discovery ends.

        Both raise `Stopped` where the exporter stops meanwhile.
        """
        after: int | None = 0
        while after is not None:
            self._around.unless_stopping()
            users = await self._known_users(after)
            self._users.recall(users, self._around.monotonic(), self._around.clock())
            after = users[-1].user if users else None

    async def _known_users(self, after: int) -> Sequence[KnownUser]:
        """Return the next users of the state, once it can be read."""
        while True:
            try:
                return await self._around.writer.users(self.pool.id, after, BATCH)
            except Exception as error:  # noqa: BLE001 - without it nobody would be polled any more
                self._logger.error("the users in the state cannot be read; it is tried again", error=repr(error))
            await self.requests.pause(_READ_AGAIN)

    async def line_up(self) -> None:
        """Put the recalled users in line."""
        for number, slot in enumerate(self._users.recalled(), 1):
            self._users.line_up(slot, self._around.monotonic())
            if not number % BATCH:
                self._around.unless_stopping()
                await asyncio.sleep(0)  # others have something to do too

    def follow(self, former: "PoolPoller") -> None:
        """Go on from what the same pool's poller has learned before a reload."""
        self.health = former.health
        self.queue.activity.population = former.queue.activity.population
        self.requests_a_poll = former.requests_a_poll
        self.discoverer.pages = former.discoverer.pages

    def next_due(self, now: float) -> float | None:
        """Return when (monotonic) the next user may be polled, None where nobody waits or all workers are busy."""
        due = self.queue.next_due(now)
        most = 1 if self.requests.gate.is_probing else self._most_polls
        if due is None or self.polls >= most or not self.requests.has_room:
            return None
        return max(due, self.requests.gate.opens_at)

    @property
    def polls_needed(self) -> float:
        """Polls a second that it takes to ask for everybody within `max_staleness`, but for those who do not exist."""
        return self.census.known / self._polling.max_staleness

    @property
    def requests_needed(self) -> float:
        """Requests a second that this takes, by how many a poll and a discovery have taken of late."""
        return self.polls_needed * self.requests_a_poll + self.discoverer.pages / self._polling.discovery_interval

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
            unmatched_selectors=tuple(sorted(self.health.unmatched)),
            unfollowed_selectors=tuple(sorted(self.health.unfollowed)),
        )

    def close(self) -> None:
        """Let go of threads and connections; a request under way ends by itself."""
        self.requests.close()
        self._source.close()

    async def caller(self) -> Caller:
        """Return who asks, by STS. Raises `FetchError`, and `Stopped` where the exporter stops meanwhile."""
        return await self.requests.read(self._source.caller)

    def path_of(self, key: str) -> str:
        """Return the path of one of the pool's keys in the configuration."""
        return f"{self._path}.{key}"

    # -- polling -----------------------------------------------------------------------------------------------------------------

    async def poll(self, slot: int, permit: Permit) -> None:
        """Poll one user, with leave for a request; count what is new, and put the user back in line."""
        around, user = self._around, self._users.row(slot)
        if user is None:  # let go of since the poll was spawned
            self.put_back(slot, 0.0, answered=False)
            return
        moment = _Moment(user, around.monotonic(), around.clock(), around.clock.set_at)
        try:
            lookout = await around.writer.look_out(moment.user, moment.wall, moment.clock_set_at)
        except CommitError:  # the exporter stops, and the state cannot be read
            self.put_back(slot, 0.0, answered=False)
            return
        try:
            outcome = await self._poll_from(slot, moment, _Pages(self._source, self.requests, lookout, permit))
            # a page of which an entry is damaged is an answer: the user is asked again as ever, also if it stays so for years
            answer: Outcome = Outcome.OK if outcome is Outcome.MALFORMED else outcome
            self.health.answered(Outcome.OK, self._logger)
        except FetchError as error:
            answer = outcome = error.outcome
            self._note_error(EVENTS_OPERATION, error)
            self.health.answered(outcome, self._logger)
        except (Stopped, CommitError):
            self.put_back(slot, 0.0, answered=False)
            return
        finally:
            self._around.writer.abandon(lookout)
        self._around.observer.poll(self.pool.name, outcome)
        if outcome is Outcome.USER_NOT_FOUND:
            self._tell_absent(lookout.username)
        faults = self.census.polled(slot, answer, moment.wall)
        self.put_back(slot, self._wait(answer, faults), answered=answer in ANSWERS)

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
            self.requests_a_poll += (pages.asked - self.requests_a_poll) * _PAGES_SMOOTHING
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
                EVENTS_OPERATION,
                FetchError(Outcome.MALFORMED, f"{len(found.damaged)} events that cannot be read whole"),
            )
        return Outcome.MALFORMED if found.damaged else Outcome.OK

    def _tell_absent(self, username: str) -> None:
        """Say once of a name in the configuration that no user has it: by its place, as the log holds no names."""
        index = self._named.get(username)
        path = self.path_of(f"users.usernames[{index}]")
        if index is not None and path not in self.health.absent:
            self.health.absent.add(path)
            self._logger.warning("a selector matches nobody", path=path)

    def _wait(self, outcome: Outcome, faults: int) -> float:
        """Return how many seconds a user is left alone after a poll; who does not exist is asked for ever more rarely."""
        least, longest = self._polling.min_interval, self._polling.max_staleness * _LONGEST_BACKOFF
        if outcome is Outcome.USER_NOT_FOUND:
            longest = self._polling.max_staleness * _LONGEST_ABSENCE
        if outcome in POOL_FAULTS:
            longest = min(longest, _POOL_FAULT_WAIT)
        return least if not faults else max(least, self.requests.backoff(faults - 1, least, max(least, longest)))

    def put_back(self, slot: int, wait: float, *, answered: bool) -> None:
        """Put a user back in line whose poll has ended, to be left alone for `wait` seconds."""
        self._users.put_back(slot, self._around.monotonic(), wait, answered=answered)

    def _note_error(self, operation: str, error: FetchError) -> None:
        path = self.path_of(error.key) if error.key else ""
        self.health.failed(ErrorStatus(self._around.clock(), operation, error.outcome.value, str(error), path))
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
