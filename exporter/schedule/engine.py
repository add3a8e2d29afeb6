"""All the polling of one configuration: one dispatcher for each account, one discoverer for each pool."""

import asyncio
from collections.abc import Callable, Coroutine, Mapping, MutableMapping, Sequence

from exporter.configuration.models import Config, UserPool
from exporter.fetch.outcome import FetchError, Outcome, StandInError
from exporter.fetch.source import EventSource
from exporter.fetch.sources import SourceFactory
from exporter.schedule.accounts import Accounts, Payer, payer_of
from exporter.schedule.budget import Budget
from exporter.schedule.dispatcher import Dispatcher
from exporter.schedule.policy import Policy, PoolQueue
from exporter.schedule.poller import PoolPoller, concurrency_for
from exporter.schedule.requests import PoolRequests, Stopped, Surroundings
from exporter.schedule.status import BudgetStatus, PoolStatus

_LONGEST_WAIT_FOR_STS = 5.0  # seconds that pools are not polled for want of their account
_STUCK_AFTER = 60.0  # seconds without a sign of life


class Engine:
    """Polls every pool of a configuration from `start` to `stop`."""

    def __init__(
        self,
        config: Config,
        sources: SourceFactory,
        budgets: MutableMapping[str, Budget],
        around: Surroundings,
        *,
        accounts: Accounts | None = None,
        regroup: Callable[[], None] = lambda: None,
    ) -> None:
        """Take what to poll and by what; `budgets`, by account, and `accounts` outlive the engine, which adds those new to them.

        `regroup` is called once an account has become known whose pools are polled by several budgets: an engine made anew
        takes them together.
        """
        self._config = config
        self._budgets = budgets
        self._around = around
        self._accounts = accounts or Accounts()
        self._regroup = regroup
        self._is_to_be_replaced = False
        self._tasks: set[asyncio.Task[None]] = set()
        self._polls: set[asyncio.Task[None]] = set()
        self._dispatchers: dict[str, Dispatcher] = {}
        self._sources = [sources(pool, config.polling.request_timeout) for pool in config.user_pools]
        self.pollers: Sequence[PoolPoller] = [
            self._poller(pool, f"user_pools[{index}]", source)
            for index, (pool, source) in enumerate(zip(config.user_pools, self._sources, strict=True))
        ]
        """The pools' pollers, in the order of the configuration."""

    def _poller(self, pool: UserPool, path: str, source: EventSource) -> PoolPoller:
        polling, around = self._config.polling, self._around
        budget = Budget(
            payer_of(pool).by_credentials, polling.requests_per_second, around.monotonic
        )  # until it is enrolled
        return PoolPoller(
            pool,
            polling,
            self._config.counting,
            path=path,
            source=source,
            requests=PoolRequests(pool.name, budget, concurrency_for(polling.requests_per_second), around),
            queue=PoolQueue(polling.min_interval),
            around=around,
        )

    async def start(self, former: Sequence[PoolPoller] = ()) -> None:
        """Take up the users known from the state, and begin to discover and to poll; `former` polled before a reload.

        Pools whose account is not known begin once STS has told it, or cannot be asked. Where the engine is stopped meanwhile,
        nothing begins.
        """
        before = {poller.pool.id: poller for poller in former}
        for poller in self.pollers:
            if poller.pool.id in before:
                self._follow(poller, before[poller.pool.id])
        try:
            for poller in self.pollers:
                await poller.recall()
            groups = self._by_payer()
            settled = [payer for payer in groups if self._accounts.is_settled(payer)]
            await self._enrol([(payer, groups[payer]) for payer in settled])
        except Stopped:
            return
        for payer, pollers in groups.items():
            self._run(self._find_account(payer, pollers))

    def _follow(self, poller: PoolPoller, former: PoolPoller) -> None:
        poller.follow(former)
        if self._name_of(poller) == self._name_of(former):  # another account's throttling is none of this one's
            poller.requests.budget = former.requests.budget  # until it is enrolled

    def _by_payer(self) -> Mapping[Payer, Sequence[PoolPoller]]:
        groups: dict[Payer, list[PoolPoller]] = {}
        for poller in self.pollers:
            groups.setdefault(payer_of(poller.pool), []).append(poller)
        return groups

    # -- accounts ----------------------------------------------------------------------------------------------------------------

    async def _enrol(self, groups: Sequence[tuple[Payer, Sequence[PoolPoller]]]) -> None:
        """Have pools polled by the budgets of their accounts. Raises `Stopped` where the exporter stops meanwhile."""
        running = frozenset(self._dispatchers)
        joined = {name: self._joined(name, pollers) for name, pollers in self._by_name(groups).items()}
        enrolled = [poller for _, pollers in groups for poller in pollers]
        for dispatcher in joined.values():
            dispatcher.begin()
        for poller in enrolled:
            await poller.line_up()
        for name in joined.keys() - running:
            self._run(joined[name].run())
        for poller in enrolled:
            self._run(poller.discoverer.run())

    def _by_name(self, groups: Sequence[tuple[Payer, Sequence[PoolPoller]]]) -> Mapping[str, Sequence[PoolPoller]]:
        pollers_by_name: dict[str, list[PoolPoller]] = {}
        for payer, pollers in groups:
            pollers_by_name.setdefault(self._accounts.name(payer), []).extend(pollers)
        return pollers_by_name

    def _joined(self, name: str, pollers: Sequence[PoolPoller]) -> Dispatcher:
        """Return the one dispatcher of an account, which has taken in these pools; it forgets no throttling of theirs."""
        if name not in self._dispatchers:
            budget = _budget(name, self._config, self._budgets, self._around)
            policy = Policy(self._around.monotonic(), self._config.polling.max_staleness)
            self._dispatchers[name] = Dispatcher(budget, policy, self._spawn, self._around)
        for poller in pollers:
            self._dispatchers[name].budget.heed(poller.requests.budget)
            self._dispatchers[name].join(poller)
        return self._dispatchers[name]

    async def _find_account(self, payer: Payer, pollers: Sequence[PoolPoller]) -> None:
        """Have pools polled, and taken together with others of their account as soon as that is known."""
        try:
            if not self._accounts.is_settled(payer):
                await self._ask(payer, pollers[0])
                await self._enrol([(payer, pollers)])
                self._regroup_where_split()
            if self._accounts.account(payer) is None:
                await self._ask_until_told(payer, pollers)
                self._regroup_where_split()
        except Stopped:
            return

    def _regroup_where_split(self) -> None:
        """Have this engine replaced, once, where an account is found to be spent by several budgets.

        The next one groups the pools by whatever is known by then. Only to name a budget by its account it is not replaced, as
        that holds up all pools for a moment.
        """
        charged = {(self._name_of(poller), each) for each in self._dispatchers.values() for poller in each.pollers}
        is_split = len(charged) > len({name for name, _ in charged})
        if is_split and not self._is_to_be_replaced:
            self._is_to_be_replaced = True
            self._regroup()

    def _name_of(self, poller: PoolPoller) -> str:
        return self._accounts.name(payer_of(poller.pool))

    async def _ask_until_told(self, payer: Payer, pollers: Sequence[PoolPoller]) -> None:
        """Ask STS again, ever more rarely, and at once when the credentials are good again."""
        healed = asyncio.Event()
        for poller in pollers:
            poller.health.came_back = healed.set
        while self._accounts.account(payer) is None:
            healed.clear()
            await pollers[0].requests.unless_stopped(_wait_for(healed, self._accounts.wait(payer)))
            await self._ask(payer, pollers[0])

    async def _ask(self, payer: Payer, poller: PoolPoller) -> None:
        """Ask STS once whose account it is. Raises `Stopped` where the exporter stops meanwhile."""
        try:
            caller = await asyncio.wait_for(
                poller.caller(), min(self._config.polling.request_timeout, _LONGEST_WAIT_FOR_STS)
            )
        except StandInError:
            self._accounts.never_told(payer)
        except FetchError as error:
            self._not_told(payer, poller, error)
        except TimeoutError:
            self._not_told(payer, poller, FetchError(Outcome.TIMEOUT, "GetCallerIdentity: no answer yet"))
        else:
            self._accounts.tell(payer, caller.account)
            self._around.logger.debug("the account is known", account=self._accounts.name(payer))

    def _not_told(self, payer: Payer, poller: PoolPoller, error: FetchError) -> None:
        """Go on without the account; say so, once."""
        logger = self._around.logger
        say = logger.debug if self._accounts.is_settled(payer) else logger.info
        say(
            "STS does not tell the account: its pools are polled by a budget of their own until it does",
            account=payer.by_credentials, user_pool=poller.pool.name, path=poller.path_of(error.key or "credentials"),
            outcome=error.outcome.value, error=str(error),
        )  # fmt: skip
        self._accounts.not_told(payer)

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
        """Tell whether the first users of every pool are known, from the state or from a discovery, or cannot be for now."""
        return all(len(poller.census) or poller.discoverer.has_looked for poller in self.pollers)

    @property
    def stuck(self) -> str | None:
        """Say what keeps the polling from going on, None where nothing does.

        AWS failing is not that, nor is waiting for credentials, however long those who look for them take one after another.
        """
        now, limit = self._around.monotonic(), _STUCK_AFTER + 2 * self._config.polling.request_timeout
        for dispatcher in self._dispatchers.values():
            if now - dispatcher.alive_at > _STUCK_AFTER or dispatcher.is_dead:
                return f"the dispatcher of {dispatcher.budget.account} does not run"
        for poller, source in zip(self.pollers, self._sources, strict=True):
            if (sent := source.sent_at()) is not None and now - sent > limit:
                return f"a request to {poller.pool.name} does not end"
        return None

    def pools(self) -> tuple[PoolStatus, ...]:
        """Return how each pool is doing."""
        return tuple(poller.status() for poller in self.pollers)

    def budgets(self) -> tuple[BudgetStatus, ...]:
        """Return what each account may spend, and what it takes."""
        return tuple(dispatcher.status() for dispatcher in self._dispatchers.values())


async def _wait_for(event: asyncio.Event, seconds: float | None) -> None:
    try:
        await asyncio.wait_for(event.wait(), seconds)
    except TimeoutError:
        return


def _budget(account: str, config: Config, budgets: MutableMapping[str, Budget], around: Surroundings) -> Budget:
    """Return the account's budget: the one it has had, so that no reload spends more than AWS was promised."""
    requests_per_second = config.polling.requests_per_second
    if account in budgets:
        budgets[account].resize(requests_per_second)
    else:
        budgets[account] = Budget(account, requests_per_second, around.monotonic)
    return budgets[account]
