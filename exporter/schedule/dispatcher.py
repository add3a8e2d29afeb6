"""Spends the budget of one account on the users of its pools."""

import asyncio
import math
from collections.abc import Callable, Coroutine, Sequence

from exporter.schedule.budget import Budget
from exporter.schedule.policy import Policy, PoolQueue
from exporter.schedule.poller import PoolPoller
from exporter.schedule.requests import Permit, Surroundings
from exporter.schedule.status import BudgetStatus

_LONGEST_NAP = 1.0  # seconds without a look around
_ENOUGH = 0.95  # of the budget has to be enough before it is said, so that nothing is said at every step
_WAIT_AFTER_FAULT = 60.0  # seconds that a user is left alone whose poll failed by a fault of the exporter's own


class Dispatcher:
    """Spends the budget of one account: takes a token, then chooses whom to ask."""

    def __init__(
        self,
        budget: Budget,
        policy: Policy,
        spawn: Callable[[Coroutine[object, object, None]], None],
        around: Surroundings,
    ) -> None:
        self.budget = budget
        self.pollers: list[PoolPoller] = []
        self.alive_at = around.monotonic()
        self.is_dead = False
        self._policy = policy
        self._pollers_by_queue: dict[PoolQueue, PoolPoller] = {}
        self._spawn = spawn
        self._around = around
        self._wake = asyncio.Event()
        self._said_short = False
        self._look_around_at = float("-inf")

    def join(self, poller: PoolPoller) -> None:
        """Take in a pool, whose requests are spent from this budget from now on."""
        poller.requests.budget = self.budget
        poller.requests.freed = self._wake.set
        self._policy.join(poller.queue)
        self._pollers_by_queue[poller.queue] = poller
        self.pollers.append(poller)
        self._wake.set()

    def begin(self) -> None:
        """Take the users known so far for the start of the schedule."""
        self._keep_capacity()
        self._policy.begin()

    async def run(self) -> None:
        """Poll whoever is due until the exporter stops."""
        try:
            while not self._around.stop.is_set():
                self.alive_at = self._around.monotonic()
                self._look_around()
                await self._step()
        except Exception as error:  # noqa: BLE001 - the process lives on to say so: /-/healthy turns 503
            self._around.logger.error(
                "the polling has ended by a fault", account=self.budget.account, error=repr(error)
            )
            self.is_dead = True

    def _look_around(self) -> None:
        """See to what changes slowly, now and then."""
        if self.alive_at >= self._look_around_at:
            self._look_around_at = self.alive_at + _LONGEST_NAP
            self._say_whether_enough()
            self._keep_capacity()

    async def _step(self) -> None:
        """Poll whoever is to be polled now, or wait until somebody is."""
        is_open, due = self._open_queues()
        if not is_open:
            await self._nap(min(due - self._around.monotonic(), _LONGEST_NAP))
            return
        if not self.budget.try_acquire():
            if not await self._token():
                return
            is_open, _ = self._open_queues()  # much may have happened meanwhile
        chosen = None if self._around.stop.is_set() else self._policy.choose(self._around.monotonic(), is_open)
        if chosen is None:
            self.budget.give_back()
            return
        queue, slot = chosen
        poller = self._pollers_by_queue[queue]
        poller.polls += 1
        self._spawn(self._poll(poller, slot, poller.requests.permit()))

    async def _nap(self, seconds: float) -> None:
        """Sleep until somebody wakes the dispatcher, or so long; under load that is for each request, so it takes no task."""
        self._wake.clear()
        alarm = asyncio.get_running_loop().call_later(seconds, self._wake.set)
        await self._wake.wait()
        alarm.cancel()

    def _open_queues(self) -> tuple[Sequence[PoolQueue], float]:
        """Return the pools of which somebody may be polled now, and when that will be if there is none."""
        now = self._around.monotonic()
        dues = [(due, poller.queue) for poller in self.pollers if (due := poller.next_due(now)) is not None]
        return [queue for due, queue in dues if due <= now], min((due for due, _ in dues), default=math.inf)

    def _keep_capacity(self) -> None:
        """Tell the policy how many polls a second there can be: some requests go into further pages and discoveries."""
        polls, requests = sum(poller.polls_needed for poller in self.pollers), self._needed
        self._policy.capacity = self.budget.allowed * (polls / requests if polls else 1.0)

    async def _token(self) -> bool:
        """Wait for a token, but no longer than until the exporter stops; tell whether there is one."""
        token, stop = asyncio.ensure_future(self.budget.acquire()), asyncio.ensure_future(self._around.stop.wait())
        try:
            while not (token.done() or stop.done()):
                self.alive_at = self._around.monotonic()
                await asyncio.wait({token, stop}, timeout=_LONGEST_NAP, return_when=asyncio.FIRST_COMPLETED)
            return token.done()
        finally:
            token.cancel()
            stop.cancel()

    async def _poll(self, poller: PoolPoller, slot: int, permit: Permit) -> None:
        try:
            await poller.poll(slot, permit)
        except Exception as error:  # noqa: BLE001 - one user's trouble must not end the others' polls
            self._around.logger.error("a poll failed by a fault", user_pool=poller.pool.name, error=repr(error))
            poller.put_back(slot, _WAIT_AFTER_FAULT, answered=False)
        finally:
            permit.end()
            poller.polls -= 1
            self._wake.set()

    @property
    def _needed(self) -> float:
        return sum(poller.requests_needed for poller in self.pollers)

    def status(self) -> BudgetStatus:
        """Return what may be spent, and what it takes to poll everybody within `max_staleness`."""
        budget = self.budget
        return BudgetStatus(
            budget.account,
            budget.requests_per_second,
            budget.allowed,
            self._needed,
            self._policy.longest_wait,
            budget.spent,
        )

    def _say_whether_enough(self) -> None:
        """Say once when the budget cannot hold `max_staleness`, and once when it can again."""
        needed, budget = self._needed, self.budget.requests_per_second
        is_short = needed > budget * (_ENOUGH if self._said_short else 1.0)
        if is_short and not self._said_short:
            self._around.logger.warning(
                "the budget is too small for polling.max_staleness: raise polling.requests_per_second to the number needed, "
                "select fewer users, or allow more staleness",
                account=self.budget.account, users=sum(len(poller.census) for poller in self.pollers),
                requests_per_second=budget, needed=math.ceil(10 * needed) / 10,
                longest_wait=f"{self._policy.longest_wait / 60:.1f}m",
            )  # fmt: skip
        if self._said_short and not is_short:
            self._around.logger.info(
                "the budget is enough for polling.max_staleness again", account=self.budget.account
            )
        self._said_short = is_short
