"""All the polling of one configuration: one dispatcher for each account, one discoverer for each pool."""

import asyncio
import math
from collections.abc import Callable, Coroutine, Mapping, MutableMapping, Sequence

from exporter.configuration.models import Config, UserPool
from exporter.fetch.sources import SourceFactory
from exporter.schedule.budget import Budget
from exporter.schedule.policy import Policy, PoolQueue
from exporter.schedule.poller import PoolPoller, concurrency_for
from exporter.schedule.requests import Permit, PoolRequests, Stopped, Surroundings
from exporter.schedule.status import BudgetStatus, PoolStatus

_LONGEST_NAP = 1.0  # seconds a dispatcher sleeps without a look around
_RETRY_DISCOVERY = 30.0  # seconds after a discovery that was not complete, doubled while there is no complete one
_ENOUGH = 0.95  # of the budget has to be enough before it is said, so that nothing is said at every step
_STUCK_AFTER = 60.0  # seconds without a sign of life


class Engine:
    """Polls every pool of a configuration from `start` to `stop`."""

    def __init__(
        self, config: Config, sources: SourceFactory, budgets: MutableMapping[str, Budget], around: Surroundings
    ) -> None:
        """Take what to poll and by what; `budgets`, by account, outlive the engine: accounts new to it are added."""
        self._config = config
        self._around = around
        self._tasks: set[asyncio.Task[None]] = set()
        self._polls: set[asyncio.Task[None]] = set()
        self._dispatchers = [
            self._dispatcher(_budget(account, config, budgets, around), pools, sources)
            for account, pools in _by_account(config.user_pools).items()
        ]

    def _dispatcher(self, budget: Budget, pools: Sequence[UserPool], sources: SourceFactory) -> "Dispatcher":
        policy = Policy(self._around.monotonic(), self._config.polling.max_staleness)
        pollers = [self._poller(pool, sources, budget, policy) for pool in pools]
        return Dispatcher(budget, policy, pollers, self._spawn, self._around)

    def _poller(self, pool: UserPool, sources: SourceFactory, budget: Budget, policy: Policy) -> PoolPoller:
        polling = self._config.polling
        workers = concurrency_for(polling.requests_per_second)
        return PoolPoller(
            pool,
            polling,
            self._config.counting,
            source=sources(pool, polling.request_timeout),
            requests=PoolRequests(pool.name, budget, workers, self._around),
            queue=policy.new_queue(polling.min_interval),
            around=self._around,
        )

    @property
    def pollers(self) -> Sequence[PoolPoller]:
        """The pools' pollers, in the order of the configuration."""
        every = {poller.pool.id: poller for dispatcher in self._dispatchers for poller in dispatcher.pollers}
        return [every[pool.id] for pool in self._config.user_pools]

    async def start(self, former: Sequence[PoolPoller] = ()) -> None:
        """Take up the users known from the state, and begin to discover and to poll; `former` polled before a reload.

        Where it is stopped meanwhile, nothing begins.
        """
        before = {poller.pool.id: poller for poller in former}
        for poller in self.pollers:
            if poller.pool.id in before:
                poller.follow(before[poller.pool.id])
        try:
            await self._recall()
        except Stopped:
            return
        for dispatcher in self._dispatchers:
            self._run(dispatcher.run())
        for poller in self.pollers:
            self._run(self._discover(poller))

    async def _recall(self) -> None:
        for poller in self.pollers:
            await poller.recall()
        for dispatcher in self._dispatchers:
            dispatcher.begin()
        for poller in self.pollers:
            await poller.line_up()

    def interrupt(self) -> None:
        """Begin nothing more; `stop` waits for the end."""
        self._around.stop.set()

    def _run(self, work: Coroutine[object, object, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)

    def _spawn(self, work: Coroutine[object, object, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._polls.add(task)
        task.add_done_callback(self._polls.discard)

    async def _discover(self, poller: PoolPoller) -> None:
        interval = self._config.polling.discovery_interval
        retry = min(interval, _RETRY_DISCOVERY)
        while not self._around.stop.is_set():
            try:
                await poller.discover()
            except Stopped:
                return
            except Exception as error:  # noqa: BLE001 - a discovery that failed is made again
                self._around.logger.error(
                    "discovered users cannot be kept", user_pool=poller.pool.name, error=repr(error)
                )
            wait = interval if poller.discovered.is_set() else retry
            retry = min(interval, 2 * retry)
            await _wait_for(self._around.stop, wait * self._around.random.uniform(0.9, 1.0))

    async def stop(self) -> None:
        """Make no new request, let those under way end and be counted, and let go of everything."""
        self._around.stop.set()
        patience = self._config.polling.request_timeout + 1.0
        tasks = self._tasks | self._polls
        if tasks:
            _, left = await asyncio.wait(tasks, timeout=patience)
            for task in left:
                task.cancel()
        for poller in self.pollers:
            poller.close()

    # -- what is told ------------------------------------------------------------------------------------------------------------

    @property
    def ready(self) -> bool:
        """Tell whether the first users of every pool are known, from the state or from a discovery."""
        return all(len(poller.census) or poller.discovered.is_set() for poller in self.pollers)

    @property
    def stuck(self) -> str | None:
        """Say what keeps the polling from going on, None where nothing does. AWS failing is not that."""
        now, limit = self._around.monotonic(), _STUCK_AFTER + 2 * self._config.polling.request_timeout
        for dispatcher in self._dispatchers:
            if now - dispatcher.alive_at > _STUCK_AFTER or dispatcher.is_dead:
                return f"the dispatcher of {dispatcher.budget.account} does not run"
        for poller in self.pollers:
            if any(now - sent > limit for sent in poller.requests.in_flight.values()):
                return f"a request to {poller.pool.name} does not end"
        return None

    def pools(self) -> tuple[PoolStatus, ...]:
        """Return how each pool is doing."""
        return tuple(poller.status() for poller in self.pollers)

    def budgets(self) -> tuple[BudgetStatus, ...]:
        """Return what each account may spend, and what it takes."""
        return tuple(dispatcher.status() for dispatcher in self._dispatchers)


class Dispatcher:
    """Spends the budget of one account: takes a token, then chooses whom to ask."""

    def __init__(
        self,
        budget: Budget,
        policy: Policy,
        pollers: Sequence[PoolPoller],
        spawn: Callable[[Coroutine[object, object, None]], None],
        around: Surroundings,
    ) -> None:
        self.budget = budget
        self.pollers = pollers
        self.alive_at = around.monotonic()
        self.is_dead = False
        self._policy = policy
        self._pollers_by_queue = {poller.queue: poller for poller in pollers}
        self._spawn = spawn
        self._around = around
        self._wake = asyncio.Event()
        for poller in pollers:
            poller.requests.freed = self._wake.set
        self._said_short = False
        self._look_around_at = float("-inf")

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
            poller.put_back(slot, _STUCK_AFTER, answered=False)
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
            budget.account, budget.requests_per_second, budget.allowed, self._needed, self._policy.longest_wait
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


async def _wait_for(event: asyncio.Event, seconds: float) -> None:
    try:
        await asyncio.wait_for(event.wait(), seconds)
    except TimeoutError:
        return


def account_of(pool: UserPool) -> str:
    """Return a short stable name of the budget that a pool's requests are charged to: its account and Region.

    A role names its account; other credentials stand for theirs.
    """
    credentials = pool.credentials
    identity = "default" if credentials.profile is None else credentials.profile
    if credentials.role_arn is not None:
        identity = credentials.role_arn.split(":")[4]
    return f"{identity}/{pool.region}"


def _by_account(pools: Sequence[UserPool]) -> Mapping[str, Sequence[UserPool]]:
    accounts: dict[str, list[UserPool]] = {}
    for pool in pools:
        accounts.setdefault(account_of(pool), []).append(pool)
    return accounts


def _budget(account: str, config: Config, budgets: MutableMapping[str, Budget], around: Surroundings) -> Budget:
    """Return the account's budget: the one it has had, so that no reload spends more than AWS was promised."""
    requests_per_second = config.polling.requests_per_second
    if account in budgets:
        budgets[account].resize(requests_per_second)
    else:
        budgets[account] = Budget(account, requests_per_second, around.monotonic)
    return budgets[account]
