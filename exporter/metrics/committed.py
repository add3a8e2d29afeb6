"""The families of what the ledger has committed and of how the polling does; nothing here waits for either."""

from collections.abc import Callable, Iterator, Mapping

from exporter.metrics import families
from exporter.metrics.exposition import Section
from exporter.metrics.families import COMMITTED, Family
from exporter.metrics.series import Labels, Series
from exporter.metrics.view import PoolView
from exporter.schedule.status import BudgetStatus, Status

_POLLING = (
    families.UP, families.POOL_INFO, families.USERS, families.NEWEST_POLL, families.OLDEST_POLL, families.LONGEST_WAIT,
    families.BUDGET, families.NEEDED,
)  # fmt: skip


class Committed:
    """Reads the committed views and the status of the polling, once a scrape."""

    def __init__(
        self, views: Callable[[], Mapping[str, PoolView]], status: Callable[[], Status], clock: Callable[[], float]
    ) -> None:
        self._views = views
        self._status = status
        self._clock = clock
        self._polling = {family.name: Series(family) for family in _POLLING}

    def sections(self) -> Iterator[Section]:
        """Yield every family that is shown, with its series."""
        now = self._clock()
        pools = [view.blocks(now) for view in self._views().values()]
        for family in COMMITTED:
            shown = [blocks[family.name] for blocks in pools if family.name in blocks]
            if shown:
                yield family, shown
        status = self._status()
        for family, values in (*_pool_gauges(status), *_budget_gauges(status.budgets)):
            series = self._polling[family.name]
            series.replace(values)
            yield family, [series]


def _pool_gauges(status: Status) -> Iterator[tuple[Family, Mapping[Labels, float]]]:
    pools = status.pools
    yield families.UP, {(pool.name,): pool.up for pool in pools}
    info = ((pool.name, pool.pool_id, pool.region, pool.threat_protection or "") for pool in pools)
    yield families.POOL_INFO, dict.fromkeys(info, 1.0)
    yield families.USERS, {(pool.name, state): count for pool in pools for state, count in pool.users.items()}
    yield families.NEWEST_POLL, {(pool.name,): pool.newest_poll for pool in pools if pool.newest_poll is not None}
    yield families.OLDEST_POLL, {(pool.name,): pool.oldest_poll for pool in pools if pool.oldest_poll is not None}
    waits = {budget.account: budget.longest_wait for budget in status.budgets}
    yield families.LONGEST_WAIT, {(pool.name,): waits[pool.account] for pool in pools if pool.account in waits}


def _budget_gauges(budgets: tuple[BudgetStatus, ...]) -> Iterator[tuple[Family, Mapping[Labels, float]]]:
    yield families.BUDGET, {(budget.account,): budget.allowed for budget in budgets}
    yield families.NEEDED, {(budget.account,): budget.needed for budget in budgets}
