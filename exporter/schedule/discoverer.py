"""Who is to be polled in one pool: its selectors followed again and again, and whenever one of its files changes."""

from collections.abc import Callable, Sequence
from pathlib import Path

from exporter.configuration.models import Counting, Polling, UserPool
from exporter.fetch.outcome import FetchError, Outcome
from exporter.fetch.source import EventSource, ListedUser, UserPage
from exporter.ledger.ledger import DiscoveryEnd
from exporter.schedule.health import PoolHealth
from exporter.schedule.observer import RequestPurpose
from exporter.schedule.pool_users import PoolUsers
from exporter.schedule.requests import PoolRequests, Stopped, Surroundings
from exporter.schedule.status import ErrorStatus
from exporter.users.discovery import Discovery, discover, start_rule

_RETRY = 30.0  # seconds after a discovery that was not complete, doubled with each one in a row
_LOOK_AT_FILES = 2.0  # seconds; a change counts once a second look has found the same
_LOOKS = 10  # until a file that keeps changing is read all the same
_SHARE = 10  # a listing spreads its pages so that they take a tenth of the requests,
_SPREAD = 0.5  # but no longer than this part of discovery_interval

Stamp = tuple[tuple[int, int, int] | None, ...]
"""Inode, size and time of the last change (nanoseconds) of each file, None for one that cannot be looked at."""


class Discoverer:
    """Follows the selectors of one pool; `has_looked` once that was done, whether all could be followed to their end or not."""

    def __init__(
        self,
        pool: UserPool,
        polling: Polling,
        counting: Counting,
        *,
        path: str,
        source: EventSource,
        requests: PoolRequests,
        users: PoolUsers,
        health: Callable[[], PoolHealth],
        around: Surroundings,
    ) -> None:
        """Take the pool and its place in the configuration (`user_pools[2]`), and what it is asked by."""
        self.has_looked = False
        self.pages = 0
        """How many requests the latest discovery took."""
        self._pool = pool
        self._interval = polling.discovery_interval
        self._start = start_rule(counting.start)
        self._path = path
        self._source = source
        self._requests = requests
        self._users = users
        self._health = health
        self._around = around
        self._logger = around.logger.bind(user_pool=pool.name)
        self._listed = 0
        self._listed_at = float("-inf")
        self._asks_mode = True
        self._excluded = frozenset(pool.users.exclude)
        self._stamp: Stamp = ()

    async def run(self) -> None:
        """Discover until the exporter stops."""
        first = retry = min(self._interval, _RETRY)
        while not self._around.stop.is_set():
            try:
                is_complete = await self._discover_or_say()
                wait, retry = (self._interval, first) if is_complete else (retry, min(self._interval, 2 * retry))
                await self._until_due(wait * self._around.random.uniform(0.9, 1.0))
            except Stopped:
                return

    async def _discover_or_say(self) -> bool:
        try:
            return await self.discover()
        except Stopped:
            raise
        except Exception as error:  # noqa: BLE001 - a discovery that failed is made again
            self._logger.error("discovered users cannot be kept", error=repr(error))
            return False

    # -- one discovery -----------------------------------------------------------------------------------------------------------

    async def discover(self) -> bool:
        """Follow the selectors once; users found are polled from now on, users gone are not. Raises `Stopped`.

        Return whether all were followed to their end.
        """
        self._stamp = await self._stamp_at_rest()
        await self._ask_mode()
        began, self._listed = self._around.clock(), 0
        found = await discover(
            self._pool.users,
            self._source,
            self._listing,
            self._requests.read,
            lambda users: self._take(users, began),
            answers=lambda: self._requests.has_answered,
        )
        self.pages = self._listed
        self._tell(found)
        await self._end(DiscoveryEnd(began, self._around.clock(), found.complete, found.digest, self._excluded))
        self.has_looked = True
        outcome = found.failures[0].outcome if found.failures else Outcome.OK
        self._around.observer.discovery(self._pool.name, outcome)
        return found.complete

    async def _take(self, users: Sequence[ListedUser], began: float) -> None:
        self._around.unless_stopping()
        gained = await self._around.writer.select(self._pool.id, users, began=began, start=self._start)
        self._users.take_up(gained, self._around.monotonic(), self._around.clock())

    async def _end(self, end: DiscoveryEnd) -> None:
        """Let go of whom a discovery has not found, some at a time: each part is let go of once it is committed."""
        after: int | None = 0
        while after is not None:
            self._around.unless_stopping()
            part = await self._around.writer.deselect(self._pool.id, end, after=after)
            self._users.let_go(part.removed)
            after = part.after
        await self._around.writer.settle_lingering(self._pool.id)
        if self._requests.has_answered:  # so the clock is right: AWS takes no signature of another time
            await self._around.writer.prune(self._pool.id)

    async def _listing(self, operation: str, call: Callable[[], UserPage]) -> UserPage:
        """Ask for one page of a listing, in its turn, trying again where the fault may pass."""
        await self._requests.pause(self._listed_at + self._pace - self._around.monotonic())
        self._listed += 1
        self._listed_at = self._around.monotonic()
        return await self._requests.listed(call, lambda error: self._note_error(operation, error))

    @property
    def _pace(self) -> float:
        """The least number of seconds from one page to the next, by how many there were the last time."""
        return min(_SHARE / self._requests.budget.allowed, _SPREAD * self._interval / self.pages) if self.pages else 0.0

    async def _ask_mode(self) -> None:
        """Ask for the pool's mode of threat protection; who may not know it is not asked again."""
        if not self._asks_mode:
            return
        try:
            described = await self._requests.budgeted(self._source.describe, RequestPurpose.DISCOVERY)
            self._health().threat_protection = described.threat_protection
        except FetchError as error:
            self._asks_mode = error.outcome is not Outcome.NOT_AUTHORIZED

    def _tell(self, found: Discovery) -> None:
        for failure in found.failures:
            self._logger.warning(
                "a selector could not be followed; nobody is dropped, and it is tried again",
                path=f"{self._path}.users.{failure.selector}", outcome=failure.outcome.value, error=failure.message,
            )  # fmt: skip
            if failure.of_pool and not self._users.number:
                self._health().answered(failure.outcome, self._logger)
        self._health().unfollowed = frozenset(f"{self._path}.users.{failure.selector}" for failure in found.failures)
        health, unmatched = self._health(), frozenset(f"{self._path}.users.{place}" for place in found.unmatched)
        for path in sorted(unmatched - health.unmatched):
            self._logger.warning("a selector matches nobody", path=path)
        health.unmatched = unmatched if found.complete else unmatched | health.unmatched

    def _note_error(self, operation: str, error: FetchError) -> None:
        path = f"{self._path}.{error.key}" if error.key else ""
        self._health().failed(ErrorStatus(self._around.clock(), operation, error.outcome.value, str(error), path))
        self._logger.debug("a request failed", operation=operation, outcome=error.outcome.value, error=str(error))

    # -- files -------------------------------------------------------------------------------------------------------------------

    async def _until_due(self, seconds: float) -> None:
        """Wait until it is time for the next discovery, or a file has changed. Raises `Stopped`."""
        due, last = self._around.monotonic() + seconds, self._stamp
        while (left := due - self._around.monotonic()) > 0:
            await self._requests.pause(min(left, _LOOK_AT_FILES) if self._pool.users.files else left)
            stamp = await self._stamped()
            if stamp == last != self._stamp:
                return
            last = stamp

    async def _stamp_at_rest(self) -> Stamp:
        """Return the stamp of the files; one that has changed since the last discovery may be being written: it is waited for."""
        stamp = await self._stamped()
        for _ in range(_LOOKS):
            if not self.has_looked or stamp == self._stamp:
                break
            await self._requests.pause(_LOOK_AT_FILES)
            before, stamp = stamp, await self._stamped()
            if stamp == before:
                break
        return stamp

    async def _stamped(self) -> Stamp:
        """Return the stamp of the pool's files, looked at in a worker thread: their file system may hang."""
        files = self._pool.users.files
        return await self._requests.read(lambda: tuple(map(_stamp_of, files))) if files else ()


def _stamp_of(file: Path) -> tuple[int, int, int] | None:
    try:
        found = file.stat()
    except OSError:
        return None
    return found.st_ino, found.st_size, found.st_mtime_ns
